"""Asset checks: five that each materialization evaluates for its own slice, and the freshness of each portal.

Freshness is checked by a sensor, because a table that nothing reads any more has no run that could do it.
"""

from collections.abc import Iterator
from datetime import UTC, datetime

import dagster as dg

from pipelines.edges import sensor
from planday_io.catalogue import Endpoint
from planday_io.lake.installation import Installation
from planday_io.monitoring.freshness import observe, portal_freshness

FRESH = "fresh_per_portal"
FRESH_DOC = "Every portal was read as recently as its schedules require. A fresh portal does not hide a stale one."


def freshness_of(
    endpoint: Endpoint, table: str, installation: Installation
) -> tuple[bool, dict[str, dg.MetadataValue | int | str]]:
    """Whether no portal is stale, and which are."""
    now = datetime.now(UTC)
    portals = installation.portals_by_endpoint()[endpoint.name]
    found = {portal: portal_freshness(installation, portal, now, [endpoint])[table] for portal in portals}
    stale = [
        f"{portal} ({one.last.isoformat(timespec='minutes') if one.last else 'never read'})"
        for portal, one in found.items()
        if one.is_stale
    ]
    return not stale, {"portals": len(found), "stale": len(stale), "stale_portals": ", ".join(stale) or "none"}


def build_freshness_sensor(installation: Installation) -> dg.SensorDefinition:
    """Evaluates freshness checks from the lake, and reports them when they change and once a day. No tick calls the API."""

    @sensor(installation, 300)
    def freshness(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        """Shows in the asset checks which portals are stale."""
        now = datetime.now(UTC)
        # Use the current file: with an outdated configuration, `observe` would undo what other processes record.
        current = installation.reloaded()
        observe(current, now)
        day, _, known = (context.cursor or "").partition(" ")
        is_new_day = day != now.date().isoformat()
        answers: list[str] = []
        events: list[dg.AssetCheckEvaluation] = []
        before = set(known.split())
        for endpoint, table in _tables(installation):
            passed, metadata = freshness_of(endpoint, table, current)
            if not passed:
                answers.append(table)
            if is_new_day or passed == (table in before):
                events.append(
                    dg.AssetCheckEvaluation(
                        asset_key=dg.AssetKey(table.split(".")),
                        check_name=FRESH,
                        passed=passed,
                        severity=dg.AssetCheckSeverity.WARN,
                        metadata=metadata,
                    )
                )
        return dg.SensorResult(
            asset_events=events,
            cursor=f"{now.date()} {' '.join(answers)}",
            skip_reason=f"{len(answers)} tables have a stale portal",
        )

    return freshness


def _tables(installation: Installation) -> Iterator[tuple[Endpoint, str]]:
    portals = installation.portals_by_endpoint()
    for endpoint in installation.catalogue.endpoints:
        if portals[endpoint.name]:
            for table in endpoint.tables:
                yield endpoint, table.full_name
