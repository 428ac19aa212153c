"""Schema drift of one table in one read: what came that the catalogue does not declare, and what did not come.

Rows that were accepted although they do not match are counted for the run's warnings. The same counts, without rows, are
the sightings that `planday_io.sync.drift` compares with earlier reads.

Names of members, ids and JSON types, never values, with one exception: a value of an enumeration that is not
documented. It is named only if its column holds no personal data and it looks like a name in a program. So is a member:
where an object is a map, its members' names are data, such as people's names or mail addresses. `_extra` has them, and so
they go with the row; what is remembered and told of drift would keep them.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Literal

from planday_io.catalogue.model import Column

_NAMES, _LETTERS = 20, 80
_REASONS = {
    "mismatched": "the shape is not documented, so it went to _extra",
    "unheld": "the column cannot hold it, so it is NULL and went to _extra",
    "damaged": "half a character, or bytes that are not text; U+FFFD stands for what was lost",
}
_ENUMERATION = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,39}")
_MEMBER = r"[A-Za-z_$][A-Za-z0-9_$-]{0,39}(?:\[\d*\])*"
_PATH = re.compile(rf"{_MEMBER}(?:\.{_MEMBER})*")
ROW, OTHERS, UNNAMED = "(row)", "(others)", "(not shown)"
"""Stand for a path where rows as a whole have another type, where more paths drifted than are named, and where the name of a
member may be data."""

DriftKind = Literal["new_member", "gone_member", "retyped", "new_value", "scope_lost", "refused", "not_found"]
"""The first four are of a member of a table's rows, the others of the endpoint that fills the table."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """Something in one read that differs from the catalogue.

    Args:
        kind: of drift.
        path: of the member, such as `bankAccount.iban`; of the endpoint.
        found: JSON type, or the new value; empty for members, and for values that are not named.
        expected: type that is declared, or empty.
        rows: how many rows have it.
        is_fatal: the read fails because of it, so the failure is reported.
    """

    kind: DriftKind
    path: str
    found: str = ""
    expected: str = ""
    rows: int = 0
    is_fatal: bool = False


@dataclass(slots=True)
class SchemaDrift:
    """Counts of rows by kind of drift. A list that is read again counts again."""

    rows: int = 0
    """How many came."""
    present: Counter[str] = field(default_factory=Counter)
    """Member that the catalogue knows -> rows that had it, of whatever type; without members whose class is dropped."""
    watched: set[str] = field(default_factory=set)
    """The members that are counted in `present`."""
    unknown: Counter[str] = field(default_factory=Counter)
    repeated: int = 0
    _rows: dict[str, Counter[str]] = field(default_factory=lambda: {kind: Counter() for kind in _REASONS})
    _first: dict[tuple[str, str], str] = field(default_factory=dict)
    _seen: Counter[Sighting] = field(default_factory=Counter)

    def add(self, kind: str, what: str, row: str) -> None:
        """Count a row. `kind` is one of `_REASONS`, `row` the name of the row in messages."""
        self._rows[kind][what] += 1
        self._first.setdefault((kind, what), row)

    def see(self, kind: DriftKind, path: str, *, found: str = "", expected: str = "", is_fatal: bool = False) -> None:
        """Count a row that differs from the catalogue."""
        self._seen[Sighting(kind=kind, path=path, found=found, expected=expected, is_fatal=is_fatal)] += 1

    def see_values(self, column: Column, values: Iterator[tuple[str | None, int]]) -> None:
        """Count rows by the value of an enumeration."""
        for value, rows in values:
            if value and value not in column.values:
                is_named = column.privacy == "none" and _ENUMERATION.fullmatch(value)
                found = value if is_named else ""
                self._seen[Sighting(kind="new_value", path=column.member, found=found)] += rows

    def sightings(self) -> list[Sighting]:
        """What differs from the catalogue: of each kind the first paths in order of name, and the others as one sighting."""
        counts = Counter(self._seen)
        for path, rows in self.unknown.items():
            one = Sighting(kind="new_member", path=named(path))
            counts[one] = max(counts[one], rows)
        by_kind: dict[tuple[str, bool], list[tuple[Sighting, int]]] = {}
        for one, rows in sorted(counts.items(), key=lambda item: (item[0].path, item[0].found)):
            by_kind.setdefault((one.kind, one.is_fatal), []).append((one, rows))
        found = []
        for group in by_kind.values():
            found += [replace(one, path=short(one.path), rows=rows) for one, rows in group[:_NAMES]]
            if more := group[_NAMES:]:
                found.append(Sighting(kind=more[0][0].kind, path=OTHERS, rows=max(rows for _, rows in more)))
        return found

    def warnings(self, table: str) -> list[str]:
        """One line per kind of drift."""
        lines = []
        if self.unknown:
            names = sorted({short(named(path)) for path in self.unknown})
            more = f" and {len(names) - _NAMES:,} more" if len(names) > _NAMES else ""
            lines.append(
                f"{table}: members that the catalogue does not know went to _extra: {', '.join(names[:_NAMES])}{more}"
            )
        for kind, counts in self._rows.items():
            lines += [
                f"{table}: {short(what)} in {rows} rows (first: {self._first[kind, what]}): {_REASONS[kind]}"
                for what, rows in sorted(counts.items())[:_NAMES]
            ]
            if len(counts) > _NAMES:
                lines.append(f"{table}: the same in {len(counts) - _NAMES:,} more members")
        if self.repeated:
            lines.append(
                f"{table}: {self.repeated} rows came with the answers to several calls; the last of each is kept, because it "
                "is not documented what a call covers"
            )
        return lines


def named(path: str) -> str:
    """A path, if all of its members look like names in a program; else what stands for it."""
    return path if _PATH.fullmatch(path) else UNNAMED


def short(name: str) -> str:
    """A name that the API sent, or a sentence with one, without control characters and cut to a readable length."""
    text = "".join(letter if letter.isprintable() else "\ufffd" for letter in name[: _LETTERS + 1])
    return text if len(name) <= _LETTERS else f"{text[:_LETTERS]}..."
