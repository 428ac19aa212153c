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
from planday_io.reports.managers import write_managers_report
from planday_io.reports.page import environment
from planday_io.reports.report import write_report
from tests.support.installation import Installation, Make, run
from tests.support.troubles import revoked

TABLE = "hr.departments"
FRESH = "all 1 tables as fresh as scheduled"


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


@pytest.mark.processes
def test_revoked_portal_is_not_fresh_until_it_ends(read_on_time: Installation, memory: DagsterInstance) -> None:
    planday = read_on_time
    give_back = revoked(planday)
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
    give_back()
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
    (planday.config.lake / "hr/departments/oslo/data.parquet").write_bytes(b"PAR1")
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


def test_read_but_not_published_is_not_fresh(read_on_time: Installation) -> None:
    with duckdb.connect(str(read_on_time.config.warehouse)) as db:
        db.execute("UPDATE sync.slices SET fetched_at = fetched_at - INTERVAL 2 DAY WHERE portal = 'oslo'")
    page = page_of(read_on_time)
    assert badge(page)[0] == "bad"
    assert "1 of 1 tables read on time, but not published" in state_of(page, "oslo")
    assert "as fresh as scheduled" not in state_of(page, "oslo")
    assert FRESH in state_of(page, "london")


def test_month_whose_last_read_failed_is_not_green(make: Make) -> None:
    planday = make(resources="resources: {include: [scheduling.shifts]}")
    for month in ("2026-08", "2026-09"):
        planday.refresh("scheduling.shifts", month=month)
    planday.publish()
    with duckdb.connect(str(planday.config.warehouse)) as db:
        db.execute(
            "INSERT INTO sync.runs (portal, of_month, started_at, failed, errors, is_complete) "
            "VALUES ('oslo', '2026-09', now(), ['scheduling.shifts'], ['refused'], false)"
        )
    page = page_of(planday)
    cells = re.findall(r'<td title="oslo (2026-0[789]): ([^"]*)"><i class="(\w+)">(.)</i>', page)
    assert [(month, look, sign) for month, _, look, sign in cells] == [
        ("2026-07", "none", "·"),
        ("2026-08", "full", "✓"),
        ("2026-09", "part", "!"),
    ]
    assert "so what was read before is shown: scheduling.shifts" in cells[2][1]


@pytest.mark.processes
def test_managers_see_a_revoked_portal_first(read_on_time: Installation, memory: DagsterInstance) -> None:
    planday = read_on_time
    give_back = revoked(planday)
    assert not run(planday, memory, TABLE).success
    file = planday.folder / "managers.html"
    write_managers_report(planday.installation, file)
    page = html.unescape(file.read_text())
    assert badge(page) == ("bad", "Not up to date: 1 open incident")
    assert page.index("<h2>Open incidents") < page.index("<h2>All portals")
    assert '<b class="bad">Open</b> <b>oslo</b>: The identity server refuses the refresh token' in page
    row = next(row for row in page[page.index("<h2>All portals") :].split("<tr>") if 'href="#oslo"' in row)
    assert '<span class="bad">Not up to date</span>' in row
    write_managers_report(planday.installation, file, portals=["london"])
    assert "oslo" not in file.read_text(), "another portal's incident is nobody else's"
    give_back()
    assert run(planday, memory, TABLE).success
    write_managers_report(planday.installation, file, portals=["oslo"])
    page = html.unescape(file.read_text())
    assert "Open incidents" not in page
    assert re.search(r'<b class="good">Ended</b> oslo: reads failed from [^,]+, ended \d\d \w{3} \d\d:\d\d UTC', page)


def brightness(colour: str) -> float:
    """Relative luminance of `#rrggbb`, as WCAG defines it."""
    shares = [int(colour[n : n + 2], 16) / 255 for n in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in shares]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    low, high = sorted((brightness(one), brightness(other)))
    return (high + 0.05) / (low + 0.05)


def variables(css: str, at: str = "") -> dict[str, str]:
    """Colours of `:root`, outside or inside an at-rule."""
    text = css[css.index(at) :] if at else re.sub(r"@media[^{]*\{(?:[^{}]*\{[^{}]*\})*[^{}]*\}", "", css)
    rules = re.findall(r":root \{([^}]*)\}", text)
    long = {name: value for body in rules for name, value in re.findall(r"--([\w-]+): (#[0-9a-f]{3,6})\b", body)}
    return {name: value if len(value) == 7 else "#" + "".join(2 * c for c in value[1:]) for name, value in long.items()}


STYLES = Path(__file__).parents[1] / "planday_io/reports"


@pytest.mark.parametrize("scheme", ["", "@media (prefers-color-scheme: dark)"])
def test_texts_have_contrast(scheme: str) -> None:
    """WCAG AA, of words on both backgrounds, and of white words on badges."""
    found = {}
    for name in ("page.css", "managers.css"):
        css = (STYLES / name).read_text()
        found |= variables(css) | (variables(css, scheme) if scheme else {})
    for name in ("ink", "soft", "good", "warn", "bad", "link"):
        for behind in ("page", "card"):
            assert contrast(found[name], found[behind]) >= 4.5, f"{name} on {behind}"
    for level in ("good", "unknown", "warn", "bad"):
        assert contrast("#ffffff", found[f"solid-{level}"]) >= 4.5, level
    for bar in ("bar", "planned", "paid"):
        assert contrast(found[bar], found["card"]) >= 1.8, bar
    assert contrast(found["bar"], found["planned"]) >= 1.5
    assert contrast(found["bar"], found["paid"]) >= 1.5


def test_badges_have_one_colour_each() -> None:
    """No other rule gives their text a colour, and what is behind it is printed."""
    css = (STYLES / "page.css").read_text()
    rules = re.findall(r"([^{}]+)\{([^{}]*)\}", css)
    for level in ("good", "unknown", "warn", "bad"):
        classes = {".badge", f".badge-{level}"}
        own = [body for names, body in rules if classes & {name.strip() for name in names.split(",")}]
        assert len([body for body in own if "color: #" in body]) == 1
    assert "print-color-adjust: exact" in css


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("run `planday sync` <now>", "run <code>planday sync</code> &lt;now&gt;"),
        ("`<a>`", "<code>&lt;a&gt;</code>"),
        ("an odd ` stays, and so does <a>", "an odd ` stays, and so does &lt;a&gt;"),
    ],
)
def test_commands_in_messages_are_code(text: str, shown: str) -> None:
    page = environment(datetime.now(UTC)).from_string("{{ text | with_code }}")
    assert page.render(text=text) == shown


def test_warehouse_that_cannot_be_read(planday: Installation) -> None:
    planday.config.warehouse.write_bytes(b"no database" * 1000)
    with pytest.raises(StorageError, match="planday publish --rebuild"):
        write_report(planday.installation, planday.folder / "page.html")
    planday.config.warehouse.unlink()
    with duckdb.connect(str(planday.config.warehouse)) as db:
        db.execute("CREATE TABLE something (a INTEGER)")
    with pytest.raises(StorageError, match="cannot be read"):
        write_report(planday.installation, planday.folder / "page.html")
