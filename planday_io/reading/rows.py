"""Where the rows of each table stand in an answer, and the total that a page states.

Lenient on purpose: a bare array where `data` was expected and the reverse are the same rows, because both were met
(facts, 9.2 and 9.7). What is neither an array nor an object is refused, or taken as one odd row where the shape is not
documented.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterable, Sequence
from typing import Any

from planday_io.catalogue.endpoint import Endpoint
from planday_io.catalogue.model import ChildArray, ChildMembers, Document, ObjectMap, Table
from planday_io.errors import UnexpectedShapeError
from planday_io.frames.bulk import Rows
from planday_io.frames.values import json_type, to_json


def rows_of(table: Table, answer: object) -> Sequence[object]:
    """The rows of a table that is no child.

    Raises:
        UnexpectedShapeError: the answer holds no rows of this table in any known form.
    """
    match table.rows:
        case Document(member=member, around=around):
            found = _inside(answer, member)
            if found == {} or (found is None and _is_none(answer, member)):
                return []
            if isinstance(found, list | Rows):
                return _surrounded(found, answer, around)
            if isinstance(found, dict):
                return _surrounded([found], answer, around)
        case ObjectMap(member=member) as source:
            found = _inside(answer, member)
            if isinstance(found, dict):
                return [_mapped(source, answer, key, value) for key, value in found.items()]
            if found is None and _is_none(answer, member):
                return []
        case _:
            raise ValueError(f"{table.full_name} is a child table")
    if table.confidence in ("documented", "observed"):
        raise UnexpectedShapeError(
            f"{table.full_name}: the answer is {_describe(answer)} where {_wanted(table)} is documented. Nothing was "
            "written; if the API changed, the catalogue has to follow"
        )
    return [answer]


def tables_in(tables: Sequence[Table], answer: object) -> dict[str, Sequence[object]]:
    """The rows of each table of a document. Where it has the members of some, those it leaves out are empty.

    Raises:
        UnexpectedShapeError: as `rows_of`.
    """
    members = {table.full_name: table.rows.member for table in tables if isinstance(table.rows, Document)}
    present = {name for name, member in members.items() if isinstance(answer, dict) and member in answer}
    several = len(tables) > 1 and present
    return {
        table.full_name: [] if several and table.full_name not in present else rows_of(table, answer)
        for table in tables
    }


def children_of(table: Table, parents: Iterable[object], key: str) -> list[object]:
    """The rows of a child table inside its parent's rows.

    Args:
        table: the child.
        parents: raw rows, as `rows_of` gives them.
        key: the member that identifies a parent.
    """
    rows: list[object] = []
    for parent in parents:
        if not isinstance(parent, dict):
            continue
        match table.rows:
            case ChildMembers(pattern=pattern):
                found = [
                    {**value, "@member": name}
                    for name, value in parent.items()
                    if re.match(pattern, name) and isinstance(value, dict)
                ]
            case ChildArray(member=member):
                items = parent.get(member)
                found = [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []
            case _:
                raise ValueError(f"{table.full_name} is no child table")
        rows += [{**row, "@parent": parent.get(key)} for row in found]
    return rows


def total_of(answer: object) -> int | None:
    """`paging.total`, or None when it is missing or no number. Missing is unknown, never 0."""
    paging = answer.get("paging") if isinstance(answer, dict) else None
    total = paging.get("total") if isinstance(paging, dict) else None
    if isinstance(total, bool) or not isinstance(total, int) or total < 0:
        return None
    return total


def identity(table: Table) -> Any:  # noqa: ANN401 - a function from a row to something hashable
    """What tells rows of a list apart: their key members, or the whole row where the key counts equal rows."""
    members = [] if table.ordinal else [table.column(name).member for name in table.key]
    plain = [member for member in members if not member.startswith(("@", "{")) and "." not in member]

    def identify(row: object) -> Hashable:
        if table.ordinal is None and isinstance(row, dict):
            values = tuple(row.get(member) for member in plain)
            if None not in values and all(isinstance(value, int | str) for value in values):
                return values
        return to_json(row)

    return identify


def primary(endpoint: Endpoint) -> Table:
    """The table whose rows the pages hold."""
    return endpoint.tables[0]


def _inside(answer: object, path: str) -> object:
    """What stands at a dotted path; a wrapper that is missing, or there without being expected, is no matter."""
    if not path:
        return answer["data"] if isinstance(answer, dict) and "data" in answer else answer
    if path == "data" and isinstance(answer, list):
        return answer
    found = answer
    for part in path.split("."):
        if not isinstance(found, dict):
            return None
        if part == "data" and "data" not in found:
            continue
        found = found.get(part)
    return found


def _is_none(answer: object, path: str) -> bool:
    """Whether an answer says that there is nothing: an empty object, or null where the rows would be."""
    if not isinstance(answer, dict):
        return answer is None
    return not answer or path.partition(".")[0] in answer


def _surrounded(rows: Sequence[object], answer: object, around: tuple[tuple[str, str], ...]) -> Sequence[object]:
    if not around:
        return rows
    values = {name: _inside(answer, path) for name, path in around}
    return [{**row, **values} if isinstance(row, dict) else row for row in rows]


def _mapped(source: ObjectMap, answer: object, key: str, value: object) -> object:
    if not isinstance(value, dict):
        return value
    row: dict[str, object] = {**value, "@key": key}
    for name, path in source.flags:
        listed = _inside(answer, path)
        row[name] = key in listed if isinstance(listed, list) else None
    reference = value.get("$ref")
    target = reference.rpartition("/")[2] if isinstance(reference, str) else key
    for name, path in source.lookups:
        found = _inside(answer, path)
        row[name] = found.get(target) if isinstance(found, dict) else None
    return row


def _wanted(table: Table) -> str:
    return "an object of objects" if isinstance(table.rows, ObjectMap) else "an array or an object"


def _describe(answer: object) -> str:
    if isinstance(answer, dict):
        return f"an object with {len(answer)} members"
    return f"a {json_type(answer)}"
