"""Adapts older slices to today's catalogue and privacy policy.

A policy that became stricter applies to earlier reads too: the values are removed from the files, not only hidden. Policies
at the time of reading are in `planday_io.frames.privacy`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

import pyarrow as pa

from planday_io.catalogue import Catalogue, Table
from planday_io.config.model import PrivacyPolicy
from planday_io.frames.types import arrow_schema, replaced
from planday_io.lake.freezing import FrozenSlice
from planday_io.lake.slices import Lake, Provenance, SliceKey


def policies_of(table: Table, policies: PrivacyPolicy) -> dict[str, str]:
    """The policy of each privacy class that a table has, `unknown` included."""
    classes = {column.privacy for column in table.columns} | {"unknown"}
    return {name: policies.policy(name) for name in sorted(classes)}


def aligned(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """An older slice with today's columns: new ones are null, removed ones are left out."""
    columns = [
        table.column(field.name).cast(field.type)
        if field.name in table.schema.names and table.column(field.name).null_count < table.num_rows
        else pa.nulls(table.num_rows, field.type)
        for field in schema
    ]
    return pa.Table.from_arrays(columns, schema=schema)


def under_policy(rows: pa.Table, table: Table, provenance: Provenance, policies: PrivacyPolicy) -> pa.Table:
    """Older rows without values that a stricter policy now hides. They become NULL, also under `hash`."""
    hidden = hidden_classes(table, provenance, policies)
    names = [column.name for column in table.columns if column.privacy in hidden]
    # A member with a wrong type is in _extra, whatever its class.
    for name in [*names, "_extra"] if hidden else []:
        if name in rows.schema.names:
            rows = replaced(rows, name, pa.nulls(rows.num_rows, rows.schema.field(name).type))
    return rows


def hidden_classes(table: Table, provenance: Provenance, policies: PrivacyPolicy) -> set[str]:
    """Privacy classes that a slice holds in a form that is no longer allowed."""
    return _hidden(policies_of(table, policies), provenance)


def _hidden(now: dict[str, str], provenance: Provenance) -> set[str]:
    return {name for name, policy in now.items() if provenance.policies.get(name, "keep") not in ("drop", policy)}


def outdated(catalogue: Catalogue, policies: PrivacyPolicy, slices: Mapping[SliceKey, FrozenSlice]) -> list[SliceKey]:
    """The slices that `adapt` would look into. Those of tables that the catalogue lacks are left out."""
    wanted = {
        name: (policies_of(table, policies), arrow_schema(table, policies))
        for name in {key.full_name for key in slices}
        if (table := catalogue.lake_tables.get(name)) is not None
    }
    return [
        key
        for key, one in slices.items()
        if (now := wanted.get(key.full_name)) and (_hidden(now[0], one.provenance) or one.columns != now[1])
    ]


def adapt(lake: Lake, catalogue: Catalogue, policies: PrivacyPolicy, keys: Iterable[SliceKey]) -> list[SliceKey]:
    """Remove values from slices that a stricter policy now hides, and give slices today's columns, so that all files of a
    table have the same ones.

    A slice of which only the columns change keeps its provenance, so it counts as the same read. One that has values for
    which there is no column any more, or of another type, stays as it is until it is read again.

    Returns:
        The slices whose values changed.

    Raises:
        StorageError: a slice cannot be read or written; those before it were adapted.
    """
    changed = []
    for key in keys:
        table = catalogue.lake_tables.get(key.full_name)
        if table is None:
            continue
        schema = arrow_schema(table, policies)
        # Most slices are as they should be, and taking a lock costs more than reading the footer.
        if (there := lake.provenance_and_columns(key)) is None:
            continue
        if there[1] == schema and not hidden_classes(table, there[0], policies):
            continue
        with lake.locked(key):
            provenance = lake.provenance(key)
            if provenance is None:
                continue
            hidden = hidden_classes(table, provenance, policies)
            if hidden:
                rows = aligned(under_policy(lake.read(key), table, provenance, policies), schema)
                # Removed values count as dropped, so that the table is read again; _extra is removed with any class.
                held = policies_of(table, policies) | provenance.policies | dict.fromkeys({*hidden, "unknown"}, "drop")
                absent = _absent(lake, key, provenance, schema)
                lake.write(key, rows, replace(provenance, policies=held, absent=absent))
                changed.append(key)
            elif lake.columns(key) != schema:
                _align(lake, key, provenance, schema)
    return changed


def _align(lake: Lake, key: SliceKey, provenance: Provenance, schema: pa.Schema) -> None:
    before = lake.read(key)
    gone = {*before.schema.names} - {*schema.names}
    if any(before.column(name).null_count < before.num_rows for name in gone):
        return
    try:
        rows = aligned(before, schema)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        # Values of another type, which only another read has as the catalogue says.
        return
    lake.replace(key, rows, replace(provenance, absent=_absent(lake, key, provenance, schema)).encoded())


def _absent(lake: Lake, key: SliceKey, provenance: Provenance, schema: pa.Schema) -> list[str]:
    there = {*lake.columns(key).names} - {*provenance.absent}
    return [name for name in schema.names if name not in there]
