"""What an absence is: sickness, vacation, or something else.

Planday knows types of accounts (`absence_type`: Vacation, Flextime and others) and, where absence is planned as shifts, types
of shifts; sickness is a matter of names in both. `absence_kinds` of portals.yaml decides, else words of five languages.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal

from planday_io.catalogue.shift_kinds import Kind, guessed

AbsenceKind = Literal["sickness", "vacation", "other"]

_VACATION = re.compile(
    r"\b(vacation|holidays?|annual leave|pto|paid time off|ferie\w*|semester\w*|(jahres|erholungs|rest)?urlaub\w*)\b"
)
_OTHER = re.compile(
    # Leave of another kind has the word for vacation in it in some languages.
    r"\b(sonder|bildungs|eltern|mutterschafts|schwangerschafts)urlaub|\bunbezahlte\w* urlaub|\b(public|bank) holidays?\b"
)


def guessed_absence(*names: str | None) -> AbsenceKind:
    """The kind that names suggest, the first one first; other if none suggests anything."""
    for name in names:
        words = re.sub(r"[\W_]+", " ", (name or "").casefold()).strip()
        if guessed(name) == "sickness":
            return "sickness"
        if _VACATION.search(words) and not _OTHER.search(words):
            return "vacation"
    return "other"


def chosen_absence(kinds: Mapping[str, AbsenceKind], *names: str | None) -> AbsenceKind | None:
    """The kind that `absence_kinds` gives to one of the names (in any case), the first one first; None if to none."""
    by_name = {key.strip().casefold(): kind for key, kind in kinds.items()}
    return next((by_name[one] for name in names if (one := (name or "").strip().casefold()) in by_name), None)


def absence_of_shift(kinds: Mapping[str, AbsenceKind], kind: Kind, name: str | None) -> tuple[AbsenceKind, bool]:
    """The kind of absence that shifts of a type are, and whether it was guessed. `kind` is sickness or absence."""
    if given := chosen_absence(kinds, name):
        return given, False
    if kind == "sickness":
        return "sickness", True
    found = guessed_absence(name)
    return ("vacation" if found == "vacation" else "other"), True
