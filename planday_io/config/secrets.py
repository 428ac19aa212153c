"""Reading secrets, at the moment they are used: one that is missing fails one portal, not the whole location.

`{env: NAME}` reads `.env` beside the configuration file first, then the environment; `{file: PATH}` reads a file whose path
is relative to the configuration file.

Usually the environment goes first. But a process's environment is what it was when the process started, and `dagster dev`,
systemd's `EnvironmentFile` and `docker --env-file` copy `.env` into it then, for all runs they start. A token corrected in
`.env` would stay wrong until somebody restarts them. No reading can tell such a copy from a value that somebody set on
purpose, so the place that can be corrected while services run goes first. Where there is no `.env`, or no line of that name
in it, as in most containers, the environment counts as ever.

`dagster dev` copies the `.env` of the folder it is started in, which may be another one. That file counts too, before the
copy, where the environment has the name; otherwise a file of the current folder is nobody's business.

`${NAME}` in a value stands for another variable, as it does for Dagster and docker compose.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator, Mapping
from io import StringIO
from itertools import zip_longest
from pathlib import Path

from dotenv.parser import Binding, parse_stream
from dotenv.variables import Literal, Variable, parse_variables

from planday_io.config.model import Config, SecretRef
from planday_io.errors import ConfigError, SecretError
from planday_io.texts import TextError, decode, encoding_of, token, trimmed, visible

_LARGEST_BYTES = 64 * 1024
"""Of a file that holds one secret, and of `.env`."""


def read_secret(ref: SecretRef, *, home: Path, what: str, check: Callable[[str], str] = token) -> str:
    """The value of a secret, without what nobody sees at its ends.

    Args:
        ref: its place.
        home: the folder of the configuration file.
        what: how errors call it, for instance "the refresh token of portal 'oslo'".
        check: raises TextError where a character cannot be right; `token` for what goes into headers and addresses,
            `texts.visible` for what may have spaces and letters of all scripts.

    Raises:
        SecretError: it is not there, empty, unreadable, or has characters that belong to no secret.
    """
    place, hint = f"the environment variable {ref.env}", ""
    try:
        if ref.env is not None:
            file = home / ".env"
            place = str(file)
            value, place = _from_env(ref.env, file)
            hint = f"set the environment variable {ref.env}, or write {ref.env}=... into {file}"
        else:
            path = _path_of(ref, home)
            place, hint = str(path), f"write it into {path}"
            value = decode(_bytes_of(path))
        value = trimmed(value)
        if check is token:
            value = _unquoted(value)
        value = check(value)
    except TextError as error:
        raise SecretError(f"{what} cannot be used from {place}: {error}") from None
    except OSError as error:
        raise SecretError(
            f"{what} cannot be read from {error.filename or place} ({error.__class__.__name__}): put it there, in a file of "
            "its own that only you may read"
        ) from None
    if not value:
        raise SecretError(f"{what} is missing: {hint}")
    return value


def read_client_id(client_id: SecretRef | str, *, home: Path, portal: str) -> str:
    """The app's client id, which may stand in the file itself because it is no secret."""
    if isinstance(client_id, str):
        return client_id
    return read_secret(client_id, home=home, what=f"the client id of portal '{portal}'")


def shadowed(config: Config) -> list[str]:
    """Names that both the environment and a `.env` set, to different values: that of the file counts."""
    return [*_shadows(config)]


def _shadows(config: Config) -> dict[str, Path]:
    """`shadowed`, with the file of each."""
    found: dict[str, Path] = {}
    for ref in dict.fromkeys(_references(config)):
        set_to = trimmed(os.environ.get(ref.env or "", ""))
        if not ref.env or not set_to:
            continue
        for file in _files(config.home / ".env"):
            try:
                value = trimmed(_in_dotenv(ref.env, file) or "")
            except (TextError, OSError):
                break  # reading the secret says what is wrong with it
            if value:
                found |= {ref.env: file} if _unquoted(value) != _unquoted(set_to) else {}
                break
    return found


def remarks(config: Config) -> list[str]:
    """What somebody who edits `.env` or the environment should know; nothing of it is wrong."""
    file = config.home / ".env"
    found = [
        f"{name} is in the environment and, with another value, in {place}: that of the file counts. To use the "
        "environment's, remove the line"
        for name, place in _shadows(config).items()
    ]
    if encoding := unreadable_for_dagster(config):
        kind = "not UTF-8" if encoding == "unknown" else encoding
        found.append(f"{file} is {kind}, which `dagster dev` and the daemon do not read: save it as UTF-8")
    return found


def env_names(file: Path) -> set[str]:
    """The names that a `.env` sets. Raises OSError."""
    try:
        text = decode(_bytes_of(file), strict=False)
    except TextError:
        return set()
    return {trimmed(binding.key) for binding in parse_stream(StringIO(text)) if binding.key}


def take_network_variables(home: Path) -> None:
    """Put proxies and certificates that `.env` names into the environment, where that does not set them, as Dagster does.

    Raises:
        ConfigError: a value has characters that nobody sees.
    """
    file = home / ".env"
    try:
        text = decode(_bytes_of(file), strict=False)
    except (TextError, OSError):
        return  # reading the first secret says what is wrong with it
    found = {trimmed(one.key): trimmed(one.value or "") for one in parse_stream(StringIO(text)) if one.key}
    for name, value in found.items():
        if not name.lower().endswith("_proxy") and name not in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
            continue
        try:
            os.environ.setdefault(visible(name), visible(value))
        except TextError as error:
            raise ConfigError(f"{name} in {file} cannot be used: {error}") from None


def unreadable_for_dagster(config: Config) -> str:
    """The encoding of `.env`, where it is not the UTF-8 that `dagster dev` reads it as; empty where all is well."""
    try:
        encoding = encoding_of((config.home / ".env").read_bytes())
    except OSError:
        return ""
    return "" if encoding in ("UTF-8", "UTF-8-SIG") else encoding


def _references(config: Config) -> Iterator[SecretRef]:
    for portal in config.portals.values():
        yield portal.refresh_token
        if isinstance(portal.client_id, SecretRef):
            yield portal.client_id
    webhook, mail = config.alerts.webhook, config.alerts.mail
    for ref in (config.privacy.hash_key, webhook and webhook.url, mail and mail.password):
        if ref:
            yield ref


def _path_of(ref: SecretRef, home: Path) -> Path:
    return home / Path(str(ref.file)).expanduser()


def _from_env(name: str, file: Path) -> tuple[str, str]:
    """The value of a variable and its place: a `.env`, else the environment."""
    held = os.environ.get(name, "")
    for place in _files(file) if trimmed(held) else (file,):
        try:
            value = _in_dotenv(name, place)
        except PermissionError:
            # systemd may read a file for a service whose account may not.
            if not trimmed(held):
                raise
            continue
        except TextError:
            if place == file:
                raise
            continue  # so it is no copy of that
        if value is not None and trimmed(value):
            return value, f"{name} in {place}"
    return held, f"the environment variable {name}"


def _files(file: Path) -> tuple[Path, ...]:
    """Files that a variable of the environment may be a copy from, first the one that counts most."""
    try:
        other = Path.cwd() / ".env"
        if other.resolve() == file.resolve():
            return (file,)
        # Dagster itself could not have read another encoding.
        _bytes_of(other).decode()
    except (OSError, ValueError, RuntimeError):
        return (file,)
    return (file, other)


def _in_dotenv(name: str, file: Path) -> str | None:
    """The last value of a variable in a `.env`; None where there is none. Raises TextError and OSError."""
    try:
        text = decode(_bytes_of(file), strict=False)
    except FileNotFoundError:
        return None
    bindings = [*parse_stream(StringIO(text))]
    values: dict[str, str | None] = {}
    for binding, following in zip_longest(bindings, bindings[1:]):
        line = binding.original.line
        if binding.error and name in binding.original.string:
            raise TextError(f"line {line} is not NAME=value, or a quotation mark in it is not closed")
        if binding.key is None:
            continue
        key = trimmed(binding.key)
        if key == name and following is not None and binding.value and _is_rest(following):
            raise TextError(f"line {following.original.line} has no `=`: write the value of line {line} in one line")
        values[key] = binding.value
    value = values.get(name)
    return None if value is None else _filled(value, values, (name,))


def _filled(value: str, values: Mapping[str, str | None], names: tuple[str, ...]) -> str:
    """A value with what `${NAME}` in it stands for: another line of the file, else the environment.

    Args:
        value: as written.
        values: of the file.
        names: whose values are being filled; such a name can only be one of the environment.

    Raises:
        TextError: there is no such variable.
    """
    parts = []
    for part in parse_variables(value):
        if isinstance(part, Literal):
            parts.append(part.value)
        elif isinstance(part, Variable):
            other = values.get(part.name) if part.name not in names else None
            found = _filled(other, values, (*names, part.name)) if other else os.environ.get(part.name)
            if not found and part.default is None:
                raise TextError(
                    "it refers with ${...} to a variable that is set nowhere: set that, or write the value itself. A value "
                    "that holds these signs goes into a file of its own, which portals.yaml names with `file:`"
                )
            parts.append(found or part.default or "")
    return "".join(parts)


def _is_rest(binding: Binding) -> bool:
    """Whether a line can only be the second half of a value that an editor or a mail program wrapped."""
    line = binding.original.string.strip()
    return bool(trimmed(binding.key or "")) and binding.value is None and not line.startswith("export ")


def _unquoted(value: str) -> str:
    """A token without quotation marks around it, which `docker --env-file` leaves there."""
    is_quoted = len(value) > 1 and value[0] == value[-1] and value[0] in "\"'"
    return value[1:-1] if is_quoted else value


def _bytes_of(path: Path) -> bytes:
    """A small file. A pipe would block, a folder or a dump is no secret. Raises TextError and OSError."""
    if not stat.S_ISREG(path.stat().st_mode):
        raise TextError("it is not a file")
    with path.open("rb") as file:
        data = file.read(_LARGEST_BYTES + 1)
    if len(data) > _LARGEST_BYTES:
        raise TextError(f"it has more than {_LARGEST_BYTES // 1024} KiB, which is no secret")
    return data
