"""Which kinds of shift types were guessed from their names? From what the lake has: no call is made."""

from __future__ import annotations

from planday_io.catalogue.shift_kinds import chosen, guessed
from planday_io.lake.installation import Installation
from planday_io.lake.slices import SliceKey
from planday_io.onboarding.guesses import Judged, never_read, sentences, wanted

TYPES = "scheduling.shift_types"


def shift_kinds(installation: Installation, portal: str) -> str | None:
    """What the shift types of a portal stand for, by portals.yaml or by their names.

    Returns:
        Sentences for people, or None where the portal has no shift types among its resources.

    Raises:
        StorageError: the lake cannot be read.
    """
    if not wanted(installation, portal, TYPES):
        return None
    if missing := never_read(installation, portal, [TYPES]):
        return missing
    kinds = installation.config.portals[portal].shift_kinds
    rows = installation.lake.read(SliceKey.of(TYPES, portal), ["id", "name"]).to_pylist()
    given = [chosen(kinds, row["id"], row["name"]) for row in rows]
    types = [
        Judged(row["name"] or str(row["id"]), kind or guessed(row["name"]), kind is None)
        for row, kind in zip(rows, given, strict=True)
    ]
    unused = [name for name in kinds if not any(chosen({name: kinds[name]}, row["id"], row["name"]) for row in rows)]
    return sentences(types, of="shift", setting="shift_kinds", usual=("work", "work"), unused=unused)
