"""Publication: what it shows, what it leaves alone, and that nobody ever sees half of it."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import threading
from pathlib import Path

import duckdb
import pytest

from planday_io.errors import PublicationError, StorageError
from planday_io.warehouse.place import headers_of
from tests.support.commands import PLANDAY, environment
from tests.support.installation import Installation, Make


def content(planday: Installation) -> dict[str, list[tuple[object, ...]]]:
    tables = planday.query("SELECT schema_name || '.' || table_name FROM duckdb_tables() ORDER BY 1")
    return planday.queries({name: f"SELECT t::VARCHAR FROM {name} AS t ORDER BY 1" for (name,) in tables})


@pytest.mark.processes
def test_rebuild_gives_the_same_content(planday: Installation) -> None:
    for portal in ("oslo", "london"):
        for table in ("hr.departments", "hr.employees", "hr.skills"):
            planday.refresh(table, portal)
        planday.publish()
    before = content(planday)
    assert planday.publish(rebuild=True).is_rebuild
    assert content(planday) == before


def test_only_what_changed_is_published(planday: Installation) -> None:
    planday.refresh("hr.departments")
    planday.refresh("hr.skills")
    assert planday.publish().slices == 4, "two tables and their histories"
    planday.refresh("hr.skills")
    assert planday.publish().slices == 1
    assert planday.publish().slices == 0


def test_table_of_another_version_is_no_obstacle(planday: Installation) -> None:
    """One that this version does not know, with rows that were left out in favour of another month."""
    planday.refresh("hr.departments")
    planday.publish()
    with duckdb.connect(str(planday.config.warehouse)) as db:
        unknown = "'hr.gone' AS table_name, '2026-10' AS month, 3 AS elsewhere"
        db.execute(f"INSERT INTO sync.slices BY NAME SELECT * REPLACE ({unknown}) FROM sync.slices")
    planday.state.files.note_warehouse([headers_of(planday.config.warehouse)])
    planday.refresh("hr.departments")
    done = planday.publish()
    assert [key.full_name for key in done.changed] == ["hr.departments"]
    assert not done.is_rebuild


def test_tables_explain_themselves_and_open_in_older_format(planday: Installation) -> None:
    planday.refresh("hr.employees")
    planday.publish()
    assert planday.query(
        "SELECT comment FROM duckdb_columns() WHERE schema_name = 'hr' AND table_name = 'employees' AND column_name = 'zip'"
    ) == [("Postal code.",)]
    assert planday.query(
        "SELECT tags['storage_version'] LIKE 'v1.2%' FROM duckdb_databases() WHERE database_name = 'warehouse'"
    ) == [(True,)]
    assert not list(planday.folder.glob("*.wal"))


def test_hostile_texts_arrive_as_they_are(make: Make) -> None:
    planday = make(people=(3, 3, 12))
    planday.refresh("hr.employees", "london")
    planday.publish()
    names = {name for (name,) in planday.query("SELECT last_name FROM hr.employees")}
    assert {"'; DROP TABLE employees; --", "Renée 🦊", "", "NULL", "a\nb"} <= names
    assert planday.query("SELECT salary_identifier FROM hr.employees WHERE salary_identifier = '00123'") == [("00123",)]


def test_publishing_does_not_wait_for_readers(planday: Installation) -> None:
    planday.refresh("hr.departments")
    planday.publish()
    with duckdb.connect(str(planday.config.warehouse), read_only=True) as reader:
        planday.refresh("hr.departments", "london")
        planday.publish()
        assert reader.execute("SELECT count(*) FROM hr.departments").fetchone() == (2,)
    assert planday.query("SELECT count(*) FROM hr.departments") == [(4,)]


def test_a_damaged_warehouse_says_what_to_do(planday: Installation) -> None:
    planday.refresh("hr.departments")
    planday.publish()
    planday.config.warehouse.write_bytes(b"not a database")
    planday.refresh("hr.departments")
    with pytest.raises(PublicationError, match="--rebuild"):
        planday.publish()
    assert planday.config.warehouse.read_bytes() == b"not a database"
    planday.publish(rebuild=True)
    assert planday.query("SELECT count(*) FROM hr.departments") == [(2,)]


def test_full_disk_leaves_slice_and_warehouse(planday: Installation, tmp_path: Path) -> None:
    """A file-size limit of the child process stands for the disk: writes fail in the middle as they do there."""
    planday.refresh("hr.employees")
    planday.publish()
    slice_before = planday.bytes_of("hr.employees")
    warehouse_before = planday.config.warehouse.read_bytes()
    limited = "import sys; from tests.support.children import refresh_limited; refresh_limited(sys.argv[1])"
    done = subprocess.run(
        [sys.executable, "-c", limited, str(planday.config_path)],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[1],
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert "cannot write the slice" in done.stdout
    assert "What was there before is untouched" in done.stdout
    assert planday.bytes_of("hr.employees") == slice_before
    assert planday.config.warehouse.read_bytes() == warehouse_before
    assert not list(planday.config.lake.rglob("*.tmp-*"))


def test_a_full_disk_has_its_own_words() -> None:
    from planday_io.files import storage_errors

    with pytest.raises(StorageError, match="The disk is full: free some space"), storage_errors(Path("x"), "write"):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.processes
def test_twelve_processes_share_fresh_folder(make: Make) -> None:
    """Twelve partitions in twelve processes, one budget; a reader connects and queries all the while."""
    planday = make(people=(5, 5, 5))
    text = planday.config_path.read_text()
    head, _, tail = text.partition("  oslo:\n")
    entry = tail.partition("  copenhagen:\n")[0]
    for n in range(12):
        (planday.folder / f"tokens/p{n}.txt").write_text(planday.add_portal(f"p{n}", 5000 + n))
    portals = "".join(f"  p{n}:\n{entry.replace('oslo.txt', f'p{n}.txt')}" for n in range(12))
    planday.config_path.write_text(head + portals)
    stop, errors, reads = threading.Event(), [], []

    def read() -> None:
        while not stop.is_set():
            if not planday.config.warehouse.exists():
                stop.wait(0.05)
                continue
            try:
                reads.append(planday.query("SELECT count(*) FROM hr.departments")[0][0])
            except duckdb.Error as error:
                errors.append(error)

    reader = threading.Thread(target=read)
    reader.start()
    commands = [[PLANDAY, "sync", f"p{n}", "--resources", "portal,hr.departments,hr.employees"] for n in range(12)]
    running = [
        subprocess.Popen(
            command,
            env=environment(planday),
            cwd=planday.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for command in commands
    ]
    outputs = [process.communicate(timeout=280)[0] for process in running]
    stop.set()
    reader.join()
    assert [process.returncode for process in running] == [0] * 12, "\n".join(outputs)
    assert not errors
    assert reads
    assert reads == sorted(reads)
    assert planday.query("SELECT count(DISTINCT portal), count(*) FROM sync.slices") == [(12, 36)]
    assert planday.sandbox.limits.refused == 0
