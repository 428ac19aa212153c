"""The state of one installation: the one value through which callers reach it.

SQLAlchemy is imported with the first use, so that `planday --help` stays quick.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from planday_io.files import sweep
from planday_io.state import folder, tokens
from planday_io.state.locks import Locks
from planday_io.state.runs import Runs
from planday_io.state.tokens import RefreshTokenStore

if TYPE_CHECKING:
    from planday_io.state.baselines import Baselines
    from planday_io.state.budget import RequestBudget
    from planday_io.state.failures import Failures
    from planday_io.state.forgotten import ForgottenCopies
    from planday_io.state.histories import OwedHistories
    from planday_io.state.incidents import Incidents
    from planday_io.state.known_files import KnownFiles
    from planday_io.state.portals import Portals
    from planday_io.state.refresh_requests import RefreshRequests
    from planday_io.state.shared_ids import SharedIds
    from planday_io.state.slices import Slices
    from planday_io.state.state_database import StateDatabase
    from planday_io.state.unfinished import UnfinishedCommands


class State:
    """What an installation remembers between runs. Making one costs nothing, and nothing is opened.

    Args:
        place: the folder. Callers name it in messages, and see how full its disk is; only this room knows what is in it.
    """

    def __init__(self, place: Path) -> None:
        self.folder = place

    @property
    def failures(self) -> Failures:
        """What failed for good and was not read since."""
        from planday_io.state.failures import Failures

        return Failures(self._database)

    @property
    def baselines(self) -> Baselines:
        """Since when schedules have been reading each table as they do now."""
        from planday_io.state.baselines import Baselines

        return Baselines(self._database)

    @property
    def incidents(self) -> Incidents:
        """Incidents that were noticed, and what each channel reported of them."""
        from planday_io.state.incidents import Incidents

        return Incidents(self._database)

    @property
    def refresh_requests(self) -> RefreshRequests:
        """Months that have to be read again."""
        from planday_io.state.refresh_requests import RefreshRequests

        return RefreshRequests(self._database)

    @property
    def forgotten(self) -> ForgottenCopies:
        """Copies of the lists of forgotten people."""
        from planday_io.state.forgotten import ForgottenCopies

        return ForgottenCopies(self._database)

    @property
    def portals(self) -> Portals:
        """Which Planday portal each key stands for."""
        from planday_io.state.portals import Portals

        return Portals(self._database)

    @property
    def shared_ids(self) -> SharedIds:
        """Ids that runs started together fan out over."""
        from planday_io.state.shared_ids import SharedIds

        return SharedIds(self._database)

    @property
    def slices(self) -> Slices:
        """What is known of slices beside their files."""
        from planday_io.state.slices import Slices

        return Slices(self._database)

    @property
    def histories(self) -> OwedHistories:
        """Which histories have to follow."""
        from planday_io.state.histories import OwedHistories

        return OwedHistories(self._database)

    @property
    def files(self) -> KnownFiles:
        """By what the lake and the warehouse file are recognised."""
        from planday_io.state.known_files import KnownFiles

        return KnownFiles(self._database)

    @property
    def commands(self) -> UnfinishedCommands:
        """The journal of commands that consist of several steps."""
        from planday_io.state.unfinished import UnfinishedCommands

        return UnfinishedCommands(self._database, self.locks)

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
        """Where a publication puts what does not fit into memory; removed by the next one."""
        return self.folder / "spill"

    def close_to_others(self) -> None:
        """Let nobody but this account look at the state. Raises StorageError."""
        folder.close_to_others(self.folder)

    def files_set_aside(self) -> list[Path]:
        """What was damaged and nobody has removed yet. Raises StorageError."""
        return folder.files_set_aside(self.folder)

    def sweep(self, set_aside_before: datetime) -> int:
        """Remove what killed processes and older versions left, except what is being written. Raises StorageError.

        Args:
            set_aside_before: damaged files that were set aside before this UTC instant go as well.

        Returns:
            How many files were removed.
        """
        removed = sweep(self.folder, deep=True) + folder.remove_set_aside(self.folder, set_aside_before)
        # Older versions had locks beside the budget and the tokens, and left them.
        places = (self.folder, self.folder / "tokens", self.folder / "locks")
        return removed + self.runs.sweep() + sum(Locks(place).sweep() for place in places)

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
        """Be the only one who reports incidents, or changes whose they are. Raises StorageError."""
        return self.locks.hold("incidents")

    def rename_portal(self, old: str, new: str) -> None:
        """Give all that is known of a portal's key to another one: its token, then the rest at once. Raises StorageError."""
        from planday_io.state.schema import rename_portal

        tokens.rename(self.folder, old, new)
        with self.reporting():
            self._database.write(rename_portal, old, new)

    def forget_portal(self, portal: str) -> None:
        """Remove all that is known of a portal, in one transaction. Raises StorageError."""
        from planday_io.state.schema import forget_portal

        with self.reporting():
            self._database.write(forget_portal, portal)

    @property
    def _database(self) -> StateDatabase:
        from planday_io.state.state_database import StateDatabase

        return StateDatabase(self.folder, self.locks)
