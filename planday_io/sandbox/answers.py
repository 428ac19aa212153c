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


def paged(sandbox: Sandbox, request: Request, rows: Sequence[Json], largest: int = 50, names: str = "limit") -> Json:
    """One page. A limit that is too large is refused.

    Args:
        sandbox: its `page_size` may be smaller than what is asked for.
        request: limit and offset stand in it.
        rows: all of them.
        largest: limit that is taken.
        names: `limit`, or `Limit` where the two parameters are capitalised.
    """
    limit = number(request, names, min(largest, 50))
    offset = number(request, "Offset" if names == "Limit" else "offset", 0)
    if not 1 <= limit <= largest or offset < 0:
        raise RefusedError(400, "limit")
    limit = min(limit, sandbox.page_size) if largest <= 50 else limit
    page = [sent(row) for row in rows[offset : offset + limit]]
    return {"paging": {"offset": offset, "limit": limit, "total": len(rows)}, "data": page}


def sent(row: Any) -> Any:  # noqa: ANN401 - JSON
    """A value as it is sent: null members are left out, as on live portals."""
    if isinstance(row, dict):
        return {key: sent(value) for key, value in row.items() if value is not None}
    return [sent(value) for value in row] if isinstance(row, list) else row


def since(rows: Sequence[Json], request: Request, **filters: str) -> list[Json]:
    """Rows that pass the parameters for changes; modifiedFrom means after, as documented."""
    kept = list(rows)
    for param, member in {"modifiedFrom": "dateTimeModified", "createdFrom": "dateTimeCreated", **filters}.items():
        if earliest := request.query_params.get(param):
            kept = [row for row in kept if (row.get(member) or "") > earliest]
    return kept
