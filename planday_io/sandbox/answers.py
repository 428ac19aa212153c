"""What handlers of the local Planday share: pages, parameters, refusals. Null members are left out of every row."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date
from typing import Any

from starlette.requests import Request

from planday_io.sandbox.people import Json
from planday_io.sandbox.state import Sandbox
from planday_io.sandbox.world import Portal

Handler = Callable[[Sandbox, Portal, Request], Any]
"""From a request to the JSON document. Raises `RefusedError`."""


class RefusedError(Exception):
    """The request is answered with a status instead of a document."""

    def __init__(self, status: int, why: str = "") -> None:
        super().__init__(why)
        self.status, self.why = status, why


def problem(why: str) -> Json:
    """A ProblemDetails body."""
    return {"type": "about:blank", "title": "Bad Request", "status": 400, "detail": f"invalid {why}"}


def number(request: Request, name: str, default: int) -> int:
    """A numeric parameter. Raises RefusedError."""
    text = request.query_params.get(name)
    try:
        return default if text is None else int(text)
    except ValueError:
        raise RefusedError(400, name) from None


def day(request: Request, name: str, default: date | None = None) -> date:
    """A date parameter (`yyyy-mm-dd`). Raises RefusedError when it is missing without a default, or no date."""
    text = request.query_params.get(name)
    if text is None and default is not None:
        return default
    try:
        return date.fromisoformat(text or "")
    except ValueError:
        raise RefusedError(400, name) from None


def sent(row: Any) -> Any:  # noqa: ANN401 - JSON
    """A value as it is sent: null members are left out, as on live portals."""
    if isinstance(row, dict):
        return {key: sent(value) for key, value in row.items() if value is not None}
    return [sent(value) for value in row] if isinstance(row, list) else row


def paged(
    sandbox: Sandbox,
    request: Request,
    rows: Sequence[Json],
    largest: int = 50,
    names: str = "limit",
    as_sent: Callable[[Json], Json] = sent,
) -> Json:
    """One page. A limit that is too large is refused, unless a variant says otherwise.

    Args:
        sandbox: its `page_size` may be smaller than what is asked for.
        request: limit and offset stand in it.
        rows: all of them.
        largest: limit that is taken.
        names: `limit`, or `Limit` where the two parameters are capitalised.
        as_sent: a row as it is sent.
    """
    limit = number(request, names, min(largest, 50))
    offset = number(request, "Offset" if names == "Limit" else "offset", 0)
    if limit > largest and sandbox.variants.large_limits != "refused" and request.url.path.startswith("/hr/"):
        limit = largest if sandbox.variants.large_limits == "lowered" else limit
    elif not 1 <= limit <= largest:
        raise RefusedError(400, "limit")
    if offset < 0:
        raise RefusedError(400, "offset")
    limit = min(limit, sandbox.page_size) if largest <= 50 and sandbox.page_size < 50 else limit
    page = [as_sent(row) for row in rows[offset : offset + limit]]
    return {"paging": paging(sandbox, offset, limit, len(rows)), "data": page}


def paging(sandbox: Sandbox, offset: int, limit: int, total: int) -> Json:
    """What an answer says of its page."""
    return {"offset": offset, "limit": limit, **({"total": total} if sandbox.variants.sends_totals else {})}


def since(rows: Sequence[Json], request: Request, **filters: str) -> list[Json]:
    """Rows that pass the parameters for changes; modifiedFrom means after, as documented."""
    kept = list(rows)
    for param, member in {"modifiedFrom": "dateTimeModified", "createdFrom": "dateTimeCreated", **filters}.items():
        if earliest := request.query_params.get(param):
            kept = [row for row in kept if (row.get(member) or "") > earliest]
    return kept


def employee(sandbox: Sandbox, portal: Portal, request: Request) -> int:
    """The employee a path names: one who works there, or has worked there where a variant answers for those who left.

    Raises:
        RefusedError: nobody, or nobody any more: 400, as documented.
    """
    number = int(request.path_params["employee_id"])
    people = portal.employees if sandbox.variants.people_who_left == "refused" else portal.everyone
    if all(row["id"] != number for row in people):
        raise RefusedError(400, "employee id")
    return number
