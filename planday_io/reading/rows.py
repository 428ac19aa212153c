"""Where the rows of each table stand in an answer, and the total that a page states.

Lenient on purpose: a bare array where `data` was expected and the reverse are the same rows, because both were met
(facts, 9.2 and 9.7). What is neither an array nor an object is refused, or taken as one odd row where the shape is not
documented. An answer that says nothing where a list is documented is none: only an empty array, or a total of 0, is.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterable, Sequence
from typing import Any
from urllib.parse import unquote

from planday_io.catalogue.endpoint import Endpoint
from planday_io.catalogue.model import ChildArray, ChildMembers, Document, ObjectMap, Table
from planday_io.client.documents import ANY_DECODER, load
from planday_io.errors import EmptyAnswerError, UnexpectedShapeError
from planday_io.frames.bulk import Rows
from planday_io.frames.retyped import Retyped, json_type, to_json

_NOTICES = frozenset(
    "code detail error errorCode errorMessage errors exceptionMessage exceptionType instance message messageDetail "
    "modelState paging stackTrace status statusCode title traceId type".split()
)
"""Members of errors and of paging. They are met with status 200 as well; an object of nothing else is no row."""


def rows_of(table: Table, answer: object) -> Sequence[object]:
    """The rows of a table that is no child.

    Raises:
        EmptyAnswerError: the answer says nothing where rows are documented: null, an empty object, an error.
        UnexpectedShapeError: the answer holds no rows of this table in any known form.
    """
    match table.rows:
        case Document(member=member, form=form, around=around):
            found = _inside(answer, member)
            if isinstance(found, list | Rows) and (found or not (form == "object" or _is_error(answer))):
                return _surrounded(found, answer, around)
            if isinstance(found, dict) and not _says_nothing(found) and _is_row(table, found):
                return _surrounded([found], answer, around)
            if form == "object_or_none" and _is_none(answer):
                return []
        case ObjectMap(member=member) as source:
            found = _inside(answer, member)
            if isinstance(found, dict) and (found or _reaches(answer, member)):
                return [_mapped(source, answer, key, value) for key, value in found.items()]
        case _:
            raise ValueError(f"{table.full_name} is a child table")
    is_missing = found in (None, "") and _reaches(answer, member.partition(".")[0])
    if is_missing or _says_nothing(answer) or isinstance(found, list | Rows):
        if total_of(answer) == 0:
            return []
        raise EmptyAnswerError(
            f"{table.full_name}: the answer is {_describe(answer)} that says nothing where {_wanted(table)} is documented, "
            "so it is not taken as an empty one"
        )
    if table.confidence in ("documented", "observed"):
        raise UnexpectedShapeError(
            f"{table.full_name}: the answer is {_describe(answer)} where {_wanted(table)} is documented. Nothing was "
            "written; if the API changed, the catalogue has to follow"
        )
    return [answer]


def portal_info(content: bytes) -> object:
    """The document that says whose portal it is.

    Raises:
        EmptyAnswerError: it says nothing, so it is asked for again.
        msgspec.DecodeError, UnicodeDecodeError: it is no JSON.
    """
    document = load(content, ANY_DECODER.decode)
    answer, _ = document.clean(document.value)
    inner = _inside(answer, "")
    if _says_nothing(answer) and not (isinstance(inner, dict) and "id" in inner):
        raise EmptyAnswerError(f"the answer is {_describe(answer)} that says nothing where a portal is documented")
    return answer


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
                named = [
                    (name, value) for name, value in parent.items() if value is not None and re.match(pattern, name)
                ]
                found = [{**value, "@member": name} if isinstance(value, dict) else value for name, value in named]
            case ChildArray(member=member):
                items = parent.get(member)
                # What is no array, or no object in it, the builder refuses or takes as an odd row.
                found = items if isinstance(items, list) else [] if items is None else [items]
            case _:
                raise ValueError(f"{table.full_name} is no child table")
        rows += [{**row, "@parent": parent.get(key)} if isinstance(row, dict) else row for row in found]
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
        try:
            return to_json(row)
        except Retyped as retyped:
            raise UnexpectedShapeError(f"{table.full_name}: a row is {retyped.met}. Nothing was written") from None

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


def _reaches(answer: object, path: str) -> bool:
    """Whether the member at a dotted path is there, whatever it holds."""
    *parents, last = path.split(".")
    found = answer
    for part in parents:
        found = found.get(part) if isinstance(found, dict) else None
    return isinstance(found, dict) and last in found


def _says_nothing(answer: object) -> bool:
    """Whether an answer holds nothing that could be a row: null, a text, an object of errors, paging and such."""
    if isinstance(answer, dict):
        return all(name in _NOTICES or item == "" or _is_hollow(item) for name, item in answer.items())
    return answer is None or isinstance(answer, str)


def _is_hollow(value: object) -> bool:
    return value is None or (isinstance(value, dict) and _says_nothing(value))


def _is_error(answer: object) -> bool:
    """Whether an object tells of an error beside an empty list."""
    return isinstance(answer, dict) and any(answer.get(name) for name in ("error", "errors"))


def _is_none(answer: object) -> bool:
    """Whether an answer says explicitly that there is none: null, `{}`, or one of both as `data`."""
    if total_of(answer):
        return False
    inner = answer.get("data") if isinstance(answer, dict) and answer.keys() <= {"data", "paging"} else answer
    return inner is None or inner == {}


def _is_row(table: Table, found: dict[str, object]) -> bool:
    """Whether an object may be a row of a table: a shape that is not documented may be anything."""
    if table.confidence not in ("documented", "observed"):
        return True
    return any(column.member.partition(".")[0] in found for column in table.columns)


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
        # A reference is part of a URI, in which signs such as < may be encoded.
        row[name] = found.get(target, found.get(unquote(target))) if isinstance(found, dict) else None
    return row


def _wanted(table: Table) -> str:
    return "an object of objects" if isinstance(table.rows, ObjectMap) else "an array or an object"


def _describe(answer: object) -> str:
    if isinstance(answer, dict):
        return f"an object with {len(answer)} members"
    if answer is None:
        return "a null"
    return f"a {json_type(answer)}"
