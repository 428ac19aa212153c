"""What is said of kinds that were guessed from the names of types, for people who can put them right in portals.yaml."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from planday_io.lake.installation import Installation
from planday_io.lake.slices import SliceKey


@dataclass(frozen=True, slots=True)
class Judged:
    """A type of shift or account.

    Args:
        name: what it is called, else its id.
        kind: what it stands for.
        is_guessed: whether portals.yaml says nothing of it.
    """

    name: str
    kind: str
    is_guessed: bool


def wanted(installation: Installation, portal: str, *tables: str) -> list[str]:
    """Those of the tables that the portal has among its resources."""
    has = {table.full_name for one in installation.endpoints_of(portal) for table in one.tables}
    return [table for table in tables if table in has]


def never_read(installation: Installation, portal: str, tables: Iterable[str]) -> str | None:
    """What to do about tables that nothing can be said without; None if all were read."""
    missing = [table for table in tables if installation.lake.provenance(SliceKey.of(table, portal)) is None]
    if not missing:
        return None
    was = "was" if len(missing) == 1 else "were"
    names = " and ".join(missing)
    return f"not known: {names} {was} never read. Run `planday sync {portal}` first; no call was made for this"


def sentences(types: Sequence[Judged], *, of: str, setting: str, usual: tuple[str, str], unused: Sequence[str]) -> str:
    """What was guessed, and how to put it right.

    Args:
        types: all of them.
        of: what they are types of.
        setting: the key of portals.yaml that says their kinds.
        usual: the kind of types whose names suggest none, and what it is called in a sentence.
        unused: names in that setting that no type has.
    """
    guesses: dict[str, set[str]] = {}
    for one in types:
        if one.is_guessed:
            guesses.setdefault(one.kind, set()).add(one.name)
    kind, called = usual
    others = guesses.pop(kind, set())
    parts = []
    if guesses:
        found = "; ".join(f"{_listed(names)} = {kind}" for kind, names in sorted(guesses.items()))
        parts.append(f"guessed from names: {found}")
    if others:
        parts.append(f"taken for {called}: {_listed(others)}")
    if not parts:
        parts.append(f"all {len(types)} {of} types are in `{setting}`" if types else f"there are no {of} types")
    elif guesses:
        parts.append(f"correct what is wrong with `{setting}` in portals.yaml")
    if unused:
        parts.append(f"`{setting}` has names that no {of} type has: {_listed(unused)}")
    return ". ".join(part[0].upper() + part[1:] if number else part for number, part in enumerate(parts))


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))
