"""Sending a message to the channels of the configuration: a webhook (Slack, Teams, anything) and mail.

Whatever goes wrong with a channel is an AlertError, so that the other channels are still used. apprise is not used: it
takes addresses with secrets in them, and writes its own log lines. Not here: what is worth a message (`notifier`).
"""

from __future__ import annotations

import smtplib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from functools import partial
from typing import Any

from planday_io.client.asking import AnswerLimits, ask_once
from planday_io.client.bodies import UnansweredError
from planday_io.config.model import Config, Mail, Webhook
from planday_io.config.secrets import read_secret
from planday_io.config.values import is_loopback
from planday_io.errors import AlertError, PlandayError, RefusedMessageError
from planday_io.monitoring.messages import Message
from planday_io.texts import visible

_TIMEOUT_SECONDS = 15.0
_WHOLE_SECONDS = 60.0
"""The limit for one delivery: a channel that answers a byte at a time must not block the others."""


def channels(config: Config) -> dict[str, Callable[[Message], None]]:
    """How to send a message by each configured channel; each raises AlertError."""
    found: dict[str, Callable[[Message], None]] = {}
    if webhook := config.alerts.webhook:
        found["webhook"] = partial(_send, partial(_post, webhook, config))
    if mail := config.alerts.mail:
        found["mail"] = partial(_send, partial(_send_mail, mail, config))
    return found


def _send(way: Callable[[Message], None], message: Message) -> None:
    try:
        way(message)
    except AlertError:
        raise
    except PlandayError as error:
        raise AlertError(str(error)) from None
    except Exception as error:  # noqa: BLE001 - one channel keeps no other back
        # The error's own text may hold an address or a password.
        what = type(error).__name__
        raise AlertError(f"it fails with {what}: check the alerts section and the environment") from None


def _post(webhook: Webhook, config: Config, message: Message) -> None:
    url = read_secret(webhook.url, home=config.home, what="alerts.webhook.url")
    if not url.startswith("https://") and not is_loopback(url):
        raise AlertError("alerts.webhook.url has to begin with https:// (http:// is accepted for this machine only)")
    limits = AnswerLimits(silence_seconds=_TIMEOUT_SECONDS, whole_seconds=_WHOLE_SECONDS)
    try:
        answer = ask_once("POST", url, limits, wants_body=False, json=_body(webhook.format, message))
    except UnansweredError:
        raise AlertError(
            f"the webhook cannot be reached, or gave no answer within {_WHOLE_SECONDS:g} s: check alerts.webhook.url and "
            "proxies"
        ) from None
    if not answer.is_success:
        kind = RefusedMessageError if 400 <= answer.status < 500 else AlertError
        raise kind(
            f"the webhook answered {answer.status}: check alerts.webhook.url, and that it accepts format '{webhook.format}'"
        )


def _body(kind: str, message: Message) -> dict[str, Any]:
    if kind == "json":
        return asdict(message)
    if kind == "slack":
        text = message.text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        return {"text": f"*{message.subject}*\n{text}"}
    lines: list[dict[str, Any]] = [
        {"type": "TextBlock", "text": line, "wrap": True}
        for line in (message.subject, *message.text.splitlines())
        if line
    ]
    lines[0]["weight"] = "Bolder"
    schema = "http://adaptivecards.io/schemas/adaptive-card.json"
    card = {"$schema": schema, "type": "AdaptiveCard", "version": "1.4", "body": lines}
    content_type = "application/vnd.microsoft.card.adaptive"
    return {"type": "message", "attachments": [{"contentType": content_type, "contentUrl": None, "content": card}]}


def _send_mail(mail: Mail, config: Config, message: Message, seconds: float = _WHOLE_SECONDS) -> None:
    made = EmailMessage()
    made["Subject"], made["From"], made["To"] = message.subject, mail.sender, ", ".join(mail.to)
    made["Date"], made["Message-ID"] = formatdate(), make_msgid(domain=mail.sender.rpartition("@")[2])
    made.set_content(message.text)
    password = mail.password and read_secret(
        mail.password, home=config.home, what="alerts.mail.password", check=visible
    )
    trust = ssl.create_default_context()
    try:
        with _mail_server(mail, trust, seconds) as server:
            if mail.security == "starttls":
                server.starttls(context=trust)
            if mail.user and password:
                server.login(mail.user, password)
            server.send_message(made)
    except smtplib.SMTPAuthenticationError:
        raise AlertError("the mail server refuses user and password: check alerts.mail") from None
    except smtplib.SMTPDataError as error:
        raise RefusedMessageError(f"the mail server does not accept the message ({error.smtp_code})") from None
    except (OSError, smtplib.SMTPException) as error:
        raise AlertError(
            f"the mail could not be sent ({type(error).__name__}): check alerts.mail host, port, security, sender and to"
        ) from None


@contextmanager
def _mail_server(mail: Mail, trust: ssl.SSLContext, seconds: float) -> Iterator[smtplib.SMTP]:
    """A connection that is closed after so many seconds: smtplib's own time-out applies to each line only."""
    kind = smtplib.SMTP_SSL if mail.security == "tls" else smtplib.SMTP
    begun: list[smtplib.SMTP] = []
    is_done = threading.Event()

    class Server(kind):  # type: ignore[misc, valid-type]
        def connect(self, *where: Any) -> Any:  # noqa: ANN401 - as smtplib has it
            # Recorded before the server's first byte, which the constructor waits for.
            begun.append(self)
            return super().connect(*where)

    def end() -> None:
        # Repeated, because there is nothing to break while it connects, and a handshake replaces the socket.
        while not is_done.wait(0.2):
            for server in begun:
                if server.sock:
                    with suppress(OSError):
                        server.sock.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()
    try:
        context = {"context": trust} if mail.security == "tls" else {}
        with Server(mail.host, mail.port, timeout=_TIMEOUT_SECONDS, **context) as server:
            yield server
    finally:
        timer.cancel()
        is_done.set()
