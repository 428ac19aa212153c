"""The warehouse and its marts as assets, with lineage and checks.

Any run that publishes reports them (`reporting`). Materializing them in the UI starts a run that only publishes.
"""

from collections.abc import Iterator

import dagster as dg

from pipelines.reporting import GRAIN_CHECK, STEP, SUMS_CHECK, WAREHOUSE, Event, mart_key
from pipelines.resources import PlandayPortals
from pipelines.run_end import ending_run
from planday_io.lake.installation import Installation
from planday_io.warehouse.inspection import CHECKED, GRAINS, SUMS
from planday_io.warehouse.mart_files import marts, read_by


def warehouse_keys() -> list[dg.AssetKey]:
    """The warehouse and its marts."""
    return [WAREHOUSE, *(mart_key(mart.name) for mart in marts())]


def build_warehouse(installation: Installation) -> dg.AssetsDefinition:
    """The assets of the warehouse, downstream of all tables in use."""
    portals = installation.portals_by_endpoint()
    tables = [table.full_name for one in installation.catalogue.endpoints if portals[one.name] for table in one.tables]
    specs = [
        dg.AssetSpec(
            WAREHOUSE,
            deps=[table.split(".") for table in tables],
            description="The published file: all tables, histories, marts and the ledger. Materialize it to publish what "
            "killed runs wrote.",
            group_name="warehouse",
            kinds={"duckdb"},
            owners=["team:data"],
            skippable=True,
            metadata={"path": dg.MetadataValue.path(str(installation.config.warehouse))},
        )
    ]
    for mart in marts():
        columns = [dg.TableColumn(name=name, description=doc) for name, doc in mart.columns.items()]
        read = sorted(one for one in read_by(mart.name) if one in tables or one.startswith("marts."))
        specs.append(
            dg.AssetSpec(
                mart_key(mart.name),
                deps=[one.split(".") for one in read],
                description=mart.doc,
                group_name="marts",
                kinds={"duckdb", "sql"},
                owners=["team:data"],
                skippable=True,
                metadata={
                    "dagster/column_schema": dg.TableSchema(columns=columns),
                    "dagster/table_name": f"marts.{mart.name}",
                    "documentation": f"docs/marts.md#{mart.name}",
                },
            )
        )

    @dg.multi_asset(name=STEP, specs=specs, check_specs=[*_check_specs()])
    def warehouse(context: dg.AssetExecutionContext, planday: PlandayPortals) -> Iterator[Event]:
        yield from ending_run(context, planday, iter(()))

    return warehouse


def _check_specs() -> Iterator[dg.AssetCheckSpec]:
    for name, grain in GRAINS.items():
        if name in CHECKED:
            yield dg.AssetCheckSpec(GRAIN_CHECK, asset=mart_key(name), description=f"No two rows share {grain}.")
    for name, columns in SUMS.items():
        sums = ", ".join(f"{column} of `{table}`" for column, (_, table) in columns.items())
        yield dg.AssetCheckSpec(SUMS_CHECK, asset=mart_key(name), description=f"Sums are those of the tables: {sums}.")
