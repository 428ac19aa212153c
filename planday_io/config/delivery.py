"""`deliver` of `portals.yaml`: exports that are made automatically after a schedule, to a folder or by mail."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import time
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, Field

from planday_io.catalogue.mart_names import MARTS
from planday_io.config.days import days
from planday_io.config.fields import Key, MailAddress, Place, TimeZone
from planday_io.config.section import Section
from planday_io.config.values import NAME_LENGTH, nearest, refuse

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]*")
_TIME = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])")


def _name(value: str) -> str:
    if not _NAME.fullmatch(value) or len(value) > NAME_LENGTH:
        raise refuse(
            f"a name of at most {NAME_LENGTH} lower-case letters, digits, - and _, because files are named after it"
        )
    return value


def _mart(value: str) -> str:
    name = value.removeprefix("marts.")
    if name not in MARTS:
        raise refuse(f"a mart of docs/marts.md{nearest(name, MARTS)}")
    return name


def _clock(value: str) -> str:
    if not _TIME.fullmatch(value):
        raise refuse("a time of day such as '07:30'")
    return value


DeliveryName = Annotated[str, AfterValidator(_name)]


class Delivery(Section):
    """One delivery.

    Args:
        marts: views of the schema `marts`, a sheet each. Parquet without marts and queries holds all tables and marts.
        sql: files with one SELECT each, a sheet each.
        portals: whose rows; none named means all portals.
        departments: Planday's ids of departments, of one portal.
        days: which days, see `planday_io.config.days`.
        timezone: whose days and whose clock; without it that of the portals.
        format: of what is delivered.
        locale: of CSV: the language of the Excel that opens the files.
        after: the schedule that it follows; None if only `planday deliver` makes it.
        latest: time of day at which it is made with what is there, although runs have not ended. Without it, that is half
            of the time to the schedule's next tick.
        to: folder that gets the file.
        mail: people who get it by mail.
    """

    marts: Annotated[tuple[Annotated[str, AfterValidator(_mart)], ...], Field(strict=False)] = ()
    sql: Annotated[tuple[Place, ...], Field(strict=False)] = ()
    portals: Annotated[tuple[Key, ...], Field(strict=False)] = ()
    departments: Annotated[tuple[Annotated[int, Field(ge=1)], ...], Field(strict=False)] = ()
    days: Annotated[str, AfterValidator(days)]
    timezone: TimeZone | None = None
    format: Literal["xlsx", "csv", "parquet"] = "xlsx"
    locale: Literal["da", "nb", "sv", "de", "en"] | None = None
    after: Key | None = None
    latest: Annotated[str, AfterValidator(_clock)] | None = None
    to: Place | None = None
    mail: Annotated[tuple[MailAddress, ...], Field(strict=False)] = ()

    @property
    def latest_time(self) -> time | None:
        return time.fromisoformat(self.latest) if self.latest else None

    def zone(self, portals: Mapping[str, str]) -> ZoneInfo | None:
        """The zone of its days, from the zones of all portals by key; None where its portals have several."""
        if self.timezone:
            return ZoneInfo(self.timezone)
        found = {portals[key] for key in self.portals or portals}
        return ZoneInfo(found.pop()) if len(found) == 1 else None
