"""Failures noted by hand, and what a webhook received."""

from __future__ import annotations

from typing import Any

from planday_io.monitoring.failures import FailureBook, FailureNote
from tests.support.installation import Hook, Installation

DEPARTMENTS, GROUPS = "hr.departments", "hr.employee_groups"


def note(planday: Installation, table: str, cause: str, **members: Any) -> None:
    given = {"portal": "oslo", "month": None, "error": "it failed", "run_id": "r", "since": "2026-11-01T00:00:00+00:00"}
    made = FailureNote(table=table, cause=cause, **{**given, **members})
    FailureBook(planday.config.state).note([made])


def told(hook: Hook) -> list[tuple[str, str, list[str]]]:
    return [(m["event"], one["cause"], one["tables"]) for m in hook.take() for one in m["incidents"]]
