"""The generated part of the dbt package (`dbt/`): sources with their tests and freshness, and thin models with metrics.

What is written by hand in `dbt/` (project file, macros, the example) reads these. Severities are those of the asset checks
(`planday_io.lake.quality`), keys and references the catalogue's, meanings those of the comments in the published file.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta

import yaml

from planday_io.catalogue import LOGS, Catalogue, Table
from planday_io.catalogue.model import ScalarList
from planday_io.config.load import BUILT_IN_DEFAULTS
from planday_io.config.model import PrivacyPolicy
from planday_io.config.ticks import longest_interval
from planday_io.frames.types import STANDARD_DOCS, duckdb_columns
from planday_io.lake import quality
from planday_io.reports.dbt_metrics import METRICS, PREFIX, Figure, MetricsOf, Sum
from planday_io.warehouse import contents, inspection
from planday_io.warehouse.mart_files import Mart, marts, sync_views
from planday_io.warehouse.sync_tables import SYNC_TABLES

GENERATED = ("models", "models/metrics")
"""The folders of the package in which every file is generated. A folder of sources would be a part of the names by which a
project configures them."""

_Yaml = dict[str, object]
_DATABASE = "{{ var('planday_database', 'planday') }}"
_WARNING = {"severity": "warn"}


def dbt_package(catalogue: Catalogue) -> dict[str, str]:
    """Path in the package of each generated file -> its text."""
    files = {f"models/{PREFIX}{schema}.yml": _dumped(source) for schema, source in _sources(catalogue)}
    for one in METRICS:
        files[f"models/metrics/{PREFIX}{one.mart}.sql"] = _model(one)
        files[f"models/metrics/{PREFIX}{one.mart}.yml"] = _dumped(
            {
                "models": [_documented_model(one)],
                "semantic_models": [_semantic_model(one)],
                "metrics": [_metric(one, name, metric) for name, metric in one.metrics.items()],
            }
        )
    return files


def _sources(catalogue: Catalogue) -> Iterator[tuple[str, _Yaml]]:
    tables: dict[str, list[_Yaml]] = {}
    intervals = _intervals(catalogue)
    histories = {history.full_name: catalogue.table(name) for name, history in catalogue.histories.items()}
    for table in catalogue.lake_tables.values():
        schema, name = _published(table)
        made = _table(catalogue, table, name, histories.get(table.full_name), intervals.get(table.full_name))
        tables.setdefault(schema, []).append(made)
    for full_name, (doc, columns) in SYNC_TABLES.items():
        schema, _, name = full_name.partition(".")
        described = [{"name": column, "data_type": kind, "description": text} for column, kind, text in columns]
        tables.setdefault(schema, []).append({"name": name, "description": doc, "columns": described})
    tables.setdefault("sync", []).extend(_view(view) for view in (*sync_views(), *contents.views(catalogue)))
    tables["marts"] = [_mart(mart) for mart in marts()]
    for schema, made_tables in tables.items():
        source = {
            "name": f"{PREFIX}{schema}",
            "description": _describe(schema),
            "database": _DATABASE,
            "schema": schema,
            "tables": made_tables,
        }
        yield schema, {"sources": [source]}


def _describe(schema: str) -> str:
    if schema == "marts":
        return "Views for analysts. Their SQL is that of the published file."
    if schema == "sync":
        return "What was read, when, and how complete it is; what the marts could not use."
    return f"Tables of the published file, schema `{schema}`. Ids repeat across portals: join on `portal` as well."


def _published(table: Table) -> tuple[str, str]:
    """Schema and name in the published file."""
    schema, _, name = table.published_name.partition(".")
    return schema, name


def _table(
    catalogue: Catalogue, table: Table, name: str, history_of: Table | None, interval: timedelta | None
) -> _Yaml:
    # A row that moved to another month has versions in both.
    month = ["month"] if history_of and table.is_monthly and "month" not in table.key else []
    key = ["portal", *month, *table.key]
    checked = quality.checks_of(history_of or table)
    columns = []
    for column, kind in duckdb_columns(table, PrivacyPolicy()):
        declared = next((one for one in table.columns if one.name == column), None)
        tests: list[object] = []
        if column in key and ("key_not_null" in checked or declared is None):
            tests.append("not_null")
        if declared and declared.references and not history_of:
            tests += _reference(catalogue, table, column)
        columns.append(
            {"name": column, "data_type": kind, "description": declared.doc if declared else STANDARD_DOCS[column]}
            | ({"config": {"meta": {"privacy": declared.privacy}}} if declared and declared.privacy != "none" else {})
            | ({"data_tests": tests} if tests else {})
        )
    config: _Yaml = {"meta": {"key": key}}
    read = history_of or table
    if read not in LOGS:
        config["loaded_at_query"] = f"{{{{ planday.last_read('{read.full_name}', is_monthly={read.is_monthly}) }}}}"
    if interval:
        # One read that did not come is a warning, two are an error; each may take half an interval.
        config["freshness"] = {"warn_after": _period(interval * 1.5), "error_after": _period(interval * 2.5)}
    return {
        "name": name,
        "description": table.doc,
        "config": config,
        "data_tests": [{"planday.key_unique": {"arguments": {"columns": key}} | _severity("key_unique")}],
        "columns": columns,
    }


def _severity(check: str) -> _Yaml:
    return {"config": _WARNING} if check in quality.UNUSUAL else {}


def _reference(catalogue: Catalogue, table: Table, column: str) -> Iterator[object]:
    """The test of a reference, with the limits of the asset check: a list has no month whose rows it could refer to."""
    target = catalogue.table(table.column(column).references)
    if target.is_monthly and not table.is_monthly:
        return
    arguments: _Yaml = {
        "to": _source(target),
        "field": "id" if "id" in target.key else target.key[-1],
        "read_as": target.full_name,
    }
    for successor in quality.SUCCESSORS.get(target.full_name, ()):
        arguments["or_to"] = _source(catalogue.table(successor))
    if isinstance(table.column(column).type, ScalarList):
        arguments["is_list"] = True
    yield {"planday.references_resolve": {"arguments": arguments} | _severity("references_resolve")}


def _source(table: Table) -> str:
    schema, name = _published(table)
    return f"source('{PREFIX}{schema}', '{name}')"


def _intervals(catalogue: Catalogue) -> dict[str, timedelta]:
    """Table -> the time between two reads by the schedules that an installation has unless it says otherwise."""
    found: dict[str, timedelta] = {}
    for schedule in BUILT_IN_DEFAULTS["schedules"].values():
        interval = longest_interval(schedule["cron"])
        for endpoint in catalogue.endpoints_with(catalogue.domains(), (), tuple(schedule["resources"])):
            for table in endpoint.tables:
                found[table.full_name] = min(interval, found.get(table.full_name, interval))
    return found


def _period(age: timedelta) -> _Yaml:
    minutes = round(age.total_seconds() / 60)
    return {"count": minutes, "period": "minute"} if minutes % 60 else {"count": minutes // 60, "period": "hour"}


def _mart(mart: Mart) -> _Yaml:
    key = inspection.GRAINS[mart.name].split(", ")
    made = _view(mart) | {"config": {"meta": {"key": key}}}
    if mart.name in inspection.CHECKED:
        where = (
            {"config": {"where": f"{inspection.KEYLESS[mart.name]} is not null"}}
            if mart.name in inspection.KEYLESS
            else {}
        )
        made["data_tests"] = [{"planday.key_unique": {"arguments": {"columns": key}} | where}]
    return made


def _view(view: Mart) -> _Yaml:
    columns = [{"name": name, "description": doc} for name, doc in view.columns.items()]
    return {"name": view.name, "description": view.doc, "columns": columns}


def _model(one: MetricsOf) -> str:
    columns = [*one.columns] if one.date in one.columns else [*one.columns, f"{one.date} as {_day(one)}"]
    where = f"\nwhere {one.rows}" if one.rows else ""
    chosen = ",\n    ".join(columns)
    return (
        f"{{# Generated by `make docs`: columns of a view whose SQL is that of the published file. #}}\n"
        f"select\n    {chosen}\nfrom {{{{ source('{PREFIX}marts', '{one.mart}') }}}}{where}\n"
    )


def _day(one: MetricsOf) -> str:
    """The column with the day that a row counts on."""
    return one.date if one.date in one.columns else f"{one.granularity}_start"


def _documented_model(one: MetricsOf) -> _Yaml:
    docs = {**one.columns} | ({} if one.date in one.columns else {_day(one): f"First day of the {one.granularity}."})
    return {
        "name": f"{PREFIX}{one.mart}",
        "description": f"What metrics need of `marts.{one.mart}`. {one.doc}",
        "columns": [{"name": name, "description": doc} for name, doc in docs.items()],
    }


def _semantic_model(one: MetricsOf) -> _Yaml:
    """In the form of dbt 1.6 and later: dbt 1.12.0 does not find metrics beside a model where its package is installed."""
    time = {"name": _day(one), "type": "time", "type_params": {"time_granularity": one.granularity}}
    return {
        "name": f"{PREFIX}{one.mart}",
        "description": one.doc,
        "model": f"ref('{PREFIX}{one.mart}')",
        "defaults": {"agg_time_dimension": _day(one)},
        "primary_entity": f"{PREFIX}{one.entity}",
        "dimensions": [time, *({"name": name, "type": "categorical"} for name in one.dimensions)],
        "measures": [
            {"name": f"{PREFIX}{name}", "agg": metric.aggregate, "expr": metric.of}
            for name, metric in one.metrics.items()
            if isinstance(metric, Sum)
        ],
    }


def _metric(one: MetricsOf, name: str, metric: Sum | Figure) -> _Yaml:
    head: _Yaml = {"name": f"{PREFIX}{name}", "label": metric.label}
    if isinstance(metric, Sum):
        doc = one.columns.get(metric.of)
        head |= {"description": doc} if doc else {}
        return head | {"type": "simple", "type_params": {"measure": {"name": f"{PREFIX}{name}"}}}
    inputs = one.inputs(metric)
    expression = re.sub(rf"\b({'|'.join(inputs)})\b", rf"{PREFIX}\1", metric.of)
    parameters = {"expr": expression, "metrics": [{"name": f"{PREFIX}{name}"} for name in inputs]}
    made = head | {"description": metric.doc, "type": "derived", "type_params": parameters}
    if metric.where:
        made["filter"] = f"{{{{ Dimension('{PREFIX}{one.entity}__{metric.where}') }}}} is not null"
    return made


class _Dumper(yaml.SafeDumper):
    """Indents lists, and repeats what occurs twice."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:  # noqa: ARG002 - PyYAML's signature
        super().increase_indent(flow, indentless=False)

    def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002 - PyYAML's signature
        return True


def _dumped(content: _Yaml) -> str:
    text = yaml.dump(content, Dumper=_Dumper, sort_keys=False, width=160, allow_unicode=True)
    return f"# Generated from the catalogue by `make docs`; `make check` fails when it is stale.\nversion: 2\n\n{text}"
