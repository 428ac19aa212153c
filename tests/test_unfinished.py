"""Commands of several steps that are cut: owed until they are done, and finished by running them again."""

from __future__ import annotations

import json
import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest
from filelock import FileLock
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from pipelines.cli.arguments import terminal
from pipelines.cli.forget import forget_portal as forget_portal_command
from planday_io.errors import PlandayError, StorageError, TokenError
from planday_io.lake.forgotten import ForgottenPeople
from planday_io.monitoring.notifier import Notifier
from planday_io.onboarding.authorize import revoke
from planday_io.privacy.erasure import forget_person, forget_portal, remember_person
from planday_io.state import REBUILD, Incident, State
from planday_io.state.state_database import database_file
from tests.support.commands import planday_command
from tests.support.cutting import KILLED, counting, failing, killed
from tests.support.damage import DAMAGE
from tests.support.folders import copy_of
from tests.support.installation import Hook, Installation
from tests.support.old_state import old_command

pytestmark = pytest.mark.processes

TABLES = ("hr.departments", "hr.employees")

SINCE = datetime(2026, 11, 1, tzinfo=UTC)


@pytest.fixture
def planday(planday: Installation) -> Installation:
    """With a state database: its making is cut elsewhere (`test_upgrade_cut_anywhere_is_finished`)."""
    with planday.state.commands.carry_out("planday demo"):
        pass
    return planday


@pytest.fixture
def installed(planday: Installation) -> Installation:
    for table in TABLES:
        planday.refresh(table)
        planday.refresh(table, portal="london")
    planday.publish()
    return planday


def a_person(planday: Installation) -> int:
    return int(planday.rows("hr.employees")[0]["id"])


def owed(planday: Installation) -> list[str]:
    return [entry.command for entry in planday.state.commands.unfinished()]


def incidents(planday: Installation) -> list[Incident]:
    found = Notifier(planday.installation).evaluate(datetime.now(UTC))
    return [one for one in found if one.cause == "unfinished"]


def rows_of(planday: Installation, person: int) -> int:
    """In the lake and in the warehouse."""
    kept = sum(row["id"] == person for row in planday.rows("hr.employees") + planday.rows("hr.employees_history"))
    return kept + int(planday.query(f"SELECT count(*) FROM hr.employees WHERE portal = 'oslo' AND id = {person}")[0][0])


def test_forgetting_cut_anywhere_stays_owed(installed: Installation) -> None:
    person = a_person(installed)
    command = f"planday forget --portal oslo --employee {person}"
    uncut = copy_of(installed)
    with counting(uncut.folder) as whole:
        forget_person(uncut.installation, "oslo", person)
    assert rows_of(uncut, person) == 0
    for at in (2, whole.count // 2):
        planday = copy_of(installed)
        with counting(planday.folder, at=at), pytest.raises(StorageError):
            forget_person(planday.installation, "oslo", person)
        assert owed(planday) == [command]
        (told,) = incidents(planday)
        assert told.portal == "oslo"
        assert str(person) not in f"{told}", "what alerts send leaves the machine"
        forget_person(planday.installation, "oslo", person)
        assert not owed(planday)
        assert not incidents(planday)
        assert rows_of(planday, person) == 0
        for table in TABLES:
            assert planday.rows(table) == uncut.rows(table)
            assert planday.rows(f"{table}_history") == uncut.rows(f"{table}_history")


def test_undoing_cut_anywhere_stays_owed(installed: Installation) -> None:
    person = a_person(installed)
    forget_person(installed.installation, "oslo", person)
    for at in (3,):
        planday = copy_of(installed)
        with counting(planday.folder, at=at), pytest.raises(StorageError):
            remember_person(planday.installation, "oslo", person)
        assert owed(planday) == [f"planday forget --portal oslo --employee {person} --undo"]
        assert remember_person(planday.installation, "oslo", person)
        assert not owed(planday)


def test_undo_ends_a_forget_that_was_cut(installed: Installation) -> None:
    planday, person = installed, a_person(installed)
    with counting(planday.folder, at=4), pytest.raises(StorageError):
        forget_person(planday.installation, "oslo", person)
    assert owed(planday)
    remember_person(planday.installation, "oslo", person)
    assert not owed(planday)


def test_forgetting_a_portal_cut_anywhere(installed: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    uncut = copy_of(installed)
    with counting(uncut.folder) as whole:
        forget_portal(uncut.installation, "oslo")
    # The last changes are the end of a folder of second names, which may stay, and of the note itself.
    for at in (whole.count - 3,):
        planday = copy_of(installed)
        with counting(planday.folder, at=at), pytest.raises(StorageError):
            forget_portal(planday.installation, "oslo")
        assert owed(planday) == ["planday forget --portal oslo"]
        # An operator takes a portal out of the file first, and its last slice may be gone already.
        planday.edit_config("  oslo:", "  renamed:")
        (told,) = incidents(planday)
        assert told.portal == "-installation"
        monkeypatch.setenv("DAGSTER_HOME", str(planday.folder))
        monkeypatch.chdir(planday.folder)
        assert forget_portal_command(planday.installation, "oslo", terminal(), as_json=True) == 0
        assert not owed(planday)
        assert not [key for key in planday.lake.slices() if key.portal == "oslo"]
        assert planday.query("SELECT DISTINCT portal FROM hr.employees") == [("london",)]


def test_forgetting_a_portal_ends_its_commands(installed: Installation) -> None:
    planday, person = installed, a_person(installed)
    for portal in ("oslo", "london"):
        with counting(planday.folder, at=4), pytest.raises(StorageError):
            forget_person(planday.installation, portal, person)
    forget_portal(planday.installation, "oslo")
    assert owed(planday) == [f"planday forget --portal london --employee {person}"]


@pytest.mark.parametrize("unknown", [200, 400])
def test_revoking_cut_after_the_server_did_it(planday: Installation, unknown: int) -> None:
    """RFC 7009 answers 200 to a token that is unknown by now; a server may say 400 as well."""
    token = planday.folder / "tokens/oslo.txt"
    with failing(token), pytest.raises(PlandayError):
        revoke(planday.installation, "oslo")
    assert owed(planday) == ["planday revoke oslo"]
    if unknown == 400:

        async def refuse(_: Request) -> Response:
            return Response(status_code=400)

        planday.serve(Route("/connect/revocation", refuse, methods=["POST"]))
    revoke(planday.installation, "oslo")
    assert not owed(planday)
    assert not token.exists()


def test_a_refused_revocation_owes_nothing(planday: Installation) -> None:
    async def refuse(_: Request) -> Response:
        return Response(status_code=404)

    planday.serve(Route("/connect/revocation", refuse, methods=["POST"]))
    with pytest.raises(TokenError):
        revoke(planday.installation, "oslo")
    assert not owed(planday)


def test_a_note_holds_no_more_than_needed(installed: Installation) -> None:
    planday, person = installed, a_person(installed)
    with counting(planday.folder, at=6), pytest.raises(StorageError):
        forget_person(planday.installation, "oslo", person)
    (entry,) = planday.state.commands.unfinished()
    assert entry.portals == ("oslo",)
    names = [path.name for path in planday.state.folder.rglob("*")]
    assert not [name for name in names if str(person) in name], "a name could be tried for ids"
    forget_person(planday.installation, "oslo", person)
    assert planday.state_files_with(f"--employee {person}") == []


def test_a_running_command_is_not_owed(planday: Installation) -> None:
    journal = planday.state.commands
    with journal.carry_out("planday publish --rebuild"):
        assert not owed(planday)
        assert not incidents(planday)


def test_lost_commands_are_an_incident(planday: Installation) -> None:
    commands = planday.state.commands
    with pytest.raises(RuntimeError), commands.carry_out(REBUILD):
        raise RuntimeError
    assert owed(planday) == [REBUILD]
    DAMAGE["cut"](database_file(planday.config.state))
    assert owed(planday) == []
    found = Notifier(planday.installation).evaluate(datetime.now(UTC))
    (told,) = [one for one in found if one.cause == "state"]
    assert "run it again" in told.error
    with commands.carry_out(REBUILD):
        pass


def test_commands_of_an_older_version(tmp_path: Path) -> None:
    old_command(tmp_path, REBUILD, SINCE.isoformat())
    (entry,) = State(tmp_path).commands.unfinished()
    assert (entry.command, entry.since) == (REBUILD, SINCE)
    assert not (tmp_path / "unfinished").exists()
    with State(tmp_path).commands.carry_out(REBUILD) as work:
        assert work.is_resumed
    assert State(tmp_path).commands.unfinished() == []
    file = old_command(tmp_path, REBUILD, SINCE.isoformat())
    with FileLock(file.with_suffix(".lock")):
        assert State(tmp_path).commands.unfinished() == [], "the process of the older version is running it"
        assert file.exists()


def test_the_same_command_waits(tmp_path: Path) -> None:
    commands, order = State(tmp_path).commands, list[str]()

    def second() -> None:
        with State(tmp_path).commands.carry_out(REBUILD) as work:
            order.append(f"second, resumed: {work.is_resumed}")

    thread = threading.Thread(target=second)
    with commands.carry_out(REBUILD) as work:
        work.reach("half")
        thread.start()
        order.append("first")
    thread.join()
    assert order == ["first", "second, resumed: False"]
    assert commands.unfinished() == []


def test_alerts_report_an_unfinished_command(installed: Installation, hook: Hook) -> None:
    planday, person = installed, a_person(installed)
    with counting(planday.folder, at=6), pytest.raises(StorageError):
        forget_person(planday.installation, "oslo", person)
    now = datetime.now(UTC)
    Notifier(planday.installation).notify(now)
    (told,) = [one for one in hook.take() if one["incidents"][0]["cause"] == "unfinished"]
    assert str(person) not in json.dumps(told)
    forget_person(planday.installation, "oslo", person)
    Notifier(planday.installation).notify(now)
    assert [one["event"] for one in hook.take() if one["incidents"][0]["cause"] == "unfinished"] == ["recovered"]


def test_a_killed_forget_is_finished_by_the_same(installed: Installation) -> None:
    planday, person = installed, a_person(installed)
    code = (
        "from pathlib import Path\nfrom planday_io.catalogue import CATALOGUE\n"
        "from planday_io.lake.installation import Installation\n"
        "from planday_io.privacy.erasure import forget_person\n"
        f"forget_person(Installation.load(Path({str(planday.config_path)!r}), CATALOGUE), 'oslo', {person})"
    )
    command = f"planday forget --portal oslo --employee {person}"
    for at in (2, 8):
        assert killed(code, planday.folder, at) == KILLED
        assert owed(planday) == [command]
    status = planday_command(planday, "status")
    assert status.returncode == 1
    assert f"run `{command}` again" in status.stdout
    done = planday_command(planday, *command.split()[1:], "--yes")
    # The exit code is 1 where a namesake at the other portal keeps the name.
    assert "rows removed" in done.stdout, done.stderr
    assert "/oslo/" not in done.stdout
    assert not owed(planday)
    assert rows_of(planday, person) == 0
    assert ForgottenPeople(planday.config.lake, planday.state).of("oslo").pseudonyms
    assert json.loads(planday_command(planday, "status", "--json").stdout)["unfinished"] == []


def test_a_failed_rebuild_is_owed(installed: Installation) -> None:
    planday = installed
    folder = Path(planday.config.warehouse.parent)
    with (
        counting(folder, at=2),
        pytest.raises(StorageError),
        planday.state.commands.carry_out(REBUILD),
    ):
        planday.publish(rebuild=True)
    assert owed(planday) == [REBUILD]
    assert planday_command(planday, "publish", "--rebuild").returncode == 0
    assert not owed(planday)
