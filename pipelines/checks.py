"""Asset checks: what each materialization checks of its own slice, and the freshness of each portal.

The questions asked of a slice (`planday_io.lake.quality`) are grouped into two checks, by what a failure means: each check
costs Dagster three events, and with a check for each of five questions, three quarters of all events were about checks.

Freshness is checked by a sensor, because a table that nothing reads any more has no run that could do it.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime

import dagster as dg

from pipelines.edges import sensor
from planday_io.catalogue import Endpoint
from planday_io.lake.installation import Installation
from planday_io.lake.quality import NAMES, UNUSUAL, CheckResult
from planday_io.monitoring.freshness import observe, portal_freshness

FRESH = "fresh_per_portal"
FRESH_DOC = "Every portal was read as recently as its schedules require. A fresh portal does not hide a stale one."


CORRECT, USUAL = "correct", "usual"
_MEANINGS = {CORRECT: "If this fails, numbers are wrong.", USUAL: "If this fails, look at the numbers."}


def described(names: Iterable[str]) -> dict[str, str]:
    """The checks that group some questions of `quality.NAMES`: name -> description."""
    parts: dict[str, list[str]] = {}
    for name in names:
        parts.setdefault(USUAL if name in UNUSUAL else CORRECT, []).append(NAMES[name])
    return {check: " ".join([*docs, _MEANINGS[check]]) for check, docs in parts.items()}


def checks_together(table: str, results: Sequence[CheckResult]) -> Iterator[dg.AssetCheckResult]:
    """The grouped checks of a slice: each passes if all of its questions do; its metadata has the answer to each."""
    for check in described(one.check for one in results):
        own = [one for one in results if one.is_error == (check == CORRECT)]
        metadata: dict[str, int | str] = {}
        for one in own:
            metadata[one.check] = "passed" if one.passed else "FAILED"
            metadata |= {f"{one.check}_{name}": count for name, count in one.counts.items()}
        passed = all(one.passed for one in own)
        yield check_result(table, check, passed, metadata, is_error=check == CORRECT)


def check_result(
    table: str, name: str, passed: bool, metadata: Mapping[str, dg.MetadataValue | int | str], *, is_error: bool = False
) -> dg.AssetCheckResult:
    """The result of one check of a table."""
    return dg.AssetCheckResult(
        passed=passed,
        asset_key=dg.AssetKey(table.split(".")),
        check_name=name,
        severity=dg.AssetCheckSeverity.ERROR if is_error else dg.AssetCheckSeverity.WARN,
        metadata=metadata,
    )


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
