"""Where the rows of each table are in an answer, and the total that a page states.

Lenient on purpose: a bare array where `data` was expected, and the reverse, are the same rows, because both occur
(docs/api-facts.md#hr, docs/api-facts.md#pay). Anything that is neither an array nor an object is refused, or taken as one odd
row if the shape is not documented. An answer that says nothing where a list is documented is not an empty list: only an
empty array or a total of 0 is, and only if the answer reports no error.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterable, Sequence
from decimal import Decimal
from typing import Any
from urllib.parse import unquote

from planday_io.catalogue.endpoint import Endpoint
from planday_io.catalogue.model import ChildArray, ChildMembers, Document, ObjectMap, Table
from planday_io.documents import ANY_DECODER, load
from planday_io.errors import EmptyAnswerError, UnexpectedShapeError
from planday_io.frames.bulk import Rows
from planday_io.frames.type_mismatch import TypeMismatch, json_type, to_json

_FAULTS = frozenset("error errors fault".split())
_NOTICES = _FAULTS | frozenset(
    "code detail errorcode errormessage exceptionmessage exceptiontype instance issuccess message messagedetail modelstate "
    "paging stacktrace status statuscode success succeeded title traceid type".split()
)
"""Members of errors and of paging, in lower case. They occur with status 200 too; an object with only these is not a row."""
_MESSAGES = frozenset("detail errorcode errormessage exceptionmessage message messagedetail modelstate title".split())
"""Those that report an error when they accompany an empty list."""
_MANY = 10**15


def rows_of(table: Table, answer: object) -> Sequence[object]:
    """The rows of a table that is not a child table.

    Raises:
        EmptyAnswerError: the answer says nothing where rows are documented: null, an empty object, an error.
        UnexpectedShapeError: the answer holds no rows of this table in any known form.
    """
    form = table.rows.form if isinstance(table.rows, Document) else "list"
    match table.rows:
        case Document(member=member, envelope=envelope):
            found = _inside(answer, member)
            _refuse_error(table, answer, found)
            if isinstance(found, list | Rows) and (found or form != "object"):
                return _with_envelope(found, answer, envelope)
            if isinstance(found, dict) and not _says_nothing(found) and _is_row(table, found):
                return _with_envelope([found], answer, envelope)
            if form == "object_or_none" and _is_none(answer):
                return []
        case ObjectMap(member=member) as source:
            found = _inside(answer, member)
            _refuse_error(table, answer, found)
            if isinstance(found, dict) and (found or _reaches(answer, member)):
                return [_mapped(source, answer, key, value) for key, value in found.items()]
        case _:
            raise ValueError(f"{table.full_name} is a child table")
    is_missing = found in (None, "") and _reaches(answer, member.partition(".")[0])
    if is_missing or _says_nothing(answer) or isinstance(found, list | Rows):
        if form != "object" and _states_none(answer, member):
            return []
        raise EmptyAnswerError(
            f"{table.full_name}: the answer is {_describe(answer)} that says nothing where {_wanted(table)} is documented, "
            "so it does not count as empty"
        )
    if table.confidence in ("documented", "observed") or not isinstance(found, dict | list):
        raise UnexpectedShapeError(
            f"{table.full_name}: the answer is {_describe(answer)} where {_wanted(table)} is documented. Nothing was "
            "written; if the API changed, update the catalogue"
        )
    return [answer]


def portal_info(content: bytes) -> object:
    """The document that identifies the portal. Raises EmptyAnswerError if it says nothing, and whatever `load` raises."""
    document = load(content, ANY_DECODER.decode)
    answer, _ = document.clean(document.value)
    inner = _inside(answer, "")
    if _says_nothing(answer) and not (isinstance(inner, dict) and "id" in inner):
        raise EmptyAnswerError(f"the answer is {_describe(answer)} that says nothing where a portal is documented")
    return answer


def tables_in(tables: Sequence[Table], answer: object) -> dict[str, Sequence[object]]:
    """As `rows_of` for each table of a document. If it has rows of the first table, tables missing from it are empty."""
    members = {table.full_name: table.rows.member for table in tables if isinstance(table.rows, Document)}
    present = {name for name, member in members.items() if isinstance(answer, dict) and member in answer}
    several = len(tables) > 1 and tables[0].full_name in present
    return {
        table.full_name: [] if several and table.full_name not in present else rows_of(table, answer)
        for table in tables
    }


def children_of(table: Table, parents: Iterable[object], key: str) -> list[object]:
    """The rows of a child table inside its parent's raw rows. `key` is the member that identifies a parent."""
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
                # The builder refuses anything but an array of objects, or takes it as an odd row.
                found = items if isinstance(items, list) else [] if items is None else [items]
            case _:
                raise ValueError(f"{table.full_name} is not a child table")
        rows += [{**row, "@parent": parent.get(key)} if isinstance(row, dict) else row for row in found]
    return rows


def total_of(answer: object) -> int | None:
    """`paging.total`, or None when it is missing or no number. Missing is unknown, never 0.

    A text of digits (`"12"`) or a whole number with a fraction (`12.0`) counts as a total too. More than 10^15 is 10^15.
    """
    total = _stated(answer)
    if isinstance(total, str):
        total = Decimal(total) if total.isascii() and total.isdigit() else None
    if isinstance(total, bool) or not isinstance(total, int | Decimal) or total < 0:
        return None
    if total >= _MANY:
        return _MANY
    return int(total) if total == int(total) else None


def _stated(answer: object) -> object:
    paging = answer.get("paging") if isinstance(answer, dict) else None
    return paging.get("total") if isinstance(paging, dict) else None


def identity(table: Table) -> Any:  # noqa: ANN401 - a function from a row to something hashable
    """What distinguishes the rows of a list: their key members, or the whole row if the key counts equal rows."""
    members = [] if table.ordinal else [table.column(name).member for name in table.key]
    plain = [member for member in members if not member.startswith(("@", "{")) and "." not in member]

    def identify(row: object) -> Hashable:
        if table.ordinal is None and isinstance(row, dict):
            values = tuple(row.get(member) for member in plain)
            if None not in values and all(isinstance(value, int | str) for value in values):
                return values
        try:
            return to_json(row)
        except TypeMismatch as mismatch:
            raise UnexpectedShapeError(f"{table.full_name}: a row is {mismatch.met}. Nothing was written") from None

    return identify


def primary(endpoint: Endpoint) -> Table:
    """The table whose rows the pages hold."""
    return endpoint.tables[0]


def _inside(answer: object, path: str) -> object:
    """The value at a dotted path; a missing or unexpected `data` wrapper makes no difference."""
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
    """Whether the member at a dotted path exists, whatever its value."""
    *parents, last = path.split(".")
    found = answer
    for part in parents:
        found = found.get(part) if isinstance(found, dict) else None
    return isinstance(found, dict) and last in found


def _says_nothing(answer: object) -> bool:
    """Whether an answer holds nothing that could be a row: null, a text, no rows, an object with only errors or paging."""
    if isinstance(answer, dict):
        return all(name.lower() in _NOTICES or item == "" or _is_hollow(item) for name, item in answer.items())
    return answer is None or isinstance(answer, str) or answer == []


def _is_hollow(value: object) -> bool:
    return value is None or (isinstance(value, dict) and _says_nothing(value))


def _states_none(answer: object, member: str) -> bool:
    """Whether an answer's total says that it has no rows, and nothing else contradicts that."""
    total = _stated(answer)
    if not isinstance(answer, dict) or isinstance(total, bool | str) or total != 0:
        return False
    outer = answer.get(member.partition(".")[0])
    return outer in ("", []) or _is_hollow(outer)


def _refuse_error(table: Table, answer: object, found: object) -> None:
    """Raise EmptyAnswerError if an answer reports an error: its rows may be missing or incomplete."""
    if not isinstance(answer, dict) or answer is found:
        return
    has_rows = isinstance(found, dict | list | Rows) and bool(found)
    if any(_is_fault(name.lower(), value, has_rows=has_rows) for name, value in answer.items()):
        beside = "beside its rows" if has_rows else f"where {_wanted(table)} is documented"
        raise EmptyAnswerError(
            f"{table.full_name}: the answer reports an error {beside}, so it does not count as complete"
        )


def _is_fault(name: str, value: object, *, has_rows: bool) -> bool:
    """Whether a member of an answer, its name in lower case, says that something went wrong."""
    if name in _FAULTS or (name in _MESSAGES and not has_rows):
        return bool(value)
    if name in ("status", "statuscode"):
        return isinstance(value, int) and value >= 400
    return name in ("success", "issuccess", "succeeded") and value is False


def _is_none(answer: object) -> bool:
    """Whether an answer says explicitly that there is none: null, `{}`, or one of both as `data`."""
    if total_of(answer):
        return False
    inner = answer.get("data") if isinstance(answer, dict) and answer.keys() <= {"data", "paging"} else answer
    return inner is None or inner == {}


def _is_row(table: Table, found: dict[str, object]) -> bool:
    """Whether an object may be a row of a table; without a documented shape any object may."""
    if table.confidence not in ("documented", "observed"):
        return True
    return any(column.member.partition(".")[0] in found for column in table.columns)


def _with_envelope(rows: Sequence[object], answer: object, envelope: tuple[tuple[str, str], ...]) -> Sequence[object]:
    if not envelope:
        return rows
    values = {name: _inside(answer, path) for name, path in envelope}
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
