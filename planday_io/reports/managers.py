"""`planday report --for managers`: one self-contained HTML page about labour cost, hours, sickness and findings.

All figures come from the marts of the published file (`planday_io.reports.figures`), and each is shown with how complete its
data is. No person is named, sickness of fewer than five people is withheld, and amounts in different currencies are never
added up.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb

from planday_io.config.model import Config
from planday_io.errors import ConfigError
from planday_io.files import storage_errors, write_text
from planday_io.lake.installation import Installation
from planday_io.monitoring.completeness import Completeness
from planday_io.monitoring.failures import CAUSES, INSTALLATION
from planday_io.months import first_day
from planday_io.reports.figures import FEWEST_PEOPLE, Key, Scope, figures, names_of_departments
from planday_io.reports.page import environment, health_at
from planday_io.reports.past_failures import past_failures
from planday_io.reports.percent import UNKNOWN, percent_of_all
from planday_io.reports.periods import Judge, Periods, periods_of
from planday_io.reports.portal_builder import Judges, PortalBuilder
from planday_io.reports.portal_view import PortalView, WeekRow, days_text, spaced, week_name, week_title, weeks_text
from planday_io.state import Incident
from planday_io.warehouse.mart_files import sources_of
from planday_io.warehouse.standing import reading

_OPEN_PORTALS, _WEEKS_OF_DEPARTMENTS = 5, 60
_CHARTED = ((10, 12), (40, 4), (sys.maxsize, 0))
"""Up to so many portals, so many departments of each have a chart: the page of 200 portals stays under a few megabytes."""
_PLAN = frozenset({"scheduling.shifts", "scheduling.time_and_costs"})
"""What the plan of coming weeks comes from: the other tables of `marts.labour_daily` say what happened."""
_LABOUR = sources_of("labour_daily") | sources_of("hours")
_ABSENCE = sources_of("absence_monthly")
_FINDINGS = sources_of("working_time_findings") | sources_of("attendance") | sources_of("overtime")


@dataclass(frozen=True, slots=True)
class Total:
    """Several portals in the last full week, and what has to be known about the figures."""

    name: str
    percent: str
    worked: str
    words: str


def write_managers_report(
    installation: Installation,
    output: Path,
    *,
    portals: Sequence[str] = (),
    departments: Sequence[int] = (),
    now: datetime | None = None,
) -> None:
    """Write the page.

    Args:
        installation: whose published file is read.
        output: the HTML file.
        portals: keys, which have to be configured; none for all.
        departments: Planday's ids, of the one portal that is given; none for all.
        now: the current instant by default.

    Raises:
        ConfigError: departments without one portal, or one that is not in the published file.
        StorageError: there is no warehouse yet, or the file cannot be written.
    """
    at = (now or datetime.now(UTC)).astimezone(UTC)
    if departments and len(portals) != 1:
        raise ConfigError("--department: ids of departments repeat across portals, so give one --portal as well")
    scope = Scope(portals=tuple(portals or installation.config.portals), departments=tuple(departments))
    with reading(installation.config.warehouse) as db:
        page = _page(installation, db, scope, at, is_filtered=bool(portals))
    with storage_errors(output, "write the report"):
        write_text(output, page)


def _page(
    installation: Installation, db: duckdb.DuckDBPyConnection, scope: Scope, at: datetime, *, is_filtered: bool
) -> str:
    config = installation.config
    _require_known(names_of_departments(db), scope)
    periods = periods_of(config, scope.portals, at)
    found = figures(db, scope, periods)
    health, blind = health_at(installation, at)
    everything = health.all_incidents if health else ()
    incidents = [one for one in everything if one.portal in (*scope.portals, INSTALLATION)]
    judged = Completeness(installation, db, at, health)
    charted = next(most for portals, most in _CHARTED if len(scope.portals) <= portals)
    has_weeks = len({key for key in found.weeks if key[1] is not None}) <= _WEEKS_OF_DEPARTMENTS
    views = []
    for key in scope.portals:
        judges = Judges(
            labour=_judge(installation, judged, key, _LABOUR, periods, at),
            plan=_judge(installation, judged, key, _PLAN, periods, at),
            absence=_judge(installation, judged, key, _ABSENCE, periods, at),
            findings=_judge(installation, judged, key, _FINDINGS, periods, at),
        )
        view = PortalBuilder(key, found, periods, judges, charted=charted, has_weeks=has_weeks).view()
        _judge_view(view, [one for one in incidents if one.portal in (key, INSTALLATION)])
        views.append(view)
    last = periods.weeks[-1]
    return environment(at).get_template("managers.html.j2").render(
        at=at,
        week=week_title(last),
        portals=views,
        totals=totals_of(config, views) if len(views) > 1 else [],
        incidents=[_shown(one) for one in sorted(incidents, key=lambda one: one.since, reverse=True)],
        ended=[row for row in past_failures(config, db, at) if row["portal"] in scope.portals and not row["open"]],
        blind=blind,
        verdict=_verdict(views, len(incidents), blind),
        is_filtered=is_filtered,
        scope=scope,
        chosen=[found.departments.get((scope.portals[0], one)) or str(one) for one in scope.departments],
        months=[f"{first_day(month):%b}" for month in periods.months],
        ahead=[(week_name(week), days_text(week, week + timedelta(days=6))) for week in periods.ahead],
        checked=weeks_text(periods.checked),
        last_week=week_name(last),
        checked_days=(periods.checked[0], periods.checked[-1] + timedelta(days=6)),
        ahead_days=(periods.ahead[0], periods.ahead[-1] + timedelta(days=6)),
        open_portals=_OPEN_PORTALS,
        fewest=FEWEST_PEOPLE,
        has_weeks=has_weeks,
    )  # fmt: skip


def _require_known(departments: Mapping[Key, str | None], scope: Scope) -> None:
    for number in scope.departments:
        portal = scope.portals[0]
        if (portal, number) not in departments:
            there = sorted((one, name) for (key, one), name in departments.items() if key == portal and one)
            names = ", ".join(f"{one} ({name or 'no name'})" for one, name in there[:20]) or "none"
            raise ConfigError(f"--department {number}: portal '{portal}' has no such department; there are {names}")


def _judge(
    installation: Installation,
    judged: Completeness,
    portal: str,
    tables: frozenset[str],
    periods: Periods,
    at: datetime,
) -> Judge:
    first = min(periods.weeks[0], first_day(periods.months[0]))
    last = periods.ahead[-1] + timedelta(days=6)
    states = judged.states(tables, portals=[portal], first=first, last=last)
    return Judge(states, installation.config.portals[portal].timezone, at)


def _judge_view(view: PortalView, incidents: Sequence[Incident]) -> None:
    """The state of a portal in words: what is wrong now comes before what is missing."""
    missing = [row for row in view.weeks if row.state.level == "incomplete"]
    for row in (row for row in view.weeks if row.state.level in ("partial", "incomplete")):
        view.details += row.state.words
    view.details += [f"Plan: {word}" for state in view.ahead_states for word in state.words]
    view.details = list(dict.fromkeys([*view.details, *view.people_state, *view.finding_state]))
    view.level, view.short, view.status = _state(view, missing, incidents)


def _state(view: PortalView, missing: Sequence[WeekRow], incidents: Sequence[Incident]) -> tuple[str, str, str]:
    """How bad it is, in few words and in more."""
    if incidents:
        return "bad", "Not up to date", f"Not up to date. {CAUSES[incidents[0].cause].sentence}"
    if not view.is_read:
        return "bad", "No data", "No data: nothing was read yet"
    parts = [
        f"{len(missing)} of {len(view.weeks)} weeks" if missing else "",
        "read before a week was over" if any(row.state.level == "partial" for row in view.weeks) else "",
        "the plan of the next two weeks" if any(one.level != "complete" for one in view.ahead_states) else "",
        "sickness, overtime or findings" if view.people_state or view.finding_state else "",
    ]
    if said := "; ".join(filter(None, parts)):
        return "warn", "Not complete", f"Not complete: {said}"
    return "good", "Data complete", "Data complete"


def _verdict(views: Sequence[PortalView], incidents: int, blind: str) -> tuple[str, str]:
    """The badge: how bad the worst is, and a sentence."""
    bad = [view for view in views if view.level != "good"]
    if incidents:
        return "bad", f"Not up to date: {incidents} open incident{'s' if incidents != 1 else ''}"
    if blind:
        return "warn", "Whether this is up to date cannot be known"
    if not bad:
        return "good", "Data complete"
    level = "bad" if any(view.level == "bad" for view in bad) else "warn"
    return level, "Not complete" if len(views) == 1 else f"Not complete: {len(bad)} of {len(views)} portals"


def _shown(one: Incident) -> dict[str, Any]:
    return {
        "portal": "all portals" if one.portal == INSTALLATION else one.portal,
        "since": one.since,
        "sentence": CAUSES[one.cause].sentence,
    }


def totals_of(config: Config, views: Sequence[PortalView]) -> list[Total]:
    """The last full week: hours of all portals, and the percentage of those that have one currency for certain.

    A symbol is no currency: `kr` is three. So only a currency of portals.yaml, or three letters, is added up.
    """
    groups: dict[str, list[PortalView]] = {}
    for view in views:
        is_certain = config.portals[view.key].currency is not None or re.fullmatch(r"[A-Z]{3}|€", view.currency)
        if view.is_read and is_certain:
            groups.setdefault(view.currency, []).append(view)
    totals = []
    for currency, group in groups.items():
        if len(group) > 1:
            parts = [(f"{view.name or view.key}: {name}", sums) for view in group for name, sums in view.last]
            percent = percent_of_all(parts)
            name = f"{len(group)} portals in {currency}"
            totals.append(Total(name, percent.text, _hours(group), "; ".join(percent.figures)))
    if (
        not totals
        or sum(len(group) > 1 for group in groups.values()) > 1
        or len(views) > len(max(groups.values(), key=len))
    ):
        reason = "no percentage: amounts of different currencies, or of currencies not known for certain, are not added"
        totals.append(Total("All portals", UNKNOWN, _hours(views), reason))
    return totals


def _hours(views: Sequence[PortalView]) -> str:
    worked = [sums.worked for view in views for _, sums in view.last if sums.worked is not None]
    return spaced(f"{sum(worked):,.0f}") if worked else UNKNOWN
