"""A table beside the ledger: which kind of absence a type of account or of shift stands for.

Written with each publication like `settings`, of which it is a part.
"""

from __future__ import annotations

from collections.abc import Mapping

import duckdb

from planday_io.catalogue.absence_kinds import absence_of_shift, chosen_absence, guessed_absence
from planday_io.catalogue.shift_kinds import Kind
from planday_io.config.model import MartSettings
from planday_io.warehouse.ledger import Columns

KINDS = "sync.absence_kinds"

COLUMNS: Columns = (
    ("portal", "VARCHAR", "Key of the portal in portals.yaml."),
    ("type_of", "VARCHAR", "account or shift."),
    (
        "type_id",
        "BIGINT",
        "Id in `absence.account_types`, or in `sync.shift_kinds` of a type of kind sickness or absence.",
    ),
    ("name", "VARCHAR", "Name of the type."),
    ("kind", "VARCHAR", "sickness, vacation or other."),
    ("is_guessed", "BOOLEAN", "Whether the kind was guessed from names, because `absence_kinds` says nothing of them."),
)

Row = tuple[str, str, int, str | None, str, bool]


def absence_rows(
    db: duckdb.DuckDBPyConnection,
    portals: Mapping[str, MartSettings],
    shift_kinds: Mapping[tuple[str, int], tuple[str | None, Kind]],
) -> list[Row]:
    """The rows of `sync.absence_kinds` for the connected warehouse.

    Args:
        db: connected to it.
        portals: config key -> settings.
        shift_kinds: portal and shift type -> its name and kind.
    """
    rows: dict[tuple[str, str, int], Row] = {}
    for portal, number, name, absence_type in db.execute(
        "SELECT portal, id, name, absence_type FROM absence.account_types WHERE id IS NOT NULL"
    ).fetchall():
        kinds = portals[portal].absence_kinds if portal in portals else {}
        given = chosen_absence(kinds, name, absence_type)
        kind = given or guessed_absence(name, absence_type)
        rows[portal, "account", number] = (portal, "account", number, name or absence_type, kind, given is None)
    for (portal, number), (name, of_shift) in shift_kinds.items():
        if of_shift in ("sickness", "absence"):
            kinds = portals[portal].absence_kinds if portal in portals else {}
            kind, is_guessed = absence_of_shift(kinds, of_shift, name)
            rows[portal, "shift", number] = (portal, "shift", number, name, kind, is_guessed)
    return [rows[key] for key in sorted(rows)]
