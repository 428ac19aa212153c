"""A mail server on this machine, and what it received."""

from __future__ import annotations

import email
import email.policy
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from email.message import EmailMessage
from typing import Any

from aiosmtpd.controller import Controller

from tests.support.installation import Installation


class Inbox:
    """A mail server that accepts every message by default.

    Args:
        status: the SMTP reply to a message; 250 accepts it.
        refuses: addresses that it rejects as unknown.
    """

    def __init__(self) -> None:
        self.messages: list[EmailMessage] = []
        self.status = "250 OK"
        self.refuses: set[str] = set()

    async def handle_RCPT(self, _: Any, __: Any, envelope: Any, address: str, _options: Any) -> str:  # noqa: N802
        if address in self.refuses:
            return "550 no such user"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _: Any, __: Any, envelope: Any) -> str:  # noqa: N802 - aiosmtpd's name
        if self.status.startswith("250"):
            self.messages.append(email.message_from_bytes(envelope.content, policy=email.policy.default))  # type: ignore[arg-type]
        return self.status


@contextmanager
def mail_server(planday: Installation) -> Iterator[Inbox]:
    """A server, named in the `alerts` of an installation."""
    made = Inbox()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    # Attachments are larger than the usual limit.
    controller = Controller(made, hostname="127.0.0.1", port=port, data_size_limit=2**26)
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
