"""What `planday check` says of deliveries: what would be delivered, and what is wrong. Nothing is asked of Planday."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from planday_io.delivery.making import obstacles, span_at
from planday_io.delivery.rounds import next_round, portals_of, waited_for
from planday_io.lake.installation import Installation
from planday_io.monitoring.messages import some
from planday_io.onboarding.check import Finding

_NAMES = 8


def delivery_findings(installation: Installation, portals: Collection[str], now: datetime) -> list[Finding]:
    """A finding for each delivery of some portals, or one for each of its mistakes."""
    found = []
    for name in installation.config.deliver:
        if not {*portals_of(installation.config, name)} & {*portals}:
            continue
        wrong = obstacles(installation, name, now)
        subject = f"deliver.{name}"
        said = wrong or [description(installation, name, now)]
        found += [Finding("", subject, is_good=not wrong, detail=text, was_tried=False) for text in said]
    return found


def description(installation: Installation, name: str, now: datetime) -> str:
    """A delivery in one sentence, without addresses."""
    one = installation.config.deliver[name]
    what = some(contents(installation, name), _NAMES)
    whose = f"portals {some(one.portals, _NAMES)}" if one.portals else "all portals"
    if one.departments:
        whose += f", departments {some([str(number) for number in one.departments], _NAMES)}"
    days = span_at(installation, name, now).name
    when = f"{one.days} (today: {days})" if days else "all days"
    return f"{what} of {whose}, {when}, {one.format}, to {where(installation, name)}; {_after(installation, name, now)}"


def contents(installation: Installation, name: str) -> list[str]:
    """The marts and files that are delivered."""
    one = installation.config.deliver[name]
    return [*one.marts, *(file.name for file in one.sql)] or ["all tables and marts"]


def where(installation: Installation, name: str) -> str:
    """The folder, and how many people get it by mail."""
    one = installation.config.deliver[name]
    home = installation.config.home
    inside = one.to is not None and one.to.is_relative_to(home)
    parts = [str(one.to.relative_to(home) if inside else one.to)] if one.to else []
    parts += [f"{people(len(one.mail))} by mail"] if one.mail else []
    return " and ".join(parts)


def people(count: int) -> str:
    """So many people, whose addresses are not named."""
    return "1 person" if count == 1 else f"{count} people"


def _after(installation: Installation, name: str, now: datetime) -> str:
    one = installation.config.deliver[name]
    if one.after is None:
        return "only by `planday deliver`"
    next_at = next_round(installation.config, name, now)
    if next_at is None:
        return f"never, because schedule {one.after} is switched off"
    others = {*portals_of(installation.config, name)} - {*waited_for(installation.config, name)}
    rest = f", without waiting for {some(sorted(others), _NAMES)}, which lack it" if others else ""
    return f"after {one.after}, next {next_at:%Y-%m-%d %H:%M %Z}{rest}"
