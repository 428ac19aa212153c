"""Restores histories and feeds of the lake from the published file, where an older file of them was put back.

Other tables are read again. What a history saw between two days cannot be asked for, and Planday may no longer send what a
feed received, but the published file shows both, so the slice is written again from there, with the id that it had: no row
changes for readers.

Not here: whether that file is as it was published, and may be copied from (`publish`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC
from pathlib import Path

import pyarrow as pa

from planday_io.catalogue import Catalogue
from planday_io.config.model import PrivacyPolicy
from planday_io.errors import StorageError
from planday_io.frames.types import arrow_schema, quote
from planday_io.lake.installation import Installation
from planday_io.lake.policies import policies_of
from planday_io.lake.slices import Lake, SliceKey
from planday_io.warehouse.definitions import sql_name
from planday_io.warehouse.filling import derived_tables, of_slice
from planday_io.warehouse.ledger import Published, Shown
from planday_io.warehouse.standing import Standing, attached


def is_read_again(catalogue: Catalogue, key: SliceKey) -> bool:
    """Whether the next read of a slice's table replaces an older file of it."""
    return key.full_name not in derived_tables(catalogue) and catalogue.endpoint_of(key.full_name).feed is None


def recover(
    installation: Installation, keys: Iterable[SliceKey], current: Standing, wanted: Published
) -> tuple[list[str], dict[SliceKey, StorageError]]:
    """Write files of histories and feeds again from the published file. Other slices are left alone.

    Args:
        installation: whose lake has older files than were published.
        keys: slices with such a file, whose rows in the published file may be copied.
        current: the published file.
        wanted: what a file published now would say about itself.

    Returns:
        Messages for people, and slices that could not be written, and why. Their older files are untouched.
    """
    notices: list[str] = []
    problems: dict[SliceKey, StorageError] = {}
    lake, catalogue, policies = installation.lake, installation.catalogue, installation.config.privacy
    # Columns may have had another meaning under other definitions.
    if current.made is None or current.made.definitions != wanted.definitions or not current.is_known:
        return notices, problems
    for key in keys:
        # Where another month shows a row, the file does not have all rows of the slice.
        if is_read_again(catalogue, key) or (shown := current.shown[key]).elsewhere:
            continue
        try:
            if _recover_slice(lake, catalogue, policies, key, shown, current.source):
                notices.append(f"{key} was older than what is published, and was restored from the published file")
        except StorageError as error:
            problems[key] = error
    return notices, problems


def _recover_slice(
    lake: Lake, catalogue: Catalogue, policies: PrivacyPolicy, key: SliceKey, shown: Shown, file: Path
) -> bool:
    """Write a slice's file again from the published one. Returns whether there was an older file to replace.

    Args:
        lake: that has an older file.
        catalogue: that the published file was made with.
        policies: that it was made with.
        key: the slice.
        shown: what the published file says about it. It has all rows of the slice.
        file: the published file, intact.

    Raises:
        StorageError: it cannot be written. The older file is untouched.
    """
    table = catalogue.lake_tables[key.full_name]
    schema = arrow_schema(table, policies)
    with lake.locked(key):
        older = lake.provenance(key)
        if older is None or older.slice_id == shown.slice_id or older.fetched >= shown.read_at:
            return False
        where, values = of_slice(key)
        # JSON is text in the lake.
        columns = ", ".join(
            f"CAST({quote(one.name)} AS VARCHAR) AS {quote(one.name)}" if one.type == pa.string() else quote(one.name)
            for one in schema
        )
        order = ", ".join(quote(name) for name in ("portal", *table.key))
        with attached(file) as db:
            rows = db.sql(f"SELECT {columns} FROM {sql_name(table)} WHERE {where} ORDER BY {order}", params=values)
            found = rows.to_arrow_table().cast(schema)
        stored = replace(
            older,
            fetched_at=shown.read_at.astimezone(UTC).isoformat(),
            distinct_keys=found.num_rows,
            kept=found.num_rows,
            policies=policies_of(table, policies),
            slice_id=shown.slice_id,
        )
        lake.replace(key, found, stored.encoded())
        return True
