"""The types that declare an endpoint; a contradictory value is refused at construction.

The endpoints themselves are in the modules of the domains; tables are declared with `model`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from planday_io.catalogue.model import PATH_PARAM, Column, ContradictionError, Table

Grid = Literal["portal", "month"]
"""What one slice of a table covers: one portal, or one month of one portal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pages:
    """Offset paging: each request asks for `limit` rows, and the offset advances by the rows received."""

    limit: int
    limit_param: str = "limit"
    offset_param: str = "offset"

    def __post_init__(self) -> None:
        if self.limit < 1:
            raise ContradictionError("a page holds at least one row")


@dataclass(frozen=True, slots=True, kw_only=True)
class OptIn:
    """Values of a query parameter that request sensitive members.

    Sent only for columns that the privacy policy keeps, and only if the token has access to them.

    Args:
        param: the query parameter; several values are joined by commas (observed).
        values: value -> (scope, columns it fills).
    """

    param: str
    values: tuple[tuple[str, str, tuple[str, ...]], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """The range of days to request.

    Where the API's idea of a range is not known (which of a row's dates it tests, in which zone) more is asked for and
    what belongs to another slice is cut off afterwards (docs/decisions.md#complete-reads).

    Args:
        start_param: query parameter of the first day.
        end_param: query parameter of the last day.
        wider_days: days added at either end.
        longest_days: the longest range that the API accepts; a longer one is split into ranges that share a day.
        is_instant: the parameters are `yyyy-mm-ddT00:00`, and the end is exclusive. Otherwise they are dates, both inclusive.
        begins: for tables with one slice per portal: start at `history_start`, or long ago.
    """

    start_param: str
    end_param: str
    wider_days: int = 1
    longest_days: int | None = None
    is_instant: bool = False
    begins: Literal["history_start", "long_ago"] = "history_start"

    def __post_init__(self) -> None:
        if self.wider_days < 0 or (self.longest_days is not None and self.longest_days < 2):
            raise ContradictionError("a window is not narrower than the slice, and two days at least can be asked for")


@dataclass(frozen=True, slots=True, kw_only=True)
class Once:
    """A second parent table (people who left), each row of which is read once, and again when any of its columns changes.

    It is not known whether the API answers for them, so a refusal (400, 404) is an answer too: they are not requested again
    until their row changes, and rows read earlier stay.

    Args:
        parent: full name of the second table; used only if a portal reads it.
        column: with the id for the one path parameter of the fan-out.
    """

    parent: str
    column: str = "id"


@dataclass(frozen=True, slots=True, kw_only=True)
class FanOut:
    """One read per row of another table.

    Args:
        parent: full name of the table whose rows are fanned out over.
        bind: path parameter (in the path, or in the value of a query parameter) -> the parent's column that fills it; ids.
        missing_statuses: statuses that mean the parent vanished between the list and this call; counted, not fatal. 400 is
            one of them for employees only: elsewhere it means that a parameter is wrong.
        changed_by: the parent's column with the time of last modification, or `*` for a change in any column. Then
            only new and modified rows are read, and what belongs to the others is carried over from the previous
            slice. None reads all of them.
        open_while_null: a column of the parent; while it is null the parent is read every time.
        today: (path parameter, column): it is filled with the day of the read in the portal's zone, or with the column's
            date where that is earlier.
        batched: one call for all rows of the parent, their ids joined by commas.
        extra_parents: (table, column) with more ids of the same kind: rows of the month may belong to a parent that is no
            longer listed (a closed department). Where the API refuses such an id, it is left out.
        once: more parents, each read once.
    """

    parent: str
    bind: tuple[tuple[str, str], ...]
    missing_statuses: tuple[int, ...]
    changed_by: str | None = None
    open_while_null: str | None = None
    today: tuple[str, str] | None = None
    batched: bool = False
    extra_parents: tuple[str, str] | None = None
    once: Once | None = None

    def __post_init__(self) -> None:
        if self.once and (len(self.bind) != 1 or self.batched or self.extra_parents):
            raise ContradictionError(f"{self.once.parent} is read once per row, by one id, one call each")

    @property
    def sources(self) -> tuple[str, ...]:
        """The tables whose rows it runs over, the parent first."""
        more = self.extra_parents[:1] if self.extra_parents else (self.once.parent,) if self.once else ()
        return (self.parent, *more)

    @property
    def columns(self) -> tuple[str, ...]:
        """The parent's columns that identify what is fanned out over."""
        return tuple(column for _, column in self.bind)

    @property
    def path_params(self) -> frozenset[str]:
        """The path parameters that are filled."""
        return frozenset({path_param for path_param, _ in self.bind} | ({self.today[0]} if self.today else set()))


@dataclass(frozen=True, slots=True, kw_only=True)
class Feed:
    """A list to which rows are only ever added: reads are merged by key into the slice, and nothing is removed.

    Args:
        since_param: query parameter for the earliest row wanted, or None where there is none.
        overlap_days: how far before the last complete read the next one begins, because zones are unknown.
        is_instant: the parameter is `yyyy-mm-ddThh:mm:ssZ`, not a date.
    """

    since_param: str | None
    overlap_days: int = 1
    is_instant: bool = False

    def __post_init__(self) -> None:
        if self.overlap_days < 1:
            raise ContradictionError("a feed overlaps by a day at least: the zone of its stamps is unknown")


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeDetection:
    """Reading the endpoint also finds months of another table whose rows changed since the last read.

    Args:
        table: the other table; it has a slice per month.
        since_param: its endpoint's query parameter for rows modified since an instant.
        deleted_by: column of the endpoint's own table that holds the id of a deleted row.
    """

    table: str
    since_param: str
    deleted_by: str = "id"


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One GET operation and the tables that its answers fill. Several tables share one request.

    Args:
        path: with `{path_params}` that `fan_out` fills.
        scope: the scope a token needs, or None where none is documented.
        tables: the first is the parent of those that are children.
        docs: public address of its documentation.
        pages: None reads one unpaged document.
        params: fixed query parameters; their values may hold path parameters.
        variants: repeat the read with these parameters added, and join the rows by key with the first.
        opt_in: sensitive members to request.
        window: the range of days to request.
        change_detection: which months of another table it finds changed.
        none_statuses: statuses that mean "no rows", not an error.
    """

    path: str
    scope: str | None
    tables: tuple[Table, ...]
    docs: str
    pages: Pages | None = None
    params: tuple[tuple[str, str], ...] = ()
    variants: tuple[tuple[tuple[str, str], ...], ...] = ()
    opt_in: OptIn | None = None
    fan_out: FanOut | None = None
    feed: Feed | None = None
    window: Window | None = None
    change_detection: ChangeDetection | None = None
    none_statuses: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        where = f"endpoint {self.path}"
        if not self.path.startswith("/"):
            raise ContradictionError(f"{where}: a path starts with /")
        if not self.docs.startswith("https://"):
            raise ContradictionError(f"{where}: docs is a public address, so that everybody can look it up")
        if not self.tables:
            raise ContradictionError(f"{where}: it fills no table")
        self._check_path_params(where)
        self._check_tables(where)
        if self.opt_in:
            names = {column.name for table in self.tables for column in table.columns}
            for value, _, columns in self.opt_in.values:
                if strange := set(columns) - names:
                    raise ContradictionError(f"{where}: {value} fills {sorted(strange)}, which are not columns")

    def _check_path_params(self, where: str) -> None:
        path_params = {
            path_param
            for text in (self.path, *(value for _, value in self.params))
            for path_param in PATH_PARAM.findall(text)
        }
        filled = self.fan_out.path_params if self.fan_out else frozenset()
        if path_params != filled:
            raise ContradictionError(
                f"{where}: path parameters {sorted(path_params)} but the fan-out fills {sorted(filled)}"
            )
        for table in self.tables:
            for column in table.columns:
                if column.path_param is not None and column.path_param not in path_params:
                    raise ContradictionError(
                        f"{where}: {table.full_name}.{column.name} reads a path parameter that the path lacks"
                    )

    def _check_tables(self, where: str) -> None:
        parent = self.tables[0]
        if parent.is_child:
            raise ContradictionError(f"{where}: its first table is a child without a parent")
        if len({table.is_monthly for table in self.tables}) > 1:
            raise ContradictionError(f"{where}: some of its tables have a slice per month and others do not")
        for child in (table for table in self.tables if table.is_child):
            link = child.columns[0]
            if link.name != child.key[0] or link.member != "@parent" or link.type != parent.columns[0].type:
                raise ContradictionError(f"{where}: {child.full_name} must begin with its parent's key")
        if self.feed and any(table.is_child for table in self.tables):
            raise ContradictionError(f"{where}: a feed has no child tables")
        if self.pages and sum(not table.is_child for table in self.tables) > 1:
            raise ContradictionError(f"{where}: pages hold the rows of one table")
        is_repeated = bool(self.variants) or (self.window is not None and self.window.longest_days is not None)
        if is_repeated and any(table.ordinal or table.is_child for table in self.tables):
            raise ContradictionError(f"{where}: rows that are read twice need an id and no children")
        if self.fan_out and self.fan_out.changed_by not in (None, "*"):
            self.column(parent, str(self.fan_out.changed_by))
        if parent.is_monthly and not (self.window or self.fan_out):
            raise ContradictionError(f"{where}: it has a slice per month, and nothing says how a month is requested")
        if self.change_detection and not self.feed:
            raise ContradictionError(f"{where}: only a feed knows since when to look for changes")

    def column(self, table: Table, name: str) -> Column:
        """The column of a table that this endpoint needs. Raises ContradictionError."""
        try:
            return table.column(name)
        except KeyError:
            raise ContradictionError(f"endpoint {self.path}: {table.full_name} has no column {name!r}") from None

    @property
    def name(self) -> str:
        """Full name of its first table, which names the endpoint in logs and commands."""
        return self.tables[0].full_name

    @property
    def grid(self) -> Grid:
        """What a slice of its tables covers."""
        return "month" if self.tables[0].is_monthly else "portal"

    @property
    def is_snapshot(self) -> bool:
        """True if a complete read holds all rows, so that a missing row was deleted."""
        return self.feed is None

    @property
    def is_incremental(self) -> bool:
        """True when rows of unchanged parents are carried over from the previous slice."""
        return self.fan_out is not None and self.fan_out.changed_by is not None
