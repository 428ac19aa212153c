"""Which tick a delivery follows, what it waits for, and that it is made once, also after a restart: in a Dagster instance."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import dagster as dg
import pytest
from dagster import DagsterInstance

from pipelines.definitions import build_definitions
from pipelines.deliveries import JOB, Cursor, due
from pipelines.tags import DELIVERY_TAG
from planday_io.catalogue import CATALOGUE
from planday_io.config import Config, load_config
from planday_io.delivery.attempts import PAUSES
from planday_io.delivery.rounds import newest_round, next_round, schedule_text
from planday_io.monitoring.notifier import Notifier
from planday_io.state import DeliveryState
from tests.support.inbox import mail_server
from tests.support.installation import QUIET, Hook, Installation
from tests.support.workbooks import first_sheet

at = datetime.fromisoformat
ZONES = {"oslo": "Europe/Oslo", "london": "Europe/London"}


def configured(folder: Path, deliver: str = "", **crons: str) -> Config:
    """Two portals, whose nightly schedules tick by these expressions, and one delivery."""
    file = folder / "portals.yaml"
    portals = "".join(
        f"  {key}: {{client_id: none, refresh_token: {{env: NONE}}, timezone: {zone}, "
        f"schedules: {{nightly: {{cron: '{crons.get(key, '0 2 * * *')}'}}}}}}\n"
        for key, zone in ZONES.items()
    )
    one = f"marts: [hours], days: yesterday, timezone: Europe/Oslo, after: nightly, to: out{deliver}"
    file.write_text(f"deliver:\n  daily: {{{one}}}\nportals:\n{portals}")
    return load_config(file, CATALOGUE)


def settled(text: str) -> DeliveryState:
    return DeliveryState(name="daily", schedule="", settled=at(text))


def test_round_waits_for_the_later_zone(tmp_path: Path) -> None:
    config = configured(tmp_path)
    early = newest_round(config, "daily", at("2026-11-27T01:30+00:00"))
    whole = newest_round(config, "daily", at("2026-11-27T02:00+00:00"))
    assert early is not None
    assert whole is not None
    assert not early.is_new(settled("2026-11-26T02:00+00:00")), "London's tick is still yesterday's"
    assert whole.is_new(settled("2026-11-26T02:00+00:00"))
    assert whole.at == at("2026-11-27T02:00+00:00")
    assert not whole.is_new(settled("2026-11-27T02:00+00:00"))
    assert whole.until == at("2026-11-27T14:00+00:00"), "half the time to the next tick"


def test_slower_schedule_sets_the_pace(tmp_path: Path) -> None:
    config = configured(tmp_path, oslo="*/30 * * * *")
    state, rounds = settled("2026-11-25T02:00+00:00"), []
    for hour in range(48):
        found = newest_round(config, "daily", at("2026-11-26T00:10+00:00") + timedelta(hours=hour))
        if found and found.is_new(state):
            rounds.append(found.at)
            state = settled(found.at.isoformat())
    assert rounds == [at("2026-11-26T02:00+00:00"), at("2026-11-27T02:00+00:00")]


@pytest.mark.parametrize(
    ("latest", "until"), [("07:30", "2026-11-27T06:30+00:00"), ("02:00", "2026-11-27T14:00+00:00")]
)
def test_latest_is_on_the_delivery_clock(tmp_path: Path, latest: str, until: str) -> None:
    config = configured(tmp_path, f", latest: {latest}")
    found = newest_round(config, "daily", at("2026-11-27T05:00+00:00"))
    assert found is not None
    assert found.until == at(until)


def test_machine_asleep_waits_for_missed_runs(tmp_path: Path) -> None:
    found = newest_round(configured(tmp_path, ", latest: 07:30"), "daily", at("2026-11-27T10:00+00:00"))
    assert found is not None
    assert found.waits_until(at("2026-11-27T02:01+00:00")) == at("2026-11-27T06:30+00:00")
    assert found.waits_until(at("2026-11-27T10:00+00:00")) == at("2026-11-27T11:00+00:00")


def test_each_tick_is_one_round_where_clocks_change(tmp_path: Path) -> None:
    config = configured(tmp_path, oslo="30 2 * * *", london="30 1 * * *")
    state, rounds = settled("2026-10-23T12:00+00:00"), []
    for quarter in range(4 * 24 * 4):
        found = newest_round(config, "daily", at("2026-10-23T12:00+00:00") + timedelta(minutes=15 * quarter))
        if found and found.is_new(state):
            rounds.append(found.at.astimezone(ZoneInfo("Europe/Oslo")).date().day)
            state = settled(found.at.isoformat())
    assert rounds == [24, 25, 26, 27]


def test_switched_off_schedule_is_not_waited_for(tmp_path: Path) -> None:
    config = configured(tmp_path)
    text = config.file.read_text()
    config.file.write_text(text.replace("'0 2 * * *'}", "'0 2 * * *', enabled: false}", 1))
    found = newest_round(load_config(config.file, CATALOGUE), "daily", at("2026-11-27T03:00+00:00"))
    assert found is not None
    assert [*found.ticks] == ["london"]
    config.file.write_text(text.replace("'0 2 * * *'}", "'0 2 * * *', enabled: false}"))
    off = load_config(config.file, CATALOGUE)
    assert newest_round(off, "daily", at("2026-11-27T03:00+00:00")) is None
    assert next_round(off, "daily", at("2026-11-27T03:00+00:00")) is None


class Night:
    """An installation whose schedule ticked a minute ago, in a Dagster of its own."""

    def __init__(self, planday: Installation, instance: DagsterInstance, folder: Path, **settings: Any) -> None:
        self.planday, self.instance, self.folder = planday, instance, folder / "exports"
        self.tick = datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(minutes=1)
        self.after = self.tick + timedelta(minutes=2)
        local = self.tick.astimezone(ZoneInfo("Europe/Copenhagen"))
        cron = f"{local.minute} {local.hour} * * *"
        planday.edit_config(
            "nightly: {enabled: false}", f"nightly: {{cron: '{cron}', resources: [hr.departments, hr.employees]}}"
        )
        for zone in ("Europe/Oslo", "Europe/London"):
            text = planday.config_path.read_text()
            planday.config_path.write_text(text.replace(f"timezone: {zone}", "timezone: Europe/Copenhagen"))
        given = {"marts": ["employees"], "days": "yesterday", "after": "nightly", "to": str(self.folder)} | settings
        self.settings = {key: value for key, value in given.items() if value is not None}
        planday.edit_config("defaults:", f"deliver: {{people: {json.dumps(self.settings)}}}\ndefaults:")
        self._built: tuple[str, dg.Definitions] | None = None
        self.cursor = Cursor()
        # As the sensor sees it before the tick: the delivery is new, and its first tick is the next one.
        assert self.ask(self.tick - timedelta(hours=1)) == []

    def ask(self, now: datetime | None = None) -> list[dg.RunRequest]:
        """One tick of the sensor."""
        self.cursor, requests = due(self.planday.installation, self.instance, now or self.after, self.cursor)
        return requests

    def restart(self) -> None:
        """Another process: all that remains is in the cursor and in the state."""
        self.cursor = Cursor.of(self.cursor.encoded(), self.after)

    @property
    def definitions(self) -> dg.Definitions:
        """Of the file as it is; building them takes longer than most of what is done with them."""
        text = self.planday.config_path.read_text()
        if self._built is None or self._built[0] != text:
            self._built = (text, build_definitions(self.planday.config_path))
        return self._built[1]

    def run_portal(self, portal: str) -> None:
        """The runs that the portal's schedule asks for, as the daemon starts them."""
        made = self.definitions
        job = made.resolve_implicit_global_asset_job_def()
        for name in (f"nightly_{portal}", f"nightly_{portal}_months"):
            if name not in {one.name for one in made.schedules or ()}:
                continue
            schedule = made.resolve_schedule_def(name)
            with dg.build_schedule_context(
                self.instance,
                scheduled_execution_time=self.tick,
                repository_def=made.get_repository_def(),
            ) as context:
                for request in schedule.evaluate_tick(context).run_requests or ():
                    job.execute_in_process(
                        instance=self.instance,
                        partition_key=request.partition_key,
                        asset_selection=request.asset_selection,
                        tags=request.tags,
                        raise_on_error=False,
                        run_config=QUIET,
                    )

    def deliver(self, request: dg.RunRequest) -> dg.ExecuteInProcessResult:
        """The run that the sensor asks for."""
        job = self.definitions.resolve_job_def(JOB)
        return job.execute_in_process(
            instance=self.instance,
            run_config={**request.run_config, **QUIET},
            tags=request.tags,
            raise_on_error=False,
        )

    @property
    def files(self) -> list[str]:
        return sorted(file.name for file in self.folder.iterdir()) if self.folder.exists() else []


Make = Callable[..., Night]


@pytest.fixture
def night(planday: Installation, memory: DagsterInstance, tmp_path: Path) -> Make:
    def make(**settings: Any) -> Night:
        return Night(planday, memory, tmp_path, **settings)

    return make


@pytest.mark.processes
def test_delivered_once_after_the_last_run(night: Make) -> None:
    made = night(portals=["oslo", "london"])
    assert made.ask() == [], "nothing ran yet"
    made.run_portal("oslo")
    assert made.ask() == [], "London is missing"
    made.run_portal("london")
    (request,) = made.ask()
    assert made.ask() == [request], "Dagster starts one run for a key"
    assert made.deliver(request).success
    day = made.tick.astimezone(ZoneInfo("Europe/Copenhagen")).date() - timedelta(days=1)
    assert made.files == [f"people {day}.xlsx"]
    assert "runs of schedule" not in first_sheet(made.folder / made.files[0])
    assert made.ask() == []
    made.restart()
    assert made.ask() == []
    file = made.folder / made.files[0]
    file.unlink()
    assert made.deliver(request).success, "the same attempt once more"
    assert made.files == [], "is not made twice"


@pytest.mark.processes
def test_failed_portal_is_named(night: Make, planday: Installation) -> None:
    with mail_server(planday) as inbox:
        made = night(portals=["oslo", "london"], mail=["anna@example.com"])
        (planday.folder / "tokens/london.txt").write_text("wrong")
        made.run_portal("oslo")
        made.run_portal("london")
        (request,) = made.ask()
        result = made.deliver(request)
    assert result.success
    (message,) = inbox.messages
    assert message["Subject"].endswith(": NOT COMPLETE")
    body, _ = message.iter_parts()
    text = body.get_content()
    assert text.startswith("NOT COMPLETE: ")
    assert "london lists" in text.splitlines()[0]
    assert "london: 1 of 1 runs of schedule nightly failed" in text
    assert "NOT COMPLETE: london: 1 of 1 runs of schedule nightly failed." in first_sheet(made.folder / made.files[0])
    logged = str([event.message for event in made.instance.all_logs(result.run_id)])
    assert "anna" not in logged + str(made.instance.get_run_by_id(result.run_id))


@pytest.mark.processes
def test_late_delivery_says_what_did_not_run(night: Make) -> None:
    made = night(portals=["oslo", "london"])
    made.run_portal("oslo")
    assert made.ask() == []
    for minutes in range(9, 12 * 60 - 9, 9):
        assert made.ask(made.after + timedelta(minutes=minutes)) == []
    (request,) = made.ask(made.tick + timedelta(hours=12, minutes=1))
    assert made.deliver(request).success
    assert "london: 1 of 1 runs of schedule nightly had not begun" in first_sheet(made.folder / made.files[0])


@pytest.mark.processes
def test_machine_that_slept_waits_an_hour(night: Make) -> None:
    made = night(portals=["oslo"])
    woken = made.tick + timedelta(hours=20)
    made.cursor = Cursor.of(made.cursor.encoded(), woken)
    assert made.ask(woken) == []
    assert made.ask(woken + timedelta(minutes=5)) == []
    made.run_portal("oslo")
    assert len(made.ask(woken + timedelta(minutes=6))) == 1


@pytest.mark.processes
def test_failing_mail_is_tried_again_then_reported(night: Make, planday: Installation, hook: Hook) -> None:
    planday.edit_config(
        "format: json}", "format: json}, mail: {host: localhost, port: 9, security: none, sender: a@b.c, to: [a@b.c]}"
    )
    made = night(portals=["oslo"], mail=["anna@example.com"])
    made.run_portal("oslo")
    now, keys = made.after, []
    for pause in (*PAUSES, None):
        (request,) = made.ask(now)
        keys.append(request.run_key)
        result = made.deliver(request)
        assert not result.success
        found = planday.state.deliveries.of("people")
        assert found is not None
        assert "could not be sent" in found.error
        assert "anna" not in found.error
        if pause:
            assert made.ask(datetime.now(UTC)) == [], "not yet"
            made.restart()
            now = datetime.now(UTC) + pause + timedelta(minutes=1)
    assert len({*keys}) == len(PAUSES) + 1
    assert made.ask(now + timedelta(days=1) - timedelta(hours=2)) == [], "given up"
    (failure,) = planday.state.failures.of("-installation")
    assert (failure.cause, failure.table) == ("delivery", "deliver.people")
    assert made.files, "the folder has it"
    for _ in range(2):
        Notifier(planday.installation).notify(datetime.now(UTC))
    sent = [one for message in hook.take() for one in message["incidents"] if one["cause"] == "delivery"]
    assert [one["tables"] for one in sent] == [["deliver.people"]], "once"
    assert "anna" not in str(sent)


@pytest.mark.processes
def test_killed_run_is_another_attempt(night: Make, planday: Installation) -> None:
    made = night(portals=["oslo"])
    made.run_portal("oslo")
    (request,) = made.ask()
    job = made.definitions.resolve_job_def(JOB)
    run = made.instance.create_run_for_job(job, run_config=request.run_config, tags=request.tags)
    assert made.ask() == [], "it may still begin"
    made.instance.report_run_failed(run, "killed")
    assert made.ask() == []
    (again,) = made.ask(made.after + PAUSES[0])
    assert again.run_key != request.run_key
    assert again.tags[DELIVERY_TAG] == again.run_key
    assert made.deliver(again).success
    assert len(made.files) == 1


@pytest.mark.processes
def test_run_that_was_started_again_counts_once(night: Make, planday: Installation) -> None:
    made = night(portals=["oslo"])
    good = (planday.folder / "tokens/oslo.txt").read_text()
    (planday.folder / "tokens/oslo.txt").write_text("wrong")
    made.run_portal("oslo")
    (failed,) = made.instance.get_runs()
    (planday.folder / "tokens/oslo.txt").write_text(good)
    again = made.definitions.resolve_implicit_global_asset_job_def().execute_in_process(
        instance=made.instance,
        partition_key="oslo",
        asset_selection=[*failed.asset_selection],
        tags={**failed.tags, "dagster/root_run_id": failed.run_id, "dagster/parent_run_id": failed.run_id},
        run_config=QUIET,
    )
    assert again.success
    assert made.deliver(made.ask()[0]).success
    assert "runs of schedule" not in first_sheet(made.folder / made.files[0])


@pytest.mark.processes
def test_wrong_sql_is_reported_at_once(night: Make, planday: Installation) -> None:
    made = night(portals=["oslo"], sql=["gone.sql"])
    made.run_portal("oslo")
    (request,) = made.ask()
    result = made.deliver(request)
    assert not result.success
    (failure,) = planday.state.failures.of("-installation")
    assert "deliver.people.sql[0]" in failure.error
    assert made.ask(made.after + timedelta(hours=2)) == []
    assert made.files == []


@pytest.mark.processes
def test_removed_delivery_takes_its_failure_along(night: Make, planday: Installation) -> None:
    made = night(portals=["oslo"], sql=["gone.sql"])
    made.run_portal("oslo")
    made.deliver(made.ask()[0])
    planday.edit_config(f"deliver: {{people: {json.dumps(made.settings)}}}\n", "")
    assert made.ask() == []
    assert planday.state.failures.of("-installation") == []
    assert planday.state.deliveries.of("people") is None


@pytest.mark.processes
def test_moved_schedule_begins_with_its_next_tick(night: Make, planday: Installation) -> None:
    made = night(portals=["oslo"])
    made.run_portal("oslo")
    before = schedule_text(planday.config, "people")
    local = (made.tick - timedelta(minutes=30)).astimezone(ZoneInfo("Europe/Copenhagen"))
    found = planday.config.portals["oslo"].schedules["nightly"].cron
    planday.edit_config(f"cron: '{found}'", f"cron: '{local.minute} {local.hour} * * *'")
    assert schedule_text(planday.config, "people") != before
    assert made.ask() == []
    assert made.ask() == [], "of a tick before it was moved there is no delivery"


def test_schedule_switched_on_begins_with_its_next_tick(night: Make, planday: Installation) -> None:
    made = night(portals=["oslo"])
    planday.edit_config("nightly: {cron", "nightly: {enabled: false, cron")
    assert made.ask() == []
    planday.edit_config("nightly: {enabled: false, cron", "nightly: {cron")
    assert made.ask() == []
    made.after += timedelta(hours=13)
    assert made.ask() == [], "nobody ran what was switched off"


@pytest.mark.processes
def test_sensor_starts_the_job(night: Make, planday: Installation) -> None:
    made = night(portals=["oslo"])
    made.run_portal("oslo")
    (sensor,) = [one for one in made.definitions.sensors or [] if one.name == "deliveries"]
    with dg.build_sensor_context(instance=made.instance) as context:
        done = sensor.evaluate_tick(context)  # type: ignore[union-attr]
    (request,) = done.run_requests
    assert made.deliver(request).success
    with dg.build_sensor_context(instance=made.instance, cursor=done.cursor) as context:
        assert not sensor.evaluate_tick(context).run_requests  # type: ignore[union-attr]


@pytest.mark.processes
def test_started_by_hand_in_the_ui(night: Make) -> None:
    made = night(portals=["oslo"])
    config = {"ops": {"make_delivery": {"config": {"delivery": "people"}}}}
    assert made.deliver(dg.RunRequest(run_config=config)).success
    assert len(made.files) == 1
    unknown = {"ops": {"make_delivery": {"config": {"delivery": "nobody"}}}}
    assert not made.deliver(dg.RunRequest(run_config=unknown)).success
