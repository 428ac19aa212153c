"""`working_time` of portals.yaml: presets, rules that replace them, mistakes, and how the rules reach the warehouse."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import pytest

from planday_io.catalogue import CATALOGUE
from planday_io.config.load import load_config
from planday_io.config.model import MartSettings
from planday_io.errors import ConfigError
from planday_io.warehouse.settings import write_settings

Db = duckdb.DuckDBPyConnection
HEAD = "portals: {oslo: {client_id: a, refresh_token: {env: T}%s}}\n%s"


def configured(tmp_path: Path, top: str = "", own: str = "") -> list[tuple[Any, ...]]:
    file = tmp_path / "portals.yaml"
    file.write_text(HEAD % (own and f", {own}", top))
    return sorted(load_config(file, CATALOGUE).portals["oslo"].working_time.rules())


def test_presets_are_those_of_the_law(tmp_path: Path) -> None:
    eu = [
        ("break_after", 6, "hours", None),
        ("daily_rest", 11, "hours", None),
        ("weekly_hours", 48, "hours", 17),
        ("weekly_rest", 35, "hours", None),
    ]
    assert configured(tmp_path) == configured(tmp_path, "working_time: {preset: eu}") == eu
    assert configured(tmp_path, "working_time: {preset: dk}") == sorted([*eu, ("days_in_row", 6, "days", None)])
    assert configured(tmp_path, "working_time: {preset: uk}") == [*eu[:3], ("weekly_rest", 24, "hours", None)]


def test_each_rule_can_be_replaced_or_left_out(tmp_path: Path) -> None:
    top = "working_time: {preset: dk, daily_rest_hours: 10.5, weekly_hours: {max: 40}}"
    found = {
        rule: (limit, weeks)
        for rule, limit, _, weeks in configured(tmp_path, top, "working_time: {break_after_hours: null, preset: uk}")
    }
    assert found == {"daily_rest": (10.5, None), "weekly_hours": (40, 17), "weekly_rest": (24, None)}
    assert (
        configured(
            tmp_path,
            "working_time: {weekly_hours: null, daily_rest_hours: null, weekly_rest_hours: null, break_after_hours: null}",
        )
        == []
    )


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{preset: no}", "line 2: working_time.preset: found 'no'; expected 'eu', 'dk' or 'uk'"),
        ("{daily_rest: 11}", "did you mean 'daily_rest_hours'?"),
        ("{daily_rest_hours: 25}", "line 2: working_time.daily_rest_hours: found 25"),
        ("{daily_rest_hours: '11'}", "working_time.daily_rest_hours: found '11'"),
        ("{days_in_row: 0}", "working_time.days_in_row: found 0"),
        ("{weekly_hours: 48}", "line 2: working_time.weekly_hours: found 48"),
        ("{weekly_hours: {max: 48, over_weeks: 0}}", "working_time.weekly_hours.over_weeks: found 0"),
        ("dk", "working_time: found 'dk'; expected a mapping"),
    ],
)
def test_mistakes_in_the_rules(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        configured(tmp_path, f"working_time: {text}")
    assert says in str(caught.value)


def test_rules_reach_the_warehouse(db: Db) -> None:
    settings_of = {
        "oslo": MartSettings.model_validate({"working_time": {"preset": "uk", "daily_rest_hours": None}}),
        "dk": MartSettings(),
    }
    write_settings(db, settings_of)
    query = "SELECT portal, rule, limit_value, over_weeks, preset FROM sync.working_time_rules ORDER BY ALL"
    assert db.execute(query).fetchall() == [
        ("dk", "break_after", 6, None, "eu"),
        ("dk", "daily_rest", 11, None, "eu"),
        ("dk", "weekly_hours", 48, 17, "eu"),
        ("dk", "weekly_rest", 35, None, "eu"),
        ("oslo", "break_after", 6, None, "uk"),
        ("oslo", "weekly_hours", 48, 17, "uk"),
        ("oslo", "weekly_rest", 24, None, "uk"),
    ]
