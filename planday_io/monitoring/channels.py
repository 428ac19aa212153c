"""Sending a message to the channels of the configuration: a webhook (Slack, Teams, anything) and mail.

httpx and the standard library's smtplib do the work. apprise was considered and left out: it speaks to a hundred services,
but takes addresses with secrets in them, writes its own log lines, and would be the only user of requests here.

Whatever goes wrong with a channel is an AlertError, so that it keeps no other back. Not here: what is worth a message
(`notifier`).
"""

from __future__ import annotations

import smtplib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from functools import partial
from typing import Any

from planday_io.client.asking import AnswerLimits, ask_once
from planday_io.client.bodies import UnansweredError
from planday_io.config.addresses import is_loopback
from planday_io.config.model import Config, Mail, Webhook
from planday_io.config.secrets import read_secret
from planday_io.errors import AlertError, PlandayError
from planday_io.monitoring.messages import TEST, Message
from planday_io.texts import visible

_TIMEOUT_SECONDS = 15.0
_WHOLE_SECONDS = 60.0
"""For all that a channel takes: one that answers a byte at a time must not keep the others back."""
_LIMITS = AnswerLimits(silence_seconds=_TIMEOUT_SECONDS, whole_seconds=_WHOLE_SECONDS)


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
        # A proxy variable that is no address, a bundle of certificates that is not there, a text that cannot be encoded.
        # The error's own text may hold an address or a password.
        raise AlertError(
            f"it fails with {type(error).__name__}: check the alerts section and the environment"
        ) from None


def _post(webhook: Webhook, config: Config, message: Message) -> None:
    url = read_secret(webhook.url, home=config.home, what="alerts.webhook.url")
    if not url.startswith("https://") and not is_loopback(url):
        raise AlertError("alerts.webhook.url has to begin with https:// (http:// is taken for this machine only)")
    try:
        answer = ask_once("POST", url, _LIMITS, wants_body=False, json=_body(webhook.format, message))
    except UnansweredError:
        raise AlertError(
            f"the webhook cannot be reached, or gave no answer within {_WHOLE_SECONDS:g} s: check alerts.webhook.url and "
            "proxies"
        ) from None
    if not answer.is_success:
        raise AlertError(
            f"the webhook answered {answer.status}: check alerts.webhook.url, and that format "
            f"'{webhook.format}' is what it takes",
            is_refusal=400 <= answer.status < 500,
        )


def _body(kind: str, message: Message) -> dict[str, Any]:
    if kind == "json":
        return {
            "event": message.event,
            "subject": message.subject,
            "text": message.text,
            "incidents": message.incidents,
        }
    if kind == "slack":
        text = message.text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        return {"text": f"*{message.subject}*\n{text}"}
    lines = [{"type": "TextBlock", "text": message.subject, "weight": "Bolder", "wrap": True}]
    lines += [{"type": "TextBlock", "text": line, "wrap": True} for line in message.text.splitlines() if line]
    card = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "body": lines,
    }
    return {
        "type": "message",
        "attachments": [
            {"contentType": "application/vnd.microsoft.card.adaptive", "contentUrl": None, "content": card}
        ],
    }


def _send_mail(mail: Mail, config: Config, message: Message, seconds: float = _WHOLE_SECONDS) -> None:
    made = EmailMessage()
    made["Subject"], made["From"], made["To"] = message.subject, mail.sender, ", ".join(mail.to)
    made["Date"], made["Message-ID"] = formatdate(), make_msgid(domain=mail.sender.rpartition("@")[2])
    made.set_content(message.text)
    password = mail.password and read_secret(
        mail.password, home=config.home, what="alerts.mail.password", check=visible
    )
    trust = ssl.create_default_context()
    begun: list[smtplib.SMTP] = []
    try:
        with _ended_after(seconds, begun), _mail_server(mail, trust, begun) as server:
            if mail.security == "starttls":
                server.starttls(context=trust)
            if mail.user and password:
                server.login(mail.user, password)
            server.send_message(made)
    except smtplib.SMTPAuthenticationError:
        raise AlertError("the mail server refuses user and password: check alerts.mail") from None
    except smtplib.SMTPDataError as error:
        raise AlertError(f"the mail server does not take the message ({error.smtp_code})", is_refusal=True) from None
    except (OSError, smtplib.SMTPException) as error:
        raise AlertError(
            f"the mail could not be sent ({type(error).__name__}): check alerts.mail host, port, security, sender and to"
        ) from None


def _mail_server(mail: Mail, trust: ssl.SSLContext, begun: list[smtplib.SMTP]) -> smtplib.SMTP:
    """A connection to the mail server, which is in `begun` before its first byte came."""
    kind = smtplib.SMTP_SSL if mail.security == "tls" else smtplib.SMTP

    class Server(kind):  # type: ignore[misc, valid-type]
        def connect(self, *where: Any) -> Any:  # noqa: ANN401 - as smtplib has it
            begun.append(self)
            return super().connect(*where)

    context = {"context": trust} if mail.security == "tls" else {}
    server: smtplib.SMTP = Server(mail.host, mail.port, timeout=_TIMEOUT_SECONDS, **context)
    return server


@contextmanager
def _ended_after(seconds: float, begun: list[smtplib.SMTP]) -> Iterator[None]:
    """Break a connection that is not done after so long: smtplib's own time-out is for each line, and lines may go on."""
    done = threading.Event()

    def watch() -> None:
        if done.wait(seconds):
            return
        while not done.wait(0.2):
            for server in begun:
                if sock := server.sock:
                    with suppress(OSError):
                        sock.shutdown(socket.SHUT_RDWR)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def send_test(config: Config) -> dict[str, str]:
    """Send a test message by each channel, now.

    Returns:
        Channel -> why it did not take it, or an empty text.
    """
    results = dict.fromkeys(found := channels(config), "")
    for name, send in found.items():
        try:
            send(TEST)
        except AlertError as error:
            results[name] = str(error)
    return results
