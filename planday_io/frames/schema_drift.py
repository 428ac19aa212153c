"""Schema drift: rows that were accepted although they did not match the catalogue, counted for the run's warnings."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

_NAMES, _LETTERS = 20, 80
_REASONS = {
    "mismatched": "the shape is not documented, so it went to _extra",
    "unheld": "the column cannot hold it, so it is NULL and went to _extra",
    "damaged": "half a character, or bytes that are not text; U+FFFD stands for what was lost",
}


@dataclass(slots=True)
class SchemaDrift:
    """Counts of rows by kind of drift. Holds names of members, ids and JSON types, never values."""

    unknown: set[str] = field(default_factory=set)
    repeated: int = 0
    _rows: dict[str, Counter[str]] = field(default_factory=lambda: {kind: Counter() for kind in _REASONS})
    _first: dict[tuple[str, str], str] = field(default_factory=dict)

    def add(self, kind: str, what: str, row: str) -> None:
        """Count a row. `kind` is one of `_REASONS`, `row` the name of the row in messages."""
        self._rows[kind][what] += 1
        self._first.setdefault((kind, what), row)

    def warnings(self, table: str) -> list[str]:
        """One line per kind of drift."""
        lines = []
        if self.unknown:
            names = [_short(name) for name in sorted(self.unknown)]
            more = f" and {len(names) - _NAMES:,} more" if len(names) > _NAMES else ""
            lines.append(
                f"{table}: members that the catalogue does not know went to _extra: {', '.join(names[:_NAMES])}{more}"
            )
        for kind, counts in self._rows.items():
            lines += [
                f"{table}: {_short(what)} in {rows} rows (first: {self._first[kind, what]}): {_REASONS[kind]}"
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


def _short(name: str) -> str:
    """A name that the API sent, or a sentence with one, without control characters and cut to a readable length."""
    text = "".join(letter if letter.isprintable() else "\ufffd" for letter in name[: _LETTERS + 1])
    return text if len(name) <= _LETTERS else f"{text[:_LETTERS]}..."
