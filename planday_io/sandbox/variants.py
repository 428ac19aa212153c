"""Facts about the real Planday that nobody knows, each as a switch of the local one.

The default of a switch is the answer that is harder on a client. A suite that passes with one value only has guessed: see
`tests/test_variants.py`, which runs over all values of all switches.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal, get_args, get_type_hints


@dataclass(frozen=True, slots=True, kw_only=True)
class Variants:
    """How the local Planday behaves where the real one may do either. Anchors are those of docs/api-facts.md.

    Args:
        large_limits: a limit over 50 on an HR list is refused with 400, lowered to 50, or taken (#paging).
        sends_totals: whether `paging` holds a total (#paging).
        open_shifts: whether an open shift leaves `employeeId` out or sends null (#errors-and-missing-members).
        people_who_left: whether their details, history, pay and contract rule are answered by id, or 400
            (#errors-and-missing-members).
        account_employees: whether rows of absence accounts name their employee (#absence).
        transaction_ids: whether rows of account transactions have an id (#absence).
        unrated: the rate that payroll shows for people without one (#payroll).
        lists_drafts: whether draft shifts come without being asked for (#scheduling).
        shift_window: whether `from` and `to` of shifts test the shift's date, or take in every shift that is partly inside
            (#scheduling).
        punch_window: whether `from` and `to` of punches test the time punched, or the time scheduled (#punch-clock).
        durations: how time and cost writes hours, in days, hours and minutes or in hours, minutes and seconds
            (#dates-and-times).
        zone_names: how portals and shifts name their time zone (#portal).
        sends_retry_after: whether a 429 holds `Retry-After` besides `x-ratelimit-reset` (#rate-limits).
    """

    large_limits: Literal["refused", "lowered", "taken"] = "refused"
    sends_totals: Literal[True, False] = True
    open_shifts: Literal["absent", "null"] = "absent"
    people_who_left: Literal["refused", "answered"] = "refused"
    account_employees: Literal[True, False] = True
    transaction_ids: Literal[True, False] = False
    unrated: Literal["zero", "null"] = "zero"
    lists_drafts: Literal[True, False] = True
    shift_window: Literal["date", "overlap"] = "date"
    punch_window: Literal["punched", "scheduled"] = "punched"
    durations: Literal["D:HH:MM", "HH:MM:SS"] = "D:HH:MM"
    zone_names: Literal["IANA", "Windows"] = "IANA"
    sends_retry_after: Literal[True, False] = False

    @classmethod
    def of(cls, texts: Iterable[str]) -> Variants:
        """Switches as they are typed: `open_shifts=null`.

        Raises:
            ValueError: there is no such switch, or no such value; says which there are.
        """
        known = {name: get_args(kind) for name, kind in get_type_hints(cls).items()}
        chosen: dict[str, Any] = {}
        for text in texts:
            name, _, value = text.partition("=")
            if name not in known:
                raise ValueError(f"there is no variant {name!r}: there are {', '.join(sorted(known))}")
            values = {str(one).lower(): one for one in known[name]}
            if value.lower() not in values:
                raise ValueError(f"{name} is one of {', '.join(values)}, not {value!r}")
            chosen[name] = values[value.lower()]
        return cls(**chosen)
