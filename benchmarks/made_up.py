"""A lake of made-up slices for many portals: all tables, random values, as many rows as asked for. Nothing is read.

The files are what `Lake.write` writes, without waiting for the disk after each of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa

from planday_io.catalogue import CATALOGUE, RUNS, VERSION, Table
from planday_io.config.model import PrivacyPolicy
from planday_io.frames.types import arrow_schema
from planday_io.lake import parquet
from planday_io.lake.installation import Installation
from planday_io.lake.layout import file_of
from planday_io.lake.policies import policies_of
from planday_io.lake.slices import Provenance, SliceKey
from planday_io.months import first_day, shifted

SLICES_PER_PORTAL = 163
_MONTHS = 12
_FIRST = "2025-12"
_READ_AT = datetime(2026, 11, 26, 22, tzinfo=UTC)


def installation_of(folder: Path, portals: int) -> Installation:
    """An installation with portals that are never read."""
    folder.mkdir(parents=True, exist_ok=True)
    entries = "\n".join(
        f"  {name}: {{client_id: bench, refresh_token: {{env: BENCH_TOKEN}}}}" for name in names(portals)
    )
    (folder / "portals.yaml").write_text(f"portals:\n{entries}\n")
    return Installation.load(folder / "portals.yaml", CATALOGUE)


def names(portals: int) -> list[str]:
    """The keys of its portals."""
    return [f"p{number:03}" for number in range(portals)]


def keys_of(portal: str) -> list[SliceKey]:
    """The slices of a portal: 163 of them."""
    snapshots = [table for table in CATALOGUE.lake_tables.values() if not table.is_monthly]
    facts = [table for table in CATALOGUE.tables() if table.is_monthly and table.full_name != RUNS.full_name]
    found = [
        SliceKey.of(table.full_name, portal, shifted(_FIRST, month)) for month in range(_MONTHS) for table in facts[:8]
    ]
    return found + [SliceKey.of(table.full_name, portal) for table in snapshots[: SLICES_PER_PORTAL - len(found)]]


def write(installation: Installation, keys: Iterable[SliceKey], *, rows: int, run: str) -> None:
    """Write slices: those of a month with `rows` rows, others with a twentieth of that."""
    lake = installation.lake
    lake.require(creates=True)
    by_portal: dict[str, list[SliceKey]] = {}
    for key in keys:
        by_portal.setdefault(key.portal, []).append(key)
    for portal, of_portal in by_portal.items():
        slice_ids = lake.announce(of_portal)
        for key in of_portal:
            table = CATALOGUE.lake_tables[key.full_name]
            made = rows_of(table, key, rows if key.month else max(1, rows // 20), int(portal[1:]))
            provenance = Provenance(
                run_id=run, portal_id=int(portal[1:]) + 1, fetched_at=datetime.now(UTC).isoformat(), window="", requests=1,
                expected_total=made.num_rows, received=made.num_rows, distinct_keys=made.num_rows, kept=made.num_rows,
                verdict="total_matched", catalogue_version=VERSION, policies=policies_of(table, PrivacyPolicy()),
                slice_id=slice_ids[key],
            )  # fmt: skip
            path = installation.config.lake / file_of(key)
            path.parent.mkdir(parents=True, exist_ok=True)
            new = path.with_name("new")
            parquet.write(made, new, provenance.encoded())
            new.replace(path)


def rows_of(table: Table, key: SliceKey, rows: int, portal: int) -> pa.Table:
    """Random rows in the columns of a table; keys do not repeat."""
    chance = np.random.default_rng([portal, *map(ord, str(key))])
    first = (portal * 400 + (int(key.month[2:4]) * 12 + int(key.month[5:]) if key.month else 0)) * 1_000_000
    own = {"portal": key.portal, "portal_id": portal + 1, "month": key.month}
    arrays = []
    for field in arrow_schema(table, PrivacyPolicy()):
        if field.name in own:
            arrays.append(pa.repeat(pa.scalar(own[field.name], field.type), rows))
        elif field.name in table.key and not pa.types.is_temporal(field.type):
            arrays.append(pa.array(np.arange(first, first + rows)).cast(field.type))
        elif field.name == "time_zone":
            arrays.append(pa.repeat(pa.scalar("Europe/Copenhagen"), rows))
        elif field.name == "_extra":
            arrays.append(pa.nulls(rows, field.type))
        else:
            arrays.append(_values(field.type, chance, rows, key))
    return pa.Table.from_arrays(arrays, schema=arrow_schema(table, PrivacyPolicy()))


def _values(kind: pa.DataType, chance: np.random.Generator, rows: int, key: SliceKey) -> pa.Array:
    if pa.types.is_integer(kind):
        return pa.array(chance.integers(1, 2**40, rows))
    if pa.types.is_decimal(kind):
        numbers = np.zeros((rows, 2), np.int64)
        numbers[:, 0] = chance.integers(0, 10_000_000, rows)
        return pa.Array.from_buffers(kind, rows, [None, pa.py_buffer(numbers)])
    if pa.types.is_temporal(kind):
        days = np.datetime64(first_day(key.month or _FIRST)) + chance.integers(0, 28, rows).astype("timedelta64[D]")
        instants = days.astype("datetime64[us]") + chance.integers(0, 86_400_000_000, rows).astype("timedelta64[us]")
        return pa.array(days if pa.types.is_date(kind) else instants).cast(kind)
    if pa.types.is_boolean(kind):
        return pa.array(chance.integers(0, 2, rows).astype(bool))
    if pa.types.is_string(kind):
        return pa.array(chance.integers(0, 5000, rows)).cast(kind)
    return pa.nulls(rows, kind)


def sizes(files: Sequence[Path]) -> float:
    """The size of some files together, in MiB."""
    return sum(file.stat().st_size for file in files) / 2**20
