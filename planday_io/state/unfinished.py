"""The journal of commands that consist of several steps, so that one that was cut half-way is finished by somebody.

A command is noted before its first step and removed after its last one. A kill, a full disk or any other error leaves the
note: `planday status` then shows the command, alerts report it, and running the same command again finishes it. While the
command runs it holds a lock, so a note whose lock is free belongs to a command that was cut.

A note holds the command as it has to be typed, with the id of an employee where that is what the command is about. It never
leaves the machine: alerts name the portal only. Locks and notes have random names and are removed together.

Not here: the steps. They have to be written so that running them twice does no harm.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock, Timeout

from planday_io.errors import DamagedFileError
from planday_io.files import locked, storage_errors, write_text
from planday_io.state.records import encoded, read_record

REBUILD = "planday publish --rebuild"
_NOTE = re.compile(r"[0-9a-f]{16}\.json")
_WHAT = "a command that was begun"


@dataclass(frozen=True, slots=True, kw_only=True)
class UnfinishedCommand:
    """A command that was begun and has not ended.

    Args:
        command: as it has to be typed to finish it.
        portals: config keys it is about; empty where it concerns all.
        since: ISO text of the UTC instant at which it was first begun.
        step: the last step that it reached, in the command's own words, or empty.
    """

    command: str
    portals: tuple[str, ...]
    since: str
    step: str = ""


class Work:
    """A command while it runs.

    Args:
        note: file of its note.
        entry: what the note says.
        is_resumed: whether an earlier attempt was cut.
    """

    def __init__(self, note: Path, entry: UnfinishedCommand, *, is_resumed: bool) -> None:
        self.is_resumed = is_resumed
        self.step = entry.step
        """The last step that this attempt or an earlier one reached, or empty."""
        self._note = note
        self._entry = entry

    def reach(self, step: str) -> None:
        """Note that a step is reached, for the attempt that finishes the command if this one is cut."""
        self._entry = replace(self._entry, step=step)
        self.step = step
        with storage_errors(self._note, "note the command in"):
            write_text(self._note, encoded(self._entry), mode=0o600)


class UnfinishedCommands:
    """The journal of one installation.

    Args:
        state: folder it is kept in.
    """

    def __init__(self, state: Path) -> None:
        self._folder = state / "unfinished"
        self._lock = state / "locks" / "unfinished.lock"

    @contextmanager
    def carry_out(
        self,
        command: str,
        portals: Collection[str] = (),
        *,
        harmless: tuple[type[Exception], ...] = (),
        supersedes: Collection[str] = (),
    ) -> Iterator[Work]:
        """Do the steps of a command in the block, which has to begin before the first step that changes anything.

        The same command twice at once: the second waits for the first, and then does its steps again.

        Args:
            command: as it has to be typed to finish it, without options that do not matter (`--json`, `--yes`).
            portals: config keys it is about; none where it concerns all.
            harmless: errors after which nothing of a first attempt has happened, so that nothing is owed.
            supersedes: commands that are no longer owed when this one is complete.

        Raises:
            StorageError: the note cannot be written. Nothing was done.
        """
        note, lock, entry, is_resumed = self._begin(command, portals)
        is_owed = True
        try:
            try:
                yield Work(note, entry, is_resumed=is_resumed)
                is_owed = False
            except harmless:
                is_owed = is_resumed
                raise
            finally:
                if not is_owed:
                    self._remove(note)
        finally:
            lock.release()
        self.settle(supersedes)

    def unfinished(self) -> list[UnfinishedCommand]:
        """Commands that were cut, oldest first. Raises StorageError."""
        found = [entry for note in self._notes() if (entry := _entry_in(note)) and not self._is_running(note)]
        return sorted(found, key=lambda entry: (entry.since, entry.command))

    def damaged(self) -> list[DamagedFileError]:
        """Notes that cannot be understood: some command is owed, and nobody can tell which. Raises StorageError."""
        found = []
        for note in self._notes():
            try:
                read_record(note, UnfinishedCommand, _WHAT)
            except DamagedFileError as error:
                found.append(error)
        return found

    def settle(self, commands: Collection[str]) -> None:
        """Remove commands that are no longer owed, because another one did what they were to do. Raises StorageError."""
        for note in self._notes() if commands else ():
            entry = _entry_in(note)
            if entry and entry.command in commands and not self._is_running(note):
                self._remove(note)

    def _begin(self, command: str, portals: Collection[str]) -> tuple[Path, FileLock, UnfinishedCommand, bool]:
        while True:
            with storage_errors(self._folder, "note the command in"), locked(self._lock):
                self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
                known = next((n for n in self._notes() if (e := _entry_in(n)) and e.command == command), None)
                note = known or self._folder / f"{secrets.token_hex(8)}.json"
                lock = _lock_of(note)
                try:
                    lock.acquire(blocking=False)
                except Timeout:
                    pass
                else:
                    entry = _entry_in(note) or UnfinishedCommand(
                        command=command, portals=tuple(portals), since=datetime.now(UTC).isoformat(timespec="seconds")
                    )
                    try:
                        write_text(note, encoded(entry), mode=0o600)
                    except BaseException:
                        lock.release()
                        raise
                    return note, lock, entry, known is not None
            with storage_errors(self._folder, "wait for the same command in"), _lock_of(note):
                pass  # The process that ran the same command has ended.

    def _remove(self, note: Path) -> None:
        with storage_errors(self._folder, "remove the note of a command from"), locked(self._lock):
            note.unlink(missing_ok=True)
            with suppress(OSError):  # The command is done all the same, and the name of the lock tells nothing.
                note.with_suffix(".lock").unlink(missing_ok=True)

    def _notes(self) -> list[Path]:
        with storage_errors(self._folder, "look at the commands in"):
            # What has another name is no note: a copy, an editor's backup.
            return sorted(path for path in self._folder.glob("*.json") if _NOTE.fullmatch(path.name))

    def _is_running(self, note: Path) -> bool:
        # Under the lock of all notes, so that none is removed meanwhile: looking at a lock would make its file again.
        with storage_errors(self._folder, "look at the commands in"), locked(self._lock):
            if not note.exists():
                return False
            try:
                with _lock_of(note).acquire(blocking=False):
                    return False
            except Timeout:
                return True


def _entry_in(note: Path) -> UnfinishedCommand | None:
    """What a note says, or None where it is gone or damaged."""
    try:
        return read_record(note, UnfinishedCommand, _WHAT)
    except DamagedFileError:
        return None


def _lock_of(note: Path) -> FileLock:
    return FileLock(note.with_suffix(".lock"), mode=0o600, thread_local=False)
