"""Secrets are where they were put, and rotated ones in the state; personal data is nowhere by default. Bytes, not frames."""

from __future__ import annotations

import stat
import subprocess
import sys
from pathlib import Path

import pytest

from planday_io.config.model import PrivacyPolicy
from planday_io.frames.privacy import PrivacyFilter
from tests.support.commands import planday_command
from tests.support.folders import files
from tests.support.installation import Installation, Make

CONTACT = ("email", "cellPhone", "street1", "zip")


def places(folder: Path, secret: str) -> list[str]:
    return [str(path.relative_to(folder)) for path, content in files(folder).items() if secret.encode() in content]


@pytest.mark.processes
def test_secrets_and_contact_data_after_day_of_work(make: Make) -> None:
    planday = make(rotates=True)
    for resources in ("portal,hr,hr.employee_history", "hr.employees"):
        done = planday_command(planday, "sync", "oslo", "--resources", resources)
        assert done.returncode == 0, done.stdout + done.stderr
    (planday.folder / "stdout.log").write_text(done.stdout + done.stderr)
    checked = planday_command(planday, "check", "--json")
    (planday.folder / "check.log").write_text(checked.stdout + checked.stderr)
    (planday.folder / "tokens/london.txt").write_text("revoked-token-123")
    failed = planday_command(planday, "sync", "london")
    assert failed.returncode == 1
    (planday.folder / "failed.log").write_text(failed.stdout + failed.stderr)

    everything = files(planday.folder)
    secrets = [
        *planday.sandbox._access,
        *(t for app in planday.sandbox.apps.values() for t in app.refresh_tokens.values()),
    ]
    secrets += ["demo-refresh-token", "revoked-token-123"]
    kept = planday.state_files_with("rotated-")
    for path, content in everything.items():
        if path not in kept and path.parent != planday.folder / "tokens":
            assert not [secret for secret in secrets if secret.encode() in content], path
    person = planday.sandbox.portals["oslo"].employees[0]
    for path, content in everything.items():
        assert not [member for member in (*CONTACT, "ssn", "birthDate") if str(person[member]).encode() in content
                    and len(str(person[member])) > 5], path  # fmt: skip
    assert {stat.S_IMODE(path.stat().st_mode) for path in kept} == {0o600}


@pytest.mark.parametrize("policy", ["keep", "drop", "hash", "off"])
def test_contact_policies_on_bytes(make: Make, policy: str) -> None:
    planday = make()
    (planday.folder / "key.txt").write_text("a hash key")
    planday.edit_config("defaults:", f"privacy: {{contact: {policy}, hash_key: {{file: key.txt}}}}\ndefaults:")
    planday.refresh("hr.employees")
    planday.publish()
    address = planday.sandbox.portals["oslo"].employees[0]["email"]
    assert bool(places(planday.folder, address)) == (policy == "keep")
    emails = [row["email"] for row in planday.rows("hr.employees")]
    if policy == "hash":
        assert all(len(email) == 64 for email in emails)
        planday.refresh("hr.employees")
        assert [row["email"] for row in planday.rows("hr.employees")] == emails
    elif policy != "keep":
        assert set(emails) == {None}


def test_a_hash_is_of_key_portal_and_value() -> None:
    """Equal in one portal, different in two; and the same in every version, because warehouses join on it."""

    def hashed(text: str, portal: int = 4711, key: str = "a hash key") -> str:
        return PrivacyFilter(PrivacyPolicy(), portal, lambda: key).hasher()(text)

    # printf '4711\0anna@example.com' | openssl dgst -sha256 -hmac 'a hash key'
    assert hashed("anna@example.com") == "5728fbb54523cf9f06efd810f139cb528d55558cddf1f2d4509f5603a369bf2b"
    different = {
        hashed("anna@example.com"),
        hashed("anna@example.com", 4712),
        hashed("anna@example.com", key="another"),
    }
    assert len(different | {hashed("bo@example.com")}) == 4
    # The digits of an id and of a value that follow each other are not taken for other ones.
    assert hashed("1", 4711) != hashed("", 47111) != hashed("11", 471)


def test_one_address_hashes_differently_in_two_portals(planday: Installation) -> None:
    (planday.folder / "key.txt").write_text("a hash key")
    planday.edit_config("defaults:", "privacy: {contact: hash, hash_key: {file: key.txt}}\ndefaults:")
    for portal in ("oslo", "copenhagen"):
        for person in planday.sandbox.portals[portal].employees[:2]:
            person["email"] = "same@example.com"
        planday.refresh("hr.employees", portal)
    oslo, copenhagen = (
        [row["email"] for row in planday.rows("hr.employees", portal)][:2] for portal in ("oslo", "copenhagen")
    )
    assert oslo[0] == oslo[1]
    assert copenhagen[0] == copenhagen[1]
    assert oslo[0] != copenhagen[0]


def test_sensitive_members_need_policy_and_scope(make: Make) -> None:
    planday = make()
    planday.refresh("hr.employees")
    assert all("special" not in query for query in planday.sandbox.queries)
    planday.edit_config("defaults:", "privacy: {sensitive: keep}\ndefaults:")
    planday.refresh("hr.employees")
    assert {row["ssn"] for row in planday.rows("hr.employees")} == {None}
    for app in planday.sandbox.apps.values():
        app.scopes |= {"ssn:read", "birthdate:read"}
    planday.refresh("hr.employees")
    row = planday.rows("hr.employees")[0]
    assert row["ssn"]
    assert row["birth_date"]
    assert row["bank_account_account_number"] is None


def test_new_configured_token_wins_over_rotated_one(make: Make) -> None:
    planday = make(rotates=True)
    planday.refresh("hr.departments")
    app = next(app for app in planday.sandbox.apps.values() if "oslo" in app.refresh_tokens)
    assert app.refresh_tokens["oslo"].startswith("rotated-")
    app.refresh_tokens["oslo"] = "authorized-again"
    (planday.folder / "tokens/oslo.txt").write_text("authorized-again")
    planday.refresh("hr.departments")


@pytest.mark.processes
def test_errors_hold_no_values(planday: Installation) -> None:
    """A retyped member is reported by name and type; the traceback Dagster stores must not hold the value either."""
    planday.sandbox.portals["oslo"].employees[0]["firstName"] = {"oh": "Gunhild-the-secret"}
    done = planday_command(planday, "sync", "oslo", "--resources", "hr.employees")
    assert done.returncode == 1
    assert "firstName is object instead of VARCHAR" in done.stdout
    assert not places(planday.folder, "Gunhild-the-secret")
    assert "Gunhild" not in done.stdout + done.stderr


def test_importing_opens_no_connection_and_writes_no_file(tmp_path: Path) -> None:
    """What is opened while the whole program is imported is read."""
    code = """
import os, sys
sys.dont_write_bytecode = True
def look(event, arguments):
    if event in ("socket.connect", "socket.bind", "sqlite3.connect", "os.mkdir", "os.rename"):
        print(event, arguments)
    if event == "open" and arguments[0] != os.devnull and (arguments[2] or 0) & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
        print(event, arguments)
sys.addaudithook(look)
import planday_io, planday_io.sync.session, planday_io.privacy.erasure, planday_io.onboarding.authorize
import planday_io.monitoring.notifier, planday_io.reports.report
print("imported")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert done.stdout == "imported\n"
    assert not list(tmp_path.iterdir())
