"""Removes the forgotten people of a portal from rows before they are written.

The lists are `planday_io.lake.forgotten`; removing people from existing slices is `planday_io.privacy.erasure`.
"""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa

from planday_io.catalogue import Table
from planday_io.lake.forgotten import Forgotten, ForgottenPeople, owner_link, parents_of_forgotten
from planday_io.lake.installation import Installation
from planday_io.sync.parents import ParentTables


class ErasedRows:
    """Removes people on one portal's list from its rows; reads the list at each call.

    Args:
        installation: the installation.
        parents: rows of parent tables, for tables that name people only through them.
        portal: config key.
    """

    def __init__(self, installation: Installation, parents: ParentTables, portal: str) -> None:
        self._catalogue = installation.catalogue
        self._people = ForgottenPeople(installation.config.lake, installation.state)
        self._parents = parents
        self._portal = portal

    def of(self, table: Table, rows: pa.Table, month: str | None, read: Mapping[str, pa.Table]) -> pa.Table:
        """The rows of a table without those people.

        Args:
            table: declaration of the rows.
            rows: of one slice, or a part of them.
            month: of the slice, or None.
            read: full name -> rows of the tables that were read together with it.
        """
        people = self._people.of(self._portal)
        if not people.pseudonyms:
            return rows
        return people.applied(rows, table, self._parents_of(table, month, people, read))

    def _parents_of(self, table: Table, month: str | None, people: Forgotten, read: Mapping[str, pa.Table]) -> set[int]:
        """For rows that belong to another table's rows: ids in that table whose people are forgotten."""
        link = owner_link(table)
        if link is None:
            return set()
        parent = self._catalogue.table(link[1])
        rows = read.get(parent.full_name)
        if rows is None:
            rows = self._parents.find(parent.full_name, month if parent.is_monthly else None)
        return parents_of_forgotten(self._catalogue, parent, rows, people) if rows is not None else set()
