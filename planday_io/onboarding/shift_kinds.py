"""Which kinds of shift types were guessed from their names? From what the lake has: no call is made."""

from __future__ import annotations

from collections.abc import Iterable

from planday_io.catalogue.shift_kinds import chosen, guessed
from planday_io.lake.installation import Installation
from planday_io.lake.slices import SliceKey

_TYPES = "scheduling.shift_types"


def shift_kinds(installation: Installation, portal: str) -> str | None:
    """What the shift types of a portal stand for, by portals.yaml or by their names.

    Returns:
        Sentences for people, or None where the portal has no shift types among its resources.

    Raises:
        StorageError: the lake cannot be read.
    """
    if _TYPES not in {table.full_name for one in installation.endpoints_of(portal) for table in one.tables}:
        return None
    key = SliceKey.of(_TYPES, portal)
    if installation.lake.provenance(key) is None:
        return f"not known: {_TYPES} was never read. Run `planday sync {portal}` first; no call was made for this"
    kinds = installation.config.portals[portal].shift_kinds
    rows = installation.lake.read(key, ["id", "name"]).to_pylist()
    guesses: dict[str, list[str]] = {}
    used: set[str] = set()
    for row in rows:
        if chosen(kinds, row["id"], row["name"]) is None:
            guesses.setdefault(guessed(row["name"]), []).append(row["name"] or str(row["id"]))
        used |= {name for name in kinds if chosen({name: kinds[name]}, row["id"], row["name"])}
    work = guesses.pop("work", [])
    parts = []
    if guesses:
        found = "; ".join(f"{_listed(names)} = {kind}" for kind, names in sorted(guesses.items()))
        parts.append(f"guessed from names: {found}")
    if work:
        parts.append(f"taken for work: {_listed(work)}")
    if not parts:
        parts.append(f"all {len(rows)} shift types are in `shift_kinds`" if rows else "there are no shift types")
    elif guesses:
        parts.append("what is wrong is put right by `shift_kinds` in portals.yaml")
    if unknown := [name for name in kinds if name not in used]:
        parts.append(f"`shift_kinds` names no shift type with {_listed(unknown)}")
    return ". ".join(part[0].upper() + part[1:] if number else part for number, part in enumerate(parts))


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))
