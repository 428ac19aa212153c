"""One asset per table, all from one factory. Tables that one request fills are refreshed together.

Snapshots have a partition per portal, facts one per month and portal (`2026-09|oslo`). Each table has the partitions of all
portals, also of those without it: a run holds assets with equal partitions only, and so does a backfill in the UI.
"""

import warnings
from collections.abc import Iterator, Sequence
from functools import partial

import dagster as dg

from pipelines.checks import FRESH, FRESH_DOC, check_result, checks_together, described, freshness_of
from pipelines.progress import LISTENER
from pipelines.reporting import Event
from pipelines.resources import PlandayPortals
from pipelines.run_end import ending_run
from pipelines.tags import ACCEPT_SHRINK_TAG, DELAY_CAP_TAG, FULL_TAG, MISSING_TAG
from planday_io.catalogue import Catalogue, Endpoint, Table
from planday_io.catalogue.endpoint import Grid
from planday_io.config import Config
from planday_io.config.model import Retries
from planday_io.faults import as_planday_error, trace_of
from planday_io.frames.types import STANDARD_DOCS, duckdb_columns
from planday_io.lake.installation import Installation
from planday_io.lake.quality import check_slice, checks_of
from planday_io.lake.slices import SliceKey
from planday_io.sync.session import PortalSession
from planday_io.sync.session import refresh as refresh_endpoint
from planday_io.sync.writer import TableReport

NOTHING_READ = "nothing_read"
"""Metadata of a partition whose portal does not have the table: why."""
REQUESTS_EXPLAINED = "requests_explained"
"""Metadata of a table that was received without a request of its own: why."""
_ELSEWHERE = "counted at another table of this run, whose answers or whose fan-out it was read for"


def build_assets(installation: Installation) -> list[dg.AssetsDefinition]:
    """Assets for every table that a portal has."""
    portals, partitions = installation.portals_by_endpoint(), _partitions(installation.config)
    return [
        _asset(endpoint, partitions[endpoint.grid], installation)
        for endpoint in installation.catalogue.endpoints
        if portals[endpoint.name]
    ]


def asset_keys(endpoints: Sequence[Endpoint]) -> list[dg.AssetKey]:
    """Asset keys of all tables of some endpoints."""
    return [dg.AssetKey([table.domain, table.name]) for endpoint in endpoints for table in endpoint.tables]


def step_of(endpoint: Endpoint) -> str:
    """Name of the step that reads an endpoint."""
    return endpoint.name.replace(".", "__")


def partition_of(portal: str, month: str | None) -> str | dg.MultiPartitionKey:
    """The partition key of a portal, or of one of its months."""
    return dg.MultiPartitionKey({"portal": portal, "month": month}) if month else portal


def _partitions(config: Config) -> dict[Grid, dg.PartitionsDefinition[str]]:
    """The partitions of all snapshots, and those of all facts."""
    portals = dg.StaticPartitionsDefinition([*config.portals])
    months = dg.MonthlyPartitionsDefinition(
        start_date=config.history_start,
        fmt="%Y-%m",
        # The zone where a month begins first: a portal east of Greenwich must not wait for its month.
        timezone="Etc/GMT-14",
        end_offset=1 + max(portal.window.future_months for portal in config.portals.values()),
    )
    return {"portal": portals, "month": dg.MultiPartitionsDefinition({"portal": portals, "month": months})}


def _portal_and_month(key: str) -> tuple[str, str | None]:
    if isinstance(key, dg.MultiPartitionKey):
        return key.keys_by_dimension["portal"], key.keys_by_dimension["month"]
    return key, None


def _asset(
    endpoint: Endpoint, partitions: dg.PartitionsDefinition[str], installation: Installation
) -> dg.AssetsDefinition:
    deps = _deps(endpoint, installation.catalogue)
    specs = [_spec(endpoint, table, partitions, deps, installation.config) for table in endpoint.tables]

    @dg.multi_asset(name=step_of(endpoint), specs=specs, check_specs=_check_specs(endpoint, partitions))
    def refresh(context: dg.AssetExecutionContext, planday: PlandayPortals) -> Iterator[Event]:
        results = _refreshed(context, planday, endpoint, installation)
        kept = _recording_failures(context, planday, endpoint, installation.catalogue, results)
        yield from ending_run(context, planday, kept)

    return refresh


def _refreshed(
    context: dg.AssetExecutionContext, planday: PlandayPortals, endpoint: Endpoint, installation: Installation
) -> Iterator[dg.MaterializeResult[None]]:
    """Read and write the slices of a partition; yields a result per table, once all of them are written."""
    portal, month = _portal_and_month(context.partition_key)
    if not planday.has(portal, endpoint):
        yield from _without_table(context, portal, endpoint, installation)
        return
    tags, listener = context.run.tags, LISTENER.get()
    session = planday.session(portal)
    session.connection.tell = partial(_tell, context, portal)
    reports = refresh_endpoint(
        session,
        endpoint.name,
        month=month,
        full=tags.get(FULL_TAG) == "true",
        accept_shrink=tags.get(ACCEPT_SHRINK_TAG) == "true",
        replaces_lost=tags.get(MISSING_TAG) == "true",
        progress=partial(listener.reading, portal, endpoint.name, month),
    )
    for warning in (warning for report in reports for warning in report.warnings):
        context.log.warning(warning)
    results = [_result(session, endpoint, report, installation) for report in reports]
    planday.record(portal, month, reports)
    for report in reports:
        listener.finished(portal, report)
    yield from results


def _without_table(
    context: dg.AssetExecutionContext, portal: str, endpoint: Endpoint, installation: Installation
) -> Iterator[dg.MaterializeResult[None]]:
    """Say that a portal does not have a table. A backfill that gets no result for a partition counts as failed."""
    for table in endpoint.tables:
        name = table.full_name
        why = f"portal '{portal}' has no {name}: its `resources` in {installation.config.file.name} leave it out"
        context.log.info("%s. Nothing was read.", why)
        yield dg.MaterializeResult(
            asset_key=name.split("."),
            metadata={NOTHING_READ: why},
            check_results=[
                *(check_result(name, check, True, {NOTHING_READ: why}) for check in described(checks_of(table))),
                check_result(name, FRESH, *freshness_of(endpoint, name, installation)),
            ],
        )


def _tell(context: dg.AssetExecutionContext, portal: str, text: str) -> None:
    context.log.info(text)
    LISTENER.get().waiting(portal, text)


def _result(
    session: PortalSession, endpoint: Endpoint, report: TableReport, installation: Installation
) -> dg.MaterializeResult[None]:
    """A table that was written, with what its checks found."""
    catalogue = installation.catalogue
    key = SliceKey.of(report.table, session.portal, report.month)
    checked = check_slice(session.lake, catalogue, key, report.previous_rows)
    return dg.MaterializeResult(
        asset_key=report.table.split("."),
        metadata={
            **_metadata(report, session.installation.config),
            **_lineage(endpoint, catalogue.table(report.table)),
        },
        check_results=[
            *checks_together(report.table, checked),
            check_result(report.table, FRESH, *freshness_of(endpoint, report.table, installation)),
        ],
    )


def _recording_failures(
    context: dg.AssetExecutionContext,
    planday: PlandayPortals,
    endpoint: Endpoint,
    catalogue: Catalogue,
    results: Iterator[dg.MaterializeResult[None]],
) -> Iterator[dg.MaterializeResult[None]]:
    """Pass results on. An error is recorded and becomes a retry or a failure in Dagster."""
    try:
        yield from results
    except Exception as error:  # noqa: BLE001 - the other tables go on
        portal, month = _portal_and_month(context.partition_key)
        told = as_planday_error(error)
        settings = planday.config.portals.get(portal)
        retries = settings.retries if settings else Retries()
        is_final = not told.retryable or context.retry_number >= retries.step
        LISTENER.get().failed(portal, endpoint.name, month, str(told), is_final=is_final)
        if told is not error:
            # The error's text may quote a cell or a secret, so only its traceback, without texts, goes into the run's
            # log.
            context.log.error("%s", trace_of(error))  # noqa: TRY400 - see above
        if is_final:
            tables = [table.full_name for table in endpoint.tables]
            planday.record_failure(portal, month, tables, _skipped(context, planday, portal, catalogue), told)
            raise dg.Failure(description=str(told), allow_retries=False) from None
        longest = int(context.run.tags.get(DELAY_CAP_TAG, retries.step_delay_seconds))
        delay = min(retries.step_delay_seconds, longest)
        context.log.warning("%s (tried again in %s s)", told, delay)
        raise dg.RetryRequested(max_retries=retries.step, seconds_to_wait=delay) from None


def _skipped(
    context: dg.AssetExecutionContext, planday: PlandayPortals, portal: str, catalogue: Catalogue
) -> list[str]:
    """Tables of a portal that the run skips when a step fails, because they fan out over its rows."""
    steps = planday.steps.behind(context.op_def.name)
    return [
        table.full_name
        for endpoint in catalogue.endpoints
        if step_of(endpoint) in steps and planday.has(portal, endpoint)
        for table in endpoint.tables
    ]


def _check_specs(endpoint: Endpoint, partitions: dg.PartitionsDefinition[str]) -> list[dg.AssetCheckSpec]:
    with warnings.catch_warnings():
        # Dagster warns that this interface may still change; the lock file pins the version.
        warnings.simplefilter("ignore", dg.BetaWarning)
        warnings.simplefilter("ignore", dg.PreviewWarning)
        return [
            dg.AssetCheckSpec(
                name=name,
                asset=[table.domain, table.name],
                description=description,
                # One freshness check covers all portals together.
                partitions_def=None if name == FRESH else partitions,
            )
            for table in endpoint.tables
            for name, description in (*described(checks_of(table)).items(), (FRESH, FRESH_DOC))
        ]


def _spec(
    endpoint: Endpoint,
    table: Table,
    partitions: dg.PartitionsDefinition[str],
    deps: list[dg.AssetDep],
    config: Config,
) -> dg.AssetSpec:
    docs = {**STANDARD_DOCS, **{column.name: column.doc for column in table.columns}}
    schema = dg.TableSchema(
        columns=[
            dg.TableColumn(name=name, type=kind, description=docs[name])
            for name, kind in duckdb_columns(table, config.privacy)
        ]
    )
    tags = {"planday/domain": table.domain, "planday/confidence": table.confidence, "planday/grid": endpoint.grid}
    return dg.AssetSpec(
        key=[table.domain, table.name],
        deps=deps,
        description=f"{table.doc}\n\nSource: `GET {endpoint.path}`, scope `{endpoint.scope or 'none documented'}`. "
        f"Key: portal, {', '.join(table.key)}.",
        group_name=table.domain,
        kinds={"planday", "parquet", "duckdb"},
        owners=["team:data"],
        tags=tags,
        partitions_def=partitions,
        metadata={
            "dagster/column_schema": schema,
            "dagster/table_name": table.full_name,
            "scope": endpoint.scope or "none documented",
            "documentation": f"docs/tables.md#{table.full_name}",
        },
    )


def _lineage(endpoint: Endpoint, table: Table) -> dict[str, dg.TableColumnLineage]:
    """Columns that come from the table which the endpoint fans out over."""
    if endpoint.fan_out is None:
        return {}
    parent, filled = dg.AssetKey(endpoint.fan_out.parent.split(".")), dict(endpoint.fan_out.bind)
    found = {
        column.name: [dg.TableColumnDep(asset_key=parent, column_name=filled[column.path_param])]
        for column in table.columns
        if column.path_param in filled
    }
    return {"dagster/column_lineage": dg.TableColumnLineage(deps_by_column=found)} if found else {}


def _deps(endpoint: Endpoint, catalogue: Catalogue) -> list[dg.AssetDep]:
    """The assets that have to succeed first. If `extra_parents` fails, the listed parents are still read."""
    if endpoint.fan_out is None:
        return []
    parent = catalogue.endpoint_of(endpoint.fan_out.parent)
    mapping: dg.PartitionMapping | None = None
    if parent.grid != endpoint.grid:
        # Dagster warns that this interface may still change; the lock file pins the version.
        with warnings.catch_warnings(action="ignore", category=dg.BetaWarning):
            mapping = dg.MultiToSingleDimensionPartitionMapping("portal")
    return [dg.AssetDep(dg.AssetKey(endpoint.fan_out.parent.split(".")), partition_mapping=mapping)]


def _metadata(report: TableReport, config: Config) -> dict[str, dg.MetadataValue | int | float | str]:
    return {
        "dagster/partition_row_count": report.rows,
        "rows_received": report.received,
        "rows_explained": report.account,
        **({} if report.previous_rows is None else {"previous_rows": report.previous_rows}),
        "requests": report.counters.requests,
        **({REQUESTS_EXPLAINED: _ELSEWHERE} if report.received and not report.counters.requests else {}),
        "retries": report.counters.retries,
        "bytes": report.counters.bytes,
        "throttled_seconds": round(report.counters.throttled_seconds, 3),
        "seconds": round(report.seconds, 3),
        "window": report.window,
        "verdict": report.verdict,
        "rereads": report.rereads,
        "gone": report.gone,
        "months_requested": ", ".join(report.requested_months) or "none",
        "path": dg.MetadataValue.path(str(config.lake / report.path)),
    }
