"""`retention` of `portals.yaml`: how old data may become, by class, and whose data is kept nevertheless.

Nothing is set by default, so nothing is ever removed. What each rule does to which table is in
`planday_io.lake.expiry`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Annotated, Any, Literal, get_args

from pydantic import BeforeValidator, Field

from planday_io.config.section import Section
from planday_io.config.values import Said, refuse
from planday_io.config.working_time import WorkingTime
from planday_io.months import first_day, last_day, month_of, shifted

Unit = Literal["d", "w", "m", "y"]
_AGE = re.compile(r"([1-9][0-9]{0,4})([dwmy])")
_DAYS: Mapping[str, float] = {"d": 1, "w": 7, "m": 365 / 12, "y": 365}
_WORDS: Mapping[str, str] = {"d": "days", "w": "weeks", "m": "months", "y": "years"}
_MOST_YEARS = 100
_ROW_WEEKS = 5
"""Weeks that `days_in_row` may look back: 31 days at most."""

Rule = Literal[
    "free_text", "punches", "pay", "contact_after_leaving", "identity_after_leaving", "sensitive_after_leaving"
]
RULES: tuple[Rule, ...] = get_args(Rule)


@dataclass(frozen=True, slots=True)
class Age:
    """An age: so many days, weeks, calendar months or years."""

    count: int
    unit: Unit

    @classmethod
    def of(cls, value: object) -> Age:
        """From the text in the file, such as `90d` or `5y`."""
        found = _AGE.fullmatch(value) if isinstance(value, str) else None
        if found is None or int(found[1]) * _DAYS[found[2]] > _MOST_YEARS * 365:
            raise refuse(f"an age with its unit, such as 90d, 26w, 18m (months) or 5y, and at most {_MOST_YEARS}y")
        unit: Any = found[2]
        return cls(int(found[1]), unit)

    @property
    def days(self) -> int:
        """About how many days that is."""
        return int(self.count * _DAYS[self.unit])

    @property
    def interval(self) -> str:
        """As DuckDB's INTERVAL takes it."""
        return f"{self.count} {_WORDS[self.unit]}"

    def before(self, day: date) -> date:
        """The day that was so long before another one. Of a month that is too short, its last day."""
        if self.unit in "dw":
            return day - timedelta(days=self.days)
        month = shifted(month_of(day), -self.count * (12 if self.unit == "y" else 1))
        return min(first_day(month) + timedelta(days=day.day - 1), last_day(month))

    def __str__(self) -> str:
        return f"{self.count}{self.unit}"


OptionalAge = Annotated[Age | None, BeforeValidator(lambda value: value if value is None else Age.of(value))]


class RetentionRules(Section):
    """Ages after which data is removed; None keeps it for ever. The last day of an age is still kept.

    Args:
        free_text: of rows whose day is older, the texts that people typed.
        punches: punches and their breaks.
        pay: rows of payroll and of pay; costs of other rows.
        contact_after_leaving: addresses and numbers of people who left.
        identity_after_leaving: their names, gender and salary identifier. Ids stay, so that totals and headcounts do.
        sensitive_after_leaving: social security and bank account numbers, birth dates.
        cut_working_time: remove punches that `marts.working_time` still needs.
    """

    free_text: OptionalAge = None
    punches: OptionalAge = None
    pay: OptionalAge = None
    contact_after_leaving: OptionalAge = None
    identity_after_leaving: OptionalAge = None
    sensitive_after_leaving: OptionalAge = None
    cut_working_time: bool = False

    def ages(self) -> dict[Rule, Age]:
        """The rules that are set."""
        found: dict[Rule, Age | None] = {rule: getattr(self, rule) for rule in RULES}
        return {rule: age for rule, age in found.items() if age is not None}

    def cutoffs(self, today: date) -> dict[Rule, date]:
        """The first day that is kept, by rule. `today` is the portal's."""
        return {rule: age.before(today) for rule, age in self.ages().items()}


class PortalRetention(RetentionRules):
    """The rules of one portal, with those of the file merged in.

    Args:
        hold: ids of employees whose data is kept, because of a dispute for instance.
    """

    hold: Annotated[tuple[Annotated[int, Field(ge=1)], ...], Field(strict=False)] = ()


class Retention(RetentionRules):
    """The rules of all portals, the age of delivered files, and after how many days Dagster's runs are removed.

    Runs that wrote a slice shown in the warehouse are kept.

    Args:
        deliveries: of files in folders that `deliver` names, by the last day that they are about.
        runs_days: of all runs but those of the schedule `changes`.
        changes_days: of those.
    """

    deliveries: OptionalAge = None
    runs_days: int = Field(default=30, ge=1, le=3650)
    changes_days: int = Field(default=3, ge=1, le=3650)


def cut_short(
    rules: RetentionRules, rules_of_work: WorkingTime, past_months: int
) -> Iterator[tuple[Rule, object, str]]:
    """The rules that remove what working time is still computed from: rule, what was found, what was expected.

    Months that are read again have findings that are not settled. Their averages look back over `over_weeks`, and their
    rests and days in a row over the days before.
    """
    age = rules.punches
    if age is None or rules.cut_working_time:
        return
    weeks = rules_of_work.weekly_hours.over_weeks if rules_of_work.weekly_hours else 0
    needed = 31 * (past_months + 1) + 7 * (max(weeks, _ROW_WEEKS) + 1)
    if age.days < needed:
        yield (
            "punches",
            Said(f"'{age}'"),
            f"at least {needed}d, because `working_time` averages over {weeks} weeks and the last {past_months} months are "
            "still read again; to remove punches sooner nevertheless, add `cut_working_time: true` beside it",
        )
