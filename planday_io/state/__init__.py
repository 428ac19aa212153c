"""What an installation remembers between runs, beside the lake and the warehouse.

`State` is the one thing that callers receive. Only this package knows what is stored under which name.
"""

from planday_io.state.locks import Lease
from planday_io.state.rows import (
    REBUILD,
    SHARED_FOR,
    STATE_VERSION,
    DeliveryState,
    DriftEntry,
    Failure,
    Incident,
    IndexedTable,
    Notice,
    PendingSlice,
    PublishedSlice,
    RateWindow,
    RefreshRequest,
    RetentionNote,
    SeenMembers,
    SliceEntry,
    SliceKey,
    UnfinishedCommand,
)
from planday_io.state.store import State

__all__ = [
    "REBUILD",
    "SHARED_FOR",
    "STATE_VERSION",
    "DeliveryState",
    "DriftEntry",
    "Failure",
    "Incident",
    "IndexedTable",
    "Lease",
    "Notice",
    "PendingSlice",
    "PublishedSlice",
    "RateWindow",
    "RefreshRequest",
    "RetentionNote",
    "SeenMembers",
    "SliceEntry",
    "SliceKey",
    "State",
    "UnfinishedCommand",
]
