"""Files of the state folder that are damaged: the portal they belong to copes or fails by name, the others go on."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pipelines.cli.outcome import Outcome
from pipelines.cli.runs import Wanted
from pipelines.cli.sync import sync
from pipelines.cli.workers import Workers
from pipelines.progress import Listener
from planday_io.errors import DamagedFileError
from planday_io.lake.forgotten import ForgottenPeople
from planday_io.lake.slices import SliceKey
from planday_io.monitoring.failures import INSTALLATION
from planday_io.monitoring.health import Scheduler, health_of
from planday_io.monitoring.notifier import Notifier
from planday_io.months import month_of
from planday_io.state import Incident, State
from planday_io.state.records import read_record
from planday_io.state.tokens import token_file
from tests.support.commands import environment
from tests.support.damage import DAMAGE, damage_state
from tests.support.installation import Installation, Make

THIS = month_of(datetime.now(UTC).date())
PORTALS = ["oslo", "london", "copenhagen"]
STRAY = (
    "oslo.json~",
    ".DS_Store",
    "Thumbs.db",
    "oslo (copy).json",
    "oslo",
    "a.b.c.d.e.f",
    "hr.departments.oslo.2026-13",
    "-",
)


@pytest.fixture
def planday(make: Make, monkeypatch: pytest.MonkeyPatch) -> Installation:
    made = make(
        people=(4, 4, 4),
        resources="resources: {include: [hr.departments, scheduling.shifts, scheduling.deleted_shifts]}",
    )
    made.edit_config("step_delay_seconds: 10", "step: 0, step_delay_seconds: 0")
    made.edit_config("defaults:", "defaults:\n  window: {past_months: 0, future_months: 0}")
    made.edit_config("history_start: 2025-01", f"history_start: {THIS}")
    monkeypatch.setenv("DAGSTER_HOME", str(made.folder))
    environment(made)  # puts dagster.yaml there
    monkeypatch.chdir(made.folder)
    return made


def synced(planday: Installation) -> Outcome:
    with Workers(planday.config.file, limit=2) as workers:
        return sync(planday.installation, [(key, Wanted()) for key in PORTALS], workers, listener=Listener())


def incidents(planday: Installation) -> list[Incident]:
    return Notifier(planday.installation).evaluate(datetime.now(UTC))


@pytest.mark.processes
def test_damage_of_one_portal_is_not_anothers(planday: Installation) -> None:
    """Oslo's state is damaged in each way, another portal's token too, and stray files are everywhere."""
    planday.sandbox.rotates = True
    assert synced(planday).is_complete
    state = planday.config.state
    damage_state(state, "binary")
    for folder in ("tokens",):
        (state / folder).mkdir(exist_ok=True)
        for name in STRAY:
            (state / folder / name).write_bytes(b"\xff")
    for folder in ("_portals", "_forgotten"):
        (planday.config.lake / folder).mkdir(exist_ok=True)
        for name in STRAY:
            (planday.config.lake / folder / name).write_bytes(b"\xff")
    token = token_file(state, "copenhagen")
    DAMAGE["cut"](token)
    for portal in PORTALS:
        planday.sandbox.portals[portal].departments[0]["name"] = "New name"
    outcome = synced(planday)
    assert {one.portal for one in outcome.failures} == {"copenhagen"}
    assert "planday authorize copenhagen" in outcome.failures[0].error
    assert not outcome.publication_error
    assert planday.query("SELECT DISTINCT portal FROM hr.departments WHERE name = 'New name' ORDER BY 1") == [
        ("london",),
        ("oslo",),
    ]
    assert planday.query("SELECT count(*) > 0 FROM hr.departments WHERE portal = 'copenhagen'") == [(True,)]
    found = {(one.portal, one.cause): one.error for one in incidents(planday)}
    assert set(found) - {(INSTALLATION, "disk")} == {(INSTALLATION, "state"), ("copenhagen", "state")}
    assert str(token) in found["copenhagen", "state"]
    for aside in planday.state.files_set_aside():
        shutil.rmtree(aside) if aside.is_dir() else aside.unlink()
    assert (INSTALLATION, "state") not in {(one.portal, one.cause) for one in incidents(planday)}


@pytest.mark.parametrize("kind", DAMAGE)
def test_each_record_copes_with_each_damage(tmp_path: Path, kind: str) -> None:
    state = tmp_path / "state"
    people = ForgottenPeople(tmp_path / "lake", State(state))
    people.add("oslo", 1)
    before = people.fingerprint()
    people.add("london", 1)
    DAMAGE[kind](tmp_path / "lake" / "_forgotten" / "oslo.json")
    assert people.fingerprint() != before
    with pytest.raises(DamagedFileError, match="oslo"):
        people.of("oslo")
    assert people.of("london").pseudonyms
    store = State(state).refresh_token("oslo", lambda: "configured")
    store.read()
    store.write("rotated")
    DAMAGE[kind](token_file(state, "oslo"))
    with pytest.raises(DamagedFileError, match="planday authorize oslo"):
        store.read()
    store.forget()
    assert store.read() == "configured"


@pytest.mark.parametrize("kind", DAMAGE)
def test_every_damage_is_one_kind_of_error(tmp_path: Path, kind: str) -> None:
    file = tmp_path / "record.json"
    file.write_text('{"text": "a text that is long enough to be cut"}')
    DAMAGE[kind](file)
    with pytest.raises(DamagedFileError) as caught:
        read_record(file, dict[str, str] if kind != "other members" else dict[str, int], "texts")
    assert str(file) in str(caught.value)


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("hr.departments.oslo", SliceKey("hr", "departments", "oslo")),
        ("scheduling.shifts.oslo.2026-09", SliceKey("scheduling", "shifts", "oslo", "2026-09")),
        ("hr.departments.oslo.tmp-1-ab", None),
        ("hr.departments.oslo.damaged-1", None),
        ("hr.departments", None),
        ("hr.departments.oslo.2026-9", None),
        ("hr.departments.oslo\n", None),
        ("", None),
    ],
)
def test_names_of_markers(text: str, key: SliceKey | None) -> None:
    assert SliceKey.parse(text) == key


def test_status_of_a_portal_that_cannot_be_read(planday: Installation) -> None:
    for portal in PORTALS:
        planday.refresh("hr.departments", portal=portal)
    slice_file = planday.lake.path(SliceKey.of("hr.departments", "oslo"))
    slice_file.unlink()
    slice_file.symlink_to(slice_file)
    health = health_of(planday.installation, datetime.now(UTC), Scheduler())
    assert [one.portal for one in health.portals if one.condition == "unreadable"] == ["oslo"]
    assert {one.portal for one in health.portals if one.newest} == {"copenhagen", "london"}
