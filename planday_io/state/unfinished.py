"""The journal of commands that consist of several steps, so that an interrupted one gets finished.

A command is recorded before its first step and removed after its last one. A kill, a full disk or any other error leaves it
there: `planday status` then shows the command, alerts report it, and running the same command again finishes it. While the
command runs it holds a lock, so a command whose lock is free was interrupted.

It is recorded as it has to be typed, with the id of an employee where that is what the command is about. It never leaves the
machine: alerts name the portal only. Locks have random names.

Not here: the steps. They have to be written so that running them twice does no harm.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import UTC, datetime

from planday_io.state.locks import Lease
from planday_io.state.rows import UnfinishedCommand
from planday_io.state.schema import COMMANDS
from planday_io.state.state_database import Kind, StateDatabase


class Work:
    """A command while it runs.

    Args:
        database: of the installation.
        entry: its row.
        is_resumed: whether an earlier attempt was interrupted.
    """

    def __init__(self, database: StateDatabase, entry: UnfinishedCommand, *, is_resumed: bool) -> None:
        self.is_resumed = is_resumed
        self.step = entry.step
        """The last step that this attempt or an earlier one reached, or empty."""
        self._database = database
        self._entry = entry

    def reach(self, step: str) -> None:
        """Record that a step is reached, for the attempt that finishes the command if this one is interrupted."""
        self._entry = replace(self._entry, step=step)
        self.step = step
        self._database.write(COMMANDS.put, self._entry)


class UnfinishedCommands(Kind):
    """The journal of one installation."""

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
            StorageError: the command cannot be recorded. Nothing was done.
        """
        lease, entry, is_resumed = self._begin(command, portals)
        is_owed = True
        try:
            try:
                yield Work(self._database, entry, is_resumed=is_resumed)
                is_owed = False
            except harmless:
                is_owed = is_resumed
                raise
            finally:
                if not is_owed:
                    self._remove(entry)
        finally:
            lease.release()
        self.settle(supersedes)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Keep commands from beginning while the block runs; waits for those that are running. Raises StorageError."""
        while True:
            with self._database.locks.hold("commands"):
                running = [entry for entry in self._all() if self._is_running(entry)]
                if not running:
                    yield
                    return
            # Not within the lock, which a running command may need for its own last step.
            with self._database.locks.hold(_lock(running[0])):
                pass

    def unfinished(self) -> list[UnfinishedCommand]:
        """Commands that were interrupted, oldest first. Raises StorageError."""
        free = {entry.name for entry in self._all() if not self._is_running(entry)}
        # A command that ends removes its row first.
        found = [entry for entry in self._all() if entry.name in free]
        return sorted(found, key=lambda entry: (entry.since, entry.command))

    def lost_at(self) -> datetime | None:
        """When commands were last lost with a damaged database, or None. Raises StorageError."""
        return self._lost_at(COMMANDS)

    def settle(self, commands: Collection[str]) -> None:
        """Remove commands that are no longer owed, because another one did what they were to do. Raises StorageError."""
        if not commands:
            return
        with self._database.locks.hold("commands"):
            for entry in self._all():
                if entry.command in commands and not self._is_running(entry):
                    self._remove(entry)

    def _begin(self, command: str, portals: Collection[str]) -> tuple[Lease, UnfinishedCommand, bool]:
        while True:
            with self._database.locks.hold("commands"):
                found = next((one for one in self._all() if one.command == command), None)
                entry = found or interrupted(command, *portals)
                with ExitStack() as undo:
                    if lease := self._database.locks.take(_lock(entry)):
                        undo.enter_context(lease)
                        self._database.write(COMMANDS.add, entry)
                        undo.pop_all()
                        return lease, entry, found is not None
            with self._database.locks.hold(_lock(entry)):
                pass  # The process that ran the same command has ended.

    def _remove(self, entry: UnfinishedCommand) -> None:
        self._database.write(COMMANDS.delete, name=entry.name)

    def _all(self) -> list[UnfinishedCommand]:
        return self._database.read(COMMANDS.all)

    def _is_running(self, entry: UnfinishedCommand) -> bool:
        return self._database.locks.is_held(_lock(entry))


def interrupted(command: str, *portals: str) -> UnfinishedCommand:
    """The row of a command that is owed, and not running."""
    since = datetime.now(UTC).replace(microsecond=0)
    return UnfinishedCommand(name=secrets.token_hex(8), command=command, portals=portals, since=since)


def _lock(entry: UnfinishedCommand) -> str:
    return f"command-{entry.name}"
