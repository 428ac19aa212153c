"""How a portal is, for people who look at the report: what is wrong, what is fresh, and what cannot be known.

Comes from what `planday_io.monitoring.health` found, and from what is published. A portal counts as fresh only where each of
its tables was read by the tick that is due; anything else is reported as it is.

Not here: what is an incident (`planday_io.monitoring`), the page (`planday_io.reports.report`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from planday_io.catalogue import Catalogue
from planday_io.config.model import Config
from planday_io.monitoring.failures import CAUSES, INSTALLATION
from planday_io.monitoring.freshness import Freshness
from planday_io.monitoring.health import PortalHealth
from planday_io.monitoring.messages import remedy, some
from planday_io.state import Incident

Level = Literal["good", "unknown", "warn", "bad"]
LEVELS: tuple[Level, ...] = ("good", "unknown", "warn", "bad")
"""From best to worst."""


@dataclass(frozen=True, slots=True)
class Remark:
    """One thing to say; `more` is names of tables, or what to do, in smaller print."""

    level: Level
    text: str
    more: str = ""


def shown(config: Config, incidents: Sequence[Incident]) -> list[dict[str, Any]]:
    """Incidents for people, the newest first."""
    return [
        {
            "portal": "all portals" if one.portal == INSTALLATION else one.portal,
            "since": one.since,
            "sentence": CAUSES[one.cause].sentence,
            "error": one.error,
            "tables": some(one.tables, 8),
            "remedy": remedy(config, [one]),
        }
        for one in sorted(incidents, key=lambda one: one.since, reverse=True)
    ]


def remarks(catalogue: Catalogue, one: PortalHealth, *, published: dict[str, datetime]) -> list[Remark]:
    """What there is to say of a portal, the worst first. Never empty. `published` is table -> newest read published."""
    own = [incident for incident in one.incidents if incident.cause != "stale"]
    found = [Remark("bad", CAUSES[incident.cause].sentence, some(incident.tables, 6)) for incident in own]
    failing = {name for incident in own for name in incident.names}
    is_readable = not any(CAUSES[incident.cause].whole_portal or incident.cause == "unreadable" for incident in own)
    if one.secret:
        found.append(Remark("bad", "It cannot be read at all: one of its secrets cannot be used.", one.secret))
        is_readable = False
    if one.unreadable:
        return [*found, Remark("bad", "How fresh it is cannot be known.", one.unreadable)]
    found += _ages(catalogue, one.freshness, published, failing, is_readable=is_readable)
    return sorted(found, key=lambda remark: -LEVELS.index(remark.level))


def _ages(
    catalogue: Catalogue,
    states: dict[str, Freshness],
    published: dict[str, datetime],
    failing: set[str],
    *,
    is_readable: bool,
) -> list[Remark]:
    """The tables by age compared with their schedules, without failing tables, which are reported already."""
    on_request = {table.full_name for table in catalogue.tables() if table.on_request}
    stale = [name for name, one in states.items() if one.is_stale]
    never = [name for name in states if name not in published and name not in on_request and name not in stale]
    rest = [name for name in states if name not in (*stale, *never) and name not in failing]
    unscheduled = [name for name in rest if states[name].allowed_since is None]
    on_time = [name for name in rest if _is_fresh(states[name])]
    # The lake has it, but what people open is the published file.
    unpublished = [name for name in on_time if published[name] < (states[name].allowed_since or published[name])]
    fresh = [name for name in on_time if name not in unpublished]
    waiting = [name for name in rest if name not in unscheduled and name not in on_time]
    of_all = f"of {len(states)} tables"
    how = f"all {len(states)}" if len(fresh) == len(states) else f"{len(fresh)} of {len(states)}"
    said: list[tuple[Level, list[str], str]] = [
        ("bad", stale, f"{len(stale)} {of_all} stale"),
        (
            "bad",
            unpublished,
            f"{len(unpublished)} {of_all} read on time, but not published: the warehouse shows an earlier read",
        ),
        ("warn", never, f"{len(never)} {of_all} never read"),
        ("unknown", waiting, f"{len(waiting)} {of_all} not due yet since their schedule was set"),
        ("unknown", unscheduled, f"{len(unscheduled)} {of_all} read by no schedule: how old they may be is not known"),
    ]
    found = [Remark(level, text, some(names, 6)) for level, names, text in said if names]
    if fresh and is_readable:
        found.append(Remark("good", f"{how} tables as fresh as scheduled"))
    elif fresh:
        found.append(Remark("unknown", f"{how} tables were read on time before that"))
    return found if found or states else [Remark("unknown", "It has no tables.")]


def _is_fresh(one: Freshness) -> bool:
    return one.allowed_since is not None and one.last is not None and one.last >= one.allowed_since
