"""The absence domain: vacation and overtime accounts, requests, records. Facts: docs/api-facts.md#absence.

Portals may register absence as shifts with special types instead, so load both. Which scope each path takes is not
documented. Statuses are not filtered: as far as is known, a request without a filter returns all of them.
"""

from __future__ import annotations

from planday_io.catalogue.endpoint import Endpoint, FanOut, Pages, Window
from planday_io.catalogue.model import ChildArray, Column, Document, Person, StructList, Table

_DOCS = "https://openapi.planday.com/api/absence"

_PAGES = Pages(limit=50, limit_param="Limit", offset_param="Offset")
_EVER = Window(start_param="startDate", end_param="endDate")
_EACH_ACCOUNT = (("account_id", "id"),)
_AMOUNTS = StructList(
    fields=(
        Column("value", "DECIMAL", "Amount; a negative amount is taken or booked."),
        Column("unit_type", "VARCHAR", "Days, Hours and the like.", member="unit.type"),
    )
)

_PERIOD = (
    Column("absence_period_start", "DATE", "First day of the absence.", member="absencePeriod.start"),
    Column("absence_period_end", "DATE", "Last day of the absence.", member="absencePeriod.end"),
)

ABSENCE_TYPES = Endpoint(
    path="/absence/v1.0/absencetypes",
    scope="absence:read",
    docs=_DOCS,
    none_statuses=(204, 404),
    tables=(
        Table(
            domain="absence",
            name="absence_types",
            doc="Types of absence. Only the path is documented: members other than id and name land in `_extra`.",
            key=("id",),
            confidence="unknown",
            columns=(
                Column("id", "BIGINT", "Absence type id."),
                Column("name", "VARCHAR", "Name of the type."),
            ),
        ),
    ),
)

ACCOUNT_TYPES = Endpoint(
    path="/absence/v1.0/accounttypes",
    scope="absence:read",
    docs=_DOCS,
    pages=_PAGES,
    none_statuses=(204, 404),
    tables=(
        Table(
            domain="absence",
            name="account_types",
            doc="Types of absence accounts. An accruing rate of 0 percent is a fixed allowance, any other is earned.",
            key=("id",),
            confidence="observed",
            columns=(
                Column("id", "BIGINT", "Account type id."),
                Column("name", "VARCHAR", "Name of the type."),
                Column("absence_type", "VARCHAR", "Vacation, Flextime and others."),
                Column("unit", "JSON", "Unit of the account; its form is not known."),
                Column("accruing_rate_value", "DECIMAL", "How much is earned.", member="accruingRate.value"),
                Column("accruing_rate_unit_type", "VARCHAR", "Unit of the rate.", member="accruingRate.unit.type"),
            ),
        ),
    ),
)

ACCOUNTS = Endpoint(
    path="/absence/v1.0/accounts",
    scope="absence:read",
    docs=_DOCS,
    pages=_PAGES,
    tables=(
        Table(
            domain="absence",
            name="accounts",
            doc="Absence accounts: one per employee, type and holiday year.",
            key=("id",),
            people=(Person(column="employee_id", role="worker"),),
            confidence="observed",
            columns=(
                Column("id", "BIGINT", "Account id, unique within the portal."),
                Column(
                    "employee_id",
                    "BIGINT",
                    "Id in `hr.employees`; may be missing.",
                    confidence="unknown",
                    references="hr.employees",
                ),
                Column("type_id", "BIGINT", "Id in `absence.account_types`.", references="absence.account_types"),
                Column("name", "VARCHAR", "Name of the account."),
                Column("status", "VARCHAR", "Active or Inactive.", values=("Active", "Inactive")),
                Column("validity_period_start", "DATE", "First day it is valid.", member="validityPeriod.start"),
                Column("validity_period_end", "DATE", "Last day it is valid.", member="validityPeriod.end"),
            ),
        ),
    ),
)

ABSENCE_RECORDS = Endpoint(
    path="/absence/v1.0/absencerecords",
    scope="absence:read",
    docs=_DOCS,
    pages=_PAGES,
    window=_EVER,
    tables=(
        Table(
            domain="absence",
            name="absence_records",
            doc="Absences that were approved or declined, from `history_start` to 18 months ahead.",
            key=("id",),
            people=(Person(column="employee_id", role="worker"),),
            confidence="observed",
            aged_by=("absence_period_end",),
            columns=(
                Column("id", "BIGINT", "Absence record id, unique within the portal."),
                Column("employee_id", "BIGINT", "Id in `hr.employees`.", references="hr.employees"),
                Column("status", "VARCHAR", "Approved or Declined.", values=("Approved", "Declined")),
                Column("note", "VARCHAR", "Note, as typed.", "free_text"),
                *_PERIOD,
            ),
        ),
        Table(
            domain="absence",
            name="absence_record_registrations",
            doc="What each absence takes from which account, day by day.",
            key=("absence_record_id", "ordinal"),
            ordinal="ordinal",
            confidence="observed",
            rows=ChildArray(member="registrations"),
            aged_by=("date",),
            columns=(
                Column(
                    "absence_record_id",
                    "BIGINT",
                    "Id in `absence.absence_records`.",
                    member="@parent",
                    references="absence.absence_records",
                ),
                Column("ordinal", "BIGINT", "Number of the registration within the record.", member="@ordinal"),
                Column("date", "DATE", "Day of absence."),
                Column("time_start", "VARCHAR", "Start, where it is not the whole day.", member="time.start"),
                Column("time_end", "VARCHAR", "End, where it is not the whole day.", member="time.end"),
                Column(
                    "account_id",
                    "BIGINT",
                    "Id in `absence.accounts`.",
                    member="account.id",
                    references="absence.accounts",
                ),
                Column("account_costs", _AMOUNTS, "Amount it takes from the account.", member="account.costs"),
            ),
        ),
    ),
)

ABSENCE_REQUESTS = Endpoint(
    path="/absence/v1.0/absencerequests",
    scope="absence:read",
    docs=_DOCS,
    pages=_PAGES,
    window=_EVER,
    tables=(
        Table(
            domain="absence",
            name="absence_requests",
            doc="Absences that people asked for, from `history_start` to 18 months ahead.",
            key=("id",),
            people=(Person(column="employee_id", role="worker"),),
            confidence="observed",
            aged_by=("absence_period_end",),
            columns=(
                Column("id", "BIGINT", "Absence request id, unique within the portal."),
                Column("employee_id", "BIGINT", "Id in `hr.employees`.", references="hr.employees"),
                Column(
                    "status",
                    "VARCHAR",
                    "Approved has been observed; Submitted, Declined and Cancelled are known from a client's code only.",
                ),
                Column("note", "VARCHAR", "Note, as typed.", "free_text"),
                *_PERIOD,
            ),
        ),
        Table(
            domain="absence",
            name="absence_request_accounts",
            doc="The accounts that a request wants to draw on.",
            key=("absence_request_id", "ordinal"),
            ordinal="ordinal",
            confidence="observed",
            rows=ChildArray(member="requestedAccounts"),
            columns=(
                Column(
                    "absence_request_id",
                    "BIGINT",
                    "Id in `absence.absence_requests`.",
                    member="@parent",
                    references="absence.absence_requests",
                ),
                Column("ordinal", "BIGINT", "Number of the account within the request.", member="@ordinal"),
                Column(
                    "id",
                    "BIGINT",
                    "Id in `absence.accounts`, whose `type_id` leads to the type.",
                    references="absence.accounts",
                ),
                Column("name", "VARCHAR", "Name of the account."),
                Column("cost", _AMOUNTS, "Amount it would take from the account."),
            ),
        ),
    ),
)

ACCOUNT_BALANCES = Endpoint(
    path="/absence/v1.0/accounts/{account_id}/balance",
    scope="absence:read",
    docs=_DOCS,
    # Without a date the API answers with the balance at the end of the account, after planned leave.
    params=(("balanceDate", "{balance_date}"),),
    fan_out=FanOut(
        parent="absence.accounts",
        bind=_EACH_ACCOUNT,
        missing_statuses=(400,),
        today=("balance_date", "validity_period_end"),
    ),
    none_statuses=(204, 404),
    tables=(
        Table(
            domain="absence",
            name="account_balances",
            doc="What each account held on the day of the read (or on its last day, if that has passed): earned minus "
            "taken. One call per account.",
            key=("account_id", "balance_date", "unit_type"),
            on_request=True,
            confidence="observed",
            rows=Document(member="data.balance"),
            aged_by=("balance_date",),
            columns=(
                Column(
                    "account_id",
                    "BIGINT",
                    "Id in `absence.accounts`.",
                    member="{account_id}",
                    references="absence.accounts",
                ),
                Column("balance_date", "DATE", "Day of the balance.", member="{balance_date}"),
                Column("unit_type", "VARCHAR", "Days, Hours and the like.", member="unit.type"),
                Column("value", "DECIMAL", "The balance, in that unit."),
            ),
        ),
    ),
)

ACCOUNT_TRANSACTIONS = Endpoint(
    path="/absence/v1.0/accounts/{account_id}/transactions",
    scope="absence:read",
    docs=_DOCS,
    pages=_PAGES,
    fan_out=FanOut(parent="absence.accounts", bind=_EACH_ACCOUNT, missing_statuses=(400,)),
    none_statuses=(204, 404),
    tables=(
        Table(
            domain="absence",
            name="account_transactions",
            doc="Entries and adjustments of each account. A negative entry is leave that was taken, or booked if its "
            "date is in the future; what is earned is not listed. One call per account.",
            key=("account_id", "ordinal"),
            ordinal="ordinal",
            on_request=True,
            confidence="observed",
            aged_by=("date",),
            columns=(
                Column(
                    "account_id",
                    "BIGINT",
                    "Id in `absence.accounts`.",
                    member="{account_id}",
                    references="absence.accounts",
                ),
                Column(
                    "ordinal",
                    "BIGINT",
                    "Number of the transaction within the account, oldest first.",
                    member="@ordinal",
                ),
                Column("date", "DATE", "Day of the transaction."),
                Column("type", "VARCHAR", "Entry or Adjustment."),
                Column("costs", _AMOUNTS, "Amounts of the transaction."),
                Column("note", "VARCHAR", "Note, as typed.", "free_text"),
                Column("id", "BIGINT", "Transaction id, where the API sends one.", confidence="unknown"),
                Column("external_id", "VARCHAR", "Id given by another system.", confidence="unknown"),
            ),
        ),
    ),
)

ACCOUNT_ADJUSTMENTS = Endpoint(
    path="/absence/v1.0/accounts/{account_id}/adjustments",
    scope="absence:read",
    docs=_DOCS,
    pages=_PAGES,
    fan_out=FanOut(parent="absence.accounts", bind=_EACH_ACCOUNT, missing_statuses=(400,)),
    none_statuses=(204, 404),
    tables=(
        Table(
            domain="absence",
            name="account_adjustments",
            doc="Corrections of each account. The members are inferred from the request that creates one. One call per "
            "account.",
            key=("account_id", "ordinal"),
            ordinal="ordinal",
            on_request=True,
            confidence="inferred",
            aged_by=("effective_date",),
            columns=(
                Column(
                    "account_id",
                    "BIGINT",
                    "Id in `absence.accounts`.",
                    member="{account_id}",
                    references="absence.accounts",
                ),
                Column(
                    "ordinal", "BIGINT", "Number of the adjustment within the account, oldest first.", member="@ordinal"
                ),
                Column("effective_date", "DATE", "Day from which it counts."),
                Column("value", "DECIMAL", "Amount of the correction."),
                Column("comment", "VARCHAR", "Reason, as typed.", "free_text"),
            ),
        ),
    ),
)

ENDPOINTS = (
    ABSENCE_TYPES,
    ACCOUNT_TYPES,
    ACCOUNTS,
    ABSENCE_RECORDS,
    ABSENCE_REQUESTS,
    ACCOUNT_BALANCES,
    ACCOUNT_TRANSACTIONS,
    ACCOUNT_ADJUSTMENTS,
)
