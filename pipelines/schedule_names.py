"""What the schedules of the configuration are called in Dagster. Importing it loads nothing heavy."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

from planday_io.config import Config

PUBLISHER = "unpublished_slices"
"""The sensor that publishes what no run did."""
SENSORS = frozenset(
    {"configuration", "dead_runs", PUBLISHER, "changed_months", "freshness", "alerts", "housekeeping", "deliveries"}
)
"""Our sensors. They share a name space with schedules."""
RETENTION = "nightly_retention"
"""The schedule that takes away what is too old, in all portals."""
_RESERVED = {"arg_dict", "input_arg_dict", "output_arg_dict"}
"""Names with a `_` that Dagster reserves."""
TAKEN_NAMES = SENSORS | _RESERVED | {RETENTION}
"""Names that no schedule of a portal may have."""


class Names(NamedTuple):
    """Dagster's names of one schedule of one portal: the run of snapshots, and the runs of months."""

    snapshots: str
    months: str


def schedule_names(config: Config) -> dict[tuple[str, str], Names]:
    """(portal, schedule) -> names that no other schedule, sensor or reserved word has.

    `nightly_oslo` and `nightly_oslo_months` where those names are unambiguous. Dagster remembers by name which
    schedules were switched off in the UI, so existing names stay. Where two would be equal (portals `oslo` and
    `oslo_months`, schedules `nightly` and `nightly_nord`), none gets the name: all are written `nightly_AT_oslo` and
    `nightly_AT_oslo_MONTHS`, which are unambiguous, because keys have no capital letters.
    """
    plain = {
        (portal, name): Names(f"{name}_{portal}", f"{name}_{portal}_months")
        for portal, settings in config.portals.items()
        for name in settings.schedules
    }
    uses = Counter(name for names in plain.values() for name in names)
    return {
        (portal, schedule): names
        if all(uses[name] == 1 and name not in TAKEN_NAMES for name in names)
        else Names(f"{schedule}_AT_{portal}", f"{schedule}_AT_{portal}_MONTHS")
        for (portal, schedule), names in plain.items()
    }
