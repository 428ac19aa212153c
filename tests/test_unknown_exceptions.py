"""Exceptions from outside this program: noted with type and place, without their text, and nobody else's trouble."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import pytest

from pipelines.edges import recording
from pipelines.publication import publish_pending
from planday_io.errors import FaultError, PublicationError, StorageError, TokenError
from planday_io.faults import as_planday_error, place_of, trace_of
from planday_io.monitoring.failures import INSTALLATION
from planday_io.monitoring.notifier import Notifier
from planday_io.state import Incident
from tests.support.cutting import counting
from tests.support.installation import Installation, run

TEXT = "could not convert string 'Gunhildis Quistgaard'"


def incidents(planday: Installation) -> list[Incident]:
    found = Notifier(planday.installation).evaluate(datetime.now(UTC))
    return [one for one in found if one.cause not in ("disk", "stale")]


@pytest.mark.parametrize("kind", [KeyError, sqlite3.DatabaseError, RecursionError])
def test_a_step_notes_whatever_is_raised(planday: Installation, kind: type[Exception]) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        folder = planday.config.lake / "_writing" / "hr.departments.oslo"
        with counting(folder, at=1, error=kind(TEXT)):
            result = run(planday, instance, "hr.departments", "hr.employees")
        events = " ".join(str(entry) for entry in instance.all_logs(result.run_id))
        events += " ".join(str(event) for event in result.all_events)
    assert not result.success
    assert "Gunhildis" not in events, "Dagster keeps what it is given"
    assert "planday_io/" in events, "the traceback is in the log of the run"
    assert planday.provenance("hr.employees") is not None, "the other table is written"
    assert planday.provenance("hr.departments") is None
    (told,) = incidents(planday)
    assert (told.portal, told.cause, told.tables) == ("oslo", "fault", ("hr.departments",))
    assert kind.__name__ in told.error
    assert "planday_io/" in told.error
    assert "Gunhildis" not in told.error


def test_a_publication_notes_whatever_is_raised(planday: Installation) -> None:
    planday.refresh("hr.departments")
    warehouse = planday.config.warehouse
    with counting(Path(f"{warehouse}.tmp"), at=1, error=RuntimeError(TEXT)), pytest.raises(PublicationError) as caught:
        publish_pending(planday.installation)
    assert "Gunhildis" not in str(caught.value)
    assert caught.value.__suppress_context__
    (told,) = incidents(planday)
    assert (told.portal, told.cause) == (INSTALLATION, "publication")
    publish_pending(planday.installation)
    assert not incidents(planday)


def test_a_tick_that_raises_is_an_incident(planday: Installation) -> None:
    for _ in range(2):
        with pytest.raises(FaultError) as caught, recording(planday.installation, "sensor changed_months"):
            raise TypeError(TEXT)
        assert "Gunhildis" not in str(caught.value)
    (told,) = incidents(planday)
    assert (told.cause, told.tables) == ("fault", ("sensor changed_months",))
    with recording(planday.installation, "sensor changed_months"):
        pass
    assert not incidents(planday)


def test_what_is_known_stays_what_it_is() -> None:
    error = TokenError("refused")
    assert as_planday_error(error) is error


INTERRUPTED = """
import signal
import duckdb
from planday_io.faults import as_planday_error

signal.signal(signal.SIGALRM, signal.default_int_handler)
signal.setitimer(signal.ITIMER_REAL, 0.5)
try:
    duckdb.execute("SELECT sum(a.range * b.range) FROM range(1_000_000) a, range(1_000_000) b").fetchall()
except RuntimeError as error:
    try:
        as_planday_error(error)
    except KeyboardInterrupt:
        print("interrupted")
"""


@pytest.mark.processes
def test_interrupted_query_is_an_interruption() -> None:
    """DuckDB raises an error of its own in its place, which would be reported as a fault of this program."""
    done = subprocess.run([sys.executable, "-c", INTERRUPTED], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout == "interrupted\n"


def test_full_disk_is_one_however_it_is_reported() -> None:
    full = OSError(28, "No space left on device")
    wrapped = RuntimeError("a library's own")
    wrapped.__cause__ = sqlite3.OperationalError("database or disk is full")
    for error in (full, wrapped):
        assert isinstance(as_planday_error(error), StorageError)
        assert "free some space" in str(as_planday_error(error))


def test_place_and_trace_hold_no_text(planday: Installation) -> None:
    try:
        planday.session("nowhere")
    except KeyError as error:
        assert place_of(error).startswith("planday_io/lake/installation.py:")
        assert "KeyError" in trace_of(error)
        assert "nowhere" not in trace_of(error) + place_of(error) + str(as_planday_error(error))


@pytest.mark.processes
def test_read_resolves_recorded_fault(planday: Installation) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        with counting(planday.config.lake, at=1, error=RuntimeError(TEXT)):
            run(planday, instance, "hr.departments")
        assert planday.state.failures.of("oslo")
        assert run(planday, instance, "hr.departments").success
    assert not planday.state.failures.of("oslo")
