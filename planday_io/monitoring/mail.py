"""A mail by the server of `alerts.mail`: encrypted on its way, or to a server on this machine.

Errors never name an address: addresses are personal data, and errors are kept in logs and events.
"""

from __future__ import annotations

import smtplib
import socket
import ssl
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from typing import Any

from planday_io.config.model import Config, Mail
from planday_io.config.secrets import read_secret
from planday_io.errors import AlertError, RefusedMessageError
from planday_io.texts import visible

_TIMEOUT_SECONDS = 15.0
_WHOLE_SECONDS = 60.0
"""The limit for one mail: a server that answers a byte at a time must not block other channels."""


def new_mail(mail: Mail, to: Sequence[str], subject: str, text: str) -> EmailMessage:
    """A mail of text, to which something may be attached."""
    made = EmailMessage()
    made["Subject"], made["From"], made["To"] = subject, mail.sender, ", ".join(to)
    made["Date"], made["Message-ID"] = formatdate(), make_msgid(domain=mail.sender.rpartition("@")[2])
    made.set_content(text)
    return made


def send_mail(mail: Mail, config: Config, made: EmailMessage, seconds: float = _WHOLE_SECONDS) -> int:
    """Send a mail, within so many seconds.

    Returns:
        How many of its recipients the server refused, while it accepted the mail for others.

    Raises:
        AlertError: it could not be sent.
        RefusedMessageError: the server does not accept this mail.
        SecretError: the password cannot be read.
    """
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
            return len(server.send_message(made))
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
