"""`planday drift`: what it prints, what it accepts, and its exit codes."""

from __future__ import annotations

import json

import pytest

from tests.support.commands import planday_command
from tests.support.document import SPEC
from tests.support.installation import Installation
from tests.support.nights import answer, read

EMPLOYEES, DEPARTMENTS = "hr.employees", "hr.departments"

pytestmark = pytest.mark.processes


def test_new_is_wrong_until_accepted(planday: Installation) -> None:
    assert planday_command(planday, "drift").returncode == 0
    answer(planday, "/hr/v1.0/employees", lambda row: row.update(nickName="Ann"))
    for portal in ("oslo", "copenhagen"):
        read(planday, 0, [EMPLOYEES], portal)
    listed = planday_command(planday, "drift")
    assert (listed.returncode, listed.stdout.count("nickName"), "Ann" in listed.stdout) == (1, 1, False)
    assert "at copenhagen, oslo; rows in the last read: 15" in listed.stdout
    assert planday_command(planday, "drift", "london").returncode == 0
    assert planday_command(planday, "drift", "--accept").returncode == 0
    after = planday_command(planday, "drift", "--json")
    assert (after.returncode, [one["is_new"] for one in json.loads(after.stdout)]) == (0, [False, False])


def test_what_cannot_be_read_is_named(planday: Installation) -> None:
    answer(planday, "/hr/v1.0/departments", lambda row: row.update(number=17))
    read(planday, 0, [DEPARTMENTS])
    listed = planday_command(planday, "drift")
    assert f"{DEPARTMENTS}: number is number instead of VARCHAR" in listed.stdout.splitlines()
    assert "accepting changes nothing" in listed.stdout


def test_specification_is_compared_without_a_configuration(planday: Installation) -> None:
    planday.config_path.unlink()
    listed = planday_command(planday, "drift", "--spec", str(SPEC), "--json")
    assert (listed.returncode, {one["kind"] for one in json.loads(listed.stdout)}) == (0, {"endpoint"})
    refused = planday_command(planday, "drift", "--spec", "nowhere.json")
    assert (refused.returncode, "cannot be read" in refused.stderr) == (2, True)
    both = planday_command(planday, "drift", "oslo", "--spec", str(SPEC))
    assert (both.returncode, "leave out PORTAL" in both.stderr) == (2, True)
