"""What `planday status` prints: a sentence, a line per portal, and what to do. `planday check` prints these lines too."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from rich.console import Console

from pipelines.cli.console import print_rows, say
from pipelines.schedule_names import RETENTION
from planday_io.client.budget import BudgetUse
from planday_io.config import Config
from planday_io.lake.installation import Installation
from planday_io.monitoring.failures import CAUSES, INSTALLATION
from planday_io.monitoring.health import Health, PortalHealth
from planday_io.monitoring.messages import remedy, some
from planday_io.monitoring.missing import Missing, missing_of
from planday_io.monitoring.tables import TableState
from planday_io.state import Incident

_PORTALS, _TABLES, _ERRORS = 10, 8, 3
"""How many names and errors of an incident are printed."""

FACTS = ("oldest table", "next run", "incident", "requests a minute")


def print_health(console: Console, config: Config, health: Health, *, only_wrong: bool = False) -> None:
    """Print the verdict, a line per portal, the worst first, and what to do."""
    say(console, health.sentence, "")
    good = [] if only_wrong else [one for one in health.portals if not one.is_wrong]
    if rows := [(one.portal, one.condition, *facts(one, health.at)) for one in (*health.wrong, *good)]:
        print_rows(console, "", ("portal", "state", *FACTS), rows)
    lines = [""]
    lines += [f"UNREADABLE {one.portal}: {one.unreadable}" for one in health.wrong if one.unreadable]
    lines += [f"NO TOKEN {one.portal}: {one.secret}" for one in health.wrong if one.secret]
    lines += [
        f"SWITCHED OFF {one.portal}: {', '.join(one.off)}. Switch it on in Dagster (Automation), or write `enabled: false` "
        "under it in portals.yaml"
        for one in health.wrong
        if one.off
    ]
    if health.scheduler.sensors_off:
        names = health.scheduler.sensors_off
        one = "the sensor {}. Switch it" if len(names) == 1 else "the sensors {}. Switch them"
        lines.append(f"SWITCHED OFF: {one.format(', '.join(names))} on in Dagster (Automation)")
    if health.scheduler.is_retention_off:
        lines.append(
            f"SWITCHED OFF: the schedule {RETENTION}. Switch it on in Dagster (Automation), or remove the rules of "
            "`retention` from portals.yaml"
        )
    lines += _incidents(config, health)
    lines += [f"UNFINISHED since {one.since.isoformat()}: run `{one.command}` again" for one in health.unfinished]
    if health.scheduler.fault:
        lines.append(f"UNKNOWN: what is switched off in Dagster, and whether its daemon runs: {health.scheduler.fault}")
    elif beat := health.scheduler.heartbeat:
        lines.append(f"Dagster daemon: last heartbeat {max(0, (health.at - beat).total_seconds()):.0f} s ago.")
    else:
        lines.append(
            "Dagster daemon: never ran here, or its storage is not where it was (DAGSTER_HOME, dagster.yaml). "
            "docs/deploying.md says how to start it."
        )
    lines += [f"app {use.bucket.rpartition(' ')[2]}: {_use(use)} requests a minute" for use in health.apps]
    lines += [f"BUDGET {health.budget_fault}"] if health.budget_fault else []
    lines.append(f"MiB: warehouse {health.warehouse_bytes // 2**20}; free {health.free_bytes // 2**20}")
    say(console, *lines)


def missing_slices(installation: Installation, health: Health) -> Missing:
    """What is missing in the portals whose files can be looked at. Raises StorageError."""
    fresh = {one.portal: one.freshness for one in health.portals if not one.unreadable}
    return missing_of(installation, [*fresh], health.at, fresh=fresh)


def print_command(console: Console, config: Config, missing: Missing) -> None:
    """Print the command that reads what is missing, if anything is."""
    if missing.can_be_mended:
        say(console, f"{missing.sentence()}. Run:", f"    {missing.command(config)}")


def facts(one: PortalHealth, at: datetime) -> tuple[str, ...]:
    """The cells of a portal's line, by `FACTS`."""
    oldest = "" if one.oldest is None else f"{one.oldest[0]} {_age(one.oldest[1], at)}"
    first, *more = one.incidents or (None,)
    incident = "" if first is None else f"{first.cause} since {first.since:%d %b %H:%M}Z"
    return (
        oldest,
        f"{one.next_run:%a %d %b %H:%M}" if one.next_run else "none",
        incident + (f" and {len(more)} more" if more else ""),
        _use(one.budget) if one.budget else "",
    )


def _use(use: BudgetUse) -> str:
    return f"{use.sent} of {use.limit}" + (f", closed for {use.closed_seconds:.0f} s" if use.closed_seconds else "")


def _age(then: datetime | None, at: datetime) -> str:
    if then is None:
        return "never read"
    hours = max(0.0, (at - then).total_seconds() / 3600)
    return f"{hours * 60:.0f} min" if hours < 1 else f"{hours:.0f} h" if hours < 48 else f"{hours / 24:.0f} d"


def _incidents(config: Config, health: Health) -> Iterator[str]:
    """The incidents by cause, so that many portals that fail alike are one paragraph."""
    groups: dict[str, list[Incident]] = {}
    for one in health.all_incidents:
        groups.setdefault(one.cause, []).append(one)
    for cause, group in groups.items():
        portals = [*dict.fromkeys(one.portal for one in group)]
        who = some(["all portals" if one == INSTALLATION else one for one in portals], _PORTALS)
        since = min(one.since for one in group)
        yield f"INCIDENT {who}, since {since.isoformat()}: {CAUSES[cause].sentence}"
        yield from (f"  {error}" for error in [*dict.fromkeys(one.error for one in group if one.error)][:_ERRORS])
        names = sorted({name for one in group for name in one.tables})
        yield from [f"  {some(names, _TABLES)}"] if names else []
        yield f"  What to do: {remedy(config, group)}"


def print_tables(console: Console, states: Sequence[TableState], *, only_wrong: bool) -> None:
    """Print a line per table of each portal."""
    names = ("portal", "table", "rows", "last_complete", "verdict", "next_due", "stale", "failing", "published")
    shown = [[getattr(one, name) for name in names] for one in states if one.stale or one.failing or not only_wrong]
    print_rows(console, "", names, [[_word(value) for value in row] for row in shown])


def _word(value: object) -> object:
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else value


def health_facts(health: Health) -> dict[str, Any]:
    """What `--json` prints of an installation and its portals. Instants are ISO texts."""

    def portal(one: PortalHealth) -> dict[str, Any]:
        table, read_at = one.oldest or (None, None)
        return {
            "portal": one.portal,
            "state": one.condition,
            "is_wrong": one.is_wrong,
            "oldest_table": table,
            "oldest_read_at": read_at and read_at.isoformat(timespec="seconds"),
            "next_run": one.next_run and one.next_run.isoformat(timespec="minutes"),
            "stale": one.stale,
            "switched_off": one.off,
            "incidents": [asdict(incident) for incident in one.incidents],
            "unreadable": one.unreadable or None,
            "secret": one.secret or None,
            "budget": asdict(one.budget) if one.budget else None,
        }

    return {
        "is_wrong": health.is_wrong,
        "sentence": health.sentence,
        "problems": health.problems,
        "portals": [portal(one) for one in health.portals],
        "incidents": [asdict(one) for one in health.incidents],
        "unfinished": [asdict(one) for one in health.unfinished],
        "daemon": {
            "is_running": health.scheduler.is_running(health.at),
            "heartbeat": health.scheduler.heartbeat and health.scheduler.heartbeat.isoformat(timespec="seconds"),
            "fault": health.scheduler.fault or None,
            "sensors_switched_off": health.scheduler.sensors_off,
            "retention_switched_off": health.scheduler.is_retention_off,
        },
        "apps": [asdict(one) for one in health.apps],
        "budget_fault": health.budget_fault or None,
        "free_bytes": health.free_bytes,
        "warehouse_bytes": health.warehouse_bytes,
    }
