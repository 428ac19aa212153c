"""Names from the configuration and from the API that want to be SQL, paths or code, and connections that are not safe."""

from __future__ import annotations

import json
import ssl
import stat
from pathlib import Path

import pytest

from planday_io.catalogue import CATALOGUE
from planday_io.client.asking import trusted
from planday_io.config import load_config
from planday_io.errors import ConfigError
from tests.support.commands import planday_command
from tests.support.installation import Installation

HOSTILE = "x'); DROP TABLE hr.employees; --\"../../../etc/passwd"


@pytest.mark.parametrize("key", ["../oslo", "a/b", "a b", "O'Slo", 'o"slo', "øslo", "", "a;b", "-a"])
def test_a_portal_key_that_is_no_name(planday: Installation, key: str) -> None:
    planday.edit_config("  oslo:\n", f"  {json.dumps(key, ensure_ascii=False)}:\n")
    with pytest.raises(ConfigError, match="a name of lower-case letters, digits and _"):
        load_config(planday.config_path, CATALOGUE)


@pytest.mark.processes
def test_folders_with_awkward_names(planday: Installation) -> None:
    names = {"lake": 'la\'ke; "x" --', "warehouse": "ware'house; DROP.duckdb"}
    lines = "".join(f"{key}: {json.dumps(name)}\n" for key, name in names.items())
    planday.config_path.write_text(lines + planday.config_path.read_text())
    done = planday_command(planday, "sync", "oslo", "--resources", "hr.departments,hr.employees")
    assert done.returncode == 0, done.stdout + done.stderr
    assert planday.query("SELECT count(*) FROM hr.departments") == [(2,)]
    assert planday_command(planday, "publish", "--rebuild").returncode == 0
    assert (planday.folder / names["warehouse"]).exists()
    assert (planday.folder / names["lake"] / "hr").is_dir()


def test_names_and_values_that_the_api_sends(planday: Installation) -> None:
    planday.edit_config("defaults:", "privacy: {unknown: keep, free_text: keep}\ndefaults:")
    portal = planday.sandbox.portals["oslo"]
    portal.departments[0] |= {"name": HOSTILE, HOSTILE: HOSTILE}
    person = portal.employees[0]["id"]
    portal.edit_employee(
        person,
        firstName=HOSTILE,
        custom_101={"name": HOSTILE, "type": "Text", "value": HOSTILE},
        **{f"custom_{HOSTILE}": {"name": HOSTILE, "type": HOSTILE, "value": HOSTILE}},
    )
    for table in ("hr.departments", "hr.employees", "hr.employee_details"):
        planday.refresh(table)
    planday.publish()
    assert (HOSTILE,) in planday.query("SELECT name FROM hr.departments")
    assert (HOSTILE,) in planday.query("SELECT first_name FROM hr.employees")
    (extra,) = planday.query(
        f"SELECT _extra FROM hr.departments WHERE name = '{HOSTILE.replace(chr(39), chr(39) * 2)}'"
    )
    assert json.loads(extra[0]) == {HOSTILE: HOSTILE}
    files = [path for path in planday.folder.rglob("*") if "DROP" in path.name or "passwd" in path.name]
    assert files == []


def test_yaml_runs_no_code(planday: Installation) -> None:
    proof = planday.folder / "proof"
    planday.config_path.write_text(
        f"lake: !!python/object/apply:os.system ['touch {proof}']\n" + planday.config_path.read_text()
    )
    with pytest.raises(ConfigError):
        load_config(planday.config_path, CATALOGUE)
    assert not proof.exists()


@pytest.mark.parametrize("setting", ["api_url", "identity_url"])
@pytest.mark.parametrize("address", ["http://openapi.planday.com", "http://127.0.0.1.example.com", "ftp://127.0.0.1"])
def test_connections_in_the_clear_are_refused(planday: Installation, setting: str, address: str) -> None:
    planday.edit_config(f"{setting}: '{planday.address}'", f"{setting}: '{address}'")
    with pytest.raises(ConfigError, match="https://"):
        load_config(planday.config_path, CATALOGUE)


def test_nothing_turns_the_look_at_certificates_off() -> None:
    """Neither a setting nor a line of code; what happens then is in test_operating (`tls untrusted`)."""
    for package in ("planday_io", "pipelines"):
        for path in (Path(__file__).parents[1] / package).rglob("*.py"):
            text = path.read_text()
            assert text.count("verify=") == text.count("verify=trusted(trust_env=trust_env)"), path
            assert "CERT_NONE" not in text, path
            assert "_create_unverified_context" not in text, path
    for trust_env in (False, True):
        context = trusted(trust_env=trust_env)
        assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)


@pytest.mark.processes
def test_files_with_tokens_are_for_their_owner(planday: Installation) -> None:
    planday.sandbox.rotates = True
    assert planday_command(planday, "sync", "oslo", "--resources", "hr.departments").returncode == 0
    # What Planday hands out is kept for every portal that was asked who it is, not only for the one that was read.
    kept = planday.state_files_with("rotated-")
    assert len(kept) == len(planday.config.portals)
    assert {stat.S_IMODE(path.stat().st_mode) for path in kept} == {0o600}
