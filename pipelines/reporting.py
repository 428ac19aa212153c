"""What is reported to Dagster after a publication: materializations of the warehouse and its marts, and checks of the
marts.

Not here: the assets (`warehouse`), computing it (`planday_io.warehouse.inspection`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import dagster as dg

from planday_io.config import Config
from planday_io.errors import PlandayError
from planday_io.warehouse import Publication
from planday_io.warehouse.inspection import SUMS, MartState, WarehouseState, inspect

STEP = "warehouse"
WAREHOUSE = dg.AssetKey("warehouse")
GRAIN_CHECK, SUMS_CHECK = "one_row_per_grain", "sums_are_the_tables"

Event = dg.MaterializeResult[None] | dg.AssetMaterialization | dg.AssetCheckResult
Metadata = dict[str, dg.MetadataValue | int | float | str]


def mart_key(name: str) -> dg.AssetKey:
    """The asset key of a mart."""
    return dg.AssetKey(["marts", name])


def events_of(
    config: Config, done: Publication, *, is_whole: bool = False
) -> list[dg.AssetMaterialization | dg.AssetCheckEvaluation]:
    """The events of a publication, checks first; none if it changed nothing, unless all marts are evaluated (`is_whole`).

    Raises:
        PublicationError: the file was published, but cannot be read just now.
    """
    has_changed = bool(done.changed or done.is_rebuild)
    if not (has_changed or is_whole):
        return []
    is_whole = is_whole or done.is_rebuild
    state = inspect(
        config.warehouse,
        tables=None if is_whole else done.tables,
        portals=() if is_whole else {key.portal for key in done.changed},
    )
    events: list[dg.AssetMaterialization | dg.AssetCheckEvaluation] = [
        dg.AssetCheckEvaluation(asset_key=mart_key(name), check_name=check, passed=passed, metadata=metadata)
        for name, mart in state.marts.items()
        for check, passed, metadata in _checks_of(name, mart, state.of_portals)
    ]
    if has_changed:
        events += [
            dg.AssetMaterialization(mart_key(name), metadata=_of_mart(state, one)) for name, one in state.marts.items()
        ]
        events += [
            dg.AssetMaterialization(mart_key(name), metadata={"generation": state.generation})
            for name in state.unchecked
        ]
        events.append(dg.AssetMaterialization(WAREHOUSE, metadata=_of_warehouse(state, done)))
    return events


def report(context: dg.AssetExecutionContext, config: Config, done: Publication) -> Iterator[Event]:
    """Report a publication from the step of the run that published: its own results, or events of other assets."""
    is_own_step = context.op_def.name == STEP
    try:
        events = events_of(config, done, is_whole=is_own_step)
    except PlandayError as error:
        if is_own_step:
            raise
        # The next publication reports what could not be read just now.
        context.log.warning("%s", error)
        return
    for event in events:
        if isinstance(event, dg.AssetMaterialization):
            yield dg.MaterializeResult(asset_key=event.asset_key, metadata=event.metadata) if is_own_step else event
        elif is_own_step:
            yield dg.AssetCheckResult(
                passed=event.passed, asset_key=event.asset_key, check_name=event.check_name, metadata=event.metadata
            )
        else:
            # A step can report checks of other assets only by a logged event, which is stored with the next one that it
            # yields.
            context.log_event(event)


def _checks_of(name: str, mart: MartState, portals: Sequence[str]) -> Iterator[tuple[str, bool, Metadata]]:
    where: Metadata = {"portal": ", ".join(portals)} if portals else {}
    yield GRAIN_CHECK, mart.repeated == 0, {"rows": mart.rows, "repeated": mart.repeated, **where}
    if name in SUMS:
        # Name the columns, never the amounts: not everybody who sees events may see the warehouse.
        wrong = ", ".join(mart.wrong_sums) or "none"
        yield SUMS_CHECK, not mart.wrong_sums, {"columns": ", ".join(mart.sums), "wrong": wrong, **where}


def _of_warehouse(state: WarehouseState, done: Publication) -> Metadata:
    return {
        "dagster/row_count": state.rows,
        "bytes": state.size_bytes,
        "generation": state.generation,
        "portals": state.portals,
        "slices_replaced": done.slices,
        "rows_replaced": done.rows,
        "rebuilt": str(done.is_rebuild).lower(),
        "seconds": round(done.seconds, 3),
    }


def _of_mart(state: WarehouseState, mart: MartState) -> Metadata:
    """Rows of the mart if all of it was counted, otherwise those of the portals that changed."""
    rows = "rows_of_portal" if len(state.of_portals) == 1 else "rows_of_portals"
    counted: Metadata = {"portal": ", ".join(state.of_portals), rows: mart.rows} if state.of_portals else {}
    return {**(counted or {"dagster/row_count": mart.rows}), "generation": state.generation}
