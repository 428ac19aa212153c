"""Messages about incidents, for people and for programs: one for all portals with the same cause, of bounded length.

Names, counts, instants, texts of errors and ids of runs; no personal data, no secret.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal
from zoneinfo import ZoneInfo

from planday_io.config.grid import window_months
from planday_io.config.model import Config
from planday_io.monitoring.failures import CAUSES, INSTALLATION
from planday_io.state import Incident, Notice

STATUS_PAGE = "https://status.planday.com"
_SOME, _PORTALS = 5, 20
_ERROR_LENGTH = 600

Event = Literal["failed", "stale", "recovered", "test"]


@dataclass(frozen=True, slots=True)
class Message:
    """What is sent: one line and some more for people, and incidents for programs."""

    event: Event
    subject: str
    text: str
    incidents: list[dict[str, Any]] = field(default_factory=list)


TEST = Message(
    "test",
    "Planday: a test message",
    "This is what a message looks like when something has to be done.\nWhat to do: nothing.",
)


def messages(
    config: Config, notices: Iterable[Notice], now: datetime, known: Collection[Notice] = ()
) -> Iterator[tuple[Message, list[Notice]]]:
    """One message per cause for incidents that are open, and one for those that ended, each with what it is about.

    Args:
        config: names the portals.
        notices: what is to be sent.
        now: UTC instant.
        known: all notices, those that were sent before as well.
    """
    groups: dict[tuple[str, bool], list[Notice]] = {}
    for notice in notices:
        groups.setdefault((notice.incident.cause, notice.ended_at is not None), []).append(notice)
    for (cause, is_over), group in groups.items():
        incidents = [notice.incident for notice in group]
        portals = [*dict.fromkeys(one.portal for one in incidents)]
        names = "all portals" if portals == [INSTALLATION] else some(portals)
        sentence = CAUSES[cause].sentence
        short = sentence.removesuffix(".").partition(". ")[0].partition(": ")[0]
        event: Event = "recovered" if is_over else "stale" if cause == "stale" else "failed"
        subject = f"Planday: {'over at ' if is_over else ''}{names}: {short}"
        lines = [*_shortened([_line(config, one) for one in incidents], _PORTALS), ""]
        if is_over:
            lines += [f"It is over: {sentence}", "What to do: nothing."]
        else:
            lines += [f"What happened: {sentence}", *_details(config, incidents, now)]
            alike = {
                *portals,
                *(one.incident.portal for one in known if one.incident.cause == cause and not one.ended_at),
            }
            if CAUSES[cause].may_be_outage and len(alike) > 1:
                lines.append(
                    f"{len(alike)} portals fail alike: {STATUS_PAGE} says whether Planday's Open API has an outage."
                )
        yield Message(event, subject, "\n".join(lines), [_facts(config, one) for one in incidents]), group


def remedy(config: Config, group: Sequence[Incident]) -> str:
    """What to do about incidents with one cause, with the portal and the place of its token where there is only one."""
    portal, *others = dict.fromkeys(one.portal for one in group)
    place = "where portals.yaml reads it"
    if others or portal not in config.portals:
        portal = "PORTAL"
    else:
        ref = config.portals[portal].refresh_token
        place = f"the file {ref.file}" if ref.file is not None else f"{ref.env} (.env, or the environment)"
    return CAUSES[group[0].cause].remedy.format(portal=portal, place=place)


def _details(config: Config, group: list[Incident], now: datetime) -> Iterator[str]:
    errors = dict.fromkeys(f"Error: {one.error[:_ERROR_LENGTH]}" for one in group if one.error)
    yield from _shortened([*errors])
    yield "What to do: " + remedy(config, group)
    for one in group[:_SOME]:
        if command := _reread(config, one, now):
            yield f"No schedule reads these months again; this does: {command}"
    yield "What was read before is kept."
    runs = dict.fromkeys(f"Run: {_run(config, one.run_id)}" for one in group if one.run_id)
    yield from _shortened([*runs])


def _reread(config: Config, one: Incident, now: datetime) -> str:
    """The command for months that no schedule reads again, or an empty text."""
    if one.portal not in config.portals:
        return ""
    window = window_months(config, one.portal, now)
    named = [name.partition(" ") for name in one.tables]
    far = [(table, month) for table, _, month in named if month and month not in window]
    if not far:
        return ""
    tables, months = ",".join(sorted({table for table, _ in far})), sorted({month for _, month in far})
    return f"planday sync {one.portal} --resources {tables} --months {months[0]}..{months[-1]}"


def _facts(config: Config, one: Incident) -> dict[str, Any]:
    return {
        "portal": None if one.portal == INSTALLATION else one.portal,
        "cause": one.cause,
        "tables": [*one.tables],
        "since": one.since.isoformat(timespec="seconds"),
        "error": one.error,
        "run": _run(config, one.run_id) if one.run_id else None,
    }


def _line(config: Config, one: Incident) -> str:
    settings = config.portals.get(one.portal)
    at = one.since.astimezone(ZoneInfo(settings.timezone) if settings else UTC)
    who = "All portals" if one.portal == INSTALLATION else f"Portal {one.portal}"
    if one.portal != INSTALLATION and settings is None:
        who += f", which {config.file.name} no longer names"
    return f"{who}: {some(one.tables) or 'files'}, since {at:%Y-%m-%d %H:%M %Z}"


def _run(config: Config, run_id: str) -> str:
    return f"{config.alerts.ui_url}/runs/{run_id}" if config.alerts.ui_url else run_id


def some(names: Sequence[str], count: int = _SOME) -> str:
    """The first names, and how many there are besides."""
    return ", ".join(_shortened(names, count))


def _shortened(lines: Sequence[str], count: int = _SOME) -> list[str]:
    more = len(lines) - count
    return [*lines[:count], *([f"and {more} more"] if more > 0 else [])]
