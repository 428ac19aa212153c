"""Failures recorded by hand, and what a webhook received."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from planday_io.state import Failure
from tests.support.installation import Hook, Installation

DEPARTMENTS, GROUPS = "hr.departments", "hr.employee_groups"


def fail(planday: Installation, table: str, cause: str, **members: Any) -> None:
    since = datetime(2026, 11, 1, tzinfo=UTC)
    given = {"portal": "oslo", "month": None, "error": "it failed", "run_id": "r", "since": since}
    made = Failure(table=table, cause=cause, **{**given, **members})
    planday.state.failures.record([made])


def reported(hook: Hook) -> list[tuple[str, str, list[str]]]:
    return [(m["event"], one["cause"], one["tables"]) for m in hook.take() for one in m["incidents"]]
