"""Adapts older slices to today's catalogue and privacy policy.

A policy that became stricter applies to earlier reads too: the values are removed from the files, not only hidden. Policies
at the time of reading are `planday_io.frames.privacy`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import pyarrow as pa

from planday_io.catalogue import Catalogue, Table
from planday_io.config.model import PrivacyPolicy
from planday_io.frames.types import arrow_schema
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
    """Older rows without values that a stricter policy now hides. They are lost, because a hash needs the value."""
    hidden = hidden_classes(table, provenance, policies)
    classes = {column.name: column.privacy for column in table.columns} | {"_extra": "unknown"}
    for name in rows.schema.names:
        # A member with a wrong type is in _extra, whatever its class.
        if classes.get(name) in hidden or (hidden and name == "_extra"):
            index = rows.schema.get_field_index(name)
            kind = rows.schema.field(index).type
            rows = rows.set_column(index, pa.field(name, kind), pa.nulls(rows.num_rows, kind))
    return rows


def hidden_classes(table: Table, provenance: Provenance, policies: PrivacyPolicy) -> set[str]:
    """Privacy classes that a slice holds in a form that is no longer allowed."""
    now = policies_of(table, policies)
    return {name for name, policy in now.items() if provenance.policies.get(name, "keep") not in ("drop", policy)}


def tighten(lake: Lake, catalogue: Catalogue, policies: PrivacyPolicy, keys: Iterable[SliceKey]) -> list[SliceKey]:
    """Remove values from slices that a stricter policy now hides.

    Returns:
        The slices that were rewritten.

    Raises:
        StorageError: a slice cannot be read or written.
    """
    changed = []
    for key in keys:
        table = catalogue.lake_tables.get(key.full_name)
        if table is None:
            continue
        with lake.locked(key):
            provenance = lake.provenance(key)
            if provenance is None or not hidden_classes(table, provenance, policies):
                continue
            rows = aligned(under_policy(lake.read(key), table, provenance, policies), arrow_schema(table, policies))
            now = policies_of(table, policies)
            hidden = hidden_classes(table, provenance, policies)
            # Removed values count as dropped, so that the table is read again; _extra goes with any class.
            gone = {*hidden, "unknown"}
            held = {
                name: "drop" if name in gone else provenance.policies.get(name, policy) for name, policy in now.items()
            }
            lake.write(key, rows, replace(provenance, policies=held))
            changed.append(key)
    return changed
