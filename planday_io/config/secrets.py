"""Reads secrets when they are used, so that a missing one fails one portal and not the whole code location.

`{env: NAME}` reads `.env` next to the configuration file first, then the environment. `{file: PATH}` reads a file; a relative
path starts at the configuration file.

The file comes first, because `dagster dev`, systemd's `EnvironmentFile` and `docker --env-file` copy `.env` into the
environment of all runs they start. A copy looks like a value that somebody set on purpose, and a token corrected in `.env`
would stay wrong until they are restarted. `dagster dev` copies the `.env` of the folder it is started in, perhaps another
one. That file takes precedence over the copy if the environment has the name; otherwise it is ignored.

`${NAME}` in a value is replaced by another variable, as in Dagster and docker compose.
"""

from __future__ import annotations

import functools
import os
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from io import StringIO
from itertools import zip_longest
from pathlib import Path

from dotenv.parser import Binding, parse_stream
from dotenv.variables import Literal, Variable, parse_variables

from planday_io.config.model import Config, SecretRef
from planday_io.errors import ConfigError, SecretError
from planday_io.texts import TextError, decode, encoding_of, token, trimmed, visible

_LARGEST_BYTES = 64 * 1024
"""Largest size of a file with a secret, and of `.env`."""


def read_secret(ref: SecretRef, *, home: Path, what: str, check: Callable[[str], str] = token) -> str:
    """The value of a secret, without invisible characters at its ends.

    Args:
        ref: its place.
        home: the folder of the configuration file.
        what: its name in errors, for instance "the refresh token of portal 'oslo'".
        check: raises TextError for a character that cannot be right; `token` for values in headers and addresses,
            `texts.visible` for values with spaces and letters of any script.

    Raises:
        SecretError: it is missing, empty, unreadable, or has characters that no secret has.
    """
    try:
        if ref.env is not None:
            file = home / ".env"
            place, hint = str(file), f"set the environment variable {ref.env}, or write {ref.env}=... into {file}"
            value, found_in = _from_env(ref.env, file)
            place = f"{ref.env} in {found_in}" if found_in else f"the environment variable {ref.env}"
        else:
            path = home / Path(str(ref.file)).expanduser()
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
    """The app's client id, which may be in the file itself because it is not a secret."""
    if isinstance(client_id, str):
        return client_id
    return read_secret(client_id, home=home, what=f"the client id of portal '{portal}'")


def shadowed(config: Config) -> dict[str, Path]:
    """Names that the environment and a `.env` set to different values, with the file: its value counts."""
    found: dict[str, Path] = {}
    for name in dict.fromkeys(ref.env for ref in _references(config) if ref.env):
        set_to = trimmed(os.environ.get(name, ""))
        # Reading the secret says what is wrong with a file.
        with suppress(TextError, OSError):
            value, file = _from_env(name, config.home / ".env")
            if set_to and file and _unquoted(trimmed(value)) != _unquoted(set_to):
                found[name] = file
    return found


def remarks(config: Config) -> list[str]:
    """Notices for somebody who edits `.env` or the environment; none of them is an error."""
    found = [
        f"{name} is in the environment and, with another value, in {place}: the value of the file is used. To use the "
        "environment's, remove the line"
        for name, place in shadowed(config).items()
    ]
    file = config.home / ".env"
    with suppress(OSError):
        encoding = encoding_of(file.read_bytes()).replace("unknown", "not UTF-8")
        if encoding not in ("UTF-8", "UTF-8-SIG"):
            found.append(f"{file} is {encoding}, which `dagster dev` and the daemon do not read: save it as UTF-8")
    return found


def env_names(file: Path) -> set[str]:
    """The names that a `.env` sets. Raises OSError."""
    with suppress(TextError):
        return {trimmed(line.key) for line in _lines(file) if line.key}
    return set()


def take_network_variables(home: Path) -> None:
    """Copy proxies and certificates from `.env` into the environment unless it sets them, as Dagster does.

    Raises:
        ConfigError: a value has invisible characters.
    """
    file = home / ".env"
    found: dict[str, str] = {}
    # Reading the first secret says what is wrong with the file.
    with suppress(TextError, OSError):
        found = {trimmed(line.key): trimmed(line.value or "") for line in _lines(file) if line.key}
    for name, value in found.items():
        if name.lower().endswith("_proxy") or name in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
            try:
                os.environ.setdefault(visible(name), visible(value))
            except TextError as error:
                raise ConfigError(f"{name} in {file} cannot be used: {error}") from None


def _references(config: Config) -> Iterator[SecretRef]:
    for portal in config.portals.values():
        yield portal.refresh_token
        if isinstance(portal.client_id, SecretRef):
            yield portal.client_id
    webhook, mail = config.alerts.webhook, config.alerts.mail
    for ref in (config.privacy.hash_key, webhook and webhook.url, mail and mail.password):
        if ref:
            yield ref


def _from_env(name: str, file: Path) -> tuple[str, Path | None]:
    """The value of a variable and the `.env` that it is from; None is the environment."""
    held = os.environ.get(name, "")
    for place in _files(file) if trimmed(held) else (file,):
        try:
            value = _in_dotenv(name, place)
        except PermissionError:
            # systemd may read a file that the service's own account cannot.
            if not trimmed(held):
                raise
            continue
        except TextError:
            if place == file:
                raise
            continue  # so the variable was not copied from this file
        if value is not None and trimmed(value):
            return value, place
    return held, None


def _files(file: Path) -> tuple[Path, ...]:
    """Files that a variable of the environment may be a copy from, in order of precedence."""
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
        bindings = _lines(file)
    except FileNotFoundError:
        return None
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


def _lines(file: Path) -> list[Binding]:
    """The lines of a `.env`. Raises TextError and OSError."""
    return _parsed(decode(_bytes_of(file), strict=False))


@functools.lru_cache(maxsize=2)
def _parsed(text: str) -> list[Binding]:
    """The lines of a text. Kept, because a command may read the secrets of hundreds of portals from one file."""
    return [*parse_stream(StringIO(text))]


def _filled(value: str, values: Mapping[str, str | None], names: tuple[str, ...]) -> str:
    """A value with each `${NAME}` replaced, by another value of the file or else the environment.

    A reference to one of `names`, which are being expanded, means the environment. Raises TextError for one that is not set.
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
    """Whether a line can only be the rest of a value that an editor or mail program wrapped."""
    line = binding.original.string.strip()
    return bool(trimmed(binding.key or "")) and binding.value is None and not line.startswith("export ")


def _unquoted(value: str) -> str:
    """A token without quotation marks around it, which `docker --env-file` leaves there."""
    is_quoted = len(value) > 1 and value[0] == value[-1] and value[0] in "\"'"
    return value[1:-1] if is_quoted else value


def _bytes_of(path: Path) -> bytes:
    """The content of a small regular file: a pipe would block, a dump is not a secret. Raises TextError and OSError."""
    if not stat.S_ISREG(path.stat().st_mode):
        raise TextError("it is not a file")
    with path.open("rb") as file:
        data = file.read(_LARGEST_BYTES + 1)
    if len(data) > _LARGEST_BYTES:
        raise TextError(f"it has more than {_LARGEST_BYTES // 1024} KiB, too much for a secret")
    return data
