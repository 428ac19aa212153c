"""The state database: several processes and threads, damage, disks that take nothing, versions before and after."""

from __future__ import annotations

import os
import random
import sqlite3
import stat
import threading
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planday_io.errors import StorageError
from planday_io.state import Failure, Incident, Notice, RefreshRequest, State
from planday_io.state.rows import ForgottenCopy
from planday_io.state.state_database import database_file
from tests.support.cutting import KILLED, counting, full_disk, killed
from tests.support.damage import DAMAGE
from tests.support.old_state import old_alerts, old_baseline, old_failures, old_forgotten, old_mark, old_shared

SINCE = datetime(2026, 11, 1, tzinfo=UTC)


def failure(portal: str = "oslo", table: str = "hr.skills", cause: str = "api", since: datetime = SINCE) -> Failure:
    return Failure(portal=portal, table=table, month=None, cause=cause, error="e", run_id="r", since=since)


def tables_of(state: State, portal: str = "oslo") -> list[str]:
    return [one.table for one in state.failures.of(portal)]


def left(folder: Path) -> list[Path]:
    """Files of an older version that are still there."""
    State(folder).locks.sweep()
    return [file for file in folder.rglob("*") if file.is_file() and file.parent != folder]


def test_reading_makes_nothing(tmp_path: Path) -> None:
    assert State(tmp_path / "state").failures.of("oslo") == []
    assert not (tmp_path / "state").exists()


def test_the_database_is_for_this_account_only(tmp_path: Path) -> None:
    State(tmp_path / "state").failures.record([failure()])
    assert stat.S_IMODE(database_file(tmp_path / "state").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "state").stat().st_mode) == 0o700


def test_failures_in_a_row_keep_their_beginning(tmp_path: Path) -> None:
    failures = State(tmp_path).failures
    later = SINCE + timedelta(days=1)
    failures.record([failure()])
    failures.record([failure(since=later)])
    assert failures.of("oslo") == [failure()]
    failures.record([failure(since=later, cause="data")])
    assert failures.of("oslo") == [failure(since=later, cause="data")]
    failures.resolve("oslo", ["hr.skills"], month="2026-11")
    assert failures.of("oslo")
    failures.resolve("oslo", ["hr.skills"])
    assert failures.of("oslo") == []


@settings(max_examples=30)
@given(
    at=st.datetimes(
        datetime(2000, 1, 1),  # noqa: DTZ001 - what the strategy takes
        timezones=st.builds(timezone, st.timedeltas(timedelta(hours=-23), timedelta(hours=23))),
    ),
    error=st.text(st.characters(exclude_categories=["Cs"])),
)
def test_rows_come_back_as_they_were(tmp_path_factory: pytest.TempPathFactory, at: datetime, error: str) -> None:
    state = State(tmp_path_factory.getbasetemp() / "same")
    made = Failure(portal="oslo", table="t", month="2026-11", cause=error, error=error, run_id="", since=at)
    state.failures.resolve("oslo", ["t"], "2026-11")
    state.failures.record([made])
    (found,) = state.failures.of("oslo")
    assert found == made
    assert found.since.utcoffset() == timedelta(0)


def test_threads_and_forks_lose_nothing(tmp_path: Path) -> None:
    State(tmp_path).failures.record([failure()])

    def work(name: str) -> None:
        for number in range(5):
            State(tmp_path).failures.record([failure(table=f"{name}.{number}")])

    threads = [threading.Thread(target=work, args=(f"thread{n}",)) for n in range(3)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    children = []
    for n in range(3):
        if (child := os.fork()) == 0:
            try:
                work(f"fork{n}")
            finally:
                os._exit(0)
        children.append(child)
    for child in children:
        os.waitpid(child, 0)
    assert len(tables_of(State(tmp_path))) == 1 + 6 * 5


@pytest.mark.parametrize("kind", DAMAGE)
def test_damaged_database_is_made_again(tmp_path: Path, kind: str) -> None:
    state = State(tmp_path)
    state.failures.record([failure()])
    DAMAGE[kind](database_file(tmp_path))
    assert state.failures.of("oslo") == []
    state.failures.record([failure()])
    assert state.failures.of("oslo") == [failure()]
    assert len(State(tmp_path).files_set_aside()) == 1
    assert [path.name for path in tmp_path.rglob("*.tmp-*")] == []


@pytest.mark.parametrize("seed", range(12))
def test_flipped_bits_never_raise_anything_else(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    State(tmp_path).failures.record([failure(table=f"t{n}") for n in range(20)])
    file = database_file(tmp_path)
    content = bytearray(file.read_bytes())
    for _ in range(2 ** (seed // 2)):
        content[chance.randrange(len(content))] ^= chance.randrange(1, 256)
    file.unlink()
    file.write_bytes(content)
    tables_of(State(tmp_path))
    for _ in range(2):
        State(tmp_path).failures.record([failure(table="new")])
        assert "new" in tables_of(State(tmp_path))


def test_damage_is_set_aside_once(tmp_path: Path) -> None:
    state = State(tmp_path)
    state.failures.record([failure()])
    DAMAGE["cut"](database_file(tmp_path))
    threads = [threading.Thread(target=tables_of, args=(State(tmp_path),)) for _ in range(4)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert len(State(tmp_path).files_set_aside()) == 1


def test_full_disk_is_an_error_with_a_remedy(tmp_path: Path) -> None:
    state = State(tmp_path)
    with full_disk(), pytest.raises(StorageError, match=r"[Tt]he disk is full"):
        state.failures.record([failure()])
    assert state.failures.of("oslo") == []
    state.failures.record([failure()])
    with full_disk():
        assert state.failures.of("oslo") == [failure()], "reading needs no space"
        with pytest.raises(StorageError, match="disk is full"):
            state.failures.record([failure(table="other")])
    assert state.failures.of("oslo") == [failure()]
    assert State(tmp_path).files_set_aside() == [], "a full disk is no damage"


def test_newer_version_is_left_alone(tmp_path: Path) -> None:
    State(tmp_path).failures.record([failure()])
    file = database_file(tmp_path)
    with closing(sqlite3.connect(file)) as db, db:
        db.execute("UPDATE about SET version = 9999")
    file.rename(tmp_path / "moved")
    file.write_bytes((tmp_path / "moved").read_bytes())
    with pytest.raises(StorageError, match="install the newer version"):
        State(tmp_path).failures.of("oslo")
    assert State(tmp_path).files_set_aside() == []


def test_database_never_released_is_made_again(tmp_path: Path) -> None:
    """Also while files of a released version are there."""
    State(tmp_path).failures.record([failure()])
    with closing(sqlite3.connect(database_file(tmp_path))) as db:
        db.execute("UPDATE about SET version = 9")
        db.execute("ALTER TABLE failure RENAME COLUMN error TO text")
        db.commit()
    old_failures(tmp_path, "oslo", "hr.skills")
    assert [one.table for one in State(tmp_path).failures.of("oslo")] == ["hr.skills"]
    assert len(State(tmp_path).files_set_aside()) == 1


def test_files_of_an_older_version_are_taken_in(tmp_path: Path) -> None:
    old_failures(tmp_path, "oslo", "hr.skills", "hr.employees")
    old_failures(tmp_path, "london").write_text("{")
    stray = tmp_path / "failures" / "oslo.json~"
    stray.write_text("x")
    assert tables_of(State(tmp_path)) == ["hr.employees", "hr.skills"]
    assert State(tmp_path).failures.of("oslo")[0].since == SINCE
    left = [file.name for file in (tmp_path / "failures").iterdir()]
    assert [name for name in left if ".damaged-" not in name] == [stray.name]
    assert len(State(tmp_path).files_set_aside()) == 1


def test_upgrade_cut_anywhere_is_finished(tmp_path: Path) -> None:
    at = 0
    while True:
        at += 1
        folder = tmp_path / str(at)
        for portal in ("oslo", "london"):
            old_failures(folder, portal, "hr.skills")
        old_shared(folder, "oslo")
        try:
            with counting(folder, at=at) as changes:
                State(folder).failures.record([failure(table="new")])
        except StorageError:
            pass
        State(folder).failures.record([failure(table="new")])
        assert (tables_of(State(folder)), tables_of(State(folder), "london")) == (["hr.skills", "new"], ["hr.skills"])
        assert left(folder) == []
        if changes.count < at:
            break
    assert at > 3


def test_baselines_keep_their_beginning(tmp_path: Path) -> None:
    baselines, later = State(tmp_path).baselines, SINCE + timedelta(days=1)
    baselines.observe({"oslo": {"a": "nightly", "b": "nightly"}}, SINCE)
    baselines.observe({"oslo": {"a": "nightly", "b": "weekly"}, "london": {"a": "x"}}, later)
    assert baselines.of("oslo") == {"a": ("nightly", SINCE), "b": ("weekly", later)}
    State(tmp_path).rename_portal("oslo", "london")
    assert baselines.of("london") == {"a": ("nightly", SINCE), "b": ("weekly", later)}
    baselines.observe({"london": {"b": "weekly"}}, later)
    assert baselines.of("london") == {"b": ("weekly", later)}
    State(tmp_path).forget_portal("london")
    assert baselines.of("london") == {}


def test_lost_baselines_count_as_long_ago(tmp_path: Path) -> None:
    baselines = State(tmp_path).baselines
    baselines.observe({"oslo": {"a": "nightly"}}, SINCE)
    DAMAGE["cut"](database_file(tmp_path))
    baselines.observe({"oslo": {"a": "nightly"}}, SINCE)
    assert baselines.of("oslo")["a"][1].year == 1970
    baselines.observe({"oslo": {"a": "nightly", "b": "nightly"}}, SINCE)
    assert baselines.of("oslo")["b"][1] == SINCE, "only what was lost"


def test_baselines_of_an_older_version(tmp_path: Path) -> None:
    old_baseline(tmp_path, "oslo", "a", "nightly", SINCE.isoformat())
    assert State(tmp_path).baselines.of("oslo") == {"a": ("nightly", SINCE)}
    assert [*tmp_path.glob("watched*")] == []


def incident(portal: str = "oslo", ended_at: datetime | None = None, **channels: tuple[str, ...]) -> Notice:
    tables = ("hr.skills", "scheduling.shifts 2026-11")
    return Notice(
        incident=Incident(portal=portal, cause="api", tables=tables, since=SINCE, error="é ' \" \n", run_id="r"),
        noticed_at=SINCE,
        all_tables=("hr.skills",),
        ended_at=ended_at,
        deliveries=channels,
    )


def test_incidents_come_back_as_they_were(tmp_path: Path) -> None:
    state = State(tmp_path)
    known = [incident(mail=("hr.skills",), webhook=()), incident("london", SINCE, mail=())]
    state.incidents.replace(known)
    assert state.incidents.all() == known
    state.rename_portal("oslo", "bergen")
    assert [one.incident.portal for one in state.incidents.all()] == ["bergen", "london"]
    state.forget_portal("bergen")
    told, other = state.incidents.all()
    assert other == known[1]
    assert (told.incident.error, told.deliveries, told.ended_at is None) == ("", known[0].deliveries, False)
    state.incidents.replace([incident()])
    state.forget_portal("oslo")
    assert state.incidents.all() == [], "nobody was told of it"
    state.incidents.replace([])
    assert state.incidents.all() == []


def test_incidents_of_an_older_version(tmp_path: Path) -> None:
    old_alerts(tmp_path, SINCE.isoformat())
    opened, ended = incident(mail=("hr.skills",)), incident("london", SINCE, webhook=())
    assert State(tmp_path).incidents.all() == [
        replace(opened, incident=replace(opened.incident, error="e")),
        replace(ended, incident=replace(ended.incident, error="e"), all_tables=ended.incident.tables),
    ]
    assert [*tmp_path.glob("alerts*")] == []


def test_refresh_requests_add_up(tmp_path: Path) -> None:
    state, later = State(tmp_path), SINCE + timedelta(hours=1)
    requests = state.refresh_requests
    requests.add("oslo", {"2026-10": ["b"], "2026-09": ["a"]}, {"2026-10": 0.5}, SINCE)
    (_, first) = requests.all()
    requests.add("oslo", {"2026-10": ["a"]}, {"2026-10": 0.25}, later)
    requests.settle([(first, ())])
    september = RefreshRequest(portal="oslo", month="2026-09", endpoints=("a",), requested_at=SINCE)
    october = RefreshRequest(portal="oslo", month="2026-10", endpoints=("a", "b"), requested_at=later, share_gone=0.5)
    assert requests.all() == [september, october], "a request that was made again stays"
    assert requests.share_gone("oslo", "2026-10", SINCE) == 0.5
    assert requests.share_gone("oslo", "2026-10", later) == 0
    state.rename_portal("oslo", "bergen")
    assert ({one.portal for one in requests.all()}, requests.lost_at()) == ({"bergen"}, None)
    requests.settle([(replace(october, portal="bergen"), ("b",)), (replace(september, portal="bergen"), ())])
    assert requests.all() == [replace(october, portal="bergen", endpoints=("b",))]
    state.forget_portal("bergen")
    assert requests.all() == []


def test_marks_of_an_older_version(tmp_path: Path) -> None:
    old_mark(tmp_path, "oslo", "2026-10", "a", "b", at=SINCE.isoformat())
    requests = State(tmp_path).refresh_requests
    assert requests.all("oslo") == [
        RefreshRequest(portal="oslo", month="2026-10", endpoints=("a", "b"), requested_at=SINCE, share_gone=0.25)
    ]
    assert not (tmp_path / "changed").exists()
    assert requests.lost_at() is None
    old_mark(tmp_path / "other", "oslo", "2026-10", at=SINCE.isoformat()).write_text("{")
    assert State(tmp_path / "other").refresh_requests.lost_at() is not None


@pytest.mark.processes
def test_upgrade_killed_anywhere_is_finished(tmp_path: Path) -> None:
    code = "from pathlib import Path\nfrom planday_io.state import State\nState(Path(sys.argv[1])).failures.of('oslo')"
    at, ended = 0, KILLED
    while ended == KILLED:
        at += 1
        folder = tmp_path / str(at)
        old_failures(folder, "oslo", "hr.skills")
        ended = killed(code, folder, at, str(folder))
        assert tables_of(State(folder)) == ["hr.skills"]
        assert left(folder) == []
    assert at > 3


def test_ids_are_shared_for_an_hour(tmp_path: Path) -> None:
    shared, table = State(tmp_path).shared_ids, "hr.departments"
    shared.share("night", "oslo", table, [3, 1], SINCE)
    shared.share("night", "london", table, [2], SINCE)
    assert shared.find("night", "oslo", table, SINCE + timedelta(minutes=59)) == (3, 1)
    assert shared.find("night", "oslo", table, SINCE + timedelta(minutes=60)) is None
    assert shared.find("other", "oslo", table, SINCE) is None
    assert shared.find("night", "oslo", "hr.skills", SINCE) is None
    shared.share("other", "oslo", table, [4], SINCE + timedelta(hours=1))
    assert shared.find("night", "london", table, SINCE) is None, "what is too old was removed"
    shared.share("other", "oslo", table, [], SINCE + timedelta(hours=1))
    assert shared.find("other", "oslo", table, SINCE + timedelta(hours=1)) == ()


def test_shared_ids_go_with_their_portal(tmp_path: Path) -> None:
    state, table = State(tmp_path), "hr.departments"
    for portal in ("oslo", "london", "bergen"):
        state.shared_ids.share("night", portal, table, [1], SINCE)
    state.rename_portal("oslo", "london")
    state.forget_portal("bergen")
    found = [state.shared_ids.find("night", portal, table, SINCE) for portal in ("oslo", "london", "bergen")]
    assert found == [None, None, None]


def test_renaming_moves_and_forgetting_removes(tmp_path: Path) -> None:
    state = State(tmp_path)
    state.failures.record([failure(), failure("bergen", "hr.employees", "identity"), failure("london")])
    for _ in range(2):
        state.rename_portal("oslo", "bergen")
        assert state.failures.of("oslo") == []
        assert tables_of(state, "bergen") == ["hr.skills"], "that the new key was refused is over"
    state.forget_portal("bergen")
    assert (tables_of(state, "bergen"), tables_of(state, "london")) == ([], ["hr.skills"])


def test_renaming_replaces_only_rows_of_equal_keys(tmp_path: Path) -> None:
    state, later = State(tmp_path), SINCE + timedelta(hours=1)
    state.failures.record([failure(), failure("bergen"), failure("bergen", "hr.employees")])
    state.refresh_requests.add("bergen", {"2026-09": ["a"], "2026-10": ["a"]}, {}, SINCE)
    state.refresh_requests.add("oslo", {"2026-10": ["b"]}, {}, later)
    state.rename_portal("oslo", "bergen")
    assert tables_of(state, "bergen") == ["hr.employees", "hr.skills"]
    found = [(one.month, one.endpoints, one.requested_at) for one in state.refresh_requests.all()]
    assert found == [("2026-09", ("a",), SINCE), ("2026-10", ("b",), later)]


def test_copies_of_lists_of_an_older_version(tmp_path: Path) -> None:
    old_forgotten(tmp_path, "oslo", b'{"salt": "00ff", "people": [-3, -2]}')
    old_forgotten(tmp_path, "london", b'{"salt": "00ff", "people": ["x"]}')
    state = State(tmp_path)
    assert state.forgotten.all() == {"oslo": ForgottenCopy(portal="oslo", salt="00ff", pseudonyms=frozenset({-2, -3}))}
    assert [file.name.partition(".damaged-")[0] for file in state.files_set_aside()] == ["london.json"]
    state.rename_portal("oslo", "bergen")
    state.portals.record("bergen", 4711)
    state.rename_portal("bergen", "oslo")
    assert [*state.forgotten.all(), *state.portals.ids()] == ["oslo", "oslo"]
    state.forget_portal("oslo")
    assert not state.forgotten.all()
    assert not state.portals.ids()
