"""The report says what is wrong first, and never calls fresh what nobody can read."""

from __future__ import annotations

import html
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import pytest
from dagster import DagsterInstance

from planday_io.errors import StorageError
from planday_io.monitoring.failures import CAUSES
from planday_io.monitoring.freshness import observe
from planday_io.reports.report import write_report
from tests.support.installation import Installation, Make, run

TABLE = "hr.departments"
FRESH = "all 1 tables as fresh as scheduled"


@pytest.fixture
def read_on_time(make: Make) -> Installation:
    """Three portals with one table each, read when its schedule was due, and watched for long."""
    planday = make(resources=f"resources: {{include: [{TABLE}]}}")
    planday.edit_config("nightly: {enabled: false}", "nightly: {enabled: true}")
    observe(planday.installation, datetime.now(UTC) - timedelta(days=30))
    for portal in planday.config.portals:
        planday.refresh(TABLE, portal)
    planday.publish()
    return planday


def page_of(planday: Installation) -> str:
    file = planday.folder / "page.html"
    write_report(planday.installation, file)
    return html.unescape(file.read_text())


def badge(page: str) -> tuple[str, str]:
    """Class and text of the badge, which stands above everything else."""
    found = re.search(r'<span class="badge badge-(\w+)" id="verdict">([^<]+)</span>', page)
    assert found is not None
    assert found.start() < page.index("<h2>")
    return found[1], found[2]


def state_of(page: str, portal: str) -> str:
    """The cells of a portal in the table about freshness."""
    table = page[page.index("<h2>Freshness") : page.index("<h2>Completeness")]
    return next(row for row in table.split("<tr>") if f"<b>{portal}</b>" in row)


def test_fresh_and_complete(read_on_time: Installation) -> None:
    page = page_of(read_on_time)
    assert badge(page) == ("good", "Everything fresh and complete")
    assert all(FRESH in state_of(page, portal) for portal in ("oslo", "copenhagen", "london"))
    assert "Open incidents" not in page


def test_revoked_portal_is_not_fresh_until_it_ends(read_on_time: Installation, memory: DagsterInstance) -> None:
    planday = read_on_time
    app = next(app for app in planday.sandbox.apps.values() if "oslo" in app.refresh_tokens)
    token = app.refresh_tokens["oslo"]
    planday.sandbox.revoke("oslo")
    assert not run(planday, memory, TABLE).success
    page = page_of(planday)
    assert badge(page) == ("bad", "Something needs a look: 1 incident open")
    assert "as fresh as scheduled" not in state_of(page, "oslo")
    assert "refuses the refresh token" in state_of(page, "oslo")
    assert FRESH in state_of(page, "london"), "one portal's trouble is not another's"
    assert page.index("<h2>Open incidents") < page.index("<h2>Freshness")
    assert "planday authorize oslo" in page[page.index("<h2>Open incidents") : page.index("<h2>Freshness")]
    failed = page[page.index("<h2>What failed") :]
    assert '<span class="bad">open</span>' in failed
    app.refresh_tokens["oslo"] = token
    assert run(planday, memory, TABLE).success
    page = page_of(planday)
    assert badge(page) == ("good", "Everything fresh and complete")
    assert FRESH in state_of(page, "oslo")
    assert re.search(r'<span class="soft">ended \d\d \w{3} \d\d:\d\d</span>', page[page.index("<h2>What failed") :])


@pytest.mark.parametrize("content", [None, "", "\ufeff\n"])
def test_unreadable_token_is_not_fresh(read_on_time: Installation, content: str | None) -> None:
    file = read_on_time.folder / "tokens/oslo.txt"
    file.unlink()
    if content is not None:
        file.write_text(content)
    page = page_of(read_on_time)
    assert badge(page) == ("bad", "Something needs a look: see oslo")
    assert "as fresh as scheduled" not in state_of(page, "oslo")
    assert "one of its secrets cannot be used" in state_of(page, "oslo")
    assert FRESH in state_of(page, "london")


def test_what_nobody_can_know_is_said(read_on_time: Installation) -> None:
    planday = read_on_time
    planday.edit_config("nightly: {enabled: true}", "nightly: {enabled: false}")
    page = page_of(planday)
    assert badge(page) == ("unknown", "No incident is open, but not everything can be known")
    assert "1 of 1 tables read by no schedule" in state_of(page, "oslo")
    planday.edit_config("nightly: {enabled: false}", "nightly: {enabled: true}")
    (planday.config.lake / "hr/departments/portal=oslo/data.parquet").write_bytes(b"PAR1")
    page = page_of(planday)
    assert badge(page)[0] == "bad"
    assert CAUSES["damaged"].sentence in html.unescape(state_of(page, "oslo"))
    assert "It has no tables" not in state_of(page, "oslo")
    assert "as fresh as scheduled" not in state_of(page, "oslo")
    assert FRESH in state_of(page, "london")


def test_never_read_and_stale(read_on_time: Installation) -> None:
    planday = read_on_time
    planday.edit_config(f"include: [{TABLE}]", f"include: [{TABLE}, hr.skills]")
    assert badge(page_of(planday)) == ("warn", "Something needs a look: not everything was read")
    file = planday.folder / "later.html"
    write_report(planday.installation, file, datetime.now(UTC) + timedelta(days=3))
    page = html.unescape(file.read_text())
    assert badge(page)[0] == "bad"
    assert "stale" in state_of(page, "oslo")


def test_hours_that_are_unknown_are_gaps(make: Make) -> None:
    planday = make(resources="resources: {include: [portal, hr, scheduling]}")
    for shift in planday.sandbox.portals["oslo"].roster.shifts.values():
        if shift["status"] in ("Approved", "PunchclockApproved"):
            shift["status"] = "Assigned"
    for month in ("2026-08", "2026-09"):
        planday.refresh("scheduling.shifts", month=month)
    planday.publish()
    page = page_of(planday)
    chart = page[page.index('<div class="charts">') :]
    assert "unknown of " in chart, "nothing was punched or approved, so worked hours are not 0"
    assert 'stroke="var(--worked)" points' not in chart
    assert 'stroke="var(--planned)" points' in chart


def test_badge_can_be_read() -> None:
    """No other rule gives its text a colour, and what is behind it is printed."""
    css = (Path(__file__).parents[1] / "planday_io/reports/report.html.j2").read_text().partition("</style>")[0]
    rules = re.findall(r"([^{}]+)\{([^{}]*)\}", css)
    for level in ("good", "unknown", "warn", "bad"):
        classes = {".badge", f".badge-{level}"}
        own = [body for names, body in rules if classes & {name.strip() for name in names.split(",")}]
        colours = [body for body in own if "color: #" in body]
        assert len(colours) == 1
        solid = re.search(rf"--solid-{level}: #(\w\w)(\w\w)(\w\w)", css)
        assert solid is not None
        shares = [int(part, 16) / 255 for part in solid.groups()]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in shares]
        brightness = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
        assert 1.05 / (brightness + 0.05) >= 4.5, "WCAG's contrast with white text"
    assert "print-color-adjust: exact" in css


def test_warehouse_that_cannot_be_read(planday: Installation) -> None:
    planday.config.warehouse.write_bytes(b"no database" * 1000)
    with pytest.raises(StorageError, match="planday publish --rebuild"):
        write_report(planday.installation, planday.folder / "page.html")
    planday.config.warehouse.unlink()
    with duckdb.connect(str(planday.config.warehouse)) as db:
        db.execute("CREATE TABLE something (a INTEGER)")
    with pytest.raises(StorageError, match="cannot be read"):
        write_report(planday.installation, planday.folder / "page.html")
