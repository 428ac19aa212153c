"""Contradictions between deliveries and the rest of `portals.yaml`. Addresses are never repeated: they are personal data."""

from __future__ import annotations

from collections.abc import Iterator

from planday_io.config.delivery import Delivery
from planday_io.config.model import Config
from planday_io.config.places import own_place
from planday_io.config.values import Said, nearest

Contradiction = tuple[tuple[str | int, ...], object, str]
"""Where, what was found, what was expected."""


def contradictions(config: Config) -> Iterator[Contradiction]:
    """What is wrong with each delivery beside the rest of the file. No file is opened."""
    zones = {key: portal.timezone for key, portal in config.portals.items()}
    for name, one in config.deliver.items():
        for place, found, expected in (*_alone(one), *_beside(config, one, zones)):
            yield ("deliver", name, *place), found, expected


def _alone(one: Delivery) -> Iterator[Contradiction]:
    is_parquet = one.format == "parquet"
    if not (one.marts or one.sql or is_parquet):
        yield (), Said("nothing to deliver"), "`marts`, `sql`, or both"
    if not (one.marts or one.sql) and is_parquet and one.portals:
        expected = "no portals, or `marts` and `sql` with the column `portal`: not all tables have it"
        yield ("portals",), Said("all tables"), expected
    if one.mail and is_parquet:
        yield ("mail",), Said("Parquet by mail"), "`to`, a folder: Parquet is for programs"
    elif not (one.to or one.mail):
        yield (), Said("nowhere to deliver to"), "`to` (a folder), `mail` (a list of addresses), or both"
    if one.departments and len(one.portals) != 1:
        found = Said(f"{len(one.portals)} portals" if one.portals else "all portals")
        yield ("departments",), found, "one portal in `portals`, because ids of departments repeat across portals"
    if one.locale and one.format != "csv":
        expected = (
            "no locale: only CSV needs one; other formats hold numbers and dates, which each program shows its way"
        )
        yield ("locale",), one.locale, expected
    if one.latest and not one.after:
        yield ("latest",), one.latest, "`after` with it: the schedule whose runs are waited for until then"


def _beside(config: Config, one: Delivery, zones: dict[str, str]) -> Iterator[Contradiction]:
    unknown = [(number, key) for number, key in enumerate(one.portals) if key not in config.portals]
    for number, key in unknown:
        yield ("portals", number), key, f"a portal of this file{nearest(key, config.portals)}"
    if unknown:
        return
    if one.zone(zones) is None:
        several = Said(f"portals in {len({zones[key] for key in one.portals or zones})} time zones")
        yield ("timezone",), several, "one of them, whose days are meant"
    schedules = {name for key in one.portals or config.portals for name in config.portals[key].schedules}
    if one.after and one.after not in schedules:
        yield ("after",), one.after, f"a schedule of these portals{nearest(one.after, schedules)}"
    if one.mail and config.alerts.mail is None:
        found = Said("1 address" if len(one.mail) == 1 else f"{len(one.mail)} addresses")
        yield ("mail",), found, "`alerts: {mail: ...}` in this file, the mail server to send by"
    if one.to and (own := own_place(config, one.to)):
        yield ("to",), str(one.to), f"a folder outside {own}, which is this program's own"
