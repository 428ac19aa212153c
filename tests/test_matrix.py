"""The privacy matrix: seven classes times three policies, on the bytes on disk, for reads and for policies that change.

One value of each class is put into the sandbox in a form that stands nowhere else, everything is read and published, and
every file of the installation is searched for it, Parquet and DuckDB decoded as well.
"""

from __future__ import annotations

import pytest

from tests.support.folders import files
from tests.support.installation import EVERYTHING, Installation, Make

VALUES = {
    "sensitive": "SSN-0xC0FFEE-1",
    "contact": "someone.unmistakable@mail.example",
    "identity": "Xanthippe-Quill",
    "pay": "31337.1337",
    "free_text": "has a bad knee since the fjord",
    "unknown": "favourite-colour-ultramarine",
    "none": "Ultima Thule Harbour",
}
"""Class -> a value of it."""

TABLES = ("hr.departments", "hr.employees", "pay.salaries", "absence.absence_records")


@pytest.fixture
def planday(make: Make) -> Installation:
    made = make(people=(5, 3, 3), resources=EVERYTHING)
    for app in made.sandbox.apps.values():
        app.scopes |= {"ssn:read", "birthdate:read", "bankaccount:read"}
    portal = made.sandbox.portals["oslo"]
    row = portal.employees[0]
    row |= {
        "ssn": VALUES["sensitive"],
        "email": VALUES["contact"],
        "lastName": VALUES["identity"],
        "colour": VALUES["unknown"],
    }
    portal.departments[0]["name"] = VALUES["none"]
    portal.leave.records[0]["note"] = VALUES["free_text"]
    for salary in portal.pay.salaries.values():
        salary["salary"] = float(VALUES["pay"])
    assert {e["id"] for e in portal.employees} & portal.pay.salaries.keys()
    (made.folder / "key.txt").write_text("a key for hashes")
    return made


def set_policy(planday: Installation, **policies: str) -> None:
    every = dict.fromkeys((name for name in VALUES if name != "none"), "keep") | policies
    line = (
        f"privacy: {{{', '.join(f'{name}: {policy}' for name, policy in every.items())}, hash_key: {{file: key.txt}}}}"
    )
    lines = [one for one in planday.config_path.read_text().splitlines() if not one.startswith("privacy:")]
    planday.config_path.write_text("\n".join([line, *lines]) + "\n")


def read(planday: Installation, *, publishes: bool = True) -> None:
    for table in TABLES:
        planday.refresh(table)
    if publishes:
        planday.publish()


def found(planday: Installation) -> set[str]:
    contents = [content for path, content in files(planday.folder).items() if "tokens" not in str(path)]
    return {name for name, value in VALUES.items() if any(value.encode() in content for content in contents)}


def test_what_is_kept_is_on_disk(planday: Installation) -> None:
    set_policy(planday)
    read(planday)
    assert found(planday) == set(VALUES)


@pytest.mark.processes
@pytest.mark.parametrize("policy", ["drop", "hash"])
@pytest.mark.parametrize("name", list(VALUES))
def test_a_policy_is_what_is_on_disk(planday: Installation, name: str, policy: str) -> None:
    if name == "none":
        # There is no policy for it: it is kept whatever is done with the others.
        set_policy(planday, **dict.fromkeys((one for one in VALUES if one != "none"), policy))
        read(planday)
        assert found(planday) == {"none"}
        return
    set_policy(planday, **{name: policy})
    read(planday)
    assert found(planday) == set(VALUES) - {name}


@pytest.mark.processes
@pytest.mark.parametrize(("policy", "at_once"), [("drop", 1), ("hash", 2)])
def test_stricter_policies_reach_what_was_read_before(planday: Installation, policy: str, at_once: int) -> None:
    """One class or two after the other: in the lake, its histories and the published file, without another read."""
    shown = "SELECT table_name, kept FROM sync.slices UNION ALL SELECT table_name, kept FROM sync.derived ORDER BY ALL"
    set_policy(planday)
    read(planday)
    assert found(planday) == set(VALUES)
    counts = planday.query(shown)
    stricter: dict[str, str] = {}
    names = [name for name in VALUES if name != "none"]
    for number in range(0, len(names), at_once):
        stricter |= dict.fromkeys(names[number : number + at_once], policy)
        set_policy(planday, **stricter)
        assert planday.publish().is_rebuild
        # Members that came with another type are in _extra, whatever their class, so it is emptied with the first of them.
        assert found(planday) in (set(VALUES) - stricter.keys(), set(VALUES) - stricter.keys() - {"unknown"})
        assert planday.query(shown) == counts
        assert not planday.publish().is_rebuild
    read(planday)
    assert found(planday) == set(VALUES) - stricter.keys()


def test_sensitive_members_are_not_even_asked_for(planday: Installation) -> None:
    set_policy(planday, sensitive="drop")
    read(planday)
    assert not [query for query in planday.sandbox.queries if "special" in query]


def test_old_file_leaves_nothing_beside_it(planday: Installation) -> None:
    set_policy(planday)
    read(planday)
    before = planday.config.warehouse.stat().st_ino
    (planday.folder / "warehouse.duckdb.tmp-999999999-abcd").write_text(VALUES["contact"])
    set_policy(planday, contact="drop")
    planday.publish()
    assert planday.config.warehouse.stat().st_ino != before
    assert [path.name for path in planday.folder.glob("warehouse.duckdb*")] == ["warehouse.duckdb"]
