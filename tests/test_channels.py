"""Webhook and mail, over a real webhook and a real mail server."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from planday_io.catalogue import CATALOGUE
from planday_io.config import load_config
from planday_io.errors import ConfigError
from tests.support.commands import planday_command
from tests.support.inbox import Inbox, mail_server
from tests.support.installation import Hook, Installation

pytestmark = pytest.mark.processes


@pytest.fixture
def inbox(planday: Installation) -> Iterator[Inbox]:
    with mail_server(planday) as made:
        yield made


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
