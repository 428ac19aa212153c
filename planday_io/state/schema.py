"""The tables of the state database, and how their values are stored.

A change here takes a higher `VERSION`. A database of an older version gets the tables that it lacks when it is first used;
one of a newer version is refused.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import BigInteger, Boolean, Column, DateTime, Dialect, Float, Integer, MetaData, Table, Text
from sqlalchemy.types import TypeDecorator, TypeEngine

VERSION = 9


class DamagedValueError(Exception):
    """A stored value is none that this program could have written there."""


class Word(TypeDecorator[str]):
    """A text."""

    impl = Text
    cache_ok = True

    def process_result_value(self, value: object, dialect: Dialect) -> str:  # noqa: ARG002
        """The text; SQLite gives back what is stored, of whatever type."""
        if not isinstance(value, str):
            raise DamagedValueError("something else is stored where a text should be")
        return value


class Words(TypeDecorator[tuple[str, ...]]):
    """A list of texts, as JSON."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Sequence[str] | None, dialect: Dialect) -> str:  # noqa: ARG002
        """The text that is stored."""
        return json.dumps([*(value or ())], ensure_ascii=False)

    def process_result_value(self, value: object, dialect: Dialect) -> tuple[str, ...]:  # noqa: ARG002
        """The texts."""
        try:
            found = json.loads(value) if isinstance(value, str) else None
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, list) or not all(isinstance(one, str) for one in found):
            raise DamagedValueError("something else is stored where a list of texts should be")
        return tuple(found)


class Numbers(TypeDecorator[tuple[int, ...]]):
    """A list of whole numbers, as JSON."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Sequence[int] | None, dialect: Dialect) -> str:  # noqa: ARG002
        """The text that is stored."""
        return json.dumps([*(value or ())])

    def process_result_value(self, value: object, dialect: Dialect) -> tuple[int, ...]:  # noqa: ARG002
        """The numbers."""
        try:
            found = json.loads(value) if isinstance(value, str) else None
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, list) or not all(type(one) is int for one in found):
            raise DamagedValueError("something else is stored where a list of numbers should be")
        return tuple(found)


class Share(TypeDecorator[float]):
    """A number from 0 to 1."""

    impl = Float
    cache_ok = True

    def process_result_value(self, value: object, dialect: Dialect) -> float:  # noqa: ARG002
        """The number."""
        if not isinstance(value, float) or not 0 <= value <= 1:
            raise DamagedValueError("something else is stored where a share should be")
        return value


class PortalId(TypeDecorator[int]):
    """Planday's id of a portal."""

    impl = BigInteger
    cache_ok = True

    def process_result_value(self, value: object, dialect: Dialect) -> int:  # noqa: ARG002
        """The id."""
        if not isinstance(value, int):
            raise DamagedValueError("something else is stored where a portal id should be")
        return value


class Count(TypeDecorator[int]):
    """A number of things."""

    impl = Integer
    cache_ok = True

    def process_result_value(self, value: object, dialect: Dialect) -> int:  # noqa: ARG002
        """The number."""
        if not isinstance(value, int) or value < 0:
            raise DamagedValueError("something else is stored where a number should be")
        return value


class Instant(TypeDecorator[datetime]):
    """An instant with its zone; UTC, to the microsecond, so that SQLite's texts sort by time."""

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """A type of its own where the database has one."""
        kind = Text() if dialect.name == "sqlite" else DateTime(timezone=True)
        return dialect.type_descriptor(kind)

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> str | datetime | None:
        """Raises ValueError for a time without a zone: nobody could tell which instant it is."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a time without a zone is no instant")
        utc = value.astimezone(UTC)
        return utc.isoformat(timespec="microseconds") if dialect.name == "sqlite" else utc

    def process_result_value(self, value: object, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """The instant, in UTC."""
        if value is None:
            return None
        try:
            found = datetime.fromisoformat(value) if isinstance(value, str) else value
            if isinstance(found, datetime) and found.tzinfo:
                return found.astimezone(UTC)
        except (ValueError, OverflowError):
            pass
        raise DamagedValueError("something else is stored where an instant should be")


METADATA = MetaData()

ABOUT = Table(
    "about",
    METADATA,
    Column("version", Integer, nullable=False),
)
"""One row."""

LOST = Table("lost", METADATA, Column("kind", Word, primary_key=True), Column("at", Instant, nullable=False))
"""Names of tables whose rows were lost with a damaged database, until whoever reads that table has made up for it."""

FAILURES = Table(
    "failure",
    METADATA,
    Column("portal", Word, primary_key=True),
    Column("table_name", Word, primary_key=True),
    Column("month", Word, primary_key=True, comment="empty where the table has no months"),
    Column("cause", Word, nullable=False),
    Column("error", Word, nullable=False),
    Column("run_id", Word, nullable=False),
    Column("since", Instant, nullable=False),
)

BASELINES = Table(
    "monitoring_baseline",
    METADATA,
    Column("portal", Word, primary_key=True),
    Column("table_name", Word, primary_key=True),
    Column("reading", Word, nullable=False, comment="how schedules read the table, as a text to compare"),
    Column("since", Instant, nullable=False),
)

INCIDENTS = Table(
    "incident",
    METADATA,
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("portal", Word, nullable=False),
    Column("cause", Word, nullable=False),
    Column("tables", Words, nullable=False),
    Column("since", Instant, nullable=False),
    Column("error", Word, nullable=False),
    Column("run_id", Word, nullable=False),
    Column("noticed_at", Instant, nullable=False),
    Column("all_tables", Words, nullable=False),
    Column("ended_at", Instant, nullable=True),
)

DELIVERIES = Table(
    "delivery",
    METADATA,
    Column("incident", Integer, primary_key=True),
    Column("channel", Word, primary_key=True),
    Column("tables", Words, nullable=False),
)

REFRESH_REQUESTS = Table(
    "refresh_request",
    METADATA,
    Column("portal", Word, primary_key=True),
    Column("month", Word, primary_key=True),
    Column("endpoints", Words, nullable=False),
    Column("requested_at", Instant, nullable=False),
    Column("share_gone", Share, nullable=False),
)

COMMANDS = Table(
    "command",
    METADATA,
    Column("name", Word, primary_key=True, comment="random, and part of the name of its lock"),
    Column("command", Word, nullable=False),
    Column("portals", Words, nullable=False),
    Column("since", Instant, nullable=False),
    Column("step", Word, nullable=False),
)

PORTALS = Table(
    "portal",
    METADATA,
    Column("portal", Word, primary_key=True),
    Column("id", PortalId, nullable=False, comment="Planday's, of the portal that the key was last read from"),
)

FORGOTTEN = Table(
    "forgotten",
    METADATA,
    Column("portal", Word, primary_key=True),
    Column("salt", Word, nullable=False),
    Column("pseudonyms", Numbers, nullable=False),
)

SHARED_IDS = Table(
    "shared_ids",
    METADATA,
    Column("batch", Word, primary_key=True, comment="name of the runs that were started together"),
    Column("portal", Word, primary_key=True),
    Column("table_name", Word, primary_key=True),
    Column("ids", Numbers, nullable=False),
    Column("at", Instant, nullable=False),
)


def _of_slice() -> list[Column[str]]:
    """The columns that identify a slice. `month` is empty where the table has no months."""
    return [Column(name, Word, primary_key=True) for name in ("portal", "table_name", "month")]


SLICES = Table(
    "slice",
    METADATA,
    *_of_slice(),
    Column("stamp", Word, nullable=False, comment="of the file that was read: another file has another one"),
    Column("slice_id", Word, nullable=False),
    Column("read_at", Instant, nullable=False),
    Column("rows", Count, nullable=False),
    Column("received", Count, nullable=False),
    Column("verdict", Word, nullable=False),
    Column("is_verified", Boolean, nullable=False, comment="whether every byte of that file was verified"),
)
"""What the files of the lake say about themselves, so that it need not be read again from each."""

PENDING = Table(
    "pending",
    METADATA,
    *_of_slice(),
    Column("slice_id", Word, nullable=False, comment="that the slice gets; empty where it is only to be checked again"),
    Column("writer", Word, nullable=False, comment="the run that writes it, or empty"),
    Column("since", Instant, nullable=False),
)

PUBLISHED = Table(
    "published",
    METADATA,
    *_of_slice(),
    Column("slice_id", Word, nullable=False),
    Column("read_at", Instant, nullable=False),
    Column("rows", Count, nullable=False),
)

OWED_HISTORIES = Table(
    "owed_history",
    METADATA,
    *_of_slice(),
    Column("last_read_at", Instant, nullable=True, comment="when the slice was read before, where that is known"),
)

KNOWN_FILES = Table(
    "known_file",
    METADATA,
    Column("name", Word, primary_key=True),
    Column("marks", Words, nullable=False),
)
"""By what the lake and the warehouse file are recognised."""
