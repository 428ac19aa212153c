"""Which kinds of absence were guessed from the names of types of accounts and shifts? No call is made."""

from __future__ import annotations

from planday_io.catalogue.absence_kinds import absence_of_shift, chosen_absence, guessed_absence
from planday_io.catalogue.shift_kinds import chosen, guessed
from planday_io.lake.installation import Installation
from planday_io.lake.slices import SliceKey
from planday_io.onboarding import shift_kinds
from planday_io.onboarding.guesses import Judged, never_read, sentences, wanted

ACCOUNTS = "absence.account_types"


def absence_kinds(installation: Installation, portal: str) -> str | None:
    """Which absence a portal's types of accounts, and its types of shifts that stand for absence, are.

    Returns:
        Sentences for people, or None where the portal has neither among its resources.

    Raises:
        StorageError: the lake cannot be read.
    """
    tables = wanted(installation, portal, ACCOUNTS, shift_kinds.TYPES)
    if not tables:
        return None
    if missing := never_read(installation, portal, tables):
        return missing
    lake, settings = installation.lake, installation.config.portals[portal]
    kinds = settings.absence_kinds
    types: list[Judged] = []
    names: list[tuple[str | None, ...]] = []
    if ACCOUNTS in tables:
        for row in lake.read(SliceKey.of(ACCOUNTS, portal), ["id", "name", "absence_type"]).to_pylist():
            both = (row["name"], row["absence_type"])
            given = chosen_absence(kinds, *both)
            name = row["name"] or row["absence_type"] or str(row["id"])
            types.append(Judged(name, given or guessed_absence(*both), given is None))
            names.append(both)
    if shift_kinds.TYPES in tables:
        for row in lake.read(SliceKey.of(shift_kinds.TYPES, portal), ["id", "name"]).to_pylist():
            of_shift = chosen(settings.shift_kinds, row["id"], row["name"]) or guessed(row["name"])
            if of_shift in ("sickness", "absence"):
                kind, is_guessed = absence_of_shift(kinds, of_shift, row["name"])
                types.append(Judged(row["name"] or str(row["id"]), kind, is_guessed))
                names.append((row["name"],))
    unused = [name for name in kinds if not any(chosen_absence({name: kinds[name]}, *one) for one in names)]
    usual = ("other", "other absence")
    return sentences(types, of="absence", setting="absence_kinds", usual=usual, unused=unused)
