"""When tables count as stale, and when not: turns of months, edited configurations, failures beside them, runs under way."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from planday_io.catalogue import CATALOGUE
from planday_io.config.grid import window_months
from planday_io.monitoring.freshness import portal_freshness
from planday_io.monitoring.notifier import Notifier
from planday_io.sync.session import PortalSession, refresh
from tests.support.failures import DEPARTMENTS, GROUPS, fail, reported
from tests.support.installation import Hook, Installation


def watch_oslo(planday: Installation, resources: str) -> None:
    """Nightly reads of these by oslo alone."""
    planday.edit_config("include: [portal, hr]", f"include: [{resources}]")
    for portal in ("copenhagen", "london"):
        planday.edit_config(f"  {portal}:", f"  {portal}:\n    schedules: {{nightly: {{enabled: false}}}}")
    planday.edit_config("nightly: {enabled: false}\n", "nightly: {enabled: true}\n")


def read(planday: Installation, at: datetime, table: str, months: Iterable[str | None] = (None,)) -> None:
    session = PortalSession(planday.installation, "oslo", run_id="x", clock=lambda: at)
    for month in months:
        refresh(session, table, month=month)


def test_failing_table_hides_no_stale_one(planday: Installation, hook: Hook) -> None:
    watch_oslo(planday, f"{DEPARTMENTS}, {GROUPS}")
    notifier, now = Notifier(planday.installation), datetime.now(UTC)
    notifier.notify(now - timedelta(days=5))
    read(planday, now - timedelta(days=4), DEPARTMENTS)
    fail(planday, DEPARTMENTS, "api")
    notifier.notify(now)
    assert reported(hook) == [("failed", "api", [DEPARTMENTS]), ("stale", "stale", [GROUPS])]
    fail(planday, GROUPS, "token")
    notifier.notify(now + timedelta(minutes=1))
    assert reported(hook) == [("failed", "token", [GROUPS])], "what is stale still is"
    planday.state.failures.resolve("oslo", [DEPARTMENTS, GROUPS])
    read(planday, now, DEPARTMENTS)
    notifier.notify(now + timedelta(minutes=2))
    assert sorted(reported(hook)) == [("recovered", "api", [DEPARTMENTS]), ("recovered", "token", [GROUPS])]
    read(planday, now, GROUPS)
    notifier.notify(now + timedelta(minutes=3))
    assert reported(hook) == [("recovered", "stale", [GROUPS])]


def test_the_end_names_all_that_failed(planday: Installation, hook: Hook) -> None:
    notifier, now = Notifier(planday.installation), datetime.now(UTC)
    for table in (DEPARTMENTS, GROUPS):
        fail(planday, table, "token")
    notifier.notify(now)
    planday.state.failures.resolve("oslo", [DEPARTMENTS])
    notifier.notify(now)
    planday.state.failures.resolve("oslo", [GROUPS])
    notifier.notify(now)
    failed, over = hook.take()
    assert over["incidents"][0]["tables"] == failed["incidents"][0]["tables"] == [DEPARTMENTS, GROUPS]
    assert over["incidents"][0]["error"] == ""
    assert (
        "Settings > Integrations > API Access, then write the new token to the file tokens/oslo.txt" in failed["text"]
    )
    assert "`planday sync oslo` or the next schedule" in failed["text"]


def test_incident_that_grows_is_reported_again(planday: Installation, hook: Hook) -> None:
    tables = [DEPARTMENTS, GROUPS, "hr.employee_types"]
    notifier, now = Notifier(planday.installation), datetime.now(UTC)
    fail(planday, DEPARTMENTS, "api")
    notifier.notify(now)
    assert reported(hook) == [("failed", "api", [DEPARTMENTS])]
    fail(planday, GROUPS, "api")
    notifier.notify(now)
    assert reported(hook) == []
    fail(planday, tables[2], "api")
    notifier.notify(now)
    notifier.notify(now)
    assert reported(hook) == [("failed", "api", tables)], "more is new than was reported"
    for table in tables:
        fail(planday, table, "token")
    notifier.notify(now)
    assert ("failed", "token", tables) in reported(hook)
    for table in CATALOGUE.tables():
        fail(planday, table.full_name, "token")
    notifier.notify(now)
    assert reported(hook) == [], "no table can be read without a token, which was reported"


def test_new_month_is_not_stale_yet(planday: Installation, hook: Hook) -> None:
    watch_oslo(planday, "scheduling.shifts")
    notifier = Notifier(planday.installation)
    night = datetime(2026, 11, 30, 3, tzinfo=UTC)
    notifier.notify(night - timedelta(days=3))
    months = window_months(planday.config, "oslo", night)
    read(planday, night, "scheduling.shifts", months)
    planday.publish()
    notifier.notify(night + timedelta(hours=20))
    at_the_turn = night + timedelta(hours=22)
    assert window_months(planday.config, "oslo", at_the_turn) != months
    assert portal_freshness(planday.installation, "oslo", at_the_turn)["scheduling.shifts"].last == night
    notifier.notify(at_the_turn)
    assert reported(hook) == [], "a new month is in the window, and the next tick comes at night"
    notifier.notify(night + timedelta(hours=38))
    assert reported(hook) == [("stale", "stale", ["scheduling.shifts"])], "the tick came and nothing was read"


def test_newly_configured_table_is_not_stale(planday: Installation, hook: Hook) -> None:
    watch_oslo(planday, DEPARTMENTS)
    now = datetime.now(UTC)
    Notifier(planday.installation).notify(now - timedelta(days=5))
    read(planday, now, DEPARTMENTS)
    planday.publish()
    planday.edit_config(f"include: [{DEPARTMENTS}]", f"include: [{DEPARTMENTS}, {GROUPS}, scheduling.shifts]")
    notifier = Notifier(planday.installation)
    notifier.notify(now)
    assert reported(hook) == []
    notifier.notify(now + timedelta(days=3))
    assert reported(hook) == [("stale", "stale", [DEPARTMENTS, GROUPS, "scheduling.shifts"])]


def test_staleness_waits_for_run_that_is_under_way(planday: Installation, hook: Hook) -> None:
    watch_oslo(planday, DEPARTMENTS)
    notifier, now = Notifier(planday.installation), datetime.now(UTC)
    notifier.notify(now - timedelta(days=5))
    notifier.notify(now, busy=["oslo"], working=["oslo"])
    notifier.notify(now + timedelta(hours=20), busy=["oslo"], working=["oslo"])
    assert reported(hook) == []
    notifier.notify(now + timedelta(hours=20), busy=["oslo"])
    assert reported(hook) == [("stale", "stale", [DEPARTMENTS])], "one that only waits is no excuse for as long"
