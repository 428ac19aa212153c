"""Deliveries: which days, what may be delivered to whom, and what people receive."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path
from typing import Any

import duckdb
import pytest
import yaml

from planday_io.delivery.attempts import settle
from planday_io.delivery.checking import delivery_findings
from planday_io.delivery.making import deliver, faults, obstacles
from planday_io.errors import ConfigError, ExportError, RefusedMessageError, StorageError
from planday_io.months import first_day, last_day, month_of, shifted
from planday_io.sandbox.limits import Limits
from planday_io.sandbox.serve import served
from planday_io.sandbox.state import demo_sandbox
from planday_io.sandbox.world import demo_portals
from planday_io.warehouse.inspection import ADDITIVE
from tests.support.commands import planday_command
from tests.support.inbox import Inbox, mail_server
from tests.support.installation import EVERYTHING, FAST, Installation
from tests.support.workbooks import first_sheet, opened, rows_of, seen

ROOT = Path(__file__).parents[1]
MONTH = shifted(month_of(datetime.now(UTC).date()), -1)
DUE = datetime(int(MONTH[:4]), int(MONTH[5:]), 15, 3, tzinfo=UTC) + timedelta(days=31)
"""An instant of the month after, so that `last month` is the month that was read."""
ANNA = "anna.secret@example.com"


LISTS = ("hr.departments", "hr.employees")


@pytest.fixture(scope="module")
def read(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """Two portals with the same ids, read for a month."""
    sandbox = demo_sandbox(limits=Limits(FAST, FAST), portals=demo_portals(people=(6, 4, 3)))
    with served(sandbox) as address:
        made = Installation(tmp_path_factory.mktemp("deliveries"), sandbox, address, resources=EVERYTHING)
        for portal in ("oslo", "london"):
            for table in LISTS:
                made.refresh(table, portal)
            made.refresh("scheduling.shifts", portal, month=MONTH)
        made.publish()
        yield made


@pytest.fixture
def planday(read: Installation) -> Iterator[Installation]:
    text = read.config_path.read_text()
    yield read
    read.config_path.write_text(text)
    for file in read.folder.glob("*.sql"):
        file.unlink()


@pytest.fixture
def inbox(planday: Installation) -> Iterator[Inbox]:
    with mail_server(planday) as made:
        yield made


def configure(planday: Installation, tmp_path: Path, **settings: Any) -> Path:
    """One delivery named rosters, to a folder of the test. Returns the folder."""
    folder = tmp_path / "exports"
    given = {"portals": ["oslo"], "days": "last month", "to": str(folder), **settings}
    kept = {key: value for key, value in given.items() if value is not None}
    planday.edit_config("defaults:", f"deliver: {{rosters: {json.dumps(kept)}}}\ndefaults:")
    return folder


def departments(planday: Installation) -> list[int]:
    return [one for (one,) in planday.query("SELECT DISTINCT department_id FROM marts.shifts WHERE portal = 'oslo'")]


def test_folder_gets_the_chosen_rows_only(planday: Installation, tmp_path: Path) -> None:
    chosen = sorted(departments(planday))[:1]
    folder = configure(planday, tmp_path, marts=["shifts"], departments=chosen)
    done = deliver(planday.installation, "rosters", DUE)
    file = folder / f"rosters {MONTH}.xlsx"
    assert [*folder.iterdir()] == [file] == [done.made]
    asked = planday.query(
        f"SELECT shift_id, employee_id FROM marts.shifts WHERE portal = 'oslo' AND department_id = {chosen[0]} "
        f"AND date BETWEEN '{first_day(MONTH)}' AND '{last_day(MONTH)}'"
    )
    assert asked
    sheet = opened(file)["shifts"]
    names = [cell.value for cell in sheet[1]]
    found = [
        (row[names.index("shift_id")], row[names.index("employee_id")])
        for row in rows_of(sheet, totals="shifts" in ADDITIVE)
    ]
    assert sorted(found, key=str) == sorted((tuple(map(seen, row)) for row in asked), key=str)


def test_query_is_filtered_like_a_mart(planday: Installation, tmp_path: Path) -> None:
    (planday.folder / "q.sql").write_text(
        "SELECT portal, department_id, count(*) AS shifts FROM marts.shifts WHERE date BETWEEN $from_date AND $to_date "
        "GROUP BY ALL"
    )
    chosen = sorted(departments(planday))[:2]
    folder = configure(planday, tmp_path, sql=["q.sql"], departments=chosen)
    deliver(planday.installation, "rosters", DUE)
    found = rows_of(opened(folder / f"rosters {MONTH}.xlsx")["q"])
    assert {row[:2] for row in found} == {("oslo", float(one)) for one in chosen}


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"marts": ["employees"], "departments": [1]}, "deliver.rosters.marts[0]: found 'employees'"),
        ({"sql": ["gone.sql"]}, "deliver.rosters.sql[0]"),
        ({"sql": ["two.sql"]}, "two.sql has to hold one SELECT"),
        ({"sql": ["from.sql"], "days": "all"}, "`days` other than all, because it uses $from_date"),
    ],
)
def test_faults_name_line_and_key(planday: Installation, tmp_path: Path, settings: dict[str, Any], says: str) -> None:
    (planday.folder / "two.sql").write_text("SELECT 1; SELECT 2")
    (planday.folder / "from.sql").write_text("SELECT portal FROM marts.shifts WHERE date > $from_date")
    folder = configure(planday, tmp_path, **settings)
    (text,) = faults(planday.installation, "rosters")
    assert text.startswith("portals.yaml, line ")
    assert says in text
    with pytest.raises(ConfigError):
        deliver(planday.installation, "rosters", DUE)
    assert not folder.exists()


@pytest.mark.parametrize("column", ["portal", "department_id"])
def test_query_without_the_column_is_refused(planday: Installation, tmp_path: Path, column: str) -> None:
    kept = ", ".join({"portal", "department_id", "employee"} - {column})
    (planday.folder / "q.sql").write_text(f"SELECT {kept} FROM marts.shifts")
    folder = configure(planday, tmp_path, sql=["q.sql"], departments=[1])
    with pytest.raises(ExportError, match=f"q.sql has no column `{column}`.*never delivered whole"):
        deliver(planday.installation, "rosters", DUE)
    assert not [*folder.iterdir()]


@pytest.mark.processes
def test_same_days_replace_the_file(planday: Installation, tmp_path: Path) -> None:
    folder = configure(planday, tmp_path, marts=["shifts"])
    deliver(planday.installation, "rosters", DUE)
    deliver(planday.installation, "rosters", DUE + timedelta(days=1), remarks=["oslo: 1 of 2 runs failed"])
    (file,) = folder.iterdir()
    assert "NOT COMPLETE: oslo: 1 of 2 runs failed." in first_sheet(file)
    assert "Everything that these figures" not in first_sheet(file)


def test_folder_of_a_missing_disk_is_refused(planday: Installation, tmp_path: Path) -> None:
    configure(planday, tmp_path, marts=["shifts"], to=str(tmp_path / "mount/exports"))
    for sends in (True, False):
        with pytest.raises(StorageError, match=r"there is no folder .*/mount that .*the disk is mounted"):
            deliver(planday.installation, "rosters", DUE, sends=sends)
    (found,) = delivery_findings(planday.installation, ["oslo"], DUE)
    assert (found.is_good, "Make it" in found.detail) == (False, True)
    assert not (tmp_path / "mount").exists()


def test_mail_has_the_workbook_and_what_is_missing(planday: Installation, tmp_path: Path, inbox: Inbox) -> None:
    configure(planday, tmp_path, marts=["shifts"], mail=[ANNA, "bo@example.com"], to=None)
    done = deliver(planday.installation, "rosters", DUE, remarks=["oslo: 1 of 2 runs failed"])
    assert (done.mailed, done.is_kept) == (2, False)
    (message,) = inbox.messages
    assert message["Subject"] == f"rosters {MONTH}: NOT COMPLETE"
    assert message["To"] == f"{ANNA}, bo@example.com"
    body, attachment = message.iter_parts()
    text = body.get_content()
    assert text.splitlines()[0].startswith("NOT COMPLETE: oslo lists, ")
    assert f"oslo {MONTH}" in text.splitlines()[0]
    assert "- oslo: 1 of 2 runs failed" in text
    assert attachment.get_filename() == f"rosters {MONTH}.xlsx"
    file = tmp_path / "got.xlsx"
    file.write_bytes(attachment.get_content())
    assert len(rows_of(opened(file)["shifts"], totals="shifts" in ADDITIVE)) == done.rows > 0
    assert not [*planday.state.outbox.iterdir()], "nothing of it stays"
    assert not planday.state_files_with(ANNA)


@pytest.mark.processes
def test_mail_names_portals_that_were_removed(planday: Installation, tmp_path: Path, inbox: Inbox) -> None:
    configure(planday, tmp_path, marts=["shifts"], portals=None, timezone="Europe/Oslo", mail=[ANNA], to=None)
    config = yaml.safe_load(planday.config_path.read_text())
    del config["portals"]["london"]
    planday.config_path.write_text(yaml.safe_dump(config))
    deliver(planday.installation, "rosters", DUE)
    body, _ = inbox.messages[0].iter_parts()
    assert "Portals: copenhagen, london, oslo. Filter: " in body.get_content()


@pytest.mark.processes
def test_csv_is_mailed_in_one_file(planday: Installation, tmp_path: Path, inbox: Inbox) -> None:
    settings = {"format": "csv", "locale": "nb", "to": None}
    configure(planday, tmp_path, marts=["shifts", "employees"], mail=[ANNA], **settings)
    deliver(planday.installation, "rosters", DUE)
    (attachment,) = inbox.messages[0].iter_attachments()
    assert attachment.get_filename() == f"rosters {MONTH}.zip"
    with zipfile.ZipFile(BytesIO(attachment.get_content())) as packed:
        assert packed.namelist() == ["employees.csv", "how_complete.csv", "shifts.csv"]
        assert packed.read("shifts.csv").decode("utf-8-sig").startswith("portal;")


@pytest.mark.processes
def test_parquet_keeps_one_place(planday: Installation, tmp_path: Path) -> None:
    folder = configure(planday, tmp_path, marts=["shifts"], format="parquet")
    deliver(planday.installation, "rosters", DUE + timedelta(days=31))
    done = deliver(planday.installation, "rosters", DUE, remarks=["oslo: 1 of 2 runs failed"])
    assert done.sheets == (("marts.shifts", done.rows),)
    found = duckdb.sql(f"SELECT portal, month, count(*) FROM '{folder}/rosters/marts/shifts/**/*.parquet' GROUP BY ALL")
    assert found.fetchall() == [("oslo", MONTH, done.rows)]
    manifest = json.loads((folder / "rosters/_manifest.json").read_text())
    assert (manifest["is_complete"], manifest["warnings"]) == (False, ["oslo: 1 of 2 runs failed"])


@pytest.mark.processes
def test_parquet_without_marts_holds_all(planday: Installation, tmp_path: Path) -> None:
    folder = configure(planday, tmp_path, portals=None, timezone="Europe/Oslo", format="parquet", days="all")
    done = deliver(planday.installation, "rosters", DUE, sends=False)
    assert {"hr.employees", "marts.labour_daily", "sync.slices"} <= {name for name, _ in done.sheets}
    assert not folder.exists()


@pytest.mark.processes
def test_parquet_that_cannot_be_filtered_is_refused(planday: Installation, tmp_path: Path) -> None:
    (planday.folder / "q.sql").write_text("SELECT portal, employee FROM marts.shifts")
    folder = configure(planday, tmp_path, sql=["q.sql"], departments=[1], format="parquet")
    with pytest.raises(ExportError, match="never delivered whole"):
        deliver(planday.installation, "rosters", DUE)
    assert not [*folder.iterdir()]


@pytest.mark.processes
def test_large_file_is_named_not_mailed(planday: Installation, tmp_path: Path, inbox: Inbox) -> None:
    folder = configure(planday, tmp_path, marts=["shifts"], mail=[ANNA])
    done = deliver(planday.installation, "rosters", DUE, most_bytes=1000)
    assert (done.mailed, done.is_attached) == (1, False)
    (message,) = inbox.messages
    assert not [*message.iter_attachments()]
    assert f"{folder / f'rosters {MONTH}.xlsx'} (too large to attach)" in message.get_content()


@pytest.mark.processes
def test_large_file_without_a_folder_is_refused(planday: Installation, tmp_path: Path, inbox: Inbox) -> None:
    configure(planday, tmp_path, marts=["shifts"], mail=[ANNA], to=None)
    with pytest.raises(ExportError, match="Give it a folder"):
        deliver(planday.installation, "rosters", DUE, most_bytes=1000)
    assert not inbox.messages


@pytest.mark.processes
def test_refused_recipient_is_an_incident(planday: Installation, tmp_path: Path, inbox: Inbox) -> None:
    inbox.refuses = {ANNA}
    configure(planday, tmp_path, marts=["shifts"], mail=[ANNA, "bo@example.com"])
    done = deliver(planday.installation, "rosters", DUE)
    settle(planday.installation, done, DUE)
    (failure,) = planday.state.failures.of("-installation")
    assert failure.error == "the mail server refused 1 of 2 recipients"
    inbox.refuses = set()
    settle(planday.installation, deliver(planday.installation, "rosters", DUE), DUE)
    assert not planday.state.failures.of("-installation")


@pytest.mark.processes
def test_refused_mail_says_no_address(planday: Installation, tmp_path: Path, inbox: Inbox) -> None:
    inbox.status = "552 too large"
    configure(planday, tmp_path, marts=["shifts"], mail=[ANNA])
    with pytest.raises(RefusedMessageError) as caught:
        deliver(planday.installation, "rosters", DUE)
    assert ANNA not in str(caught.value)


@pytest.mark.processes
def test_trial_leaves_nothing(planday: Installation, tmp_path: Path, inbox: Inbox) -> None:
    folder = configure(planday, tmp_path, marts=["shifts"], mail=[ANNA])
    done = deliver(planday.installation, "rosters", DUE, sends=False)
    assert done.rows > 0
    assert not folder.exists()
    assert not inbox.messages
    assert not [*planday.state.outbox.iterdir()]


@pytest.mark.parametrize(
    ("sql", "says"),
    [
        ("SELECT portl FROM marts.shifts", "portl"),
        ("SELECT portal FROM marts.shift", "marts.shift"),
        ("SELECT 1 AS portl", "no column `portal`"),
        ("SELECT portal FROM marts.shifts", ""),
    ],
)
def test_query_without_an_answer_is_found_beforehand(
    planday: Installation, tmp_path: Path, sql: str, says: str
) -> None:
    (tmp_path / "asked.sql").write_text(sql)
    configure(planday, tmp_path, sql=[str(tmp_path / "asked.sql")])
    assert not faults(planday.installation, "rosters")
    found = obstacles(planday.installation, "rosters", DUE)
    assert len(found) == bool(says)
    assert not says or ("deliver.rosters.sql[0]" in found[0] and says in found[0]), found


def test_two_at_once_are_refused(planday: Installation, tmp_path: Path) -> None:
    folder = configure(planday, tmp_path, marts=["shifts"])
    lease = planday.state.locks.take("deliver-rosters")
    assert lease is not None
    with lease, pytest.raises(StorageError, match="being made by another process"):
        deliver(planday.installation, "rosters", DUE)
    assert not folder.exists()


@pytest.mark.processes
def test_refused_recipient_keeps_no_delivery_back(planday: Installation, tmp_path: Path, inbox: Inbox) -> None:
    inbox.refuses = {ANNA}
    folder = configure(planday, tmp_path, marts=["shifts"], mail=[ANNA, "bo@example.com"])
    planday.edit_config(
        "deliver: {",
        f"deliver: {{others: {{marts: [hours], days: last month, portals: [oslo], to: {tmp_path / 'others'}}}, ",
    )
    done = planday_command(planday, "deliver", "rosters", "others", "--yes")
    assert (done.returncode, "refused 1 recipients" in done.stderr) == (1, True)
    assert [*folder.iterdir()]
    assert [*(tmp_path / "others").iterdir()]


@pytest.mark.processes
def test_command_lists_tries_and_delivers(planday: Installation, tmp_path: Path, inbox: Inbox) -> None:
    folder = configure(planday, tmp_path, marts=["shifts"], mail=[ANNA], after="nightly", locale="nb", format="csv")
    listed = planday_command(planday, "deliver")
    assert listed.returncode == 0, listed.stderr
    assert "rosters" in listed.stdout
    tried = planday_command(planday, "deliver", "--dry-run")
    assert tried.returncode == 0, tried.stderr
    assert "would be delivered" in tried.stdout
    assert not folder.exists()
    assert not inbox.messages
    done = planday_command(planday, "deliver", "rosters")
    assert done.returncode == 0, done.stderr
    assert "mailed to 1 person" in done.stdout
    assert "NOT COMPLETE" in done.stdout
    assert len(inbox.messages) == 1
    checked = planday_command(planday, "check", "oslo", "--json")
    (finding,) = [one for one in json.loads(checked.stdout)["findings"] if one["subject"] == "deliver.rosters"]
    assert "shifts of portals oslo, last month (today: " in finding["detail"]
    assert "never, because schedule nightly is switched off" in finding["detail"]
    assert "anna" not in "".join(one.stdout + one.stderr for one in (listed, tried, done, checked))
    unknown = planday_command(planday, "deliver", "roster")
    assert (unknown.returncode, "did you mean 'rosters'?" in unknown.stderr) == (2, True)
    planday.edit_config('"marts": ["shifts"]', '"sql": ["gone.sql"]')
    wrong = planday_command(planday, "deliver", "rosters")
    assert (wrong.returncode, "deliver.rosters.sql[0]" in wrong.stderr) == (2, True)
    assert planday_command(planday, "deliver").returncode == 1
