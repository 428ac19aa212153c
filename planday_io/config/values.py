"""Validates single settings: addresses, time zones, cron expressions, months, names, paths.

A validator says what it expected (`refuse`); `load` adds file, line, key and the value found. Anything that Dagster refuses
is refused here, because Dagster would fail the whole code location, with every portal's schedules.
`tests/test_config_and_dagster.py` builds Dagster's definitions from anything accepted here.
"""

from __future__ import annotations

import difflib
import functools
import ipaddress
import re
import unicodedata
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import SplitResult, urlsplit
from zoneinfo import available_timezones

from croniter import croniter
from croniter.croniter import CroniterError
from pydantic_core import PydanticCustomError

from planday_io.texts import TextError, token, trimmed, visible

FIRST_MONTH = "2000-01"
"""Of `history_start`. Planday was founded later; a grid of partitions that begins in the year 1 has 24,000 a portal."""
NAME_LENGTH = 64
"""Of keys of portals and schedules. Files are named `hr.employee_custom_fields.<portal>.2026-09` and longer, and a
file system takes 255 bytes."""

_NAME = re.compile(r"[a-z0-9_]+")
_NO_ZONES = frozenset({"localtime", "posixrules", "Factory"})
"""Zone files that are not zones, or differ between machines."""
_CRON_FIELD = re.compile(r"[0-9a-zA-Z*/,#-]+")
_CRON_STEPS = (60, 24, 31, 12, 7)
_CRON_EXPECTED = "a cron expression of five fields such as '0 2 * * *'"


class Said(str):
    """A description of the value found, without secrets."""

    __slots__ = ()


def refuse(expected: str, *, key: str | None = None) -> PydanticCustomError:
    """An error that says what was expected; `key` is the faulty member of the mapping."""
    return PydanticCustomError("expected", "{expected}", {"expected": expected, "key": key})


def nearest(value: str, known: Iterable[str]) -> str:
    """`; did you mean X?`, or nothing."""
    close = difflib.get_close_matches(value, list(known), n=1, cutoff=0.6)
    return f"; did you mean {close[0]!r}?" if close else ""


def url(value: str) -> str:
    """An address that tokens may be sent to."""
    parts = _parts_of(value)
    if parts is None:
        raise refuse("an address that begins with https://")
    if parts.scheme == "http" and not is_loopback(value):
        raise refuse("https:// (http:// sends tokens unencrypted and is accepted for this machine only)")
    if parts.query or parts.fragment:
        raise refuse("an address without ? and #, because paths are appended to it")
    return value.rstrip("/")


def link(value: str) -> str:
    """An address that people open."""
    if _parts_of(value) is None:
        raise refuse("an address such as https://dagster.example.com")
    return value.rstrip("/")


def _parts_of(value: str) -> SplitResult | None:
    """The parts of an address; None if it has no host, an invalid port, white space, control characters, or a password."""
    try:
        parts = urlsplit(value)
        is_good = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
        (parts.hostname or "").encode("idna")  # an empty label, or one that is too long, is not part of a host name
    except ValueError:
        return None
    is_clean = "@" not in parts.netloc and not any(
        char.isspace() or unicodedata.category(char)[0] == "C" for char in value
    )
    return parts if is_good and is_clean else None


def is_loopback(address: str) -> bool:
    """True if an address names this machine: `localhost`, 127.0.0.0/8 or [::1]. It is not resolved."""
    try:
        host = urlsplit(address).hostname or ""
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


@functools.lru_cache  # listing all zones walks through folders for 13 ms
def time_zone(value: str) -> str:
    """An IANA time zone, the same one on every machine."""
    zones = available_timezones() - _NO_ZONES
    if value not in zones:
        raise refuse(f"an IANA time zone such as 'Europe/Copenhagen'{nearest(value, zones)}")
    return value


@functools.lru_cache  # the defaults' schedules are checked for each portal
def cron(value: str) -> str:
    """A cron expression that means the same to croniter, to Dagster's copy of it, and to people."""
    fields = value.split()
    # croniter also takes six fields with seconds, hashed and random expressions (H, R), and digits of other scripts.
    if len(fields) != 5 or not all(_CRON_FIELD.fullmatch(field) for field in fields):
        raise refuse(_CRON_EXPECTED)
    expression = " ".join(fields)
    if re.search(r"(?<![a-z])[hr](?![a-z])|[0-9]{3}", expression.lower()) or not croniter.is_valid(expression):
        raise refuse(_CRON_EXPECTED)
    for field, most in zip(fields, _CRON_STEPS, strict=True):
        if any(int(step) > most for step in re.findall(r"/([0-9]+)", field)):
            raise refuse(f"a step of at most {most} in '{field}', which otherwise is due more often than it says")
    # Dagster checks the day of the month separately, even if there is a day of the week too.
    day = f"0 0 {fields[2]} {fields[3]} *"
    if not (_fires(expression) and _fires(day)):
        raise refuse("a cron expression that is due some day; this one never is, because no such month has that day")
    return expression


def _fires(expression: str) -> bool:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    try:
        next(croniter(expression, start))
        croniter(expression, start).get_prev()
    except CroniterError:
        return False
    return True


def history_start(value: str) -> str:
    """The first month of facts. It must have begun, because without a month there are no partitions."""
    # The zone where a month begins first.
    now = datetime.now(UTC) + timedelta(hours=14)
    current = f"{now.year:04d}-{now.month:02d}"
    if not re.fullmatch(r"[0-9]{4}-(0[1-9]|1[0-2])", value):
        raise refuse("a month such as 2025-01")
    if not FIRST_MONTH <= value <= current:
        raise refuse(f"a month from {FIRST_MONTH} to the current one, {current}")
    return value


def name(value: str) -> str:
    """The key of a portal or of a schedule: part of names in Dagster, of files and of folders."""
    if not _NAME.fullmatch(value):
        raise refuse("a name of lower-case letters, digits and _")
    if len(value) > NAME_LENGTH:
        raise refuse(f"a name of at most {NAME_LENGTH} characters, because files are named after it")
    return value


def portal_key(value: str) -> str:
    """The key of a portal, which is also the name of its folders in the lake."""
    if name(value).startswith("_"):
        raise refuse(
            "a key that begins with a letter or a digit, because programs that read Parquet files leave out folders "
            "whose names begin with _. Choose another key; `planday portals rename OLD NEW` gives it the data that is there"
        )
    return value


def portal_id(value: object) -> object:
    """A whole number, possibly written as a text."""
    number = int(value) if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 20 else value
    if isinstance(number, bool) or not isinstance(number, int) or not 0 < number < 2**63:
        raise refuse("Planday's id of the portal, a whole number such as 90210, which `planday check` shows")
    return number


def shift_type(value: object) -> object:
    """Name or id of a shift type; YAML reads an id as a number."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def path(value: str) -> str:
    """A file or a folder of this machine."""
    if "://" in value:
        raise refuse("a path on this machine")
    if any(unicodedata.category(char) in ("Cc", "Cs") for char in value):
        raise refuse("a path without control characters")
    if any(len(part.encode()) > 200 for part in Path(value).parts):
        raise refuse("a path whose names have at most 200 bytes")
    try:
        Path(value).expanduser()
    except RuntimeError:
        raise refuse("a path; there is no home folder of that account") from None
    return value


def mail_address(value: str) -> str:
    """A mail address, checked loosely: it holds no character that separates addresses."""
    if not re.fullmatch(r"[^@\s<>,;]+@[^@\s<>,;]+", value):
        raise refuse("a mail address such as data@example.com")
    return shown(value)


def shown(value: str) -> str:
    """A text of visible characters: a mail server's name, an account, a currency."""
    if not value.strip():
        raise refuse("a text that is not empty")
    try:
        return visible(value)
    except TextError as error:
        raise refuse(f"a text of visible characters; {error}") from None


def variable(value: str) -> str:
    """The name of an environment variable."""
    try:
        token(value)
    except TextError as error:
        raise refuse(f"the name of an environment variable; {error}") from None
    if "=" in value:
        raise refuse("the name of an environment variable, without `=` and value")
    return value


def app_id(value: str) -> str:
    """An App ID in the file itself; it goes into a header of each request."""
    try:
        found = token(trimmed(value))
    except TextError as error:
        raise refuse(f"an App ID; {error}") from None
    if not found:
        raise refuse("a text that is not empty")
    return found
