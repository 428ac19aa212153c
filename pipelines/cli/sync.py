"""`planday sync`: the same assets, against the same instance, portals side by side in processes of their own."""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence
from functools import partial

from pipelines.cli.orders import Order
from pipelines.cli.outcome import Outcome, record_portal
from pipelines.cli.priorities import Priorities
from pipelines.cli.runs import Wanted
from pipelines.cli.workers import Workers
from pipelines.progress import Listener
from pipelines.tags import ACCEPT_SHRINK_TAG, BATCH_TAG, DELAY_CAP_TAG, FULL_TAG, MISSING_TAG, STARTED_BY_TAG
from planday_io.errors import KilledError
from planday_io.lake.installation import Installation
from planday_io.onboarding.doubles import refused_as_doubles

_DELAY_CAP_SECONDS = 15
INTERRUPTED = 130
"""The exit code of an interrupted command: 128 and the number of SIGINT, as in shells."""


def sync(
    installation: Installation,
    work: Sequence[tuple[str, Wanted]],
    workers: Workers,
    *,
    listener: Listener,
    full: bool = False,
    accept_shrink: bool = False,
    publishes: bool = True,
) -> Outcome:
    """Refresh portals, side by side, and publish everything together.

    Args:
        installation: of the portals.
        work: keys of portals with what to read of each, in the order in which they begin.
        workers: the processes that execute the runs.
        listener: hears the progress.
        full: read everything, not only changes.
        accept_shrink: accept snapshots that shrank.
        publishes: renew the warehouse at the end.

    Raises:
        ConfigError: Dagster refuses the configuration.
        StorageError: Dagster's storage cannot be used.
    """
    began = time.monotonic()
    outcome = Outcome(listener)
    tags = {DELAY_CAP_TAG: str(_DELAY_CAP_SECONDS), STARTED_BY_TAG: "planday sync"}
    tags |= {BATCH_TAG: f"sync-{secrets.token_hex(6)}"}
    tags |= {FULL_TAG: "true"} if full else {}
    tags |= {ACCEPT_SHRINK_TAG: "true"} if accept_shrink else {}
    tags |= {MISSING_TAG: "true"} if any(wanted.slices is not None for _, wanted in work) else {}
    refused = refused_as_doubles(installation, [*dict.fromkeys(portal for portal, _ in work)])
    for portal, wanted in work:
        if portal in refused:
            record_portal(installation, portal, wanted, refused[portal], outcome)
    on_killed = partial(_record_killed, installation, outcome)
    try:
        with installation.state.runs.begin() as writer:
            orders = [Order(portal, wanted, tags, writer.name) for portal, wanted in work if portal not in refused]
            workers.carry_out(orders, outcome, on_killed, Priorities(installation, work, outcome).gives_way)
        if publishes:
            workers.carry_out([Order(None, Wanted(), tags, "")], outcome, on_killed)
    except KeyboardInterrupt:
        outcome.is_interrupted = True
    outcome.seconds = time.monotonic() - began
    return outcome


def _record_killed(installation: Installation, outcome: Outcome, order: Order, error: KilledError) -> None:
    if order.portal is None:
        outcome.published(None, str(error))
    else:
        record_portal(installation, order.portal, order.wanted, error, outcome)
