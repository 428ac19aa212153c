"""Runs that are writing to the lake now, so that everything one run writes is published together.

A run registers and unregisters itself. A killed run counts as ended: each slice that it wrote is complete.

Not here: locks (`planday_io.files`): writers do not wait for each other.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager

from planday_io.files import is_process_alive, mark_process, storage_errors, write_text
from planday_io.state import State
from planday_io.state.records import remove_record

_NAME = re.compile(r"[0-9a-f]{16}")


class Writers:
    """The writers of one installation.

    Args:
        state: of the installation.
    """

    def __init__(self, state: State) -> None:
        self._folder = state.folder / "writers"
        self._processes = state.folder / "processes"

    def begin(self) -> str:
        """Note a new writer in this process, and return its name. Raises StorageError."""
        name = secrets.token_hex(8)
        with storage_errors(self._folder, "note a run in"):
            write_text(self._folder / name, mark_process(self._processes))
        return name

    def end(self, name: str) -> None:
        """Unregister a writer; it may be unregistered already."""
        (self._folder / name).unlink(missing_ok=True)

    @contextmanager
    def writing(self) -> Iterator[str]:
        """Register a writer while the block runs."""
        name = self.begin()
        try:
            yield name
        finally:
            self.end(name)

    def is_active(self, name: str) -> bool:
        """Whether a writer is registered and its process alive."""
        note = self._folder / name
        # A name comes from a marker of a slice, which may be damaged.
        if not _NAME.fullmatch(name):
            return False
        try:
            mark = note.read_bytes().decode("ascii", errors="replace")
        except FileNotFoundError:
            return False
        except IsADirectoryError:
            mark = ""
        if is_process_alive(self._processes, mark):
            return True
        remove_record(note)
        return False
