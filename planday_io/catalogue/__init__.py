"""The catalogue: every endpoint and table as a value.

To add an endpoint: declare it in the module of its domain and name it in that module's `ENDPOINTS`. Everything else
(client, typing, lake, warehouse, assets, docs) is a function of the declaration.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from planday_io.catalogue import absence, contract_rules, hr, pay, payroll, portal, punchclock, revenue, scheduling
from planday_io.catalogue.endpoint import Endpoint, FanOut
from planday_io.catalogue.history import LOGS, RETENTION, RUNS, SUFFIX, has_history, history_of
from planday_io.catalogue.model import ContradictionError, Table

__all__ = ["CATALOGUE", "LOGS", "RETENTION", "RUNS", "VERSION", "Catalogue", "ContradictionError", "Endpoint", "Table"]

VERSION = 2
"""Version of the declarations, written into every slice. Raise it when a column changes type or meaning."""


@dataclass(frozen=True, slots=True)
class Catalogue:
    """A consistent set of endpoints: no table twice, and every fan-out's parent exists.

    Args:
        endpoints: parents come before the endpoints that fan out over them.
        histories: the history of each table that has one, by the table's full name.
        lake_tables: every table with slices in the lake, by full name: those of endpoints, histories, logs.
    """

    endpoints: tuple[Endpoint, ...]
    histories: Mapping[str, Table] = field(init=False, repr=False, compare=False)
    lake_tables: Mapping[str, Table] = field(init=False, repr=False, compare=False)
    _chosen: dict[tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...] | None], tuple[Endpoint, ...]] = field(
        init=False, repr=False, compare=False, default_factory=dict
    )

    def __post_init__(self) -> None:
        names = [table.full_name for table in self.tables()]
        if repeated := {name for name in names if names.count(name) > 1}:
            raise ContradictionError(f"declared twice: {sorted(repeated)}")
        if taken := sorted(domain for domain in self.domains() if domain.endswith(SUFFIX)):
            raise ContradictionError(f"domains {taken} have names of schemas of histories")
        declared: dict[str, tuple[Endpoint, Table]] = {}
        for endpoint in self.endpoints:
            if endpoint.fan_out:
                _check_fan_out(endpoint, endpoint.fan_out, declared)
            watched = endpoint.change_detection.table if endpoint.change_detection else None
            if watched and not (watched in names and self.table(watched).is_monthly):
                raise ContradictionError(f"{endpoint.path} looks for changes of {watched}, which has no months")
            declared |= {table.full_name: (endpoint, table) for table in endpoint.tables}
        for table in self.tables():
            for column in table.columns:
                if column.references and column.references not in names:
                    raise ContradictionError(
                        f"{table.full_name}.{column.name} refers to {column.references}, which is not a table"
                    )
        histories = {
            table.full_name: history_of(table)
            for endpoint in self.endpoints
            for table in endpoint.tables
            if has_history(endpoint, table)
        }
        object.__setattr__(self, "histories", histories)
        every = [*self.tables(), *histories.values(), *LOGS]
        if clash := {table.full_name for table in every if [t.full_name for t in every].count(table.full_name) > 1}:
            raise ContradictionError(f"a history has the name of another table: {sorted(clash)}")
        object.__setattr__(self, "lake_tables", {table.full_name: table for table in every})

    def tables(self) -> Iterator[Table]:
        """All tables, in the order declared."""
        for endpoint in self.endpoints:
            yield from endpoint.tables

    def table(self, full_name: str) -> Table:
        """The table of that name. Raises KeyError."""
        for table in self.tables():
            if table.full_name == full_name:
                return table
        raise KeyError(full_name)

    def endpoint_of(self, full_name: str) -> Endpoint:
        """The endpoint that fills the table. Raises KeyError."""
        for endpoint in self.endpoints:
            if any(table.full_name == full_name for table in endpoint.tables):
                return endpoint
        raise KeyError(full_name)

    def published_name(self, full_name: str) -> str:
        """What a table of the lake is called in the warehouse; one that is not known here, as in the lake."""
        table = self.lake_tables.get(full_name)
        return table.published_name if table else full_name

    def schemas(self) -> tuple[str, ...]:
        """Schemas of the warehouse with tables of the lake, each once."""
        return tuple(dict.fromkeys(table.published_name.partition(".")[0] for table in self.lake_tables.values()))

    def domains(self) -> tuple[str, ...]:
        """Domains, in the order declared."""
        return tuple(dict.fromkeys(table.domain for table in self.tables()))

    def endpoints_with(
        self, include: tuple[str, ...], exclude: tuple[str, ...], names: tuple[str, ...] | None
    ) -> tuple[Endpoint, ...]:
        """Endpoints with tables that are included, not excluded and, where names are given, among those; see `select`.

        Cached, because hundreds of portals have the same resources.
        """
        known = self._chosen.get((include, exclude, names))
        if known is None:
            has = self.select(include, on_request=True) - self.select(exclude, on_request=True)
            has &= has if names is None else self.select(names, on_request=False)
            known = tuple(one for one in self.endpoints if any(table.full_name in has for table in one.tables))
            self._chosen[include, exclude, names] = known
        return known

    def select(self, names: Iterable[str], *, on_request: bool) -> frozenset[str]:
        """Full names of the tables that domains and table names stand for.

        Args:
            names: domains (`hr`) and tables (`hr.skills`).
            on_request: whether a domain includes its tables that are read on request only.

        Raises:
            KeyError: a name is neither.
        """
        chosen: set[str] = set()
        for name in names:
            if name in self.domains():
                chosen.update(
                    t.full_name for t in self.tables() if t.domain == name and (on_request or not t.on_request)
                )
            else:
                chosen.add(self.table(name).full_name)
        return frozenset(chosen)


def _check_fan_out(endpoint: Endpoint, fan_out: FanOut, declared: Mapping[str, tuple[Endpoint, Table]]) -> None:
    if fan_out.parent not in declared:
        raise ContradictionError(
            f"{endpoint.path} fans out over {fan_out.parent}, which is not a table declared before it"
        )
    source, parent = declared[fan_out.parent]
    columns = {column.name for column in parent.columns}
    wanted = {*fan_out.columns, *({fan_out.changed_by} - {None, "*"}), *({fan_out.open_while_null} - {None})}
    if fan_out.today:
        wanted.add(fan_out.today[1])
    if missing := wanted - columns:
        raise ContradictionError(f"{fan_out.parent} has no {sorted(map(str, missing))} for {endpoint.path}")
    if fan_out.extra_parents:
        table, column = fan_out.extra_parents
        if table not in declared or endpoint.grid != "month" or not declared[table][1].is_monthly:
            raise ContradictionError(f"{endpoint.path} looks for more ids in {table}, which has no months before it")
        endpoint.column(declared[table][1], column)
    if fan_out.once:
        if fan_out.once.parent not in declared or endpoint.feed or endpoint.grid != "portal":
            raise ContradictionError(
                f"{endpoint.path} reads {fan_out.once.parent} once, which is not a table declared before it"
            )
        endpoint.column(declared[fan_out.once.parent][1], fan_out.once.column)
        for own in endpoint.tables:
            # Rows are carried over by the parent's id, so each row has to hold it.
            if own.column(own.key[0]).type != "BIGINT":
                raise ContradictionError(f"{own.full_name} does not begin with the id of who is read once")
    if source.feed or source.is_incremental:
        raise ContradictionError(f"{endpoint.path} fans out over {fan_out.parent}, which is never read whole")
    if endpoint.grid == "month" and not (endpoint.window or parent.is_monthly):
        raise ContradictionError(f"{endpoint.path} has a slice per month, and nothing says how a month is requested")
    if parent.is_monthly and endpoint.grid == "portal":
        raise ContradictionError(f"{endpoint.path} fans out over {fan_out.parent}, and would need all months of it")


CATALOGUE = Catalogue(
    endpoints=tuple(
        endpoint
        for domain in (portal, hr, scheduling, punchclock, absence, payroll, pay, revenue, contract_rules)
        for endpoint in domain.ENDPOINTS
    )
)
