"""Limits for answers and lists, from the section `planday` of the configuration and the size of the previous read."""

from __future__ import annotations

from contextlib import suppress

from planday_io.catalogue import Endpoint
from planday_io.client.asking import AnswerLimits
from planday_io.config.model import Config
from planday_io.errors import StorageError
from planday_io.lake.slices import Lake, SliceKey
from planday_io.reading.pages import ListLimit


def answer_limits(config: Config) -> AnswerLimits:
    """The limits of one answer."""
    hosts = config.planday
    return AnswerLimits(
        silence_seconds=hosts.timeout_seconds,
        whole_seconds=hosts.answer_seconds or 2 * hosts.timeout_seconds,
        most_bytes=hosts.answer_mib * 2**20,
    )


def list_limit(config: Config, lake: Lake, portal: str, endpoint: Endpoint, month: str | None) -> ListLimit:
    """How long a list of an endpoint may be, given its previous read."""
    hosts = config.planday
    before: int | None = None
    # An unreadable slice counts as missing here; whoever needs it reports the error.
    with suppress(StorageError):
        there = lake.indexed(SliceKey.of(one.full_name, portal, month) for one in endpoint.tables)
        before = max((one.rows for one in there.entries.values()), default=None)
    if before is None:
        return ListLimit(hosts.list_rows * hosts.list_growth)
    return ListLimit(max(hosts.list_rows, hosts.list_growth * before), before)
