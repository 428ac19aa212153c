"""Mistakes in portals.yaml are told with file, line, key, what was found and what was expected."""

from __future__ import annotations

from pathlib import Path

import pytest

from planday_io.catalogue import CATALOGUE
from planday_io.config import Config, load_config
from planday_io.config.model import SecretRef
from planday_io.config.secrets import read_secret
from planday_io.errors import ConfigError, SecretError

GOOD = """\
portals:
  no: {client_id: abc, refresh_token: {env: TOKEN_NO}}
"""


def load(folder: Path, text: str) -> Config:
    path = folder / "portals.yaml"
    path.write_text(text)
    return load_config(path, CATALOGUE)


def test_defaults_are_the_contracts(tmp_path: Path) -> None:
    config = load(tmp_path, GOOD)
    portal = config.portals["no"]
    assert config.planday.api_url == "https://openapi.planday.com"
    assert (portal.timezone, portal.window.past_months, portal.retries.requests) == ("Europe/Copenhagen", 2, 5)
    assert portal.schedules["nightly"].cron == "0 2 * * *"
    assert config.privacy.policy("contact") == "drop"
    assert config.lake == tmp_path / "lake"


def test_mappings_merge_deeply_and_lists_replace(tmp_path: Path) -> None:
    config = load(
        tmp_path,
        """\
defaults:
  schedules: {nightly: {cron: "5 1 * * *"}}
  retries: {requests: 3}
  resources: {include: [hr, portal]}
portals:
  a:
    client_id: abc
    refresh_token: {env: A}
    schedules: {nightly: {resources: [hr.employees]}}
    retries: {step: 0}
    resources: {include: [hr]}
""",
    )
    portal = config.portals["a"]
    assert portal.schedules["nightly"].cron == "5 1 * * *"
    assert portal.schedules["nightly"].resources == ("hr.employees",)
    assert (portal.retries.requests, portal.retries.step) == (3, 0)
    assert portal.resources.include == ("hr",)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("privcy: {}\n" + GOOD, "portals.yaml, line 1: privcy: found a key that is not known; expected a known key; did "
         "you mean 'privacy'?"),
        ("privacy:\n  contact: maybe\n" + GOOD, "line 2: privacy.contact: found 'maybe'; expected 'keep', 'drop', 'hash' or "
         "'off'"),
        ("privacy: {contact: hash}\n" + GOOD, "hash_key: {env: NAME} beside `contact: hash`"),
        ("planday: {api_url: 'http://example.com'}\n" + GOOD, "line 1: planday.api_url: found 'http://example.com'; expected "
         "https://"),
        ("defaults: {timezone: Europe/Kopenhagen}\n" + GOOD, "did you mean 'Europe/Copenhagen'?"),
        ("defaults:\n  schedules:\n    nightly: {cron: '0 25 * * *'}\n" + GOOD, "line 3: defaults.schedules.nightly.cron: "
         "found '0 25 * * *'; expected a cron expression of five fields"),
        ("defaults: {resources: {include: [hr.employes]}}\n" + GOOD, "did you mean 'hr.employees'?"),
        ("defaults: {window: {past_months: '3'}}\n" + GOOD, "found '3'; expected a whole number"),
        ("portals:\n  a: {client_id: x}\n", "line 2: portals.a.refresh_token: found nothing; expected a value"),
        ("portals:\n  Oslo: {client_id: x, refresh_token: {env: A}}\n", "lower-case letters, digits and _"),
        ("portals:\n  a: {client_id: x, refresh_token: {env: A, file: B}}\n", "either {env: NAME} or {file: PATH}"),
        ("portals: {}\n", "at least one entry"),
        ("portals:\n", "line 1: portals: found nothing; expected a mapping"),
        ("a: 1\na: 2\n", "line 2: found found duplicate key"),
        ("- a\n", "found a list; expected `portals:`"),
        ("history_start: 2025-13\n" + GOOD, "found '2025-13'; expected a month such as 2025-01"),
    ],
)  # fmt: skip
def test_mistakes(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, text)
    assert says in str(caught.value)


def test_a_secret_in_the_file_is_refused_and_not_repeated(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, "portals:\n  a: {client_id: x, refresh_token: s3cret}\n")
    assert "never the secret itself" in str(caught.value)
    assert "s3cret" not in str(caught.value)


def test_secrets_come_from_environment_dotenv_and_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".env").write_text("FROM_DOTENV=two\nBOTH=dotenv\n")
    (tmp_path / "token.txt").write_text("three\n")
    monkeypatch.setenv("FROM_ENV", "one")
    monkeypatch.setenv("BOTH", "environment")

    def read(**where: str) -> str:
        return read_secret(SecretRef(**where), home=tmp_path, what="the token")

    assert [read(env="FROM_ENV"), read(env="FROM_DOTENV"), read(env="BOTH")] == ["one", "two", "environment"]
    assert read(file="token.txt") == "three"
    with pytest.raises(SecretError, match="set the environment variable NOWHERE"):
        read(env="NOWHERE")
    with pytest.raises(SecretError, match="cannot be read"):
        read(file="missing.txt")


def test_the_example_is_valid() -> None:
    config = load_config(Path(__file__).parents[1] / "portals.example.yaml", CATALOGUE)
    assert config.portals
