"""Which months a portal has: the current one is that of its own zone, and the window stays inside the grid."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from planday_io.catalogue import CATALOGUE
from planday_io.config import Config, load_config
from planday_io.config.grid import grid_months, window_months


def config(folder: Path, zone: str, past: int = 0, future: int = 0, start: str = "2026-10") -> Config:
    file = folder / "portals.yaml"
    file.write_text(
        f"history_start: {start}\n"
        f"defaults: {{timezone: {zone}, window: {{past_months: {past}, future_months: {future}}}}}\n"
        "portals: {oslo: {client_id: a, refresh_token: {file: token}}}\n"
    )
    return load_config(file, CATALOGUE)


@pytest.mark.parametrize(
    ("zone", "now", "current"),
    [
        ("Europe/Oslo", datetime(2026, 11, 30, 22, 59, tzinfo=UTC), "2026-11"),
        ("Europe/Oslo", datetime(2026, 11, 30, 23, 0, tzinfo=UTC), "2026-12"),
        ("America/New_York", datetime(2026, 12, 1, 4, 59, tzinfo=UTC), "2026-11"),
        ("Pacific/Kiritimati", datetime(2026, 11, 30, 10, 0, tzinfo=UTC), "2026-12"),
    ],
)
def test_current_month_is_that_of_the_portal(tmp_path: Path, zone: str, now: datetime, current: str) -> None:
    made = config(tmp_path, zone)
    assert window_months(made, "oslo", now) == [current]
    assert grid_months(made, "oslo", now)[-1] == current


def test_window_begins_with_the_history(tmp_path: Path) -> None:
    made = config(tmp_path, "UTC", past=5, future=2)
    now = datetime(2026, 11, 26, tzinfo=UTC)
    assert window_months(made, "oslo", now) == ["2026-10", "2026-11", "2026-12", "2027-01"]
    assert grid_months(made, "oslo", now) == ["2026-10", "2026-11", "2026-12", "2027-01"]
    older = config(tmp_path, "UTC", past=1, start="2026-01")
    assert window_months(older, "oslo", now) == ["2026-10", "2026-11"]
    assert len(grid_months(older, "oslo", now)) == 11
