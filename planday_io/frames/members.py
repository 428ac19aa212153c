"""Members of JSON rows: what is at a column's path, what is next to it, and which row it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

from planday_io.catalogue.model import Column, StructList, Table
from planday_io.frames.type_mismatch import Misplaced

Row = dict[str, Any]
PathParam = int | str | date
"""A value of one of a request's path parameters."""


def row_name(
    table: Table, row: Mapping[str, Any], number: int, path_params: Mapping[str, PathParam], place: int = 0
) -> str:
    """A row's name in messages: its ids, which are not personal data, and its position if they do not identify it.

    `number` counts from 0 in its answer, `place` is that of the answer's first row in its list.
    """
    ids = []
    for column in table.columns:
        if column.name not in table.key or column.type != "BIGINT" or "." in column.member:
            continue
        value = path_params.get(column.path_param) if column.path_param else row.get(column.member)
        if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63:
            ids.append(f"{column.name} {value}")
    others = {column.name for column in table.columns if column.name in table.key} - {
        name.partition(" ")[0] for name in ids
    }
    if ids and (table.is_child or not others):
        return ", ".join(ids)
    return ", ".join([*ids, f"row {place + number + 1} of the {'list' if place else 'answer'}"])


def member_values(column: Column, objects: Sequence[Row]) -> list[Any]:
    """A column's values; `Misplaced` where they are not inside an object."""
    if "." not in column.member:
        return [row.get(column.member) for row in objects]
    return [value_at(row, column.member) for row in objects]


def value_at(row: Row, path: str) -> Any:  # noqa: ANN401 - JSON
    """The value at a dotted path of an object, None, or `Misplaced`."""
    found: Any = row
    for part in path.split("."):
        if found is None or isinstance(found, Misplaced):
            return found
        found = found.get(part) if isinstance(found, dict) else Misplaced(found)
    return found


def nested_members(columns: Sequence[Column]) -> dict[str, frozenset[str]]:
    """Known members inside objects and arrays of objects: `bankAccount` -> {registrationNumber, ...}."""
    nested: dict[str, set[str]] = {}
    for column in columns:
        head, dot, rest = column.member.partition(".")
        if dot:
            nested.setdefault(head, set()).add(rest.partition(".")[0])
        elif isinstance(column.type, StructList):
            nested.setdefault(head, set()).update(field.member.partition(".")[0] for field in column.type.fields)
    return {member: frozenset(known) for member, known in nested.items()}


def strangers(value: object, member: str, known: frozenset[str]) -> list[tuple[str, object]]:
    """Unknown members one level down, with their paths: `bankAccount.iban`, `portals[].kind`."""
    if isinstance(value, dict):
        return [(f"{member}.{name}", value[name]) for name in value.keys() - known]
    if isinstance(value, list):
        names = sorted({name for item in value if isinstance(item, dict) for name in item.keys() - known})
        return [
            (f"{member}[].{name}", [item.get(name) if isinstance(item, dict) else None for item in value])
            for name in names
        ]
    return []
