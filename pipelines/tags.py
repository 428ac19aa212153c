"""Tags of runs: what started them, what they belong to, what is different about them. The UI hides those of `.dagster/`."""

from __future__ import annotations

from collections.abc import Mapping

STARTED_BY_TAG = "planday/started_by"
DELIVERY_TAG = "planday/delivery"
REFRESH_TAG = ".dagster/planday_refresh"
"""The tag names the refresh request that a run answers."""

# Dagster's own.
SCHEDULE_TAG = "dagster/schedule_name"
SENSOR_TAG = "dagster/sensor_name"
BACKFILL_TAG = "dagster/backfill"

WRITER_TAG = ".dagster/planday_writer"
"""The tag names the writer that the run belongs to and that publishes when it ends; a run without the tag is its own
writer."""
BATCH_TAG = ".dagster/planday_batch"
"""Runs of one batch share what they fan out over."""

FULL_TAG = "planday/full"
ACCEPT_SHRINK_TAG = "planday/accept_shrink"
MISSING_TAG = "planday/missing"
"""A run with this tag also reads slices again that were published and are lost."""
DELAY_CAP_TAG = ".dagster/planday_step_delay_cap_seconds"
REBUILD_TAG = "planday/rebuild"
"""A run with this tag writes a new warehouse from the whole lake."""
COMPARE_ALL_TAG = "planday/compare_all"
"""A run with this tag compares every slice with the warehouse, not only those known to have changed."""


def partition_in(tags: Mapping[str, str]) -> tuple[str | None, str | None]:
    """Portal and month of a run, from its tags; both None where it has no partition."""
    if portal := tags.get("dagster/partition/portal"):
        return portal, tags.get("dagster/partition/month")
    return tags.get("dagster/partition"), None
