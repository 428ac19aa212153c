"""The journal of commands that consist of several steps, so that one that was cut half-way is finished by somebody.

A command is recorded before its first step and removed after its last one. A kill, a full disk or any other error leaves it
there: `planday status` then shows the command, alerts report it, and running the same command again finishes it. While the
command runs it holds a lock, so a command whose lock is free was cut.

It is recorded as it has to be typed, with the id of an employee where that is what the command is about. It never leaves the
machine: alerts name the portal only. Locks have random names.

Not here: the steps. They have to be written so that running them twice does no harm.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from datetime import UTC, datetime

from sqlalchemy import Connection, delete, select

from planday_io.state.database import Database
from planday_io.state.locks import Lease, Locks
from planday_io.state.rows import UnfinishedCommand
from planday_io.state.schema import COMMANDS, LOST
from planday_io.state.statements import put


class Work:
    """A command while it runs.

    Args:
        database: of the installation.
        name: that its row and its lock have.
        entry: what the row says.
        is_resumed: whether an earlier attempt was cut.
    """

    def __init__(self, database: Database, name: str, entry: UnfinishedCommand, *, is_resumed: bool) -> None:
        self.is_resumed = is_resumed
        self.step = entry.step
        """The last step that this attempt or an earlier one reached, or empty."""
        self._database = database
        self._name = name
        self._entry = entry

    def reach(self, step: str) -> None:
        """Record that a step is reached, for the attempt that finishes the command if this one is cut."""
        self._entry = replace(self._entry, step=step)
        self.step = step
        self._database.write(lambda connection: _put(connection, self._name, self._entry))


class UnfinishedCommands:
    """The journal of one installation.

    Args:
        database: of the installation.
        locks: of the installation.
    """

    def __init__(self, database: Database, locks: Locks) -> None:
        self._database = database
        self._locks = locks

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
        name, lease, entry, is_resumed = self._begin(command, portals)
        is_owed = True
        try:
            try:
                yield Work(self._database, name, entry, is_resumed=is_resumed)
                is_owed = False
            except harmless:
                is_owed = is_resumed
                raise
            finally:
                if not is_owed:
                    self._remove(name)
        finally:
            lease.release()
        self.settle(supersedes)

    def unfinished(self) -> list[UnfinishedCommand]:
        """Commands that were cut, oldest first. Raises StorageError."""
        free = {name for name in self._all() if not self._is_running(name)}
        # A command that ends removes its row first.
        found = [entry for name, entry in self._all().items() if name in free]
        return sorted(found, key=lambda entry: (entry.since, entry.command))

    def lost_at(self) -> datetime | None:
        """When commands were last lost with a damaged database, or None. Raises StorageError."""
        statement = select(LOST.c.at).where(LOST.c.kind == COMMANDS.name)
        return self._database.read(lambda connection: connection.execute(statement).scalar())

    def settle(self, commands: Collection[str]) -> None:
        """Remove commands that are no longer owed, because another one did what they were to do. Raises StorageError."""
        if not commands:
            return
        with self._locks.hold("commands"):
            for name, entry in self._all().items():
                if entry.command in commands and not self._is_running(name):
                    self._remove(name)

    def _begin(self, command: str, portals: Collection[str]) -> tuple[str, Lease, UnfinishedCommand, bool]:
        while True:
            with self._locks.hold("commands"):
                found = next(((name, one) for name, one in self._all().items() if one.command == command), None)
                since = datetime.now(UTC).replace(microsecond=0)
                new = UnfinishedCommand(command=command, portals=tuple(portals), since=since)
                name, entry = found or (secrets.token_hex(8), new)
                if lease := self._locks.take(_lock(name)):
                    try:
                        if found is None:
                            self._database.write(lambda connection: _put(connection, name, entry))  # noqa: B023 - at once
                    except BaseException:
                        lease.release()
                        raise
                    return name, lease, entry, found is not None
            with self._locks.hold(_lock(name)):
                pass  # The process that ran the same command has ended.

    def _remove(self, name: str) -> None:
        self._database.write(lambda connection: connection.execute(delete(COMMANDS).where(COMMANDS.c.name == name)))

    def _all(self) -> dict[str, UnfinishedCommand]:
        return self._database.read(_all)

    def _is_running(self, name: str) -> bool:
        return self._locks.is_held(_lock(name))


def _lock(name: str) -> str:
    return f"command-{name}"


def _all(connection: Connection) -> dict[str, UnfinishedCommand]:
    return {
        row.name: UnfinishedCommand(command=row.command, portals=row.portals, since=row.since, step=row.step)
        for row in connection.execute(select(COMMANDS).order_by(COMMANDS.c.name))
    }


def _put(connection: Connection, name: str, entry: UnfinishedCommand) -> None:
    put(connection, COMMANDS, name=name, **asdict(entry))
