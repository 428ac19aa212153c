"""Brings the files of an older version up to date: folders of version 0.1, and columns that are new since a file was written.

A publication does it first, within its lock. Nothing is read again from Planday. Where there is nothing to do, it costs a
listing per table.
"""

from __future__ import annotations

from planday_io.catalogue import Catalogue
from planday_io.config.model import PrivacyPolicy
from planday_io.lake.columns import adapt_columns
from planday_io.lake.forgotten import ForgottenPeople
from planday_io.lake.moving import move_old_slices
from planday_io.lake.policies import hidden_classes
from planday_io.lake.provenance import Provenance
from planday_io.lake.slices import Lake, SliceKey


def upgrade(lake: Lake, catalogue: Catalogue, policies: PrivacyPolicy, people: ForgottenPeople) -> list[str]:
    """Move slices from folders of version 0.1, and give all files of a table the same columns.

    Returns:
        What was done, and what could not be done and is tried again by the next publication, for people.

    Raises:
        StorageError: the lake cannot be listed.
    """

    def may_set_aside(key: SliceKey, provenance: Provenance | None) -> bool:
        """Whether a replaced file of a slice surely holds nothing that was removed from the lake."""
        table = catalogue.lake_tables.get(key.full_name)
        if table is None or people.of(key.portal).pseudonyms:
            return False
        return provenance is None or not hidden_classes(table, provenance, policies)

    notices = []
    moving = move_old_slices(lake, catalogue.histories, may_set_aside)
    if moving.moved:
        notices.append(
            f"{moving.moved} slices of {lake.root} were moved to folders that other programs read without options "
            "(from portal=KEY/month=YYYY-MM to KEY/YYYY-MM)"
        )
    if moving.errors:
        notices.append(
            f"{len(moving.errors)} slices of {lake.root} are still in folders of an older version, and are moved by the next "
            f"publication: {moving.errors[0]}"
        )
    if errors := adapt_columns(lake, catalogue, policies):
        notices.append(
            f"{len(errors)} slices of {lake.root} lack columns that others have, and get them with the next publication: "
            f"{errors[0]}"
        )
    return notices
