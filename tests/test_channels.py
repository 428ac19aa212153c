"""Webhook and mail, over a real webhook and a real mail server."""

from __future__ import annotations

import email
import email.policy
import socket
from collections.abc import Iterator
from email.message import EmailMessage
from typing import Any

import pytest
from aiosmtpd.controller import Controller

from planday_io.catalogue import CATALOGUE
from planday_io.config import load_config
from planday_io.errors import ConfigError
from tests.support.commands import planday_command
from tests.support.installation import Hook, Installation

pytestmark = pytest.mark.processes


class Inbox:
    def __init__(self) -> None:
        self.messages: list[EmailMessage] = []

    async def handle_DATA(self, _: Any, __: Any, envelope: Any) -> str:  # noqa: N802 - aiosmtpd's name
        self.messages.append(email.message_from_bytes(envelope.content, policy=email.policy.default))  # type: ignore[arg-type]
        return "250 OK"


@pytest.fixture
def inbox(planday: Installation) -> Iterator[Inbox]:
    made = Inbox()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    controller = Controller(made, hostname="127.0.0.1", port=port)
    controller.start()
    try:
        planday.edit_config(
            "defaults:",
            f"alerts: {{mail: {{host: 127.0.0.1, port: {port}, security: none, sender: data@example.com, "
            "to: [ops@example.com, boss@example.com]}}\ndefaults:",
        )
        yield made
    finally:
        controller.stop()


def test_mail(planday: Installation, inbox: Inbox) -> None:
    done = planday_command(planday, "alert", "--test")
    assert done.returncode == 0, done.stderr
    assert "mail: accepted the message" in done.stdout
    (message,) = inbox.messages
    assert (message["Subject"], message["To"]) == ("Planday: a test message", "ops@example.com, boss@example.com")
    (planday.folder / "tokens/oslo.txt").write_text("wrong")
    planday_command(planday, "sync", "oslo", "--resources", "hr.departments")
    told = planday_command(planday, "alert")
    assert (told.returncode, "1 incidents are open" in told.stdout) == (1, True)
    text = inbox.messages[1].get_content()
    assert "Portal oslo: hr.departments, since" in text
    assert "What to do: An administrator of the portal authorizes the app again" in text


@pytest.mark.parametrize(
    ("kind", "where"),
    [("slack", lambda body: body["text"]), ("teams", lambda body: str(body["attachments"][0]["content"]))],
)
def test_formats(planday: Installation, hook: Hook, kind: str, where: Any) -> None:
    planday.edit_config("format: json", f"format: {kind}")
    assert planday_command(planday, "alert", "--test").returncode == 0
    (body,) = hook.take()
    assert "Planday: a test message" in where(body)


def test_alert_test_without_channel_says_what_to_write(planday: Installation) -> None:
    done = planday_command(planday, "alert", "--test")
    assert done.returncode == 2
    assert "names no channel" in done.stderr


@pytest.mark.parametrize(
    ("alerts", "says"),
    [
        (
            "{webhook: {url: 'https://hooks.example.com/T0/secret'}}",
            "the place of the secret and never the secret itself",
        ),
        ("{mail: {host: smtp.example.com, security: none, sender: a@b.c, to: [a@b.c]}}", "starttls or tls"),
        ("{mail: {host: smtp.example.com, sender: a@b.c, to: [nobody]}}", "a mail address"),
        ("{mail: {host: smtp.example.com, sender: a@b.c, to: [a@b.c], user: me}}", "user and password together"),
        ("{ui_url: dagster}", "an address such as"),
    ],
)
def test_alert_settings_are_checked(planday: Installation, alerts: str, says: str) -> None:
    planday.edit_config("defaults:", f"alerts: {alerts}\ndefaults:")
    with pytest.raises(ConfigError, match=says) as caught:
        load_config(planday.config_path, CATALOGUE)
    assert "hooks.example.com" not in str(caught.value)


def test_a_webhook_in_the_clear_is_refused(planday: Installation, hook: Hook) -> None:
    (planday.folder / "hook.txt").write_text("http://hooks.example.com/secret")
    done = planday_command(planday, "alert", "--test")
    assert done.returncode == 1
    assert "has to begin with https://" in done.stdout
    assert "hooks.example.com" not in done.stdout + done.stderr
