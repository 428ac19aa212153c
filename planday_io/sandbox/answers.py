"""What handlers of the local Planday share: pages, filters, people. Null members are left out of every row."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from starlette.requests import Request

from planday_io.sandbox.endpoint import Asked, Endpoint, Handler, Pages, Param, RefusedError
from planday_io.sandbox.people import Json
from planday_io.sandbox.state import Sandbox

_TITLES = {400: "Bad Request", 403: "Forbidden", 404: "Not Found"}
AsSent = Callable[[Json, Asked], Any]


def problem(status: int, why: str = "") -> Json:
    """A ProblemDetails body."""
    details = {400: f"invalid {why}", 404: f"there is no such {why}" if why else "there is no such address"}
    body = {"type": "about:blank", "title": _TITLES.get(status, "Error"), "status": status}
    return body | ({"detail": details[status]} if status in details else {})


def sent(row: Any) -> Any:  # noqa: ANN401 - JSON
    """A value as it is sent: null members are left out, as on live portals."""
    if isinstance(row, dict):
        return {key: sent(value) for key, value in row.items() if value is not None}
    return [sent(value) for value in row] if isinstance(row, list) else row


def shuffled(rows: Iterable[Json]) -> list[Json]:
    """An order that nobody documented, the same for each request."""
    return sorted(rows, key=lambda row: (row["id"] * 7919 % 104_729, row["id"]))


def filtered(asked: Asked, params: Iterable[Param], rows: Iterable[Json]) -> list[Json]:
    """The rows that pass every filter that was sent."""
    kept = list(rows)
    for param in params:
        if param.keeps is not None and param.name in asked.values:
            value, keeps = asked.values[param.name], param.keeps
            kept = [row for row in kept if keeps(row, value, asked)]
    return kept


def listing(
    path: str,
    scope: str | None,
    rows: Callable[[Asked], Iterable[Json]],
    *params: Param,
    pages: Pages = Pages(),  # noqa: B008 - frozen
    as_sent: AsSent = lambda row, _: sent(row),
    in_order: Callable[[Iterable[Json]], Sequence[Json]] = list,
) -> Endpoint:
    """An endpoint that answers pages of the rows that pass its filters.

    Args:
        path: of the endpoint.
        scope: what it needs.
        rows: all of them.
        params: its parameters, besides those of its pages.
        pages: how it is paged.
        as_sent: a row as it is sent.
        in_order: the order of the rows that pass.
    """

    def answer(asked: Asked) -> Json:
        limit, offset = (asked.values.get(name, 0) for name in pages.names)
        kept = in_order(filtered(asked, params, rows(asked)))
        return _page(asked.sandbox, pages, (limit, offset), kept, lambda row: as_sent(row, asked))

    return Endpoint(path=path, scope=scope, answer=answer, params=params, pages=pages)


def document(path: str, scope: str | None, answer: Handler, *params: Param) -> Endpoint:
    """An endpoint that is not paged."""
    return Endpoint(path=path, scope=scope, answer=answer, params=params)


def unpaged(
    path: str,
    scope: str | None,
    rows: Callable[[Asked], Iterable[Json]],
    *params: Param,
    has_total: bool = False,
    is_bare: bool = False,
) -> Endpoint:
    """An endpoint that answers all rows at once: in `data`, or as a bare array; `has_total` adds a total."""

    def answer(asked: Asked) -> Any:  # noqa: ANN401 - JSON
        kept = [sent(row) for row in filtered(asked, params, rows(asked))]
        return kept if is_bare else {**({"paging": {"total": len(kept)}} if has_total else {}), "data": kept}

    return Endpoint(path=path, scope=scope, answer=answer, params=params)


def by_id(
    path: str, scope: str | None, rows: Callable[[Asked], Iterable[Json]], *params: Param, path_param: str = "id"
) -> Endpoint:
    """An endpoint that answers one row by its id, or 404."""

    def answer(asked: Asked) -> Json:
        return {"data": sent(found(rows(asked), asked.ids[path_param]))}

    return Endpoint(path=path, scope=scope, answer=answer, params=params)


def found(rows: Iterable[Json], number: int) -> Json:
    """The row with an id.

    Raises:
        RefusedError: 404, there is none.
    """
    for row in rows:
        if row["id"] == number:
            return row
    raise RefusedError(404, "id")


def paged(sandbox: Sandbox, request: Request, rows: Sequence[Json]) -> Json:
    """A page for a route that is not in the list of endpoints: limit 50 at most."""
    texts = [request.query_params.get(name, "0") for name in ("limit", "offset")]
    if not all(text.isdigit() for text in texts):
        raise RefusedError(400, "limit or offset")
    return _page(sandbox, Pages(), (int(texts[0]), int(texts[1])), rows, sent)


def _page(
    sandbox: Sandbox, pages: Pages, asked: tuple[int, int], rows: Sequence[Json], as_sent: Callable[[Json], Any]
) -> Json:
    """One page. A limit of 0 is the default page, as two production clients rely on (docs/api-facts.md#paging)."""
    limit, offset = asked[0] or 50, asked[1]
    if limit > pages.largest:
        over = sandbox.variants.large_limits if pages.over == "unknown" else pages.over
        if over == "refused":
            raise RefusedError(400, "limit")
        limit = pages.largest if over == "lowered" else limit
    if sandbox.page_size < 50 and pages.largest <= 100:
        limit = min(limit, sandbox.page_size)
    total = {"total": len(rows)} if sandbox.variants.sends_totals else {}
    page = [as_sent(row) for row in rows[offset : offset + limit]]
    return {"paging": {"offset": offset, "limit": limit, **total}, "data": page}


def employee(asked: Asked) -> int:
    """The employee a path names: who works there, or has worked there where a variant answers for those who left.

    Raises:
        RefusedError: 400 as documented, nobody or nobody who works there.
    """
    number: int = asked.ids["employeeId"]
    portal = asked.portal
    people = portal.employees if asked.sandbox.variants.people_who_left == "refused" else portal.everyone
    if all(row["id"] != number for row in people):
        raise RefusedError(400, "employee id")
    return number
