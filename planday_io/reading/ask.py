"""Asks an endpoint for one answer, where not all rows are wanted: checks and forecasts."""

from __future__ import annotations

from planday_io.catalogue.endpoint import Endpoint
from planday_io.client.http import Counters, PortalClient
from planday_io.reading.calls import Call, Params


async def ask(
    endpoint: Endpoint, client: PortalClient, call: Call, counters: Counters, *, rows: int | None = None
) -> object:
    """One answer to a call, or NONE. It has at most so many rows, if they are limited and the endpoint has pages."""
    page: Params = ()
    if rows is not None and endpoint.pages:
        page = ((endpoint.pages.limit_param, str(rows)), (endpoint.pages.offset_param, "0"))
    answer: object = await client.get(
        endpoint.path,
        counters=counters,
        path_params=call.path_params,
        params=(*call.params, *page),
        scope=endpoint.scope,
        none_statuses=endpoint.none_statuses,
    )
    return answer
