"""What the published file says about itself: names, comments, how complete and how old it is.

Every slice in the file is a complete read, or it would not be there; so what can be missing is a table or a month that was
never read, and what was to be read again and failed, which keeps its previous rows (`sync.failures`).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import duckdb

from planday_io.assistant.cells import plain_line
from planday_io.assistant.statements import DATABASE, Allowed
from planday_io.errors import QuestionError
from planday_io.months import is_month

Facts = dict[str, object]

_FAILING = """
    SELECT portal, month, table_name, max(started_at), arg_max(error, started_at), any_value(read_at) IS NOT NULL AS is_read
    FROM sync.failures WHERE NOT is_over GROUP BY portal, month, table_name ORDER BY ALL
"""
"""Tables whose last read failed, per portal and month: when that run began, why, and whether an earlier one did not fail."""
_VERDICTS = {
    "total_matched": "rows and keys equal the total that Planday announced",
    "exhausted": "read to an empty page",
    "document": "one answer that is not paged",
}


def status_line(db: duckdb.DuckDBPyConnection, now: datetime) -> str:
    """How complete and how old the data is, in one line."""
    portals = db.execute("SELECT portal, max(fetched_at) FROM sync.slices GROUP BY portal ORDER BY 2, 1").fetchall()
    if not portals:
        return "Completeness: nothing was read from Planday yet, so this file has no data."
    (first, oldest), (_, newest) = portals[0], portals[-1]
    read = f"last read from Planday {_instant(newest)} ({_ago(newest, now)})"
    if len(portals) > 1 and (newest - oldest).total_seconds() > 3600:
        first_read = f"{_instant(oldest)} (portal {first}, {_ago(oldest, now)})"
        read = f"last read from Planday between {first_read} and {_instant(newest)}"
    failing = [is_read for *_, is_read in db.execute(_FAILING).fetchall()]
    complete = "all that is here was read completely"
    if failing:
        kept, never = failing.count(True), failing.count(False)
        words = [f"{_tables(kept)} kept earlier rows, because the last read failed"] if kept else []
        words += [f"{_tables(never)} never read, because every read failed"] if never else []
        complete = f"{', and '.join(words)} (see the tool completeness)"
    return f"Completeness: {complete}. Age: {_count(len(portals), 'portal')}, {read}."


def contents(db: duckdb.DuckDBPyConnection, allowed: Allowed) -> Facts:
    """Names with comments: views and tables, whether they are allowed, and macros with their arguments.

    Old names of tables are left out: they are allowed like the tables, but nobody should begin to use them.
    """
    rows = db.execute(
        "SELECT schema_name, view_name, comment, true FROM duckdb_views() WHERE database_name = ? AND NOT internal "
        "AND NOT starts_with(coalesce(comment, ''), 'Deprecated: ') UNION ALL "
        "SELECT schema_name, table_name, comment, false FROM duckdb_tables() WHERE database_name = ? ORDER BY ALL",
        [DATABASE, DATABASE],
    ).fetchall()
    macros = db.execute(
        "SELECT schema_name, function_name, parameters FROM duckdb_functions() "
        "WHERE database_name = ? AND function_type = 'table_macro' ORDER BY ALL",
        [DATABASE],
    ).fetchall()
    return {
        "relations": [
            {
                "schema": schema,
                "name": name,
                "doc": doc or "",
                "is_view": is_view,
                "is_allowed": (schema, name) in allowed.tables,
            }
            for schema, name, doc, is_view in rows
        ],
        "macros": [
            {
                "schema": schema,
                "name": name,
                "arguments": [one for one in arguments if one != "db"],
                "is_allowed": (schema, name) in allowed.table_macros,
            }
            for schema, name, arguments in macros
        ],
    }


def description(db: duckdb.DuckDBPyConnection, allowed: Allowed, name: str) -> Facts:
    """One table, view or macro: its comment, and its columns with type and meaning. Raises QuestionError."""
    schema, _, short = name.strip().casefold().replace('"', "").rpartition(".")
    schema = schema.removeprefix(f"{DATABASE}.") or "marts"
    is_macro = (schema, short) in allowed.table_macros
    if (schema, short) not in allowed.tables and not is_macro:
        raise allowed.refusal((schema, short))
    of = short.removesuffix("_as_of") if is_macro else short
    columns = db.execute(
        "SELECT column_name, data_type, coalesce(comment, '') FROM duckdb_columns() "
        "WHERE database_name = ? AND schema_name = ? AND table_name = ? ORDER BY column_index",
        [DATABASE, schema, of],
    ).fetchall()
    if is_macro and not columns:
        columns = [(column, kind, "") for column, kind, *_ in db.execute(_described(db, schema, short)).fetchall()]
    (doc,) = db.execute(
        "SELECT any_value(comment) FROM ("
        "SELECT schema_name, view_name AS name, comment FROM duckdb_views() WHERE database_name = ? "
        "UNION ALL SELECT schema_name, table_name, comment FROM duckdb_tables() WHERE database_name = ?) "
        "WHERE schema_name = ? AND name = ?",
        [DATABASE, DATABASE, schema, of],
    ).fetchone() or (None,)
    return {"schema": schema, "name": short, "is_macro": is_macro, "doc": doc or "", "columns": columns}


def completeness(db: duckdb.DuckDBPyConnection, portal: str | None, month: str | None) -> str:
    """In words: what was read of a portal, or of all, and why it counts as complete. Raises QuestionError."""
    portals = _portals(db, portal)
    if month is not None and not is_month(month):
        raise QuestionError(f"{month[:20]!r} is not a month: write it as 2026-09")
    lines = []
    for name in portals:
        lines.append(f"Portal {name}:")
        lines += _of_month(db, name, month) if month else _of_portal(db, name)
        failed = [
            one
            for one in db.execute(_FAILING).fetchall()
            if one[0] == name and (month is None or one[1] in (None, month))
        ]
        lines += [
            f"- {table}{f' of {of_month}' if of_month else ''}: its read of {_instant(at)} failed, "
            f"{'so earlier rows stay' if is_read else 'and it was never read before'}. Reason: {_short(error)}"
            for _, of_month, table, at, error, is_read in failed
        ]
    lines.append(
        "A read that is not complete is never published. Tables and months that are not named here were never read."
    )
    return "\n".join(lines)


def freshness(db: duckdb.DuckDBPyConnection, now: datetime) -> str:
    """In words: when lists and months of each portal were last read, and how its last run ended."""
    lines = []
    for name in _portals(db, None):
        lists = _row(
            db,
            "SELECT min(fetched_at), max(fetched_at), count(*) FROM sync.slices WHERE month IS NULL AND portal = ?",
            name,
        )
        months = db.execute(
            "SELECT month, min(fetched_at), max(fetched_at) FROM sync.slices WHERE month IS NOT NULL AND portal = ? "
            "GROUP BY month ORDER BY month DESC LIMIT 6",
            [name],
        ).fetchall()
        run = _row(db, "SELECT max(ended_at), arg_max(is_complete, ended_at) FROM sync.runs WHERE portal = ?", name)
        lines.append(f"Portal {name}:")
        if lists[2]:
            lines.append(
                f"- {lists[2]} lists (people, departments and the like): the oldest was read {_when(lists[0], now)}, "
                f"the newest {_when(lists[1], now)}"
            )
        lines += [
            f"- month {month}: its tables were read between {_when(oldest, now)} and {_when(newest, now)}"
            for month, oldest, newest in months
        ]
        if run[0] is not None:
            lines.append(
                f"- its last run ended {_when(run[0], now)} and was {'complete' if run[1] else 'not complete'}"
            )
    lines.append(
        "Each table shows what Planday had when it was read; later changes in Planday come with the next read."
    )
    return "\n".join(lines)


def _of_portal(db: duckdb.DuckDBPyConnection, portal: str) -> list[str]:
    rows = db.execute(
        "SELECT month, count(*), sum(kept), min(fetched_at), max(fetched_at) FROM sync.slices WHERE portal = ? "
        "GROUP BY month ORDER BY month NULLS FIRST",
        [portal],
    ).fetchall()
    return [
        f"- {f'month {month}' if month else 'lists without months'}: {_count(tables, 'table')}, {_count(kept, 'row')}, "
        f"read completely between {_instant(oldest)} and {_instant(newest)}"
        for month, tables, kept, oldest, newest in rows
    ]


def _of_month(db: duckdb.DuckDBPyConnection, portal: str, month: str) -> list[str]:
    rows = db.execute(
        "SELECT table_name, kept, verdict, fetched_at FROM sync.slices WHERE portal = ? AND month = ? ORDER BY table_name",
        [portal, month],
    ).fetchall()
    never = db.execute(
        "SELECT DISTINCT table_name FROM sync.slices WHERE portal = ? AND month IS NOT NULL "
        "EXCEPT SELECT table_name FROM sync.slices WHERE portal = ? AND month = ? ORDER BY 1",
        [portal, portal, month],
    ).fetchall()
    lines = [
        f"- {table}: {_count(kept, 'row')}, read {_instant(at)}, complete: {_VERDICTS.get(verdict, verdict)}"
        for table, kept, verdict, at in rows
    ]
    if never:
        lines.append(f"- of {month} never read, although other months were: {', '.join(name for (name,) in never)}")
    return lines


def _portals(db: duckdb.DuckDBPyConnection, wanted: str | None) -> list[str]:
    """Those of which something was read, or tried."""
    found = db.execute("SELECT portal FROM sync.slices UNION SELECT portal FROM sync.runs ORDER BY 1").fetchall()
    there = [str(name) for (name,) in found]
    if wanted is not None and wanted not in there:
        raise QuestionError(f"there is no portal {wanted[:60]!r}; there are {', '.join(there) or 'none yet'}")
    return [wanted] if wanted is not None else there


def _described(db: duckdb.DuckDBPyConnection, schema: str, name: str) -> str:
    """A statement that describes a macro's rows. Its only arguments without a default are days, so any day does."""
    (names,) = _row(
        db, f"SELECT parameters FROM duckdb_functions() WHERE schema_name = '{schema}' AND function_name = ?", name
    )
    days = [one for one in names if one in ("from_date", "to_date")] if isinstance(names, list) else []
    return f"DESCRIBE FROM {schema}.{name}({', '.join(f'{one} := today()' for one in days)})"


def _row(db: duckdb.DuckDBPyConnection, sql: str, value: str) -> Sequence[object]:
    return db.execute(sql, [value]).fetchone() or ()


def _instant(at: object) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC") if isinstance(at, datetime) else "at an unknown time"


def _when(at: object, now: datetime) -> str:
    return f"{_instant(at)} ({_ago(at, now)})" if isinstance(at, datetime) else "never"


def _ago(at: datetime, now: datetime) -> str:
    minutes = max(0, int((now - at).total_seconds() // 60))
    if minutes < 120:
        return f"{_count(minutes, 'minute')} ago"
    return f"{minutes // 60} hours ago" if minutes < 48 * 60 else f"{minutes // 60 // 24} days ago"


def _count(number: int, word: str, plural: str = "") -> str:
    return f"{number} {word if number == 1 else plural or word + 's'}"


def _tables(number: int) -> str:
    return _count(number, "table or month", "tables or months")


def _short(text: object) -> str:
    return plain_line(str(text))[:300]
