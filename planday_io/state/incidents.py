"""Incidents that were noticed, and what each channel reported of them.

Not here: what is an incident, and who has to hear of it (`planday_io.monitoring`).
"""

from __future__ import annotations

from collections.abc import Iterable

from planday_io.state.rows import Notice
from planday_io.state.schema import INCIDENTS, put_notices
from planday_io.state.state_database import Kind


class Incidents(Kind):
    """The incidents of one installation."""

    def all(self) -> list[Notice]:
        """Those that are open, and those whose end is not reported everywhere. Raises StorageError."""
        return self._database.read(INCIDENTS.all)

    def replace(self, notices: Iterable[Notice]) -> None:
        """Make these the incidents that are known. Raises StorageError; then those before are."""
        # Mostly nothing changed, and reading keeps nobody waiting.
        if self.all() != (wanted := list(notices)):
            self._database.write(put_notices, wanted)
