"""What a type of shift stands for: work, sickness, absence, a course, standby, or nothing that is paid.

Planday has no such member; portals name their types as they like. `shift_kinds` of portals.yaml decides, and where it says
nothing the name is guessed from words of English, Danish, Norwegian, Swedish and German.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal

Kind = Literal["work", "sickness", "absence", "course", "standby", "unpaid"]
KINDS: tuple[Kind, ...] = ("work", "sickness", "absence", "course", "standby", "unpaid")

_WORK = re.compile(
    # Those who nurse the sick are at work, and so are those who work on a public holiday.
    r"\b(syke?|syge|sjuk|kranken?)(hus|haus|hjem|plej|pleie|pfleg|sk\u00f6t|v\u00e5rd|wagen|schwester|transport)"
    r"|\b(public|bank) holidays?\b|\bholidays? (work|pay|shift|cover)|\b(sick|sickness|absence|leave) cover\b"
)
_WORDS: tuple[tuple[Kind, re.Pattern[str]], ...] = (
    ("sickness", re.compile(r"\b(sick|sickness|illness|syg|syk|sjuk|krank|egenmeld|karens)|\bill\b|\bbarns? f\u00f8rste\b")),
    ("unpaid", re.compile(r"\b(unpaid|ul\u00f8n|obetal|unbezahl|without pay|uden l\u00f8n|uten l\u00f8nn|utan l\u00f6n)")),
    ("standby", re.compile(
        r"\b(stand[ -]?by|on[ -]?call|(till?kalde?|bag|bak|hjemme|r\u00e5digheds)(vagt|vakt)|beredskab|beredskap"
        r"|jour(vagt|vakt|tj\u00e4nst)?\b|(ruf)?bereitschaft)"
    )),
    ("course", re.compile(
        r"\b(course|training|seminar|workshop|kurs|uddannelse|oppl\u00e6ring|oppl\u00e6r|utbildning|utdanning|schulung|fortbildung"
        r"|weiterbildung)"
    )),
    ("absence", re.compile(
        r"\b(absence|absent|vacation|leave|holidays?|time off|days? off|off(?! site)|pto|parental|maternity|paternity|fri"
        r"|fridage?|fridager|frei|vab)\b"
        r"|\b(ferie|orlov|barsel|omsorgsdag|afspads|avspas|frav\u00e6r|permisjon|semester|ledig|tj\u00e4nstledig"
        r"|f\u00f6r\u00e4ldraledig|fr\u00e5nvaro|urlaub|elternzeit|mutterschutz|abwesen)"
    )),
)  # fmt: skip
"""In this order: a sick leave is sickness, and a leave without pay is unpaid. `vagt` and `vakt` alone are ordinary shifts."""


def guessed(name: str | None) -> Kind:
    """The kind that a shift type's name suggests; work if it suggests none."""
    words = re.sub(r"[\W_]+", " ", (name or "").casefold()).strip()
    if _WORK.search(words):
        return "work"
    return next((kind for kind, pattern in _WORDS if pattern.search(words)), "work")


def chosen(kinds: Mapping[str, Kind], number: int | None, name: str | None) -> Kind | None:
    """The kind that `shift_kinds` gives a type by its id or name (in any case); None if it says nothing of it."""
    if number is not None and str(number) in kinds:
        return kinds[str(number)]
    by_name = {key.strip().casefold(): kind for key, kind in kinds.items()}
    return by_name.get(name.strip().casefold()) if name else None
