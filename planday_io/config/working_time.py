"""`working_time` of `portals.yaml`: the rules that `marts.working_time_findings` compares working time with.

The figures of the presets are those of public law, without what agreements and exceptions change. No legal advice.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from planday_io.config.section import Section

_EU: dict[str, Any] = {
    "daily_rest_hours": 11,
    "weekly_rest_hours": 35,
    "weekly_hours": {"max": 48, "over_weeks": 17},
    "break_after_hours": 6,
    "days_in_row": None,
}
PRESETS: Mapping[str, Mapping[str, Any]] = {
    # Directive 2003/88/EC, articles 3 to 6 and 16: 24 hours a week on top of the daily 11; averages over four months.
    "eu": _EU,
    # The same in Danish law; it has one day off in seven, not more than six days after the last one.
    "dk": _EU | {"days_in_row": 6},
    # Working Time Regulations 1998: 24 hours a week (or twice as much a fortnight, which is not compared).
    "uk": _EU | {"weekly_rest_hours": 24},
}

OfDay = Annotated[float, Field(gt=0, le=24, allow_inf_nan=False)]
OfWeek = Annotated[float, Field(gt=0, le=168, allow_inf_nan=False)]


class WeeklyHours(Section):
    """The most hours a week on average, and over how many weeks that is."""

    max: OfWeek = 48
    over_weeks: int = Field(default=17, ge=1, le=53)


class WorkingTime(Section):
    """The rules: those of the preset, each of which may be replaced; null switches one off.

    Args:
        preset: eu, dk or uk.
        daily_rest_hours: rest within 24 hours from each start of work.
        weekly_rest_hours: rest on end from Monday to Sunday.
        weekly_hours: average hours.
        break_after_hours: hours after which there has to be a break.
        days_in_row: days in a row with work.
    """

    preset: Literal["eu", "dk", "uk"] = "eu"
    daily_rest_hours: OfDay | None = 11
    weekly_rest_hours: OfWeek | None = 35
    weekly_hours: WeeklyHours | None = WeeklyHours()
    break_after_hours: OfDay | None = 6
    days_in_row: Annotated[int, Field(ge=1, le=31)] | None = None

    @model_validator(mode="before")
    @classmethod
    def _over_the_preset(cls, data: Any) -> Any:  # noqa: ANN401 - this is where outside data comes in
        preset = data.get("preset", "eu") if isinstance(data, dict) else None
        return {**PRESETS[preset], **data} if isinstance(preset, str) and preset in PRESETS else data

    def rules(self) -> Iterator[tuple[str, float, str, int | None]]:
        """Rule, limit, its unit, and over how many weeks, of those that there are."""
        for rule, limit, unit in (
            ("daily_rest", self.daily_rest_hours, "hours"),
            ("weekly_rest", self.weekly_rest_hours, "hours"),
            ("break_after", self.break_after_hours, "hours"),
            ("days_in_row", self.days_in_row, "days"),
        ):
            if limit is not None:
                yield rule, limit, unit, None
        if self.weekly_hours is not None:
            yield "weekly_hours", self.weekly_hours.max, "hours", self.weekly_hours.over_weeks
