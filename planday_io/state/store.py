"""The state of one installation: the one value through which callers reach it.

SQLAlchemy is imported with the first use, so that `planday --help` stays quick.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from planday_io.state.baselines import Baselines
    from planday_io.state.database import Database
    from planday_io.state.failures import Failures


class State:
    """What an installation remembers between runs. Making one costs nothing, and nothing is opened.

    Args:
        folder: of the state.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

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

    def rename_portal(self, old: str, new: str) -> None:
        """Give all that is known of a portal's key to another one, in one transaction. Raises StorageError."""
        from planday_io.state import baselines, failures

        def work(connection: Connection) -> None:
            failures.rename(connection, old, new)
            baselines.rename(connection, old, new)

        self._database.write(work)

    def forget_portal(self, portal: str) -> None:
        """Remove all that is known of a portal, in one transaction. Raises StorageError."""
        from planday_io.state import baselines, failures

        def work(connection: Connection) -> None:
            failures.forget(connection, portal)
            baselines.forget(connection, portal)

        self._database.write(work)

    @property
    def _database(self) -> Database:
        from planday_io.state.database import Database

        return Database(self._folder)
