"""Absence of the local Planday. Facts: docs/api-facts.md#absence."""

from __future__ import annotations

from typing import Any

from planday_io.sandbox.answers import document, found, listing, sent, unpaged
from planday_io.sandbox.endpoint import Asked, Endpoint, Pages, Param, RefusedError
from planday_io.sandbox.leave import ACCOUNT_TYPES, TYPES
from planday_io.sandbox.params import day, one_id, period, status, text_of
from planday_io.sandbox.people import Json

_PAGES = Pages(largest=100, is_capitalised=True)
"""Three clients page with 100 and step by 100, so that must be taken."""

_PERIOD = period("startDate", "endDate", lambda row: (row["absencePeriod"]["start"], row["absencePeriod"]["end"]))


def _validity(row: Json) -> tuple[str | None, str | None]:
    valid = row["validityPeriod"] or {}
    return valid.get("start"), valid.get("end")


def _account(asked: Asked) -> int:
    number: int = found(asked.portal.leave.accounts, asked.ids["accountId"])["id"]
    return number


def _account_as_sent(row: Json, asked: Asked) -> Any:  # noqa: ANN401 - JSON
    return sent(row if asked.sandbox.variants.account_employees else row | {"employeeId": None})


def _balance(asked: Asked) -> Json:
    held = asked.portal.leave.balance(_account(asked), asked.values.get("balanceDate"))
    if held is None:
        raise RefusedError(404, "balance")
    return {"data": {"balance": held}}


def _transactions(asked: Asked) -> list[Json]:
    rows = asked.portal.leave.transactions.get(_account(asked), [])
    return [row | {"id": n} for n, row in enumerate(rows, start=1)] if asked.sandbox.variants.transaction_ids else rows


def _record(asked: Asked) -> Any:  # noqa: ANN401 - the envelope is not known, so both are answered
    row = sent(found(asked.portal.leave.records, asked.ids["id"]))
    return row if asked.portal.key == "london" else {"data": row}


def _accrued(asked: Asked) -> Json:
    earning = [row for row in ACCOUNT_TYPES if row["accruingRate"]["value"]]  # type: ignore[index]
    return {"data": sent(found(earning, asked.ids["id"]))}


ENDPOINTS: tuple[Endpoint, ...] = (
    unpaged("/absence/v1.0/absencetypes", "absence:read", lambda _: TYPES),
    listing(
        "/absence/v1.0/accounttypes",
        "absence:read",
        lambda _: ACCOUNT_TYPES,
        status("absenceType", None, "absenceType"),
        pages=_PAGES,
    ),
    document("/absence/v1.0/accounttypes/accrued/{id}", "absencesettings:read", _accrued),
    listing(
        "/absence/v1.0/accounts",
        "absence:read",
        lambda asked: asked.portal.leave.accounts,
        one_id("employeeId"),
        status("status", ("Active", "Inactive")),
        *period("startDate", "endDate", _validity),
        pages=_PAGES,
        as_sent=_account_as_sent,
    ),
    document(
        "/absence/v1.0/accounts/{accountId}/balance", "absence:read", _balance, Param(name="balanceDate", read=day)
    ),
    listing(
        "/absence/v1.0/accounts/{accountId}/transactions",
        "absence:read",
        _transactions,
        Param(name="date", read=day, keeps=lambda row, at, _: row["date"] == at),
        Param(name="externalId", read=text_of, keeps=lambda row, wanted, _: row.get("externalId") == wanted),
        pages=_PAGES,
    ),
    listing(
        "/absence/v1.0/accounts/{accountId}/adjustments",
        "absence:read",
        lambda asked: asked.portal.leave.adjustments.get(_account(asked), []),
        pages=_PAGES,
    ),
    listing(
        "/absence/v1.0/absencerecords",
        "absence:read",
        lambda asked: asked.portal.leave.records,
        one_id("employeeId"),
        *_PERIOD,
        status("statuses", ("Approved", "Declined"), many=True),
        pages=_PAGES,
    ),
    document("/absence/v1.0/absencerecords/{id}", "absence:read", _record),
    listing(
        "/absence/v1.0/absencerequests",
        "absence:read",
        lambda asked: asked.portal.leave.requests,
        one_id("employeeId"),
        *_PERIOD,
        status("status", None, many=True),
        pages=_PAGES,
    ),
)
