"""Sending a message to the channels of the configuration: a webhook (Slack, Teams, anything) and mail.

Whatever goes wrong with a channel is an AlertError, so that the other channels are still used. apprise is not used: it
takes addresses with secrets in them, and writes its own log lines. Not here: what is worth a message (`notifier`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from typing import Any

from planday_io.config.model import Config, Mail, Webhook
from planday_io.config.secrets import read_secret
from planday_io.config.values import is_loopback
from planday_io.errors import AlertError, PlandayError, RefusedMessageError
from planday_io.monitoring.mail import new_mail, send_mail
from planday_io.monitoring.messages import Message

_TIMEOUT_SECONDS = 15.0
_WHOLE_SECONDS = 60.0
"""The limit for one message: a channel that answers a byte at a time must not block the others."""


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
    # Not above: commands that only look at incidents send nothing, and need no HTTP client.
    from planday_io.client.asking import AnswerLimits, ask_once
    from planday_io.client.bodies import UnansweredError

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


def _send_mail(mail: Mail, config: Config, message: Message) -> None:
    made = new_mail(mail, mail.to, message.subject, message.text)
    send_mail(mail, config, made)
