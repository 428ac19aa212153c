"""The process that answers one question: it attaches the published file, confines itself, answers, and ends.

It reads a `Request` from standard input and writes a `Reply` to standard output, both JSON. `asking` starts it without
environment variables, and kills it where it cannot be interrupted.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import duckdb

from planday_io.assistant import published
from planday_io.assistant.cells import line_of
from planday_io.assistant.statements import DATABASE, Allowed, check, read_allowed
from planday_io.errors import PlandayError, QuestionError
from planday_io.restriction import restrict

SCHEMAS = frozenset({"marts", "sync"})
"""What a question may name unless tables are allowed."""
_MEMORY_MIB = 2048
_BEYOND_MIB = 1024
"""What the process may take beyond DuckDB's own limit: code, and texts that DuckDB does not count."""

Kind = Literal["query", "contents", "description", "completeness", "freshness", "status"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A question.

    Args:
        file: the published warehouse.
        allows_tables: all schemas may be named, not only those of `SCHEMAS`.
        kind: what is asked; `query` runs `sql`, the others are questions of `published`.
        examples: statements, of which a description says whether they are allowed.
        seconds: until a query is interrupted.
        rows: the most that come back.
        characters: the most that come back, in all rows together and names of columns.
    """

    file: str
    allows_tables: bool
    kind: Kind
    sql: str = ""
    name: str = ""
    examples: list[str] = field(default_factory=list)
    portal: str | None = None
    month: str | None = None
    seconds: float = 30
    rows: int = 1000
    characters: int = 60_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """An answer.

    Args:
        status: how complete and how old the data is; empty if the file could not be opened.
        text: for people, of `completeness` and `freshness`.
        facts: of `contents` and `description`.
        columns: names and types, of a query.
        lines: its rows, each as a line of JSON.
        cut: why there may be more rows, or empty.
        refusal: why there is no answer, or empty.
    """

    status: str = ""
    text: str = ""
    facts: published.Facts | None = None
    columns: list[tuple[str, str]] | None = None
    lines: list[str] | None = None
    cut: str = ""
    refusal: str = ""


def main() -> None:
    """Answer the question on standard input."""
    request = Request(**json.loads(sys.stdin.buffer.read()))
    sys.stdout.buffer.write(json.dumps(asdict(answer(request))).encode())


def answer(request: Request) -> Reply:
    """The answer; what goes wrong is a refusal in it, without paths and without a traceback."""
    status = ""
    try:
        with _confined(request) as db:
            now = datetime.now(UTC)
            status = published.status_line(db, now)
            return _answered(db, request, status, now)
    except QuestionError as error:
        refusal = str(error)
    except duckdb.InterruptException:
        refusal = (
            f"stopped after {request.seconds:g} seconds: ask for less. A condition on `month` limits what is read of "
            "every table below a mart"
        )
    except (duckdb.OutOfMemoryException, MemoryError):
        refusal = "the query needs more memory than it may have: group, filter by `month`, or select fewer columns"
    except duckdb.Error as error:
        refusal = (
            f"DuckDB's message, which may quote data, is: {_message_of(error, request.file)}"
            if status
            else _unopened(error)
        )
    except RecursionError:
        refusal = "the statement is nested too deeply"
    except UnicodeEncodeError:
        refusal = "the statement has half of a character (a lone surrogate): write it as UTF-8"
    except PlandayError as error:
        refusal = str(error)
    return Reply(status=status, refusal=refusal)


@contextmanager
def _confined(request: Request) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection to the file that can read it and nothing else, and a process that can write no file."""
    with duckdb.connect(":memory:") as db:
        # An attached file, because `connect` would allow only one kind of access per file and process.
        db.execute(f"ATTACH ? AS {DATABASE} (READ_ONLY)", [request.file])
        for setting in (f"memory_limit = '{_memory_mib()}MiB'", "threads = 2", "temp_directory = ''"):
            db.execute(f"SET {setting}")
        db.execute(f"USE {DATABASE}")
        restrict(db)
        _limit_process(request.seconds)
        timer = threading.Timer(request.seconds, db.interrupt)
        timer.daemon = True
        timer.start()
        try:
            yield db
        finally:
            timer.cancel()


def _memory_mib() -> int:
    with suppress(AttributeError, OSError, ValueError):
        return min(_MEMORY_MIB, (os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")) >> 21)
    return _MEMORY_MIB


def _limit_process(seconds: float) -> None:
    """Limits that the system enforces, where it has them: memory, files, processor time, dumps of memory."""
    if sys.platform == "win32":
        return
    import resource

    memory = (_memory_mib() + _BEYOND_MIB) << 20
    limits = [
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_DATA, memory),
        (resource.RLIMIT_CPU, int(seconds) * 2 + 30),
    ]
    for limit, value in limits:
        with suppress(OSError, ValueError):
            resource.setrlimit(limit, (value, value))
    with suppress(OSError):
        # Where memory runs out all the same, Linux ends this process first.
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")


def _answered(db: duckdb.DuckDBPyConnection, request: Request, status: str, now: datetime) -> Reply:
    allowed = read_allowed(db, None if request.allows_tables else SCHEMAS)
    match request.kind:
        case "query":
            return _queried(db, request, status, check(db, request.sql, allowed))
        case "contents":
            return Reply(status=status, facts=published.contents(db, allowed))
        case "description":
            facts = published.description(db, allowed, request.name)
            facts["allowed"] = [sql for sql in request.examples if _is_allowed(db, sql, allowed)]
            return Reply(status=status, facts=facts)
        case "completeness":
            return Reply(status=status, text=published.completeness(db, request.portal, request.month))
        case "freshness":
            return Reply(status=status, text=published.freshness(db, now))
        case "status":
            return Reply(status=status)


def _is_allowed(db: duckdb.DuckDBPyConnection, sql: str, allowed: Allowed) -> bool:
    try:
        check(db, sql, allowed)
    except QuestionError:
        return False
    return True


def _queried(db: duckdb.DuckDBPyConnection, request: Request, status: str, sql: str) -> Reply:
    db.execute(sql)
    columns = [(str(name), str(kind)) for name, kind, *_ in db.description]
    lines: list[str] = []
    left = request.characters - len(line_of(tuple(columns)))
    while left >= 0:
        row = db.fetchone()
        if row is None:
            return Reply(status=status, columns=columns, lines=lines)
        line = line_of(row)
        left -= len(line)
        if left < 0 or len(lines) == request.rows:
            break
        lines.append(line)
    if not lines:
        raise QuestionError(
            f"one row and the names of its {len(columns)} columns have more than {request.characters} characters: select "
            "fewer columns, or parts of their texts"
        )
    limit = f"{request.characters} characters" if left < 0 else f"{request.rows} rows"
    return Reply(
        status=status,
        columns=columns,
        lines=lines,
        cut=f"Cut at {limit}: there are more rows, and how many is not known. Aggregate, filter, or count them",
    )


def _message_of(error: duckdb.Error, file: str) -> str:
    """DuckDB's message without the place of the file."""
    text = str(error)
    for place in (file, os.path.realpath(file), str(Path(file).parent)):
        text = text.replace(place, "the warehouse")
    return text[:1000]


def _unopened(error: duckdb.Error) -> str:
    if isinstance(error, duckdb.CatalogException | duckdb.BinderException):
        return "the file is not a warehouse of planday, or an earlier version wrote it: `planday publish` renews it"
    return (
        "the warehouse cannot be opened: it is not there yet, damaged, or another program has it open for writing. "
        "`planday status` says what is wrong, and `planday publish` writes it"
    )


if __name__ == "__main__":
    main()
