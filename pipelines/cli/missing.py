"""What `planday sync --missing` will read, and what it will cost: told before anything is read, and by `planday plan`.

Older files of feeds and histories are restored before that, by a publication: a feed is read only from where the
published one was.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from rich.console import Console

from pipelines.cli.console import named, print_forecast, print_rows, say
from pipelines.cli.forecasting import SyncForecast, forecast_sync
from pipelines.cli.runs import Wanted, planned_runs
from planday_io.errors import PublicationError
from planday_io.lake.installation import Installation
from planday_io.monitoring.messages import some
from planday_io.monitoring.missing import WORDS, Missing, MissingSlice, missing_of
from planday_io.sync.forecast import Run

_NAMED = 50
"""So many slices are named one by one that are damaged, or failed, alike."""
_REMEDY = (
    "Restore what is lost or damaged from the newest backup, or accept the loss with `planday publish --rebuild`, which "
    "keeps damaged files aside."
)


@dataclass(frozen=True, slots=True)
class MissingPlan:
    """What is missing, and what reading it will cost.

    Args:
        missing: what is.
        wanted: what is read of each portal.
        predicted: what that costs.
    """

    missing: Missing
    wanted: dict[str, Wanted]
    predicted: SyncForecast

    @property
    def is_known(self) -> bool:
        """Whether everything could be looked at and predicted."""
        return not self.missing.unreadable and self.predicted.is_known

    @property
    def can_read_all(self) -> bool:
        """Whether everything that is missing can be read."""
        return not (self.missing.older or self.missing.unrecoverable or self.missing.unreadable)


def find_missing(installation: Installation, portals: Sequence[str]) -> Missing:
    """What is missing in portals, with every byte of their files verified. Raises StorageError: the state cannot be read."""
    return missing_of(installation, portals, datetime.now(UTC), verifies=True)


def restore_older(console: Console, installation: Installation, older: Sequence[MissingSlice]) -> None:
    """Publish, which restores older files of feeds and histories, and print how that went."""
    # Not above: it loads Dagster, which the command itself rarely needs.
    from pipelines.cli.publishing import publish

    try:
        done = publish(installation, rebuild=False)
    except PublicationError as error:
        say(console, f"not restored: {error}")
        return
    problems = [done.problems[one.key] for one in older if one.key in done.problems]
    say(console, *done.notices, *(f"not restored: {problem}" for problem in problems))


def plan_missing(installation: Installation, missing: Missing, processes: int | None) -> MissingPlan:
    """What reading the slices that are missing will cost.

    Args:
        installation: that they belong to.
        missing: what is.
        processes: how many portals are read at once; None is as many as the budgets feed.

    Raises:
        StorageError: the state cannot be read.
    """
    wanted = {portal: Wanted(slices=slices) for portal, slices in missing.reads(installation.catalogue).items()}

    def runs_of(portal: str) -> Sequence[Run]:
        return planned_runs(installation, portal, wanted[portal])

    return MissingPlan(missing, wanted, forecast_sync(installation, [*wanted], runs_of, processes))


def print_missing(console: Console, planned: MissingPlan) -> None:
    """Print what is missing and why, what is restored, what cannot be read again, and what reading will cost."""
    missing = planned.missing
    reasons = [*missing.counts()]
    rows = [
        (portal, counts.total(), *(counts[reason] for reason in reasons))
        for portal, counts in missing.counts_of_portals().items()
    ]
    if rows:
        print_rows(console, "Missing slices", ("portal", "slices", *(WORDS[reason] for reason in reasons)), rows)
    same: dict[tuple[str, str, str], list[str]] = {}
    for one in missing.slices:
        if one.why:
            table = named(one.key.full_name, one.key.month)
            same.setdefault((one.key.portal, WORDS[one.reason], one.why), []).append(table)
    for (portal, words, why), tables in same.items():
        say(console, f"\n{portal}: {words}: {why}\n  {some(tables, _NAMED)}")
    if missing.older:
        say(console, "\nRestored from the warehouse, by `planday sync --missing` or `planday publish`:")
        say(console, *(f"  {_named(one)}: {one.why}" for one in missing.older))
    if missing.unrecoverable:
        is_lost = any(one.reason != "unreadable" for one in missing.unrecoverable)
        say(console, "\nNot read again." + (f" {_REMEDY}" if is_lost else ""))
        say(console, *(f"  {_named(one)}: {WORDS[one.reason]}; {one.why}" for one in missing.unrecoverable))
    same_fault: dict[str, list[str]] = {}
    for portal, error in missing.unreadable.items():
        same_fault.setdefault(str(error), []).append(portal)
    for text, portals in same_fault.items():
        say(console, f"\n{some(portals)} cannot be looked at: {text}")
    if missing.slices:
        print_forecast(console, planned.predicted, with_tables=False)
    if missing.can_be_mended:
        count, says = planned.predicted.slices, missing.sentence()
        if count > len(missing.slices):
            says += f". {count} slices are read, because one answer fills several tables"
        say(console, f"\n{says}")
    elif planned.can_read_all:
        say(console, "Nothing is missing.")


def _named(one: MissingSlice) -> str:
    return f"{one.key.portal} {named(one.key.full_name, one.key.month)}"


def told(planned: MissingPlan) -> dict[str, Any]:
    """What `--json` prints of it."""

    def one(missing: MissingSlice) -> dict[str, Any]:
        key = missing.key
        return {
            "portal": key.portal,
            "table": key.full_name,
            "month": key.month,
            "reason": missing.reason,
            "why": missing.why or None,
        }

    return {
        "slices": [*map(one, planned.missing.slices)],
        "older": [*map(one, planned.missing.older)],
        "unrecoverable": [*map(one, planned.missing.unrecoverable)],
        "unreadable": {portal: str(error) for portal, error in planned.missing.unreadable.items()},
    }
