"""Sending a message to the channels of the configuration: a webhook (Slack, Teams, anything) and mail.

httpx and the standard library's smtplib do the work. apprise was looked at and left: it speaks to a hundred services, but
takes addresses with secrets in them, writes its own log lines, and would be the only user of requests here.

Not here: what is worth a message (`planday_io.incidents`).
"""

from __future__ import annotations

import smtplib
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from typing import Any

import httpx

from planday_io.addresses import is_loopback
from planday_io.config.model import Config, Mail, Webhook
from planday_io.config.secrets import read_secret
from planday_io.errors import AlertError

_TIMEOUT_SECONDS = 15.0


@dataclass(frozen=True, slots=True)
class Message:
    """What is sent. Names, counts, instants, texts of errors and ids of runs; no personal data, no secret.

    Args:
        event: `failed`, `stale`, `recovered`, `disk` or `test`.
        subject: one line.
        text: some lines for people.
        incidents: the same for programs.
    """

    event: str
    subject: str
    text: str
    incidents: list[dict[str, Any]] = field(default_factory=list)


def channels(config: Config) -> dict[str, Callable[[Message], None]]:
    """How to send a message by each configured channel; each raises AlertError."""
    found: dict[str, Callable[[Message], None]] = {}
    alerts = config.alerts
    if webhook := alerts.webhook:
        found["webhook"] = lambda message: _post(webhook, config, message)
    if mail := alerts.mail:
        found["mail"] = lambda message: _send_mail(mail, config, message)
    return found


def _post(webhook: Webhook, config: Config, message: Message) -> None:
    url = read_secret(webhook.url, home=config.home, what="alerts.webhook.url")
    if not url.startswith("https://") and not is_loopback(url):
        raise AlertError("alerts.webhook.url has to begin with https:// (http:// is taken for this machine only)")
    try:
        with httpx.Client(timeout=_TIMEOUT_SECONDS, trust_env=not is_loopback(url)) as http:
            response = http.post(url, json=_body(webhook.format, message))
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        # The error's own text may hold the address, which is a secret.
        raise AlertError(f"the webhook cannot be reached ({type(error).__name__}): check alerts.webhook.url") from None
    if not response.is_success:
        raise AlertError(
            f"the webhook answered {response.status_code}: check alerts.webhook.url, and that format "
            f"'{webhook.format}' is what it takes"
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


def _send_mail(mail: Mail, config: Config, message: Message) -> None:
    made = EmailMessage()
    made["Subject"], made["From"], made["To"] = message.subject, mail.sender, ", ".join(mail.to)
    made["Date"], made["Message-ID"] = formatdate(), make_msgid(domain=mail.sender.rpartition("@")[2])
    made.set_content(message.text)
    password = mail.password and read_secret(mail.password, home=config.home, what="alerts.mail.password")
    trust = ssl.create_default_context()
    try:
        if mail.security == "tls":
            server: smtplib.SMTP = smtplib.SMTP_SSL(mail.host, mail.port, timeout=_TIMEOUT_SECONDS, context=trust)
        else:
            server = smtplib.SMTP(mail.host, mail.port, timeout=_TIMEOUT_SECONDS)
        with server:
            if mail.security == "starttls":
                server.starttls(context=trust)
            if mail.user and password:
                server.login(mail.user, password)
            server.send_message(made)
    except smtplib.SMTPAuthenticationError:
        raise AlertError("the mail server refuses user and password: check alerts.mail") from None
    except (OSError, smtplib.SMTPException) as error:
        raise AlertError(
            f"the mail could not be sent ({type(error).__name__}): check alerts.mail host, port, security, sender and to"
        ) from None
