"""One Planday portal is one key: whatever leads to a second key for it is refused before anything is written."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest
import stamina
from starlette.responses import JSONResponse, Response

import planday_io
from planday_io.catalogue import CATALOGUE
from planday_io.config import load_config
from planday_io.config.model import Config
from planday_io.errors import ConfigError, PortalIdentityError, UnexpectedShapeError
from planday_io.lake.identity import PortalIdentities
from planday_io.onboarding.check import check
from planday_io.privacy.erasure import forget_portal
from planday_io.sandbox.state import Fault
from planday_io.state.state_database import database_file
from planday_io.sync.session import refresh
from tests.support.commands import planday_command
from tests.support.damage import DAMAGE
from tests.support.installation import Installation, Make
from tests.support.old_state import old_portal

DEPARTMENTS = "hr.departments"


def token_of(planday: Installation, portal: str) -> str:
    return (planday.folder / f"tokens/{portal}.txt").read_text()


def give_token(planday: Installation, portal: str, token: str) -> None:
    (planday.folder / f"tokens/{portal}.txt").write_text(token)


def copied(planday: Installation) -> None:
    """The key london is configured with oslo's app and token."""
    ids = [app.client_id for app in planday.sandbox.apps.values()]
    planday.config_path.write_text(planday.config_path.read_text().replace(ids[1], ids[0]))
    give_token(planday, "london", token_of(planday, "oslo"))


def authorized_twice(planday: Installation) -> None:
    """The app of london has a token of oslo of its own."""
    app = next(app for app in planday.sandbox.apps.values() if "london" in app.refresh_tokens)
    app.refresh_tokens["oslo"] = "second-token-of-oslo"
    give_token(planday, "london", "second-token-of-oslo")


def id_as_text(planday: Installation) -> None:
    """The same, and Planday writes the id as a text."""
    authorized_twice(planday)

    def respond(_: object, __: int, document: object) -> JSONResponse:
        answer = json.loads(json.dumps(document))
        answer["data"]["id"] = str(answer["data"]["id"])
        return JSONResponse(answer)

    planday.sandbox.faults.append(Fault("/portal/v1.0/info", respond, times=None))


MISTAKES = (copied, authorized_twice, id_as_text)
Mistake = Callable[[Installation], None]


def verdicts(planday: Installation, *portals: str) -> dict[str, str]:
    """What check says of each portal's identity; empty where it is good."""
    findings = check(planday.installation, [*portals] or [*planday.config.portals])
    return {one.portal: "" if one.is_good else one.detail for one in findings if one.subject in ("portal", "token")}


def names_both(text: str) -> bool:
    return "'oslo'" in text and "'london'" in text and "planday authorize" in text


@pytest.mark.parametrize("mistake", MISTAKES)
def test_check_refuses_both_new_keys(planday: Installation, mistake: Mistake) -> None:
    mistake(planday)
    assert names_both(verdicts(planday, "london")["london"]), "also when only one of the two is checked"
    found = verdicts(planday)
    assert found["copenhagen"] == ""
    assert names_both(found["oslo"]), found
    assert names_both(found["london"]), found


def test_a_short_fault_hides_no_double_from_check(planday: Installation) -> None:
    authorized_twice(planday)
    planday.sandbox.faults.append(Fault("/portal/v1.0/info", lambda *_: Response(status_code=503), times=3))
    with stamina.set_testing(True, attempts=5, cap=True):
        found = verdicts(planday)
    assert names_both(found["oslo"]), found
    assert names_both(found["london"]), found


@pytest.mark.parametrize("mistake", [copied, id_as_text])
def test_second_key_writes_nothing(planday: Installation, mistake: Mistake) -> None:
    planday.refresh(DEPARTMENTS, "oslo")
    mistake(planday)
    before = sorted(planday.config.lake.rglob("*"))
    for table in (DEPARTMENTS, "hr.employees"):
        with pytest.raises(PortalIdentityError) as refused:
            planday.refresh(table, "london")
        assert names_both(str(refused.value))
        assert "portals rename oslo london" in str(refused.value)
    with pytest.raises(PortalIdentityError):
        planday_io.read("london", DEPARTMENTS, planday.config_path)
    assert sorted(planday.config.lake.rglob("*")) == before
    assert verdicts(planday, "oslo") == {"oslo": ""}, "who has the data is not stopped by another key's mistake"
    planday.refresh(DEPARTMENTS, "oslo")


def test_copied_token_is_refused_without_asking(planday: Installation) -> None:
    copied(planday)
    for portal in ("oslo", "london"):
        with pytest.raises(PortalIdentityError, match="the same refresh token"):
            planday.refresh(DEPARTMENTS, portal)
    assert not planday.config.lake.exists()
    assert planday.sandbox.exchanges == 0


@pytest.mark.processes
def test_sync_reads_neither_of_two_new_keys(planday: Installation) -> None:
    authorized_twice(planday)
    done = planday_command(planday, "sync", "--resources", DEPARTMENTS)
    assert done.returncode == 1
    assert names_both(done.stdout), done.stdout + done.stderr
    assert {key.portal for key in planday.lake.slices(DEPARTMENTS)} == {"copenhagen"}
    states = json.loads(planday_command(planday, "status", "--json").stdout)["portals"]
    causes = {(state["portal"], one["cause"]) for state in states for one in state["incidents"]}
    assert causes == {("oslo", "identity"), ("london", "identity")}


def test_first_runs_at_once_one_wins(planday: Installation) -> None:
    authorized_twice(planday)
    start = Barrier(2)

    def first(portal: str) -> str:
        session = planday.session(portal)
        start.wait()
        try:
            refresh(session, DEPARTMENTS)
        except PortalIdentityError as error:
            return str(error)
        return ""

    with ThreadPoolExecutor(2) as pool:
        said = list(pool.map(first, ("oslo", "london")))
    refused = [text for text in said if text]
    assert len(refused) == 1, said
    assert names_both(refused[0])
    assert len(planday.lake.slices(DEPARTMENTS)) == 1


def test_key_renamed_in_the_file_only(planday: Installation) -> None:
    planday.refresh(DEPARTMENTS, "oslo")
    planday.edit_config("  oslo:", "  bergen:")
    with pytest.raises(PortalIdentityError) as refused:
        planday.refresh(DEPARTMENTS, "bergen")
    for says in (
        "'oslo', a key that is no longer in portals.yaml",
        "portals rename oslo bergen",
        "forget --portal oslo",
    ):
        assert says in str(refused.value)
    assert "portals rename oslo bergen" in verdicts(planday, "bergen")["bergen"]
    forget_portal(planday.installation, "oslo")
    planday.refresh(DEPARTMENTS, "bergen")
    assert PortalIdentities(planday.installation).known("bergen") == 4711


def test_data_without_record_still_own_their_portal(planday: Installation) -> None:
    planday.refresh(DEPARTMENTS, "oslo")
    planday.state.portals.forget("oslo")
    authorized_twice(planday)
    with pytest.raises(PortalIdentityError, match="'london' and 'oslo' are the same"):
        planday.refresh(DEPARTMENTS, "london")
    give_token(planday, "oslo", token_of(planday, "copenhagen"))
    with pytest.raises(PortalIdentityError, match="until now 'oslo' was portal 4711"):
        planday.refresh(DEPARTMENTS, "oslo")


def test_unreadable_slices_let_no_key_have_another_s_portal(planday: Installation) -> None:
    planday.refresh(DEPARTMENTS, "oslo")
    planday.state.portals.forget("oslo")
    for file in planday.config.lake.glob("hr/*/oslo/*.parquet"):
        DAMAGE["binary"](file)
    planday.state.portals.record("london", 815)
    with pytest.raises(PortalIdentityError, match="'oslo' and 'london' are the same"):
        PortalIdentities(planday.installation).verify("oslo", 815)


def test_slices_of_an_older_version_say_their_portal(planday: Installation) -> None:
    planday.refresh(DEPARTMENTS, "oslo")
    planday.state.portals.forget("oslo")
    record = old_portal(planday.config.lake, "oslo", b'{"portal_id": "815"}')
    assert PortalIdentities(planday.installation).known("oslo") == 4711
    forget_portal(planday.installation, "oslo")
    assert PortalIdentities(planday.installation).known("oslo") is None
    assert not record.exists()


@pytest.mark.parametrize("recorded", [None, 815])
def test_lake_under_another_state(planday: Installation, recorded: int | None) -> None:
    """Lost, or of another installation: the lake takes rows of its own portals only, and they are known again."""
    planday.refresh(DEPARTMENTS, "oslo")
    if recorded is None:
        DAMAGE["binary"](database_file(planday.state.folder))
    else:
        planday.state.portals.record("oslo", recorded)
    identities = PortalIdentities(planday.installation)
    with pytest.raises(PortalIdentityError, match="until now 'oslo' was portal 4711"):
        identities.verify("oslo", 815)
    planday.refresh(DEPARTMENTS, "oslo")
    assert planday.state.portals.ids() == {"oslo": 4711}


def test_wrong_first_token_without_data_is_replaced(planday: Installation) -> None:
    PortalIdentities(planday.installation).verify("oslo", 815)
    planday.refresh(DEPARTMENTS, "oslo")
    assert PortalIdentities(planday.installation).known("oslo") == 4711


def test_claim_without_data_blocks_while_configured(planday: Installation) -> None:
    identities = PortalIdentities(planday.installation)
    identities.verify("oslo", 4711)
    with pytest.raises(PortalIdentityError):
        identities.verify("london", 4711)
    planday.edit_config("  oslo:", "  bergen:")
    PortalIdentities(planday.installation).verify("bergen", 4711)


def doubled_before(planday: Installation) -> Config:
    """Two keys with data of one portal, as earlier versions wrote them."""
    planday.refresh(DEPARTMENTS, "oslo")
    source = planday.config.lake / "hr/departments/oslo/data.parquet"
    target = planday.config.lake / "hr/departments/london/data.parquet"
    target.parent.mkdir()
    target.write_bytes(source.read_bytes())
    planday.state.portals.forget("oslo")
    authorized_twice(planday)
    return planday.config


def test_doubles_of_earlier_versions_are_refused(planday: Installation) -> None:
    doubled_before(planday)
    for portal in ("oslo", "london"):
        with pytest.raises(PortalIdentityError, match="both have data, so every figure counts twice"):
            planday.refresh(DEPARTMENTS, portal)
    assert all("forget --portal london" in verdicts(planday)[portal] for portal in ("oslo", "london"))
    forget_portal(planday.installation, "london")
    planday.refresh(DEPARTMENTS, "oslo")


def test_children_and_aliases_are_other_portals(make: Make) -> None:
    planday = make()
    info = planday.sandbox.portals["london"].info
    child, info["aliases"] = info["portals"][0]["id"], ["oslo", "4711"]
    info["portals"].append({"id": 4711, "name": "a child that is read as oslo", "aliases": ["london"]})
    planday.sandbox.portals["copenhagen"].info["id"] = child
    assert verdicts(planday) == {"oslo": "", "copenhagen": "", "london": ""}
    for portal in ("london", "oslo", "copenhagen"):
        planday.refresh(DEPARTMENTS, portal)


def stated(planday: Installation, portal: str, value: str) -> None:
    planday.edit_config(f"  {portal}:\n", f"  {portal}:\n    portal_id: {value}\n")


def test_stated_id_that_does_not_fit(planday: Installation) -> None:
    stated(planday, "oslo", "90210")
    with pytest.raises(
        PortalIdentityError, match=r"says that portal 'oslo' is Planday portal 90210 .* opens portal 4711"
    ):
        planday.refresh(DEPARTMENTS)
    assert not planday.config.lake.exists()
    assert "90210" in verdicts(planday, "oslo")["oslo"]
    with pytest.raises(PortalIdentityError, match="'oslo'"):
        planday.refresh(DEPARTMENTS, "london")


def test_stated_id_that_fits(planday: Installation) -> None:
    stated(planday, "oslo", "'04711'")
    planday.refresh(DEPARTMENTS)
    assert verdicts(planday)["oslo"] == ""


def written(folder: Path, *portals: str) -> Config:
    """A configuration of some portals; what is given for a key is added to its entry."""
    file = folder / "portals.yaml"
    parts = [portal.partition(" ") for portal in portals]
    lines = [f"  {name}: {{client_id: x, refresh_token: {{env: X}}{more}}}" for name, _, more in parts]
    file.write_text("\n".join(["portals:", *lines]))
    return load_config(file, CATALOGUE)


@pytest.mark.parametrize("value", ["0", "-4711", "true", "4711.5", "oslo", "[4711]", "9" * 20, f"'{'9' * 5000}'"])
def test_stated_id_that_is_none(tmp_path: Path, value: str) -> None:
    with pytest.raises(
        ConfigError, match=r"portals.yaml, line 2: portals.oslo.portal_id: .* a whole number such as 90210"
    ):
        written(tmp_path, f"oslo , portal_id: {value}")


@pytest.mark.parametrize("value", ["4711", "'4711'", "'04711'", "0x1267"])
def test_two_keys_with_one_stated_id(tmp_path: Path, value: str) -> None:
    assert written(tmp_path, f"a , portal_id: {value}", "b , portal_id: 1").portals["a"].portal_id == 4711
    with pytest.raises(ConfigError) as refused:
        written(tmp_path, "a , portal_id: 4711", "b ", f"c , portal_id: {value}")
    assert "line 4: portals.c.portal_id: found 4711, which portal 'a' has as well (line 2)" in str(refused.value)


def test_stated_id_by_a_merge_key(tmp_path: Path) -> None:
    entry = "&a\n    client_id: x\n    refresh_token: {env: X}\n    portal_id: 4711"
    (tmp_path / "portals.yaml").write_text(f"portals:\n  a: {entry}\n  b:\n    <<: *a\n")
    with pytest.raises(ConfigError, match=r"line \d: portals.b.portal_id: found 4711"):
        load_config(tmp_path / "portals.yaml", CATALOGUE)


def test_answer_without_an_id(planday: Installation) -> None:
    for number in (True, "x", 0, -1, 1.5, None, [4711], "9" * 5000):
        answer = JSONResponse({"data": {"id": number}})
        planday.sandbox.faults.append(Fault("/portal/v1.0/info", lambda *_, answer=answer: answer))  # type: ignore[misc]
        with pytest.raises(UnexpectedShapeError):
            planday.refresh(DEPARTMENTS)


def test_run_writes_nothing_of_a_forgotten_key(planday: Installation) -> None:
    planday.refresh(DEPARTMENTS)

    def forget(*_: object) -> None:
        forget_portal(planday.installation, "oslo")

    planday.sandbox.faults.append(Fault("/hr/v1.0/departments", forget))
    with pytest.raises(PortalIdentityError, match="The rows it read were not written"):
        planday.refresh(DEPARTMENTS)
    assert planday.lake.slices(portal="oslo") == []
