"""Mistakes in portals.yaml are told with file, line, key, what was found and what was expected."""

from __future__ import annotations

from pathlib import Path

import pytest
from ruamel.yaml import YAML

from planday_io.catalogue import CATALOGUE
from planday_io.config import Config, load_config
from planday_io.config.load import BUILT_IN_DEFAULTS
from planday_io.config.model import Guard, SecretRef
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


def test_built_in_schedules_read_every_domain() -> None:
    named = [name for one in BUILT_IN_DEFAULTS["schedules"].values() for name in one["resources"]]
    assert {*CATALOGUE.domains()} <= {*named}


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


def test_null_in_a_tables_guard_is_inherited(tmp_path: Path) -> None:
    guards = "guards: {min_ratio: 0.9, tables: {hr: {max_lost_rows: 3, min_ratio: }, hr.skills: {min_ratio: 0.5}}}"
    portal = load(tmp_path, f"defaults: {{{guards}}}\n" + GOOD).portals["no"]
    assert portal.guards.of("hr.employees") == Guard(min_ratio=0.9, max_lost_rows=3)
    assert portal.guards.of("hr.skills") == Guard(min_ratio=0.5, max_lost_rows=3)


@pytest.mark.parametrize(
    ("own", "lines"), [("", 1), (", window: {past_months: -1}", 2)], ids=["inherited", "written again"]
)
def test_mistakes_in_defaults_are_listed_where_written(tmp_path: Path, own: str, lines: int) -> None:
    portals = f"portals:\n  no: {{client_id: abc, refresh_token: {{env: TOKEN_NO}}{own}}}\n"
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, "defaults: {window: {past_months: -1}}\n" + portals)
    assert len(str(caught.value).splitlines()) == lines


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("privcy: {}\n" + GOOD, "portals.yaml, line 1: privcy: found an unknown key; expected a known key; did "
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


@pytest.mark.parametrize("key", ["..", ".oslo", "a/b", "portal=a", "2026-09", "æøå-1", "_oslo", "__"])
def test_keys_that_are_no_folder_names(tmp_path: Path, key: str) -> None:
    with pytest.raises(
        ConfigError, match=r"a name of lower-case letters, digits and _|begins with a letter or a digit"
    ):
        load(tmp_path, f"portals:\n  '{key}': {PORTAL}\n")


def test_keys_of_digits_stay_texts(tmp_path: Path) -> None:
    config = load(tmp_path, f"portals:\n  '0012': {PORTAL}\n  '202609': {PORTAL}\n")
    assert [*config.portals] == ["0012", "202609"]


def test_secret_in_file_is_refused_and_not_repeated(tmp_path: Path) -> None:
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

    assert [read(env="FROM_ENV"), read(env="FROM_DOTENV"), read(env="BOTH")] == ["one", "two", "dotenv"]
    assert read(file="token.txt") == "three"
    with pytest.raises(SecretError, match="set the environment variable NOWHERE"):
        read(env="NOWHERE")
    with pytest.raises(SecretError, match="cannot be read"):
        read(file="missing.txt")


def test_the_example_is_valid() -> None:
    config = load_config(Path(__file__).parents[1] / "portals.example.yaml", CATALOGUE)
    assert config.portals


PORTAL = "{client_id: x, refresh_token: {env: A}}"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("history_start: 2099-01\n" + GOOD, "line 1: history_start: found '2099-01'; expected a month from 2000-01 to the"),
        ("history_start: 0001-01\n" + GOOD, "expected a month from 2000-01"),
        ("history_start: 2025-13-01\n" + GOOD, "found a value that cannot be read (ValueError)"),
        ('history_start: "2025-01\\n"\n' + GOOD, "expected a month such as 2025-01"),
        ("defaults: {timezone: localtime}\n" + GOOD, "expected an IANA time zone"),
        ("defaults: {timezone: Factory}\n" + GOOD, "expected an IANA time zone"),
        ("defaults: {timezone: europe/oslo}\n" + GOOD, "did you mean 'Europe/Oslo'?"),
        (f"portals:\n  {'z' * 65}: {PORTAL}\n", "expected a name of at most 64 characters"),
        (f'portals:\n  "oslo\\n": {PORTAL}\n', "a name of lower-case letters, digits and _"),
        (f"portals:\n  oslo: {PORTAL[:-1]}, resources: {{include: []}}}}\n", "line 2: portals.oslo.resources: found no table;"
         " expected at least one table"),
        ("planday: {api_url: 'https://[fe80'}\n" + GOOD, "expected an address that begins with https://"),
        ("planday: {api_url: 'https://host:99999'}\n" + GOOD, "expected an address that begins with https://"),
        ("planday: {api_url: 'https://host name'}\n" + GOOD, "expected an address that begins with https://"),
        ("planday: {api_url: 'https://host/?a=1'}\n" + GOOD, "expected an address without ? and #"),
        ("lake: s3://bucket/lake\n" + GOOD, "line 1: lake: found 's3://bucket/lake'; expected a path on this machine"),
        ("lake: ~nobody_has_this_name/lake\n" + GOOD, "there is no home folder of that account"),
        ('lake: "a\\0b"\n' + GOOD, "a path without control characters"),
        ("lake: what?\n" + GOOD, "expected a path without ?, which DuckDB does not take"),
        ("warehouse: data[1].duckdb\n" + GOOD, "expected a path without [, which DuckDB does not take"),
        ("warehouse: portals.yaml\n" + GOOD, "expected a file of its own, because it is replaced"),
        ("warehouse: lake/warehouse.duckdb\n" + GOOD, "expected a file outside the lake"),
        ("warehouse: .\n" + GOOD, "there is a folder of that name"),
        ("lake: .planday/lake\n" + GOOD, "which is not for data"),
        ("portals:\n  a: {client_id: x, refresh_token: {env: TOKEN=abc}}\n", "without `=` and value"),
        ('portals:\n  a: {client_id: x, refresh_token: {env: "TO\u200bKEN"}}\n', "character 3 is U+200B (zero width space)"),
        ('alerts: {mail: {host: "smtp\u00ad.example.com", sender: a@b, to: [a@b]}}\n' + GOOD, "U+00AD (soft hyphen)"),
        ('alerts: {mail: {host: smtp, sender: "a\u200b@b", to: [a@b]}}\n' + GOOD, "U+200B (zero width space)"),
        ("retries: &a [*a]\n" + GOOD, "found an unknown key"),
        ('"": 1\n' + GOOD, "line 1: '': found an unknown key; expected a known key"),
        ("[" * 500, "found a value that cannot be read (RecursionError)"),
        ("lake: " + "9" * 5000 + "\n" + GOOD, "found a value that cannot be read (ValueError)"),
        ("lake: a\x07b\n" + GOOD, "line 1: found U+0007, which is invisible"),
    ],
)  # fmt: skip
def test_what_dagster_or_a_disk_refuses(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, text)
    assert says in str(caught.value)


@pytest.mark.parametrize("token", ["{s3cret}", "{s3cret: }", "12345678", "!vault s3cret", "[s3cret]", "2026-01-01"])
def test_no_spelling_repeats_a_secret(tmp_path: Path, token: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, f"portals:\n  a:\n    client_id: x\n    refresh_token: {token}\n")
    assert "line 4: portals.a.refresh_token: found" in str(caught.value)
    assert not any(part in str(caught.value) for part in ("s3cret", "12345678", "2026-01"))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_a_configuration_of_any_editor_is_read(tmp_path: Path, encoding: str, newline: str) -> None:
    path = tmp_path / "portals.yaml"
    path.write_bytes(("# København\n" + GOOD).replace("\n", newline).encode(encoding))
    assert list(load_config(path, CATALOGUE).portals) == ["no"]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (
            "a: 1\n# K\xf8benhavn\n".encode("latin-1"),
            "line 2 has the byte 0xF8, which is not UTF-8 there: save it as UTF-8",
        ),
        (GOOD.encode("utf-16-le"), "it has NUL bytes, so it is UTF-16 without a byte order mark"),
        (b"\xff\xfea", "it has the byte 0x61, which is not UTF-16-LE there"),
    ],
)
def test_an_unreadable_configuration_says_where(tmp_path: Path, content: bytes, says: str) -> None:
    path = tmp_path / "portals.yaml"
    path.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        load_config(path, CATALOGUE)
    assert says in str(caught.value)


SCALARS = ["no", "off", "~", "", "0o17", "017", "1_000", "12:30", "2025-01-01", "1e3", ".inf", "'it''s'", "ÆØÅ 😀"]


@pytest.mark.parametrize("written", SCALARS)
def test_both_parsers_read_the_same(written: str) -> None:
    """The quick one reads the values, the other one the lines of mistakes: they must not disagree on what was found."""
    quick, slow = YAML(typ="safe"), YAML(typ="rt")
    quick.version = slow.version = (1, 2)
    text = f"found: {written}\n"
    assert quick.load(text) == dict(slow.load(text))
