"""Which Planday portal each key of the configuration belongs to, remembered from its first sync on.

A token of another portal under an old key would mix two companies' rows, whose ids overlap (design decision 20).
"""

from __future__ import annotations

import json
from pathlib import Path

from planday_io.errors import PortalIdentityError, StorageError
from planday_io.files import locked, storage_errors, write_text


class PortalIdentities:
    """The remembered portal ids.

    Args:
        lake: root of the lake; the record stays with the data it protects.
        state: folder of locks.
    """

    def __init__(self, lake: Path, state: Path) -> None:
        self._folder = lake / "_portals"
        self._locks = state / "locks"

    def known(self, portal: str) -> int | None:
        """The id remembered for a key, or None."""
        path = self._folder / f"{portal}.json"
        with storage_errors(path, "read the portal id in"):
            if not path.exists():
                return None
            text = path.read_text(encoding="utf-8")
        try:
            return int(json.loads(text)["portal_id"])
        except (ValueError, KeyError, TypeError):
            raise StorageError(f"{path} is damaged: it should hold the portal id of '{portal}'") from None

    def verify(self, portal: str, portal_id: int) -> None:
        """Check the id behind a token, and remember it the first time.

        Raises:
            PortalIdentityError: it is another one than before.
        """
        with locked(self._locks / f"identity.{portal}.lock"):
            known = self.known(portal)
            if known is None:
                path = self._folder / f"{portal}.json"
                with storage_errors(path, "remember the portal id in"):
                    write_text(path, json.dumps({"portal_id": portal_id}))
            elif known != portal_id:
                raise PortalIdentityError(
                    f"the token of portal '{portal}' belongs to Planday portal {portal_id}, and until now '{portal}' "
                    f"was portal {known}. Nothing was written. Put the right token where portals.yaml reads it, or give "
                    "the other portal a key of its own"
                )
