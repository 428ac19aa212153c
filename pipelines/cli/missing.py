"""What `planday sync --missing` will read, and what it will cost: told before anything is read, and by `planday plan`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from rich.console import Console

from pipelines.cli.console import named, print_foretold, print_rows, say
from pipelines.cli.foretelling import Foretold, foretell
from pipelines.cli.runs import Wanted, planned_runs
from planday_io.lake.installation import Installation
from planday_io.monitoring.messages import some
from planday_io.monitoring.missing import WORDS, Missing, MissingSlice, missing_of
from planday_io.sync.forecast import Run

_NAMED = 50
"""So many slices are named one by one that are damaged, or failed, alike."""
_REMEDY = "Restore these files from the newest backup, or accept the loss with `planday publish --rebuild`"


@dataclass(frozen=True, slots=True)
class MissingPlan:
    """What is missing, and what reading it will cost.

    Args:
        missing: what is.
        wanted: what is read of each portal.
        foretold: what that costs.
    """

    missing: Missing
    wanted: dict[str, Wanted]
    foretold: Foretold

    @property
    def is_known(self) -> bool:
        """Whether everything could be looked at and predicted."""
        return not self.missing.unreadable and self.foretold.is_known

    @property
    def is_hopeful(self) -> bool:
        """Whether everything that is missing can be read."""
        return not (self.missing.lasting or self.missing.unreadable)


def plan_missing(installation: Installation, portals: Sequence[str], processes: int | None) -> MissingPlan:
    """What is missing in portals, with every byte of their files verified.

    Args:
        installation: of the portals.
        portals: config keys.
        processes: how many portals are read at once; None is as many as the budgets feed.

    Raises:
        StorageError: the state cannot be read.
    """
    missing = missing_of(installation, portals, datetime.now(UTC), verifies=True)
    wanted = {portal: Wanted(slices=slices) for portal, slices in missing.reads(installation.catalogue).items()}

    def runs_of(portal: str) -> Sequence[Run]:
        return planned_runs(installation, portal, wanted[portal])

    return MissingPlan(missing, wanted, foretell(installation, [*wanted], runs_of, processes))


def print_missing(console: Console, planned: MissingPlan) -> None:
    """Print what is missing and why, what cannot be read again, and what reading the rest will cost."""
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
    if missing.lasting:
        say(console, f"\nNot read again, because Planday cannot be asked for all of it. {_REMEDY}:")
        for one in missing.lasting:
            table = named(one.key.full_name, one.key.month)
            say(console, f"  {one.key.portal} {table}: {WORDS[one.reason]}; {one.why}")
    same_fault: dict[str, list[str]] = {}
    for portal, error in missing.unreadable.items():
        same_fault.setdefault(str(error), []).append(portal)
    for text, portals in same_fault.items():
        say(console, f"\n{some(portals)} cannot be looked at: {text}")
    if not missing.slices:
        say(console, *(["Nothing is missing."] if planned.is_hopeful else []))
        return
    print_foretold(console, planned.foretold, with_tables=False)
    count = planned.foretold.slices
    more = f"; {count} are read, because one answer fills several tables" if count > len(missing.slices) else ""
    say(console, f"\n{missing.sentence()}{more}")


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
        "lasting": [*map(one, planned.missing.lasting)],
        "unreadable": {portal: str(error) for portal, error in planned.missing.unreadable.items()},
    }
