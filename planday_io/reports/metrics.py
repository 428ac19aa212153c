"""`planday metrics`: a Prometheus text file, for the textfile collector of node_exporter or windows_exporter.

Facts come from `planday_io.monitoring.health`, counts of the last day from the runs of the published file. What is not
known has no sample: a missing sample is noticed, a 0 would be believed. Instants are seconds since the epoch, so that an age
is `time() - x` at the time of the question. Counts are gauges over a day, not counters: the log of runs may be pruned, and
a counter that shrinks looks like a restart. Names of portals and tables, no personal data.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from planday_io.errors import StorageError
from planday_io.lake.installation import Installation
from planday_io.monitoring.health import WRONG, Health
from planday_io.reports.page import rows
from planday_io.warehouse.standing import reading

_LAST_DAY = (
    ("runs", "Runs that began in the last 24 hours."),
    ("incomplete_runs", "Runs of the last 24 hours that failed to read a table."),
    ("failures", "Tables and months that runs of the last 24 hours failed to read."),
    ("rows_written", "Rows of the slices that runs of the last 24 hours wrote."),
    ("requests", "Calls to Planday's API by runs of the last 24 hours."),
    ("retries", "Repeated calls to Planday's API by runs of the last 24 hours."),
    ("throttled_seconds", "Seconds that runs of the last 24 hours waited for the request budget, summed over calls."),
)


def metrics_text(installation: Installation, health: Health, publications: int | None) -> str:
    """The text of the file.

    Args:
        installation: its published file has the runs.
        health: how everything is.
        publications: of the last 24 hours, or None where that is not known.
    """
    registry = CollectorRegistry()
    registry.register(
        _Facts([*_of_portals(health), *_of_installation(health, publications), *_of_runs(installation, health)])
    )
    return generate_latest(registry).decode()


class _Facts(Collector):
    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = [*families]

    def collect(self) -> Iterable[Metric]:
        return self._families


def _gauge(name: str, text: str, samples: Iterable[tuple[tuple[str, ...], float | None]], *labels: str) -> Metric:
    made = GaugeMetricFamily(f"planday_{name}", text, labels=labels)
    for values, value in samples:
        if value is not None:
            made.add_metric(values, value)
    return made


def _seconds(instant: datetime | None) -> float | None:
    return instant.timestamp() if instant else None


def _of_portals(health: Health) -> Iterator[Metric]:
    of = [((one.portal,), one) for one in health.portals]
    yield _gauge(
        "portal_state",
        "1 for the state that the portal is in: " + ", ".join(("ok", "not read yet", "unscheduled", *WRONG)) + ".",
        (((one.portal, one.condition), 1) for one in health.portals),
        "portal",
        "state",
    )
    yield _gauge(
        "portal_wrong", "1 if somebody has to act on the portal.", ((key, one.is_wrong) for key, one in of), "portal"
    )
    yield _gauge(
        "oldest_read_timestamp_seconds",
        "Last read of the table that was read longest ago; of the stale tables, if there are any.",
        ((key, _seconds(one.oldest[1]) if one.oldest else None) for key, one in of),
        "portal",
    )
    yield _gauge(
        "newest_read_timestamp_seconds",
        "Newest complete read of any table.",
        ((k, _seconds(one.newest)) for k, one in of),
        "portal",
    )
    yield _gauge(
        "next_run_timestamp_seconds",
        "Next tick of a schedule of the portal.",
        ((k, _seconds(one.next_run)) for k, one in of),
        "portal",
    )
    known = [(key, one) for key, one in of if not one.unreadable]
    yield _gauge("tables", "Tables that the portal has.", ((k, len(one.freshness)) for k, one in known), "portal")
    yield _gauge(
        "stale_tables", "Tables that were not read when due.", ((k, len(one.stale)) for k, one in known), "portal"
    )
    yield _gauge(
        "schedules_switched_off",
        "Schedules that were switched off in Dagster.",
        ((key, len(one.off)) for key, one in of if not health.scheduler.fault),
        "portal",
    )
    uses = [(("portal", one.portal), one.budget) for one in health.portals if one.budget]
    uses += [(("app", use.bucket.rpartition(" ")[2]), use) for use in health.apps]
    labels = ("kind", "name")
    yield _gauge(
        "budget_used_requests", "Requests sent in the last minute.", ((k, use.sent) for k, use in uses), *labels
    )
    yield _gauge("budget_limit_requests", "Requests allowed per minute.", ((k, use.limit) for k, use in uses), *labels)
    yield _gauge(
        "budget_closed_seconds",
        "Seconds until the API takes requests again.",
        ((k, use.closed_seconds) for k, use in uses),
        *labels,
    )


def _of_installation(health: Health, publications: int | None) -> Iterator[Metric]:
    open_ones: dict[tuple[str, ...], float] = {}
    for one in health.all_incidents:
        key = (one.portal if one.portal in {portal.portal for portal in health.portals} else "", one.cause)
        open_ones[key] = open_ones.get(key, 0) + 1
    yield _gauge("incidents", "Open incidents; no portal means all.", open_ones.items(), "portal", "cause")
    beat = _seconds(health.scheduler.heartbeat)
    singles: tuple[tuple[str, str, Any], ...] = (
        ("wrong", "1 if somebody has to act: the exit code of planday status.", health.is_wrong),
        ("daemon_heartbeat_timestamp_seconds", "Newest heartbeat of the Dagster daemon.", beat),
        ("publications_last_day", "Publications of the last 24 hours.", publications),
        ("unfinished_commands", "Commands that were stopped half-way.", len(health.unfinished)),
        ("warehouse_bytes", "Size of the published file.", health.warehouse_bytes),
        ("free_bytes", "Free space on the disk of the published file.", health.free_bytes),
        ("last_evaluation_timestamp_seconds", "When planday metrics last ran.", _seconds(health.at)),
    )
    for name, text, value in singles:
        yield _gauge(name, text, [((), value)])


def _of_runs(installation: Installation, health: Health) -> Iterator[Metric]:
    """Counts of the last day; none where there is no published file, or it cannot be read."""
    try:
        with reading(installation.config.warehouse) as db:
            found = rows(
                db,
                "SELECT portal, count(*) AS runs, count(*) FILTER (NOT is_complete) AS incomplete_runs, "
                "sum(len(failed)) AS failures, sum(rows_written) AS rows_written, sum(requests) AS requests, "
                "sum(retries) AS retries, sum(throttled_seconds) AS throttled_seconds FROM sync.runs "
                "WHERE started_at > CAST(? AS TIMESTAMPTZ) - INTERVAL 1 DAY GROUP BY portal",
                health.at,
            )
            stored = rows(db, "SELECT portal, sum(kept) AS kept FROM sync.slices GROUP BY portal")
    except StorageError:
        yield _gauge("warehouse_readable", "1 if the published file can be read.", [((), 0)])
        return
    yield _gauge("warehouse_readable", "1 if the published file can be read.", [((), 1)])
    asked_for = [one.portal for one in health.portals]
    own = {row["portal"]: row for row in found}
    yield _gauge(
        "rows",
        "Rows in the published file.",
        (((r["portal"],), r["kept"]) for r in stored if r["portal"] in asked_for),
        "portal",
    )
    for name, text in _LAST_DAY:
        # A portal without a run in a day has 0 of each: the log was read, and says so.
        samples = (((key,), float(own[key][name] or 0) if key in own else 0.0) for key in asked_for)
        yield _gauge(f"{name}_last_day", text, samples, "portal")
