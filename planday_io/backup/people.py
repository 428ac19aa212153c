"""Who was forgotten after a backup was made, from later lists of forgotten people.

A backup made before somebody was forgotten holds that person. Lists hold pseudonyms only, so copies of them may be kept where
a backup could not be.

Not here: forgetting them (`planday_io.privacy.erasure`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from planday_io.errors import BackupError, ConfigError
from planday_io.lake.forgotten import FORGOTTEN, Forgotten, read_lists
from planday_io.lake.layout import slices_in


@dataclass(frozen=True, slots=True)
class Later:
    """The lists of a backup and what later ones add, by the keys that portals had when it was made.

    Args:
        lists: all people.
        added: the pseudonyms of those who are on later lists only.
    """

    lists: dict[str, Forgotten]
    added: dict[str, frozenset[int]]


def read_later(folder: Path) -> dict[str, Forgotten]:
    """The lists that an operator kept in a folder. Raises ConfigError if there are none, and StorageError."""
    lists = read_lists(folder)
    if not lists:
        raise ConfigError(
            f"{folder} holds no lists of forgotten people: name a copy of `_forgotten` of the lake, with a file PORTAL.json "
            "for each portal of which people were forgotten"
        )
    return lists


def later_than(lake: Path, lists: Iterable[tuple[str, Forgotten]]) -> Later:
    """Compare lists with those of a lake. A portal that was renamed in between is recognised by its salt.

    Raises:
        BackupError: a list is of no portal of that lake.
        StorageError: the lake cannot be read.
    """
    # A list that was damaged when the backup was made stays damaged, unless there is a later one.
    found = Later(read_lists(lake / FORGOTTEN, skips_damaged=True), {})
    portals = {key.portal for key in slices_in(lake)} | {*found.lists}
    by_salt = {one.salt: portal for portal, one in found.lists.items()}
    for name, one in lists:
        portal = by_salt.get(one.salt, name)
        known = found.lists.get(portal, Forgotten(one.salt))
        if not (added := one.pseudonyms - known.pseudonyms):
            continue
        if portal not in portals:
            raise BackupError(
                f"people of portal '{name}' were forgotten, and the backup has no portal of that key. If it had another key "
                f"when the backup was made, give {name}.json that name. If it was added since, take {name}.json out, and "
                "copy it to `_forgotten` of the lake after the restore. Nothing was restored"
            )
        if known.salt != one.salt:
            raise BackupError(
                f"{name}.json has another salt than the list of portal '{portal}' in the backup, so it is of another "
                "installation, and its people cannot be recognised. Nothing was restored"
            )
        found.lists[portal] = Forgotten(one.salt, known.pseudonyms | added)
        found.added[portal] = found.added.get(portal, frozenset()) | added
    return found
