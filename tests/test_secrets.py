"""Secrets as editors, shells and service managers leave them: the right value, or a message without it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from planday_io.catalogue import CATALOGUE
from planday_io.config import Config, load_config
from planday_io.config.model import SecretRef
from planday_io.config.secrets import read_client_id, read_secret, remarks, shadowed
from planday_io.errors import ConfigError, SecretError
from planday_io.texts import visible
from tests.support.commands import PLANDAY, environment
from tests.support.installation import Installation

TOKEN = "Abc-123_x.Y~z/+=="
ENCODINGS = ["utf-8", "utf-8-sig", "utf-16", "utf-32"]
UNSEEN = [
    "\u200b",
    "\ufeff",
    "\u00ad",
    "\u00a0",
    "\u2060",
    "\u200d",
    "\u200e",
    "\t",
    " ",
    "\r\n",
    "\u2028",
    "\0",
    "\x1b",
]


def read(folder: Path, check: object = None, **where: str) -> str:
    how = {} if check is None else {"check": check}
    return read_secret(SecretRef(**where), home=folder, what="the token", **how)  # type: ignore[arg-type]


def refusal(folder: Path, **where: str) -> str:
    with pytest.raises(SecretError) as caught:
        read(folder, **where)
    return str(caught.value)


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_files_of_any_editor_give_the_token(tmp_path: Path, encoding: str, newline: str) -> None:
    lines = [
        "# K\xf8benhavn",
        "OTHER=1",
        f'export QUOTED="{TOKEN}"  # ours',
        f"\u200bPLAIN={TOKEN}\u200b \u00a0",
        "LAST='x'",
        "",
    ]
    (tmp_path / ".env").write_bytes(newline.join(lines).encode(encoding))
    (tmp_path / "token").write_bytes(f"\u200b{TOKEN}\u00a0{newline}{newline}".encode(encoding))
    assert read(tmp_path, env="QUOTED") == read(tmp_path, env="PLAIN") == read(tmp_path, file="token") == TOKEN
    assert any("do not read" in one for one in remarks(configured(tmp_path))) == (encoding in ("utf-16", "utf-32"))


def configured(folder: Path, client_id: str = "x") -> Config:
    path = folder / "portals.yaml"
    path.write_text(
        f'portals:\n  oslo: {{client_id: "{client_id}", refresh_token: {{env: PLAIN}}}}\n', encoding="utf-8"
    )
    return load_config(path, CATALOGUE)


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(char=st.characters(), place=st.integers(0, len(TOKEN)), encoding=st.sampled_from(ENCODINGS))
@example(char="\u200b", place=3, encoding="utf-8")
@example(char="\n", place=3, encoding="utf-8")
@example(char="\u201c", place=0, encoding="utf-16")
def test_any_character_is_kept_dropped_or_named(tmp_path: Path, char: str, place: int, encoding: str) -> None:
    """A token goes into headers and forms: what comes out of a file is printable ASCII, or the message names what is not."""
    if "\ud800" <= char <= "\udfff":
        return
    text = TOKEN[:place] + char + TOKEN[place:]
    (tmp_path / "token").write_bytes(text.encode(encoding))
    try:
        found = read(tmp_path, file="token")
    except SecretError as error:
        assert f"U+{ord(char):04X}" in str(error) or (char == "\0" and "NUL" in str(error))
        assert TOKEN not in str(error)
        assert not (TOKEN[:place] and TOKEN[place:] and TOKEN[place:] in str(error))
        return
    assert found in (text, TOKEN)
    assert found.isascii()
    assert found.isprintable()
    assert " " not in found


@pytest.mark.parametrize("unseen", UNSEEN)
def test_unseen_characters_inside_are_named(tmp_path: Path, unseen: str) -> None:
    (tmp_path / "token").write_text(f"abc{unseen}def", encoding="utf-8", newline="")
    said = refusal(tmp_path, file="token")
    assert "U+" in said or "NUL" in said
    assert "abc" not in said
    assert "def" not in said.replace("undef", "")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is missing: write it into"),
        (b"\xef\xbb\xbf \r\n", "is missing: write it into"),
        ("t\xf8ken".encode("latin-1"), "line 1 has the byte 0xF8, which is not UTF-8 there: save it as UTF-8"),
        (TOKEN.encode("utf-16-le"), "UTF-16 without a byte order mark"),
        (b"x" * 10_000_000, "more than 64 KiB"),
        ("\u201cabc\u201d".encode(), "character 1 is U+201C (left double quotation mark)"),
        (b"abc\ndef", "character 4 is U+000A (line feed)"),
        (b"abc def", "character 4 is U+0020 (space)"),
    ],
)  # fmt: skip
def test_what_is_no_token_says_why(tmp_path: Path, content: bytes, says: str) -> None:
    (tmp_path / "token").write_bytes(content)
    assert says in refusal(tmp_path, file="token")


def test_places_that_are_no_files_say_so(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    assert "it is not a file" in refusal(tmp_path, file="folder")
    assert "it is not a file" in refusal(tmp_path, file="pipe")
    assert "cannot be read from" in refusal(tmp_path, file="missing")
    (tmp_path / ".env").mkdir()
    assert "it is not a file" in refusal(tmp_path, env="ANY")


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        ("TOKEN=abc\ndef\nOTHER=1", "line 2 has no `=`: write the value of line 1 in one line"),
        ('TOKEN="abc\ndef"', "character 4 is U+000A (line feed)"),
        ('A=1\nTOKEN="abc', "line 2 is not NAME=value, or a quotation mark in it is not closed"),
        ("TOKEN=t\xf8ken", "character 2 is the byte 0xF8, which is not UTF-8"),
        ("TOKEN=", "set the environment variable TOKEN, or write TOKEN=... into"),
        ("TOKEN", "set the environment variable TOKEN, or write TOKEN=... into"),
        ("A=1", "set the environment variable TOKEN, or write TOKEN=... into"),
    ],
)  # fmt: skip
def test_env_lines_that_are_wrong_say_where(
    tmp_path: Path, lines: str, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TOKEN", raising=False)
    (tmp_path / ".env").write_bytes(lines.encode("latin-1"))
    assert says in refusal(tmp_path, env="TOKEN")


@pytest.mark.parametrize("data", [b"", b"\xef\xbb\xbf", b"\xff\xfe", b"\xff\xfe\0\0", b"\n", b"\x1a", b"# only\n"])
def test_an_env_file_without_lines_leaves_the_environment(
    tmp_path: Path, data: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLAIN", TOKEN)
    (tmp_path / ".env").write_bytes(data)
    assert read(tmp_path, env="PLAIN") == TOKEN
    assert shadowed(configured(tmp_path)) == {}
    assert "TOKEN is missing" not in refusal(tmp_path, env="ELSE")
    assert f"write ELSE=... into {tmp_path / '.env'}" in refusal(tmp_path, env="ELSE")


@pytest.mark.parametrize(
    "data",
    [
        f"PLAIN={TOKEN}\r\n\x1a".encode(),
        f"PLAIN={TOKEN}\r\n\x1a\x1a\r\n".encode(),
        f"A=1\n\ufeffPLAIN={TOKEN}\n\u200b\n".encode(),
        b"\xff\xfe" + f"PLAIN={TOKEN}\r\n".encode("utf-16"),
        f"A='\u8868'\nPLAIN={TOKEN}\n".encode("shift-jis"),
    ],
)
def test_marks_of_old_editors_are_no_lines(tmp_path: Path, data: bytes) -> None:
    (tmp_path / ".env").write_bytes(data)
    assert read(tmp_path, env="PLAIN") == TOKEN


def test_env_file_that_is_no_text_is_named(tmp_path: Path) -> None:
    for data in (f"PLAIN={TOKEN}\n".encode("utf-16-be"), b"\xef\xbb\xbf" + f"PLAIN={TOKEN}".encode("utf-16")):
        (tmp_path / ".env").write_bytes(data)
        assert f"cannot be used from {tmp_path / '.env'}: it has NUL bytes" in refusal(tmp_path, env="PLAIN")


def test_a_comment_in_latin_1_spoils_nothing(tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(f"# K\xf8benhavn\nPLAIN={TOKEN}\n".encode("latin-1"))
    assert read(tmp_path, env="PLAIN") == TOKEN
    assert ".env is not UTF-8, which `dagster dev` and the daemon do not read" in remarks(configured(tmp_path))[-1]


def test_quotes_left_by_docker_are_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUOTED", f'"{TOKEN}"')
    assert read(tmp_path, env="QUOTED") == TOKEN


def test_passwords_keep_spaces_and_any_script(tmp_path: Path) -> None:
    (tmp_path / "password").write_text('\ufeff"S\xf8ren og Bj\xf8rn"\n', encoding="utf-8")
    assert read(tmp_path, check=visible, file="password") == '"S\xf8ren og Bj\xf8rn"'


def test_the_file_counts_where_the_environment_is_stale(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"PLAIN": "old", "EMPTY": "set", "ABSENT": "set", "SAME": "same"}.items():
        monkeypatch.setenv(name, value)
    (tmp_path / ".env").write_text("PLAIN=new\nEMPTY=\nSAME='same'\n")
    assert [read(tmp_path, env=name) for name in ("PLAIN", "EMPTY", "ABSENT")] == ["new", "set", "set"]
    assert [*shadowed(configured(tmp_path))] == ["PLAIN"]
    (tmp_path / ".env").write_text("PLAIN=newer\n")
    assert read(tmp_path, env="PLAIN") == "newer"
    (tmp_path / ".env").unlink()
    assert read(tmp_path, env="PLAIN") == "old"


def test_app_id_in_file_is_cleaned_or_refused(tmp_path: Path) -> None:
    portal = configured(tmp_path, "\u200babc-123\u00a0").portals["oslo"]
    assert read_client_id(portal.client_id, home=tmp_path, portal="oslo") == "abc-123"
    with pytest.raises(ConfigError) as caught:
        configured(tmp_path, "abc\u200b123")
    assert str(caught.value) == (
        "portals.yaml, line 2: portals.oslo.client_id: found a text; expected an App ID; character 4 is U+200B (zero width "
        "space), which belongs to no token or App ID"
    )


@pytest.mark.processes
def test_a_token_fixed_in_env_counts_at_once(planday: Installation) -> None:
    """What `dagster dev` does: it copies `.env` into its environment, and every run inherits that."""
    good = (planday.folder / "tokens/oslo.txt").read_text()
    planday.edit_config("{file: tokens/oslo.txt}", "{env: OSLO_TOKEN}")
    env_file = planday.folder / ".env"
    env_file.write_text("OSLO_TOKEN=mistyped\n")
    started = {**environment(planday), "OSLO_TOKEN": "mistyped"}

    def check() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [PLANDAY, "check", "oslo"], env=started, cwd=planday.folder, capture_output=True, text=True, check=False
        )

    assert check().returncode == 1
    env_file.write_text(f"OSLO_TOKEN={good}\n", encoding="utf-16")
    fixed = check()
    assert fixed.returncode == 0, fixed.stdout
    assert "OSLO_TOKEN" in fixed.stderr
    assert "UTF-16" in fixed.stderr
    assert good not in fixed.stdout + fixed.stderr


@pytest.mark.parametrize(
    ("lines", "token"),
    [
        ("SHARED=abc\nTOKEN=${SHARED}", "abc"),
        ("TOKEN=${SHARED}-x\nSHARED=abc", "abc-x"),
        ("TOKEN='${SHARED}'", "stale"),
        ("TOKEN=${NOWHERE:-abc}", "abc"),
        ("A=${B}\nB=${SHARED}\nTOKEN=${A}", "stale"),
        ("TOKEN=${TOKEN}", "old"),
        ("TOKEN=$SHARED", "$SHARED"),
    ],
)  # fmt: skip
def test_a_reference_in_env_is_followed(
    tmp_path: Path, lines: str, token: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Dagster follows it when it starts, so what the file says now has to be followed as well."""
    monkeypatch.setenv("SHARED", "stale")
    monkeypatch.setenv("TOKEN", "old")
    (tmp_path / ".env").write_text(f"{lines}\n")
    assert read(tmp_path, env="TOKEN") == token


@pytest.mark.parametrize("line", ["TOKEN=${NOWHERE}", "TOKEN=abc${x}def", "NOWHERE=\nTOKEN=${NOWHERE}"])
def test_a_reference_to_nothing_says_so(tmp_path: Path, line: str) -> None:
    (tmp_path / ".env").write_text(f"{line}\n")
    said = refusal(tmp_path, env="TOKEN")
    assert f"{tmp_path / '.env'}: it refers with ${{...}} to a variable that is set nowhere" in said
    assert "abc" not in said


def test_the_folder_that_dagster_started_in_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`dagster dev` copies the `.env` of that folder, wherever portals.yaml is."""
    home, here = tmp_path / "home", tmp_path / "here"
    home.mkdir()
    here.mkdir()
    (here / ".env").write_text("PLAIN=mistyped\n")
    monkeypatch.chdir(here)
    monkeypatch.delenv("PLAIN", raising=False)
    assert "is missing" in refusal(home, env="PLAIN"), "nobody copied it"
    monkeypatch.setenv("PLAIN", "mistyped")
    assert read(home, env="PLAIN") == "mistyped"
    (here / ".env").write_text("PLAIN=fixed\n")
    assert read(home, env="PLAIN") == "fixed"
    assert [*shadowed(configured(home))] == ["PLAIN"]
    (here / ".env").write_bytes("# K\xf8benhavn\nPLAIN=other\n".encode("latin-1"))
    assert read(home, env="PLAIN") == "mistyped", "Dagster does not read it either"
    (home / ".env").write_text("PLAIN=home\n")
    (here / ".env").write_text("PLAIN=here\n")
    assert read(home, env="PLAIN") == "home"
