"""What marts need beside the data: settings of portals.yaml, and what publications find out about zones and currencies."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

from planday_io.catalogue import CATALOGUE
from planday_io.config import load_config
from planday_io.config.model import MartSettings
from planday_io.errors import ConfigError
from planday_io.warehouse.settings import write_settings
from planday_io.warehouse.zones import write_zones
from tests.support.tables import put

PORTALS = (
    "portals:\n  oslo: {client_id: x, refresh_token: {env: A}}\n"
    "  bergen: {client_id: x, refresh_token: {env: B}, bradford: false, pay_gap_by: off, absence_kinds: {Flex: vacation}}\n"
)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("bradford: maybe\n", "line 1: bradford: found 'maybe'; expected true or false"),
        ("bradford: 1\n", "line 1: bradford: found 1; expected true or false"),
        (
            "pay_gap_by: salary\n",
            "line 1: pay_gap_by: found 'salary'; expected 'off', 'employee_group', 'department' or ",
        ),
        ("pay_gap_by: [department]\n", "line 1: pay_gap_by: found a list; expected 'off', "),
        (
            "currency: DKK\nabsence_kinds: {Ferie: holiday}\n",
            "line 2: absence_kinds.Ferie: found 'holiday'; expected 'sickness', ",
        ),
        ("absence_kinds: [Ferie]\n", "line 1: absence_kinds: found a list; expected a mapping"),
        ("absence_kinds: {5: vacation}\n", "line 1: absence_kinds[5]: found 5; expected a text"),
        ('absence_kinds: {"": vacation}\n', "expected a text that is not empty"),
        ('absence_kinds: {"  ": vacation}\n', "expected a text that is not empty"),
        ('shift_kinds: {"": work}\n', "expected a text that is not empty"),
        ('shift_kinds: {"a\u00adb": work}\n', "character 2 is U+00AD (soft hyphen)"),
        ("shift_kinds: {true: work}\n", "expected a text"),
        ('currency: "  "\n', "line 1: currency: found '  '; expected a text that is not empty"),
        ("currency: Danish kroner and oere\n", "expected a text of at most 16 characters"),
        ("working_time: eu\n", "line 1: working_time: found 'eu'; expected a mapping"),
        (
            "bradford: true\nworking_time: {weekly_hours: 48}\n",
            "line 2: working_time.weekly_hours: found 48; expected a",
        ),
        ('working_time: {"": 1}\n', "line 1: working_time.'': found an unknown key"),
        ("absence_kind: {Ferie: vacation}\n", "did you mean 'absence_kinds'?"),
        ("pay_gap: department\n", "did you mean 'pay_gap_by'?"),
    ],
)
def test_mistakes_in_settings_of_marts(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "portals.yaml").write_text(text + PORTALS)
    with pytest.raises(ConfigError) as caught:
        load_config(tmp_path / "portals.yaml", CATALOGUE)
    assert says in str(caught.value)


def test_a_portal_overrides_settings_of_marts(tmp_path: Path) -> None:
    top = "bradford: true\npay_gap_by: department\nabsence_kinds: {Child sick: sickness}\n"
    (tmp_path / "portals.yaml").write_text(top + PORTALS)
    portals = load_config(tmp_path / "portals.yaml", CATALOGUE).portals
    oslo, bergen = portals["oslo"], portals["bergen"]
    assert (oslo.bradford, oslo.pay_gap_by, oslo.absence_kinds) == (True, "department", {"Child sick": "sickness"})
    assert (bergen.bradford, bergen.pay_gap_by) == (False, "off")
    assert bergen.absence_kinds == {"Child sick": "sickness", "Flex": "vacation"}


def test_changed_slices_bring_new_zones(db: duckdb.DuckDBPyConnection) -> None:
    """Only rows of changed slices are read, and the tables are the same as from all rows."""

    def tables() -> list[list[object]]:
        return [
            db.execute(f"FROM sync.time_zone{name} ORDER BY ALL").fetchall() for name in ("s", "_offsets", "_weeks")
        ]

    put(db, "scheduling.shifts", portal="oslo", month="2026-09", time_zone="Europe/Oslo")
    put(db, "scheduling.shifts", portal="bergen", month="2026-09", time_zone=None)
    write_zones(db, again=False)
    before = tables()
    put(db, "scheduling.shifts", portal="oslo", month="2026-10", time_zone="Romance Standard Time")
    put(db, "scheduling_history.shifts", portal="oslo", month="2026-10", time_zone="Nowhere")
    put(db, "payroll.shifts", portal="perth", month="2026-10")
    write_zones(db, again=False, changed=[("scheduling.shifts", "oslo", "2026-09"), ("hr.employees", "oslo", None)])
    assert tables() == before, "the other slices have not changed"
    put(db, "punchclock.punch_clock_shifts", portal="bergen", month="2026-10", time_zone="America/St_Johns")
    places = [("scheduling.shifts", "oslo"), ("scheduling_history.shifts", "oslo"), ("payroll.shifts", "perth")]
    places += [("punchclock.punch_clock_shifts", "bergen")]
    write_zones(db, again=False, changed=[(*place, "2026-10") for place in places])
    after = tables()
    write_zones(db, again=False)
    assert after == tables() != before
    assert {row[0] for row in after[1]} == {"Europe/Oslo", "Europe/Paris", "America/St_Johns"}


@pytest.mark.parametrize(
    ("months", "currency"),
    [
        ({"2026-10": "kr", "2026-09": "EUR"}, "kr"),
        ({"2026-10": None, "2026-09": "EUR"}, "EUR"),
        ({"2026-10": "", "2026-09": None, "2026-08": None, "2026-07": "kr", "2026-06": "EUR"}, "kr"),
        ({"2026-10": None}, None),
    ],
)
def test_currency_is_the_latest_symbol(
    db: duckdb.DuckDBPyConnection, months: dict[str, str | None], currency: str | None
) -> None:
    for month, symbol in months.items():
        put(db, "payroll.salaried", portal="oslo", month=month, currency_symbol=symbol)
        put(db, "sync.slices", table_name="payroll.salaried", portal="oslo", month=month, kept=1)
    put(db, "scheduling.time_and_costs", portal="bergen", month="2026-01", currency_symbol="NOK")
    put(db, "sync.slices", table_name="scheduling.time_and_costs", portal="bergen", month="2026-01", kept=1)
    write_settings(db, {"oslo": MartSettings(), "bergen": MartSettings()})
    found = dict(db.execute("SELECT portal, value FROM sync.mart_settings WHERE name = 'currency'").fetchall())
    assert found == {"bergen": "NOK"} | ({"oslo": currency} if currency else {})
