"""The state of one installation: the one value through which callers reach it.

SQLAlchemy is imported with the first use, so that `planday --help` stays quick.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from datetime import datetime
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar

from planday_io.files import storage_errors, sweep
from planday_io.state import folder, tokens
from planday_io.state.locks import Locks
from planday_io.state.runs import Runs
from planday_io.state.tokens import RefreshTokenStore

if TYPE_CHECKING:
    from planday_io.state.budget import RequestBudget
    from planday_io.state.deliveries import Deliveries
    from planday_io.state.drift import Drift
    from planday_io.state.known_files import KnownFiles
    from planday_io.state.monitoring import Baselines, Failures, Incidents
    from planday_io.state.portals import ForgottenCopies, Portals, SharedIds
    from planday_io.state.refresh_requests import RefreshRequests
    from planday_io.state.slices import OwedHistories, RetentionNotes, Slices
    from planday_io.state.state_database import StateDatabase
    from planday_io.state.unfinished import UnfinishedCommands


T = TypeVar("T")


class _Kind(Generic[T]):
    """One kind of thing that a state remembers. Its module is imported with the first use.

    Args:
        name: module and class.
    """

    def __init__(self, name: str) -> None:
        self._name = name

    def __get__(self, state: State, owner: type[State]) -> T:
        module, _, name = self._name.partition(".")
        kind: Callable[[StateDatabase], T] = getattr(import_module(f"planday_io.state.{module}"), name)
        return kind(state.database)


class State:
    """What an installation remembers between runs. Making one costs nothing, and nothing is opened.

    Args:
        place: the folder. Callers name it in messages, and see how full its disk is; only this package knows what is in
            it.
    """

    failures: _Kind[Failures] = _Kind("monitoring.Failures")
    baselines: _Kind[Baselines] = _Kind("monitoring.Baselines")
    incidents: _Kind[Incidents] = _Kind("monitoring.Incidents")
    deliveries: _Kind[Deliveries] = _Kind("deliveries.Deliveries")
    drift: _Kind[Drift] = _Kind("drift.Drift")
    refresh_requests: _Kind[RefreshRequests] = _Kind("refresh_requests.RefreshRequests")
    forgotten: _Kind[ForgottenCopies] = _Kind("portals.ForgottenCopies")
    portals: _Kind[Portals] = _Kind("portals.Portals")
    shared_ids: _Kind[SharedIds] = _Kind("portals.SharedIds")
    slices: _Kind[Slices] = _Kind("slices.Slices")
    retention: _Kind[RetentionNotes] = _Kind("slices.RetentionNotes")
    histories: _Kind[OwedHistories] = _Kind("slices.OwedHistories")
    files: _Kind[KnownFiles] = _Kind("known_files.KnownFiles")
    commands: _Kind[UnfinishedCommands] = _Kind("unfinished.UnfinishedCommands")

    def __init__(self, place: Path) -> None:
        self.folder = place

    @property
    def locks(self) -> Locks:
        """Locks and leases, by name."""
        return Locks(self.folder / "locks")

    @property
    def runs(self) -> Runs:
        """Runs in progress."""
        return Runs(self.folder, self.locks)

    @property
    def spill(self) -> Path:
        """The folder for what a publication cannot hold in memory; removed by the next one."""
        return self.folder / "spill"

    @property
    def outbox(self) -> Path:
        """The folder for what is mailed, while it is made and sent. What a killed process leaves there is swept."""
        return self.folder / "outbox"

    def close_to_others(self) -> None:
        """Restrict the state to this account. Raises StorageError."""
        folder.close_to_others(self.folder)

    def files_set_aside(self) -> list[Path]:
        """Damaged files that were set aside and not removed yet. Raises StorageError."""
        return folder.files_set_aside(self.folder)

    def sweep(self, set_aside_before: datetime) -> int:
        """Remove what killed processes and older versions left, except what is being written. Raises StorageError.

        Args:
            set_aside_before: damaged files that were set aside before this UTC instant are removed as well.

        Returns:
            How many files were removed.
        """
        removed = sweep(self.folder, deep=True) + folder.remove_set_aside(self.folder, set_aside_before)
        # Older versions left lock files beside the budget and the tokens.
        places = (self.folder, self.folder / "tokens", self.folder / "locks")
        return removed + sum(Locks(place).sweep() for place in places)

    @property
    def budget(self) -> RequestBudget:
        """A handle on the request budget; close it."""
        from planday_io.state.budget import RequestBudget

        return RequestBudget(self.folder, self.locks)

    def refresh_token(self, portal: str, configured: Callable[[], str]) -> RefreshTokenStore:
        """The refresh token in force for a portal.

        Args:
            portal: config key.
            configured: reads the configured token, when needed.
        """
        return RefreshTokenStore(self.folder, portal, configured)

    def reporting(self) -> AbstractContextManager[None]:
        """Hold the lock for reporting incidents, or for moving them to another portal key. Raises StorageError."""
        return self.locks.hold("incidents")

    def rename_portal(self, old: str, new: str) -> None:
        """Give all that is known of a portal's key to another one: its token, then the rest at once. Raises StorageError."""
        from planday_io.state.schema import rename_portal

        tokens.rename(self.folder, old, new)
        with self.reporting():
            self.database.write(rename_portal, old, new)

    def forget_portal(self, portal: str) -> None:
        """Remove all that is known of a portal, in one transaction. Raises StorageError."""
        from planday_io.state.schema import forget_portal

        with self.reporting():
            self.database.write(forget_portal, portal)

    def copy_to(self, file: Path) -> None:
        """Write the state database, as it is at one instant, to a new file. Tokens are not in it. Raises StorageError."""
        self.database.copy_to(file)

    def replaced_tokens(self) -> dict[str, str]:
        """Portals whose configured token was replaced by a rotated one -> a digest of the configured one."""
        return tokens.replaced_tokens(self.folder)

    def is_there(self) -> bool:
        """Whether this folder has a state, of whatever version."""
        return not self.database.is_blank()

    def restore(self, copy: Path, replaced_tokens: Mapping[str, str], owed: Mapping[str, str]) -> None:
        """Take what `copy_to` wrote as the state, where there is none.

        Args:
            copy: the file.
            replaced_tokens: what `replaced_tokens` gave where the copy was made: these portals have to be authorized again.
            owed: commands that have to be run from now on -> the portal that each is about. They count as interrupted.

        Raises:
            StorageError: there is a state already, or the copy cannot be used.
        """
        from planday_io.state.schema import settle_restored
        from planday_io.state.unfinished import interrupted

        self.close_to_others()
        with storage_errors(self.folder, "restore the state in"):
            (self.folder / "tokens").mkdir(exist_ok=True, mode=0o700)
        tokens.note_lost(self.folder, replaced_tokens)
        commands = [interrupted(command, portal) for command, portal in owed.items()]
        self.database.adopt(copy, lambda connection: settle_restored(connection, commands))

    @property
    def database(self) -> StateDatabase:
        """The state database, for this package only."""
        from planday_io.state.state_database import StateDatabase

        return StateDatabase(self.folder, self.locks)
