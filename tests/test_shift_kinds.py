"""What shift types stand for: guessed from names of five languages, chosen in portals.yaml, said by `planday check`."""

from __future__ import annotations

import pytest

from planday_io.catalogue.shift_kinds import KINDS, chosen, guessed
from planday_io.onboarding.check import check
from tests.support.installation import EVERYTHING, Make

NAMES = {
    "sickness": "Sick|SYG|Sygdom|Barns første sygedag|Syk barn|Sykdom|Egenmelding|Sjuk|Krank|Sick leave, unpaid|Illness",
    "absence": "Vacation|Annual leave|Holiday|Day off|Time-off|OFF|Ferie|Feriefridag|Fri|Fridag|Orlov|Barsel|Permisjon"
    "|Semester|Tjänstledighet|Föräldraledighet|VAB|Frånvaro|Urlaub|Frei|Elternzeit|Fravær|Afspadsering",
    "course": "Course|Training day|Kurs|Kursus|Opplæring|Utbildning|Schulung|Weiterbildung|e-learning workshop",
    "standby": "Standby|Stand-by|ON CALL|On-call night|Bagvagt|Tilkaldevagt|Bakvakt|Hjemmevakt|Jour|Jourtjänst"
    "|Rufbereitschaft",
    "unpaid": "Unpaid|Unpaid leave|Ulønnet fri|Ulønnet|Obetald|Unbezahlt|Leave without pay",
    "work": "Normal|Overtime|Aftenvagt|Nattevakt|Vagt|Vakt|Friday|Freitag|Fredag|Office|Official|Grill|Leaver|Journalist"
    "|Off-site|Sygeplejerske|Sykehus|Sykepleier|Sjuksköterska|Krankenhaus|Krankenpflege"
    "|Public holiday|Bank holiday|Holiday pay|Sick cover|24| ",
}


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind in KINDS for name in NAMES[kind].split("|")])
def test_kind_that_a_name_suggests(kind: str, name: str) -> None:
    assert guessed(name) == kind


def test_type_without_a_name_is_work() -> None:
    assert guessed(None) == "work"


def test_id_goes_before_name_in_any_case() -> None:
    kinds = {"Sick ": "absence", "7": "course"}
    assert chosen(kinds, 7, "sick") == "course"  # type: ignore[arg-type]
    assert chosen(kinds, 8, "SICK") == "absence"  # type: ignore[arg-type]
    assert chosen(kinds, 8, "7") == "course", "a type may be called 7"  # type: ignore[arg-type]
    assert chosen(kinds, 8, None) is None  # type: ignore[arg-type]


def test_check_says_which_kinds_were_guessed(make: Make) -> None:
    planday = make(resources=EVERYTHING)

    def told() -> str:
        (found,) = [one for one in check(planday.installation, ["oslo"]) if one.subject == "shift kinds"]
        assert found.is_good
        assert not found.was_tried
        return found.detail

    assert "never read" in told()
    planday.refresh("scheduling.shift_types")
    names = {row["name"]: row["id"] for row in planday.rows("scheduling.shift_types")}
    sick = next(name for name in names if guessed(name) == "sickness")
    assert f"{sick} = sickness" in told()
    planday.edit_config("defaults:", f"shift_kinds: {{{names[sick]}: absence, Nothing: work}}\ndefaults:")
    assert sick not in told()
    assert "has names that no shift type has: Nothing" in told()


@pytest.mark.processes
def test_check_says_which_kinds_of_absence_were_guessed(make: Make) -> None:
    """Of types of accounts, and of shifts that stand for absence."""
    planday = make(resources=EVERYTHING)

    def told() -> str:
        (found,) = [one for one in check(planday.installation, ["oslo"]) if one.subject == "absence kinds"]
        assert found.is_good
        assert not found.was_tried
        return found.detail

    assert "absence.account_types and scheduling.shift_types were never read" in told()
    planday.refresh("scheduling.shift_types")
    assert "absence.account_types was never read" in told()
    planday.refresh("absence.account_types")
    of_shifts = {row["name"]: guessed(row["name"]) for row in planday.rows("scheduling.shift_types")}
    sick = next(name for name, kind in of_shifts.items() if kind == "sickness")
    assert told().startswith("guessed from names: ")
    assert f"{sick}, Sickness = sickness; Vacation, earned = vacation" in told()
    assert "Taken for other absence: Flex" in told()
    assert not any(name in told() for name, kind in of_shifts.items() if kind not in ("sickness", "absence"))
    planday.edit_config("defaults:", f"absence_kinds: {{{sick}: other, flextime: vacation, Nothing: other}}\ndefaults:")
    assert told().startswith("guessed from names: Sickness = sickness; Vacation, earned = vacation.")
    assert "Flex" not in told(), "absence_type is a name as well"
    assert "`absence_kinds` has names that no absence type has: Nothing" in told()
    # Shifts of a kind that is no absence are none, whatever they are called.
    number = next(row["id"] for row in planday.rows("scheduling.shift_types") if row["name"] == sick)
    planday.edit_config("defaults:", f"shift_kinds: {{{number}: work}}\ndefaults:")
    assert f"has names that no absence type has: Nothing, {sick}" in told()


def test_changed_settings_reach_the_warehouse(make: Make) -> None:
    """Nothing was read in between: the settings alone are a reason to publish."""
    planday = make(resources=EVERYTHING)
    planday.refresh("scheduling.shift_types")
    planday.publish()
    asked = "SELECT DISTINCT is_guessed FROM sync.shift_kinds WHERE portal = 'oslo'"
    assert planday.query(asked) == [(True,)]
    assert planday.query("SELECT name FROM sync.mart_settings WHERE portal = 'oslo'") == []
    numbers = [row["id"] for row in planday.rows("scheduling.shift_types")]
    kinds = ", ".join(f"{number}: course" for number in numbers)
    planday.edit_config(
        "defaults:", f"shift_kinds: {{{kinds}}}\ncurrency: NOK\nsalary_includes_supplements: false\ndefaults:"
    )
    planday.publish()
    assert planday.query(asked) == [(False,)]
    assert planday.query("SELECT name, value FROM sync.mart_settings WHERE portal = 'oslo' ORDER BY ALL") == [
        ("currency", "NOK"),
        ("salary_includes_supplements", "false"),
    ]
