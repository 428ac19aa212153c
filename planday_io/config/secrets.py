"""Reading secrets, at the moment they are used: one that is missing fails one portal, not the whole location.

`{env: NAME}` reads the environment first, then `.env` beside the configuration file; `{file: PATH}` reads a file whose
path is relative to it.
"""

from __future__ import annotations

import os
from pathlib import Path

from dotenv import dotenv_values

from planday_io.config.model import SecretRef
from planday_io.errors import SecretError


def read_secret(ref: SecretRef, *, home: Path, what: str) -> str:
    """The value of a secret.

    Args:
        ref: its place.
        home: the folder of the configuration file.
        what: how errors call it, for instance "the refresh token of portal 'oslo'".

    Raises:
        SecretError: it is not there, empty or unreadable.
    """
    if ref.env is not None:
        value = os.environ.get(ref.env) or dotenv_values(home / ".env", interpolate=False).get(ref.env) or ""
        hint = f"set the environment variable {ref.env}, or write {ref.env}=... into {home / '.env'}"
    else:
        path = home / Path(str(ref.file)).expanduser()
        try:
            value = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise SecretError(
                f"{what} cannot be read from {path} ({error.__class__.__name__}): put it there, in a file of its own "
                "that only you may read"
            ) from None
        hint = f"write it into {path}"
    if not (value := value.strip()):
        raise SecretError(f"{what} is missing: {hint}")
    return value


def read_client_id(client_id: SecretRef | str, *, home: Path, portal: str) -> str:
    """The app's client id, which may stand in the file itself because it is no secret."""
    if isinstance(client_id, str):
        return client_id
    return read_secret(client_id, home=home, what=f"the client id of portal '{portal}'")
