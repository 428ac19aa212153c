"""The steps of a run that have not ended; after the last one the run ends (`run_end`)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import dagster as dg


class OpenSteps:
    """The steps of a run that have not ended, each with the steps that have to succeed before it."""

    def __init__(self, needs: Mapping[str, Iterable[str]]) -> None:
        self._needs = {step: set(needed) for step, needed in needs.items()}

    @classmethod
    def of(cls, run: dg.DagsterRun, instance: dg.DagsterInstance) -> OpenSteps:
        """The steps that a run executes: those of its selection, or those that a retried run repeats."""
        plan = instance.get_execution_plan_snapshot(run.execution_plan_snapshot_id or "")
        return cls({step: needed for step, needed in plan.step_deps.items() if step in plan.step_keys_to_execute})

    def end(self, step: str, *, is_good: bool) -> bool:
        """Remove a step, and those that can no longer run. Returns whether none is left."""
        gone = {step} if is_good else {step, *self.downstream_of(step)}
        for name in gone:
            self._needs.pop(name, None)
        return not self._needs

    def downstream_of(self, step: str) -> set[str]:
        """The steps that cannot run if this one fails: they depend on it, or on one that does."""
        found: set[str] = set()
        while more := {name for name, needed in self._needs.items() if needed & {step, *found}} - found:
            found |= more
        return found

    def end_all(self) -> None:
        """Remove all steps: the run was interrupted."""
        self._needs.clear()
