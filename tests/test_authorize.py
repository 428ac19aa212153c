"""Connecting a portal as an administrator does, in a headless Chromium where there is one, and by plain requests."""

from __future__ import annotations

import html
import re
import shutil
import socket
import stat
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from starlette.responses import Response
from starlette.routing import Route

from planday_io.errors import PortalIdentityError
from planday_io.sandbox.state import Fault
from tests.support.commands import PLANDAY, environment, planday_command
from tests.support.installation import Installation

pytestmark = pytest.mark.processes

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")


@pytest.fixture
def redirect(planday: Installation) -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"http://localhost:{free.getsockname()[1]}/callback"
    for key, app in planday.sandbox.apps.items():
        planday.sandbox.apps[key] = replace(app, redirect_urls=(address,))
    return address


class Authorizing:
    """`planday authorize` under way: the address it printed, and how it ends."""

    def __init__(self, planday: Installation, portal: str, redirect: str, *options: str, **env: str) -> None:
        self._process = subprocess.Popen(
            [PLANDAY, "authorize", portal, "--no-browser", "--redirect-url", redirect, *options],
            env={**environment(planday), "PYTHONUNBUFFERED": "1", **env},
            cwd=planday.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        self.printed = ""
        self.url = ""
        for line in self._process.stdout:
            self.printed += line
            if "/connect/authorize?" in line:
                self.url = line.strip()
                break

    def end(self) -> tuple[int, str]:
        out, err = self._process.communicate(timeout=60)
        return self._process.returncode, self.printed + out + err


Visit = Callable[[str, str, str], str]
"""Opens the address, logs in to a portal, presses `approve` or `deny`; returns what the last page says."""


def by_requests(url: str, portal: str, button: str) -> str:
    with httpx.Client(follow_redirects=True, timeout=60) as http:
        base = "{0.scheme}://{0.netloc}".format(urlsplit(url))
        key = re.search(r"name=key value=([\w-]+)", http.get(url).text).group(1)  # type: ignore[union-attr]
        http.post(f"{base}/connect/authorize/login", data={"key": key, "portal": portal})
        return http.post(f"{base}/connect/authorize/consent", data={"key": key, "decision": button}).text


def in_chromium(url: str, portal: str, button: str) -> str:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page()
        page.goto(url)
        page.select_option("#portal", portal)
        page.click("#login")
        page.click(f"#{button}")
        page.wait_for_selector("#result")
        return str(page.inner_text("body"))


@pytest.fixture(params=[by_requests, in_chromium], ids=["requests", "chromium"])
def visit(request: pytest.FixtureRequest) -> Visit:
    if request.param is in_chromium and CHROMIUM is None:
        pytest.skip("there is no Chromium on this machine")
    return request.param  # type: ignore[no-any-return]


def token_file(planday: Installation, portal: str = "oslo") -> Path:
    return planday.folder / f"tokens/{portal}.txt"


def held(planday: Installation, portal: str = "oslo") -> str:
    return next(app.refresh_tokens[portal] for app in planday.sandbox.apps.values() if portal in app.refresh_tokens)


def test_authorize_and_read(planday: Installation, redirect: str, visit: Visit) -> None:
    planday.sandbox.revoke("oslo")
    token_file(planday).unlink()
    flow = Authorizing(planday, "oslo", redirect)
    assert "code_challenge_method=S256" in flow.url, "discovery offers it"
    assert {"shift:read", "openid", "offline_access"} - set(parse_qs(urlsplit(flow.url).query)["scope"][0].split()) == {
        "shift:read"
    }, "scopes of the portal's tables only, and this one has portal and hr"
    page = visit(flow.url, "oslo", "approve")
    code, text = flow.end()
    assert code == 0, text
    assert "Thank you" in page
    assert "Planday portal 4711" in text
    assert "Planday portal 4711" in page
    assert "older token may have stopped working" in page
    token = held(planday)
    assert token not in text
    assert token_file(planday).read_text().strip() == token
    assert stat.S_IMODE(token_file(planday).stat().st_mode) == 0o600
    assert planday_command(planday, "sync", "oslo", "--resources", "hr.departments").returncode == 0


def test_denial(planday: Installation, redirect: str, visit: Visit) -> None:
    before = token_file(planday).read_text()
    flow = Authorizing(planday, "oslo", redirect)
    assert "denied on the consent page" in visit(flow.url, "oslo", "deny")
    code, text = flow.end()
    assert (code, "denied on the consent page" in text) == (1, True)
    assert token_file(planday).read_text() == before


def test_wrong_state(planday: Installation, redirect: str, visit: Visit) -> None:
    before = token_file(planday).read_text()
    flow = Authorizing(planday, "oslo", redirect)
    forged = re.sub(r"state=[^&]+", "state=forged", flow.url)
    assert "another state" in visit(forged, "oslo", "approve")
    code, text = flow.end()
    assert (code, "another state than was sent" in text) == (1, True)
    assert token_file(planday).read_text() == before


def test_expired_code(planday: Installation, redirect: str, visit: Visit) -> None:
    before = token_file(planday).read_text()
    planday.sandbox.code_seconds = -1
    flow = Authorizing(planday, "oslo", redirect)
    page = visit(flow.url, "oslo", "approve")
    code, text = flow.end()
    assert (code, "refused the authorization code" in text, "invalid_grant" in text) == (1, True, True)
    assert ("refused the authorization code" in page, "Thank you" in page) == (True, False)
    assert token_file(planday).read_text() == before


def test_another_portal_than_before_is_refused(planday: Installation, redirect: str) -> None:
    planday.refresh("hr.departments")
    before = token_file(planday).read_text()
    flow = Authorizing(planday, "oslo", redirect)
    page = by_requests(flow.url, "london", "approve")
    code, text = flow.end()
    assert (code, "until now 'oslo' was portal 4711" in text) == (1, True)
    assert token_file(planday).read_text() == before
    assert same_report(page, text)


def same_report(page: str, text: str) -> bool:
    """Whether the browser's last page shows the error that the terminal shows."""
    return html.escape(text.rpartition("planday: ")[2].strip()) in page


@pytest.mark.parametrize("ends_older", [True, False])
def test_consent_while_logged_in_elsewhere(planday: Installation, redirect: str, ends_older: bool) -> None:
    before = token_file(planday).read_text()
    older = held(planday, "copenhagen")
    flow = Authorizing(planday, "oslo", redirect)
    if not ends_older:
        app = next(app for app in planday.sandbox.apps.values() if "copenhagen" in app.refresh_tokens)
        planday.sandbox.faults.append(
            Fault("/portal/v1.0/info", lambda *_: app.refresh_tokens.update(copenhagen=older), times=1)
        )
    page = by_requests(flow.url, "copenhagen", "approve")
    code, text = flow.end()
    assert code == 1
    for says in ("'oslo' and 'copenhagen' are the same Planday portal", "was not kept", "planday authorize oslo"):
        assert says in text
    assert ("planday authorize copenhagen" in text) is ends_older
    assert ("was tried and still works" in text) is not ends_older
    assert same_report(page, text)
    assert token_file(planday).read_text() == before
    assert not list(planday.config.lake.rglob("*.json")), "nothing is remembered of a refused consent"


def test_consent_for_a_portal_of_another_app(planday: Installation, redirect: str) -> None:
    planday.edit_config("  oslo:\n", "  oslo:\n    portal_id: 1\n")
    flow = Authorizing(planday, "oslo", redirect)
    page = by_requests(flow.url, "london", "approve")
    code, text = flow.end()
    assert (code, "says that portal 'oslo' is Planday portal 1" in text) == (1, True)
    assert "is read through another app" in text
    assert same_report(page, text)


def test_authorized_key_owns_its_portal_before_any_run(planday: Installation, redirect: str) -> None:
    flow = Authorizing(planday, "oslo", redirect)
    by_requests(flow.url, "oslo", "approve")
    assert flow.end()[0] == 0
    token_file(planday, "copenhagen").write_text(held(planday))
    with pytest.raises(PortalIdentityError, match="'copenhagen' and 'oslo' are the same Planday portal 4711"):
        planday.refresh("hr.departments", "copenhagen")


def test_without_discovery_there_is_no_pkce(planday: Installation, redirect: str) -> None:
    planday.sandbox.faults.append(Fault("/.well-known", lambda *_: Response(status_code=404), times=None))
    flow = Authorizing(planday, "oslo", redirect)
    assert "code_challenge" not in flow.url
    by_requests(flow.url, "oslo", "approve")
    assert flow.end()[0] == 0


def test_a_scope_that_the_app_lacks(planday: Installation, redirect: str) -> None:
    flow = Authorizing(planday, "oslo", redirect, "--scopes", "employee:read no:such")
    httpx.get(flow.url, follow_redirects=True)
    code, text = flow.end()
    assert (code, "give those it has with --scopes" in text) == (1, True)


def test_no_refresh_token_comes(planday: Installation, redirect: str) -> None:
    flow = Authorizing(planday, "oslo", redirect)
    by_requests(flow.url.replace("+offline_access", ""), "oslo", "approve")
    code, text = flow.end()
    assert (code, "sent no refresh token" in text) == (1, True)


def test_nobody_answers(planday: Installation, redirect: str) -> None:
    done = planday_command(planday, "authorize", "oslo", "--no-browser", "--redirect-url", redirect, "--timeout", "0.2")
    assert (done.returncode, "no answer within" in done.stderr) == (1, True)


def test_port_is_taken_and_address_elsewhere_is_refused(planday: Installation, redirect: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", urlsplit(redirect).port or 0))
        taken.listen()
        done = planday_command(planday, "authorize", "oslo", "--no-browser", "--redirect-url", redirect)
    assert (done.returncode, "cannot be used" in done.stderr) == (1, True)
    done = planday_command(planday, "authorize", "oslo", "--redirect-url", "https://example.com/callback")
    assert (done.returncode, "has to be an address of this machine" in done.stderr) == (2, True)
    assert planday_command(planday, "authorize", "olso").returncode == 2


def test_env_tokens_are_written_and_revoked_in_file(planday: Installation, redirect: str) -> None:
    planday.edit_config("{file: tokens/oslo.txt}", "{env: OSLO_TOKEN}")
    env_file = planday.folder / ".env"
    env_file.write_text("OTHER='kept # as it is'\nOSLO_TOKEN=old\n")
    flow = Authorizing(planday, "oslo", redirect)
    by_requests(flow.url, "oslo", "approve")
    code, text = flow.end()
    assert code == 0, text
    token = held(planday)
    assert token in env_file.read_text()
    assert "OTHER='kept # as it is'" in env_file.read_text()
    assert stat.S_IMODE(env_file.stat().st_mode) == 0o600
    assert planday_command(planday, "sync", "oslo", "--resources", "hr.departments").returncode == 0
    rows = planday.query("SELECT count(*) FROM hr.departments")
    revoked = planday_command(planday, "revoke", "oslo")
    assert revoked.returncode == 0, revoked.stderr
    assert "oslo" not in {portal for app in planday.sandbox.apps.values() for portal in app.refresh_tokens}
    assert token not in env_file.read_text() + revoked.stdout
    assert "OTHER=" in env_file.read_text()
    assert planday_command(planday, "sync", "oslo", "--resources", "hr.departments").returncode == 1
    assert planday.query("SELECT count(*) FROM hr.departments") == rows


def test_an_authorized_token_counts_over_a_stale_environment(
    planday: Installation, redirect: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    planday.edit_config("{file: tokens/oslo.txt}", "{env: OSLO_TOKEN}")
    # As a Windows editor saves it; Dagster reads UTF-8.
    (planday.folder / ".env").write_text("# K\xf8benhavn\nOSLO_TOKEN=old\n", encoding="utf-16")
    monkeypatch.setenv("OSLO_TOKEN", "old")
    flow = Authorizing(planday, "oslo", redirect, OSLO_TOKEN="old")
    by_requests(flow.url, "oslo", "approve")
    code, text = flow.end()
    assert code == 0, text
    assert "# K\xf8benhavn" in (planday.folder / ".env").read_text(encoding="utf-8")
    checked = planday_command(planday, "check", "oslo")
    assert checked.returncode == 0, checked.stdout


def test_a_server_that_does_not_revoke(planday: Installation) -> None:
    planday.serve(Route("/connect/revocation", lambda _: Response(status_code=200), methods=["POST"]))
    before = token_file(planday).read_text()
    done = planday_command(planday, "revoke", "oslo")
    assert (done.returncode, "still works" in done.stderr) == (1, True)
    assert token_file(planday).read_text() == before


def test_token_that_server_merely_refuses_is_kept(planday: Installation) -> None:
    client_id = next(app.client_id for app in planday.sandbox.apps.values() if "oslo" in app.refresh_tokens)
    planday.edit_config(client_id, "no-such-app")
    before = token_file(planday).read_text()
    done = planday_command(planday, "revoke", "oslo")
    assert (done.returncode, "nothing was removed" in done.stderr) == (1, True)
    assert token_file(planday).read_text() == before


@pytest.mark.parametrize(("times", "code", "says"), [(1, 0, "Planday portal 4711"), (None, 1, "new access token")])
def test_old_token_does_not_answer_for_new_one(
    planday: Installation, redirect: str, times: int | None, code: int, says: str
) -> None:
    before = token_file(planday).read_text()
    flow = Authorizing(planday, "oslo", redirect)
    planday.sandbox.faults.append(Fault("/portal/v1.0/info", lambda *_: Response(status_code=401), times=times))
    by_requests(flow.url, "oslo", "approve")
    ended, text = flow.end()
    assert (ended, says in text) == (code, True), text
    assert (token_file(planday).read_text() == before) is (code == 1)


def test_code_is_kept_while_portal_is_unknown(planday: Installation, redirect: str) -> None:
    planday.edit_config("step_delay_seconds: 10", "requests: 2")
    flow = Authorizing(planday, "oslo", redirect)
    planday.sandbox.faults.append(Fault("/portal/v1.0/info", lambda *_: Response(status_code=503), times=None))
    page = by_requests(flow.url, "oslo", "approve")
    code, text = flow.end()
    assert (code, "could not say" in text, "planday check oslo" in text) == (0, True, True), text
    assert "could not say" in page
    assert token_file(planday).read_text().strip() == held(planday)


def test_new_authorization_removes_rotated_token(planday: Installation, redirect: str) -> None:
    planday.sandbox.rotates = True
    planday.refresh("hr.departments")
    (kept,) = planday.state_files_with("rotated-")
    planday.sandbox.rotates = False
    flow = Authorizing(planday, "oslo", redirect)
    by_requests(flow.url, "oslo", "approve")
    assert flow.end()[0] == 0
    assert not kept.exists()


def test_unwritable_place_is_reported_before_consent(planday: Installation, redirect: str) -> None:
    planday.edit_config("tokens/oslo.txt", "portals.yaml/oslo.txt")
    done = planday_command(planday, "authorize", "oslo", "--no-browser", "--redirect-url", redirect)
    assert (done.returncode, "cannot write the refresh token to" in done.stderr) == (1, True)
    assert "opens this address" not in done.stdout


def test_revoke_follows_a_link_to_the_token(planday: Installation) -> None:
    link, real = token_file(planday), planday.folder / "elsewhere.txt"
    link.rename(real)
    link.symlink_to(real)
    done = planday_command(planday, "revoke", "oslo", "--yes")
    assert done.returncode == 0, done.stderr
    assert (real.exists(), str(real) in done.stdout) == (False, True)
