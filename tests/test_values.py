"""Numbers and times one by one: what they become, and what has another type than declared."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from planday_io.frames.type_mismatch import TypeMismatch
from planday_io.frames.values import convert

OSLO = ZoneInfo("Europe/Oslo")
LARGEST = Decimal("99999999999999.9999")


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("0.00005", "0.0000"),
        ("0.00015", "0.0002"),
        ("0.00025", "0.0002"),
        ("-0.00035", "-0.0004"),
        ("0.00025000001", "0.0003"),
        ("1e3", "1000.0000"),
        (str(LARGEST), str(LARGEST)),
        (str(-LARGEST), str(-LARGEST)),
    ],
)
def test_amounts_are_rounded_half_even(sent: str, kept: str) -> None:
    assert str(convert(Decimal(sent), "DECIMAL", UTC)) == kept


@pytest.mark.parametrize(
    "sent", [Decimal(10) ** 14, -(Decimal(10) ** 14), Decimal("-99999999999999.99995"), Decimal("1e999"), True, "7.5"]
)
def test_amounts_that_do_not_fit_are_refused(sent: Any) -> None:
    with pytest.raises(TypeMismatch):
        convert(sent, "DECIMAL", UTC)


@pytest.mark.parametrize(
    ("sent", "kept"), [(Decimal("5.0"), 5), (Decimal("5e2"), 500), (2**63 - 1, 2**63 - 1), (-(2**63), -(2**63))]
)
def test_whole_numbers_are_kept(sent: Any, kept: int) -> None:
    found = convert(sent, "BIGINT", UTC)
    assert (found, type(found)) == (kept, int)


@pytest.mark.parametrize("sent", [Decimal("5.5"), Decimal("-0.1"), 2**63, -(2**63) - 1, Decimal("1e999999"), True, "5"])
def test_numbers_that_are_no_ids_are_refused(sent: Any) -> None:
    with pytest.raises(TypeMismatch):
        convert(sent, "BIGINT", UTC)


@pytest.mark.parametrize(
    ("sent", "kind", "kept"),
    [
        ("2026-11-26T08:00:00-03:30", "TIMESTAMPTZ", datetime(2026, 11, 26, 11, 30, tzinfo=UTC)),
        ("2026-11-26T08:00:00+05:45", "TIMESTAMPTZ", datetime(2026, 11, 26, 2, 15, tzinfo=UTC)),
        ("2026-11-26T08:00:00", "TIMESTAMPTZ", datetime(2026, 11, 26, 8, tzinfo=UTC)),
        ("2026-11-26T08:00:00-03:30", "TIMESTAMP", datetime(2026, 11, 26, 12, 30)),  # noqa: DTZ001 - a wall clock
        ("2026-07-01T23:30:00Z", "DATE", date(2026, 7, 2)),
        ("2026-07-01T00:00:00Z", "DATE", date(2026, 7, 1)),
        ("2026-06-30T22:00:00Z", "DATE", date(2026, 7, 1)),
        ("2026-07-01T00:00:00-03:30", "DATE", date(2026, 7, 1)),
    ],
)
def test_offsets_count_with_their_minutes(sent: str, kind: Any, kept: object) -> None:
    assert convert(sent, kind, OSLO) == kept


def test_midnight_in_the_zone_is_that_day() -> None:
    """Also where it is midnight of another day with its own offset, a whole day away."""
    found = convert("2026-07-01T00:00:00-10:00", "DATE", ZoneInfo("Pacific/Kiritimati"))
    assert found == date(2026, 7, 2)
