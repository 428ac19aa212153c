"""`deliver` of portals.yaml: days in words, mistakes, and what the pages show."""

from __future__ import annotations

from datetime import date
from itertools import takewhile
from pathlib import Path
from typing import get_args

import pytest

from planday_io.catalogue import CATALOGUE
from planday_io.config import load_config
from planday_io.config.days import days, span_of
from planday_io.config.delivery import Delivery
from planday_io.errors import ConfigError
from planday_io.export.csv_files import Locale

ANNA = "anna.secret@example.com"
ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize(
    ("words", "first", "last", "name"),
    [
        ("yesterday", "2026-03-02", "2026-03-02", "2026-03-02"),
        ("last 1 day", "2026-03-02", "2026-03-02", "2026-03-02"),
        ("last 7 days", "2026-02-24", "2026-03-02", "2026-02-24 to 2026-03-02"),
        ("next 2 days", "2026-03-03", "2026-03-04", "2026-03-03 to 2026-03-04"),
        ("last week", "2026-02-23", "2026-03-01", "2026-02-23 to 2026-03-01"),
        ("this week", "2026-03-02", "2026-03-08", "2026-03-02 to 2026-03-08"),
        ("last month", "2026-02-01", "2026-02-28", "2026-02"),
        ("this month", "2026-03-01", "2026-03-31", "2026-03"),
    ],
)
def test_days_of_a_tuesday(words: str, first: str, last: str, name: str) -> None:
    assert days(words) == words
    assert span_of(words, date(2026, 3, 3)) == (date.fromisoformat(first), date.fromisoformat(last), name)


def test_all_days_have_no_ends() -> None:
    assert span_of("all", date(2026, 3, 3)) == (None, None, "")


GOOD = "marts: [hours], days: last month, portals: [oslo], to: out"


@pytest.mark.parametrize(
    ("deliver", "says"),
    [
        ("a: {days: all, to: out}", "deliver.a: found nothing to deliver; expected `marts`, `sql`, or both"),
        ("a: {days: all, portals: [oslo], marts: [hours]}", "found nowhere to deliver to"),
        ("a: {days: all, portals: [oslo], marts: [labour_dally], to: out}", "did you mean 'labour_daily'?"),
        ("a: {portals: [oslo], marts: [hours], to: out}", "deliver.a.days: found nothing"),
        ("a: {days: last 0 days, portals: [oslo], marts: [hours], to: out}", "expected one of yesterday, last N days"),
        ("a: {days: all, portals: [osl], marts: [hours], to: out}", "deliver.a.portals\\[0\\]: found 'osl'.*'oslo'"),
        ("a: {days: all, departments: [1], marts: [hours], to: out}", "one portal in `portals`"),
        ("a: {days: all, portals: [oslo], departments: [x], marts: [hours], to: out}", "a whole number"),
        ("a: {days: all, marts: [hours], to: out}", "portals in 3 time zones; expected one of them"),
        (f"a: {{{GOOD}, after: nigthly}}", "a schedule of these portals; did you mean 'nightly'?"),
        (f"a: {{{GOOD}, latest: '7:30'}}", "a time of day such as '07:30'"),
        (f"a: {{{GOOD}, latest: 07:30}}", "`after` with it"),
        (f"a: {{{GOOD}, format: pdf}}", "'xlsx', 'csv' or 'parquet'"),
        (f"a: {{{GOOD}, format: parquet, mail: [{ANNA}]}}", "Parquet by mail; expected `to`"),
        (
            "a: {days: all, portals: [oslo], format: parquet, to: out}",
            "found all tables; expected no portals, or `marts`",
        ),
        (f"a: {{{GOOD}, locale: nb}}", "only CSV needs one"),
        (f"a: {{{GOOD}, mail: [{ANNA}]}}", "deliver.a.mail: found 1 address; expected `alerts: {mail: ...}`"),
        (f"a: {{{GOOD}, mail: [anna.secret@]}}", "deliver.a.mail\\[0\\]: found a text; expected a mail address"),
        (f"a: {{{GOOD}, mail: {ANNA}}}", "deliver.a.mail: found a text; expected a list"),
        (f"a: {{{GOOD}, subject: x}}", "an unknown key"),
        ("a: {days: all, portals: [oslo], marts: [hours], to: lake/out}", "a folder outside"),
        (f"A: {{{GOOD}}}", "lower-case letters, digits, - and _"),
    ],
)
def test_mistakes_are_refused_without_addresses(tmp_path: Path, deliver: str, says: str) -> None:
    file = tmp_path / "portals.yaml"
    keys = {"oslo": "Europe/Oslo", "london": "Europe/London", "paris": "Europe/Paris"}
    portals = "".join(
        f"  {key}: {{client_id: none, refresh_token: {{env: NONE}}, timezone: {zone}}}\n" for key, zone in keys.items()
    )
    file.write_text(f"deliver:\n  {deliver}\nportals:\n{portals}")
    with pytest.raises(ConfigError, match=says) as caught:
        load_config(file, CATALOGUE)
    assert str(caught.value).startswith("portals.yaml, line 2: deliver.")
    assert "anna" not in str(caught.value)


@pytest.mark.parametrize("page", ["docs/export.md", "portals.example.yaml"])
def test_documented_delivery_is_valid(tmp_path: Path, page: str) -> None:
    """And every setting is documented."""
    lines = (ROOT / page).read_text(encoding="utf-8").splitlines()
    plain = [line.removeprefix("# ") for line in lines if page.endswith(".md") or line.startswith("# ")]
    start = plain.index("deliver:")
    written = list(takewhile(lambda line: line.startswith(("deliver:", "  ")), plain[start:]))
    mail = "alerts: {mail: {host: localhost, security: none, sender: a@b.c, to: [a@b.c]}}\n"
    portals = "portals: {oslo: {client_id: none, refresh_token: {env: NONE}}}\n"
    file = tmp_path / "portals.yaml"
    file.write_text("\n".join(written) + f"\n{mail}{portals}")
    (one,) = load_config(file, CATALOGUE).deliver.values()
    named = {line.split(":")[0].strip() for line in written if line.startswith("    ")}
    left_out = {"locale"} if page.endswith(".yaml") else {"locale", "timezone", "format"}
    assert named == {*Delivery.model_fields} - left_out
    assert one.latest == "07:30"


def test_locales_are_those_of_csv() -> None:
    (locales, _) = get_args(Delivery.model_fields["locale"].annotation)
    assert get_args(locales) == get_args(Locale)
