"""The managers' report: figures equal a planted truth worked out in plain Python, and what is not known says so."""

from __future__ import annotations

import re
import shutil
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

import duckdb
import pytest

from planday_io.errors import ConfigError, StorageError
from planday_io.reports.figures import Sums
from planday_io.reports.managers import totals_of, write_managers_report
from planday_io.reports.percent import percent_of, percent_of_all
from planday_io.reports.portal_view import PortalView, week_title
from tests.support.commands import planday_command
from tests.support.installation import Installation
from tests.support.managers_page import Planted, plant, section_of, table_of
from tests.support.tables import put
from tests.support.weeks import BAR, CELLAR, KITCHEN, NAMES, PEOPLE, SALARY, SICK, World

Key = tuple[str, int]


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory, blank_warehouse: Path) -> Planted:
    """Not changed by any test."""
    return plant(tmp_path_factory.mktemp("planted"), blank_warehouse)


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory, blank_warehouse: Path) -> Planted:
    """On a Thursday. Payroll of oslo's last month was never read, bergen was read in the middle of its last full week; five
    people more in the cellar, a department whose name is markup, and currencies that are symbols.
    """
    planted = plant(tmp_path_factory.mktemp("odd"), blank_warehouse)
    world, first = planted.world, planted.world.last_month[0]
    planted.now += timedelta(days=(3 - planted.now.weekday()) % 7)
    config = planted.installation.config.home / "portals.yaml"
    config.write_text(config.read_text().replace("currency: NOK\n", ""))
    planted.installation = planted.installation.reloaded()
    with planted.edited() as db:
        db.execute(
            "DELETE FROM sync.slices WHERE (portal, table_name, month) = ('oslo', 'payroll.shifts', ?)",
            [f"{first:%Y-%m}"],
        )
        read = monday(planted.now.date()) - timedelta(days=4)
        db.execute("UPDATE sync.slices SET fetched_at = ?", [planted.now])
        db.execute("UPDATE sync.slices SET fetched_at = ? WHERE portal = 'bergen'", [f"{read} 12:00+00"])
        db.execute("UPDATE sync.mart_settings SET value = 'kr' WHERE name = 'currency'")
        db.execute("UPDATE hr.departments SET name = '<script>alert(1)</script>' WHERE id = ?", [BAR])
        for n in range(5):
            put(db, "hr.employees", portal="oslo", id=900 + n, first_name="Zoe", last_name="Zim", departments=[CELLAR],
                primary_department_id=CELLAR, hired_date=first)  # fmt: skip
            put(db, "scheduling.shifts", portal="oslo", id=90 + n, month=f"{first:%Y-%m}", date=first, department_id=CELLAR,
                employee_id=900 + n, start_date_time=f"{first} 08:00", end_date_time=f"{first} 16:00", status="Assigned",
                shift_type_id=SICK if n == 0 else None)  # fmt: skip
    assert world.today <= planted.now.date()
    return planted


def total(values: Iterable[Decimal | None]) -> Decimal | None:
    known = [value for value in values if value is not None]
    return sum(known, Decimal(0)) if known else None


def monday(day: date) -> date:
    return day - timedelta(days=day.weekday())


def name_of(week: date) -> str:
    return f"W{week.isocalendar().week:02d}"


def full_weeks(world: World) -> list[date]:
    """Mondays of the weeks of the page that are over."""
    this, begin = monday(world.today), world.last_month[0]
    return [week for n in range(8, 0, -1) if (week := this - timedelta(weeks=n)) >= begin]


def costs(world: World, week: date) -> dict[Key, Decimal]:
    """Pay of shifts, and the salary by the hours that the salaried person worked in its month."""
    found: dict[Key, Decimal] = defaultdict(Decimal)
    for shift in world.shifts:
        if monday(shift.day) != week or shift.day >= world.today:
            continue
        if shift.cost is not None:
            found[shift.portal, shift.department] += shift.cost
        if shift.person and shift.person.is_salaried and shift.worked:
            of_month = [
                s.worked
                for s in world.shifts
                if s.person == shift.person and s.day.replace(day=1) == shift.day.replace(day=1)
            ]
            found[shift.portal, shift.department] += SALARY * shift.worked / (total(of_month) or 1)
    return found


def revenues(world: World, week: date) -> dict[Key, Decimal]:
    found: dict[Key, Decimal] = defaultdict(Decimal)
    for (portal, department, day), amount in world.revenue.items():
        if monday(day) == week:
            found[portal, department] += amount
    return found


def number(text: str) -> Decimal:
    return Decimal(text.replace("\u202f", "").replace("\u2212", "-").removeprefix("\u2265"))


def is_about(text: str, value: Decimal | None, digits: int = 0) -> bool:
    """Whether a text shows a value, rounded either way."""
    if value is None:
        return text == "\u2013"
    return text != "\u2013" and abs(number(text) - value) <= Decimal("0.51").scaleb(-digits)


@pytest.mark.parametrize("department", [KITCHEN, BAR])
def test_cost_per_week_and_department_is_true(planted: Planted, department: int) -> None:
    rows = table_of(section_of(planted.page, "oslo"), f"<caption>{NAMES[department]}")
    weeks = full_weeks(planted.world)
    assert len(weeks) >= 3
    for week in weeks:
        cost, revenue = (
            costs(planted.world, week)["oslo", department],
            revenues(planted.world, week)["oslo", department],
        )
        cells = next(cells for name, cells in rows.items() if name.split("*")[0] == name_of(week))
        assert is_about(cells[0], cost)
        assert is_about(cells[1], revenue)
        own = [
            s
            for s in planted.world.shifts
            if monday(s.day) == week and (s.portal, s.department) == ("oslo", department)
        ]
        unknown = [s for s in own if s.worked and s.cost is None and not (s.person and s.person.is_salaried)]
        worked = {s.day for s in own if s.worked}
        missing = {day for day in worked if ("oslo", department, day) not in planted.world.revenue}
        assert is_about(cells[2], None if unknown and missing else 100 * cost / revenue, 1)
        assert cells[2].startswith("\u2265") is bool(unknown and not missing)


@pytest.mark.parametrize("portal", ["oslo", "bergen"])
def test_hours_per_week_are_true(planted: Planted, portal: str) -> None:
    rows = table_of(section_of(planted.page, portal), "<caption>Hours of work")
    for week in full_weeks(planted.world):
        own = [
            s
            for s in planted.world.shifts
            if s.portal == portal and monday(s.day) == week and s.is_assigned and not s.is_sickness
        ]
        cells = next(cells for name, cells in rows.items() if name.split("*")[0] == name_of(week))
        assert is_about(cells[0], total(s.planned for s in own if s.is_rostered))
        assert is_about(cells[1], total(s.worked for s in own))
        assert is_about(cells[2], total(s.paid for s in own))


def test_percentage_of_all_is_of_those_known(planted: Planted) -> None:
    """What has no revenue, such as the department without a name, is left out and named."""
    part = section_of(planted.page, "oslo")
    week = full_weeks(planted.world)[-1]
    cost, revenue = costs(planted.world, week), revenues(planted.world, week)
    both = [key for key in cost if key[0] == "oslo" and key in revenue]
    shown = re.search(r"Labour cost, % of revenue</span><b>([^<]+)<", part)
    assert shown is not None
    assert sorted(both) == [("oslo", KITCHEN), ("oslo", BAR)]
    text = shown[1].removesuffix(" %")
    if text != "\u2013":
        assert is_about(text, 100 * sum(cost[key] for key in both) / sum(revenue[key] for key in both), 1)
    else:
        assert "the cost of some hours and the revenue of some days of work are not known" in part.lower()


def test_revenue_not_above_0_has_no_percentage() -> None:
    """As in `marts.labour_daily`: after refunds, cost as a percentage of revenue says nothing."""
    sold = Sums(labour_cost=Decimal(300), revenue=Decimal(1000))
    empty, refunded = replace(sold, revenue=Decimal(0)), replace(sold, revenue=Decimal(-500))
    assert percent_of(sold).number == 30
    assert [(percent_of(one).number, percent_of(one).reasons) for one in (empty, refunded)] == [
        (None, ("revenue is 0",)),
        (None, ("revenue is below 0",)),
    ]
    found = percent_of_all([("Bar", sold), ("Kitchen", empty), ("Shop", refunded)])
    assert (found.number, found.reasons) == (
        30,
        ("without Kitchen, Shop: no cost is known, or revenue is not above 0",),
    )
    assert percent_of_all([("Shop", refunded)]).reasons == ("revenue is below 0",)


def test_next_two_weeks_are_true(planted: Planted) -> None:
    rows = table_of(section_of(planted.page, "oslo"), "<h3>The next two weeks")
    for n in (0, 1):
        week = monday(planted.world.today) + timedelta(weeks=n + 1)
        own = [s for s in planted.world.shifts if s.portal == "oslo" and monday(s.day) == week and s.department == BAR]
        planned = total(s.planned for s in own if s.is_assigned and not s.is_sickness)
        cost = total(s.planned * s.person.rate for s in own if s.is_assigned and s.person and s.person.rate)
        nobody = total(s.planned for s in own if s.status == "Open")
        text = rows["Bar"][n]
        parts = re.fullmatch(r"(.+?) h(?: (.+?) h open)? (.+?)(?: NOK)?", text)
        assert parts is not None, text
        assert is_about(parts[1], planned)
        assert is_about(parts[3], cost)
        assert is_about(parts[2] or "\u2013", nobody)


def test_overtime_of_four_weeks_is_true(planted: Planted) -> None:
    rows = table_of(section_of(planted.page, "oslo"), "<h3>Sickness and overtime")
    for department in (KITCHEN, BAR):
        over: list[Decimal | None] = []
        for person in (one for one in PEOPLE if one.portal == "oslo" and one.department == department and one.contract):
            for week in full_weeks(planted.world)[-4:]:
                worked = total(s.worked for s in planted.world.shifts if s.person == person and monday(s.day) == week)
                if worked is not None:
                    over.append(max(worked - Decimal(person.contract or 0) * 12 / 52, Decimal(0)))
        assert is_about(rows[NAMES[department] or ""][-1], total(over))


def test_findings_are_counted_by_department_and_rule(planted: Planted) -> None:
    rows = table_of(section_of(planted.page, "oslo"), "<h3>Findings")
    weeks = full_weeks(planted.world)[-4:]
    first, last = weeks[0], weeks[-1] + timedelta(days=6)
    with planted.edited() as db:
        db.execute("SET TimeZone = 'UTC'")
        found = db.execute(
            "SELECT department, rule FROM marts.working_time_findings WHERE portal = 'oslo' AND basis = 'worked' "
            "AND date BETWEEN ? AND ?", [first, last]
        ).fetchall()  # fmt: skip
        late = db.execute(
            "SELECT department FROM marts.attendance WHERE portal = 'oslo' AND late_minutes > 5 AND date BETWEEN ? AND ?",
            [first, last],
        ).fetchall()
    assert late
    for name in ("Kitchen", "Bar"):
        rests = sum(row == (name, "daily_rest") for row in found)
        assert ("daily rest too short" in rows[name][0]) is bool(rests)
        count = sum(row == (name,) for row in late)
        assert (f"{count} late" in rows[name][1]) is bool(count)


def test_sickness_of_few_people_is_withheld(planted: Planted) -> None:
    part = section_of(planted.page, "oslo")
    assert {cells[0] for cells in table_of(part, "<h3>Sickness and overtime").values()} == {"\u2013"}
    assert "Withheld, and not in the total: fewer than 5 people." in part


@pytest.mark.processes
def test_withheld_sickness_is_in_no_total(odd: Planted) -> None:
    rows = table_of(section_of(odd.page, "oslo"), "<h3>Sickness and overtime")
    assert rows["Cellar"][0] == "20.0"
    assert rows["All departments"][0] == "20.0", "what is withheld cannot be worked out from the total"
    assert rows["Kitchen"][0] == "\u2013"


def test_no_person_is_named(planted: Planted) -> None:
    page = planted.page
    assert "Dahl" not in page
    assert not [person.first for person in PEOPLE if re.search(rf"\b{person.first}\b", page)]


def test_complete_data_says_so(planted: Planted) -> None:
    page = planted.page
    assert '<span class="badge badge-good" id="verdict">Data complete</span>' in page
    assert "Not complete" not in page


@pytest.mark.processes
def test_incomplete_portal_is_marked(odd: Planted) -> None:
    assert "Not complete: 2 of 2 portals" in odd.page
    oslo, month = section_of(odd.page, "oslo"), f"{odd.world.last_month[0]:%Y-%m}"
    assert f"{month}: missing, never read: payroll.shifts" in oslo
    assert re.search(r'class="status status-warn"><b>Not complete: \d of \d weeks', oslo)
    assert f"{name_of(full_weeks(odd.world)[0])}*" in oslo


@pytest.mark.processes
def test_week_read_before_its_end_is_marked(odd: Planted) -> None:
    bergen, week = section_of(odd.page, "bergen"), monday(odd.now.date()) - timedelta(weeks=1)
    assert re.search(r"read \d\d \w{3} 12:00, before its last day was over", bergen)
    assert "Not complete: read before a week was over" in bergen
    names = [*table_of(bergen, "<caption>Hours of work")]
    assert f"{name_of(week)}*" in names
    assert name_of(week - timedelta(weeks=1)) in names, "the week before was over when it was read"


@pytest.mark.processes
def test_current_week_is_partial(odd: Planted) -> None:
    week = name_of(monday(odd.now.date()))
    part = section_of(odd.page, "oslo")
    assert f"{week}*" in table_of(part, "<caption>Hours of work")
    assert f"{week} not over, figures until Wednesday" in part


@pytest.mark.processes
def test_names_are_escaped(odd: Planted) -> None:
    assert "<script>alert(1)</script>" in odd.page, "the cached page has characters in place of entities"
    text = odd.file.read_text()
    assert "<script" not in text
    assert "&lt;script&gt;" in text


KR = {"oslo": "kr", "bergen": "kr"}


@pytest.mark.parametrize(
    ("currencies", "configured", "shown"),
    [
        (KR, {}, ["All portals \u2013"]),
        ({"oslo": "NOK", "bergen": "ISK"}, {}, ["All portals \u2013"]),
        ({"oslo": "", "bergen": ""}, {}, ["All portals \u2013"]),
        ({"oslo": "NOK", "bergen": "NOK"}, {}, ["2 portals in NOK 30.0"]),
        (KR, KR, ["2 portals in kr 30.0"]),
        (KR, {"oslo": "kr"}, ["All portals \u2013"]),
    ],
)
def test_different_currencies_are_not_added(
    planted: Planted, currencies: dict[str, str], configured: dict[str, str], shown: list[str]
) -> None:
    """`kr` is three of them, unless portals.yaml says that it is one."""
    config = planted.installation.config
    portals = {key: one.model_copy(update={"currency": configured.get(key)}) for key, one in config.portals.items()}
    views = [
        PortalView(key=key, name=key, currency=currency, is_read=True,
            last=[("Bar", Sums(labour_cost=Decimal(cost), revenue=Decimal(1000)))])
        for (key, currency), cost in zip(currencies.items(), (200, 400), strict=True)
    ]  # fmt: skip
    totals = totals_of(config.model_copy(update={"portals": portals}), views)
    assert [f"{one.name} {one.percent}" for one in totals] == shown


@pytest.mark.parametrize(
    ("monday", "title"),
    [
        (date(2026, 11, 16), "Week 47, 16\u201322 Nov 2026"),
        (date(2024, 12, 30), "Week 1, 30 Dec 2024\u20135 Jan 2025"),
        (date(2026, 12, 28), "Week 53, 28 Dec 2026\u20133 Jan 2027"),
    ],
)
def test_week_over_new_year_names_both_years(monday: date, title: str) -> None:
    assert week_title(monday) == title


@pytest.mark.processes
def test_page_for_one_department_shows_no_other(planted: Planted) -> None:
    page = planted.write(portals=["oslo"], departments=[BAR])
    assert "Bar" in page
    for other in ("Kitchen", "Cellar", "no name", "bergen"):
        assert other not in page


def test_department_that_is_not_there_is_refused(planted: Planted) -> None:
    with pytest.raises(ConfigError, match="give one --portal"):
        planted.write(departments=[BAR])
    with pytest.raises(ConfigError, match=r"no such department; there are 10 \(Kitchen\), 11 \(Bar\), 12 \(no name\)"):
        planted.write(portals=["oslo"], departments=[99])


def test_page_asks_nothing_of_anybody(planted: Planted) -> None:
    page = planted.page
    assert not re.search(r"<script|<link|<img|@import|url\(|https?://", page)


@pytest.mark.processes
def test_empty_warehouse_has_no_figures(planday: Installation) -> None:
    done = planday_command(planday, "report", "--for", "managers")
    assert (done.returncode, done.stdout.strip()) == (0, "wrote planday-managers.html"), done.stderr
    page = (planday.folder / "planday-managers.html").read_text()
    assert 'id="verdict">Not complete: 3 of 3 portals<' in page
    assert page.count("<b>No data: nothing was read yet</b>") == 3
    assert "<table" not in page[page.index('<details class="portal"') :]


@pytest.mark.processes
def test_operators_page_has_no_filter(planday: Installation) -> None:
    done = planday_command(planday, "report", "--portal", "oslo")
    assert done.returncode == 2
    assert "add --for managers" in done.stderr
    assert not (planday.folder / "planday-report.html").exists()


def test_file_without_a_mart_says_what_to_do(planday: Installation) -> None:
    with duckdb.connect(str(planday.config.warehouse)) as db:
        db.execute("DROP VIEW marts.labour_daily")
    file = planday.folder / "page.html"
    with pytest.raises(StorageError, match="planday publish --rebuild"):
        write_managers_report(planday.installation, file)
    assert not file.exists()


CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
_WIDE = "[...document.querySelectorAll('.scroll')].filter(e => e.scrollWidth > e.clientWidth).map(e => e.innerText)"
_CLIPPED = """[...document.querySelectorAll('svg text')].filter(one => {
    const own = one.getBoundingClientRect(), whole = one.closest('svg').getBoundingClientRect();
    return own.width && (own.left < whole.left - 3 || own.right > whole.right + 3 || own.top < whole.top - 3);
}).map(e => e.textContent)"""


@pytest.mark.processes
@pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on this machine")
def test_page_fits_a_phone(odd: Planted) -> None:
    """All of it, with what is folded away."""
    from playwright.sync_api import sync_playwright

    assert odd.page
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 390, "height": 844})
        page.goto(odd.file.as_uri())
        page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
        assert page.evaluate("document.documentElement.scrollWidth") == 390
        assert page.evaluate(_WIDE) == []
        assert page.evaluate(_CLIPPED) == []
        browser.close()
