"""Can each portal be read? Checks token, identity, and one row per scope. Writes nothing except a rotated token."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from planday_io.catalogue import Catalogue, Endpoint
from planday_io.client.http import NONE, Counters, PortalClient
from planday_io.errors import AccessRevokedError, ApiError, MissingScopeError, PlandayError, StorageError
from planday_io.frames.members import PathParam
from planday_io.lake.installation import Installation
from planday_io.months import first_day, last_day, month_of
from planday_io.onboarding.absence_kinds import absence_kinds
from planday_io.onboarding.doubles import ask_portal_ids, doubles, never_read
from planday_io.onboarding.pay_coverage import pay_coverage
from planday_io.onboarding.retention import retention
from planday_io.onboarding.shift_kinds import shift_kinds
from planday_io.reading.calls import Call, Parent, calls_of
from planday_io.reading.read import ask
from planday_io.reading.rows import primary, rows_of
from planday_io.sync.connection import PortalConnection


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was tried.

    Args:
        portal: config key.
        subject: `token`, `portal`, a table, `pay` (people without pay; see `planday_io.onboarding.pay_coverage`), `shift
            kinds` or `absence kinds` (what types stand for; see `planday_io.onboarding.guesses`), `retention` (its rules).
        is_good: whether it works.
        detail: what was found, or what to do.
        lacks_scope: where that is why it does not work: the scope, or `?` where none is documented.
        is_refused: the API refused the call itself (401, 402, 403).
        was_tried: whether a call was made.
    """

    portal: str
    subject: str
    is_good: bool
    detail: str
    lacks_scope: str = ""
    is_refused: bool = False
    was_tried: bool = True


_REFUSED = (401, 402, 403)


def check(installation: Installation, portals: list[str]) -> list[Finding]:
    """Check some portals, all at once. Portals that were never read are compared with each other as well."""

    async def all_of_them() -> list[list[Finding]]:
        new = never_read(installation)
        opened: Opened = {key: asyncio.get_running_loop().create_future() for key in new}
        others = [key for key in new if key not in portals] if opened.keys() & {*portals} else []
        checks = [_check_portal(installation, portal, opened) for portal in portals]
        *findings, _ = await asyncio.gather(*checks, _ask_others(installation, others, opened))
        return [one for one in findings if one is not None]

    return [finding for findings in asyncio.run(all_of_them()) for finding in findings]


Opened = dict[str, "asyncio.Future[int | None]"]
"""Keys that were never read -> the portal that the token opens, or None; whoever asks Planday says so to all others."""


async def _ask_others(installation: Installation, keys: list[str], opened: Opened) -> None:
    """Ask for the new keys that are compared with, but not checked."""
    for key, portal_id in (await ask_portal_ids(installation, keys)).items():
        opened[key].set_result(portal_id)


async def _check_portal(installation: Installation, portal: str, opened: Opened) -> list[Finding]:
    """Check one portal, and compare it with the other keys that were never read."""
    connection = PortalConnection(installation, portal)
    findings: list[Finding] = []
    try:
        async with connection.open() as client:
            await client.authorize()
            findings.append(Finding(portal, "token", is_good=True, detail="exchanged for an access token"))
            portal_id = await connection.identify(client, remember=False)
            detail = f"Planday portal {portal_id}"
            if portal in opened:
                opened[portal].set_result(portal_id)
                found = {key: await other for key, other in opened.items()}
                if error := doubles(installation, found).get(portal):
                    raise error
                if unknown := [key for key, other in found.items() if other is None]:
                    detail += f"; not compared with {', '.join(unknown)}, whose tokens cannot be used"
            findings.append(Finding(portal, "portal", is_good=True, detail=detail))
            probe = _Probe(installation, portal, client)
            findings += [await probe.finding(one) for one in installation.endpoints_of(portal)]
        findings += _told(portal, "pay", lambda: pay_coverage(installation, portal, datetime.now(UTC)))
        findings += _told(portal, "shift kinds", lambda: shift_kinds(installation, portal))
        findings += _told(portal, "absence kinds", lambda: absence_kinds(installation, portal))
        findings += _told(portal, "retention", lambda: retention(installation, portal))
    except PlandayError as error:
        subject = "portal" if findings else "token"
        if isinstance(error, AccessRevokedError):
            subject = "administrator"
        findings.append(Finding(portal, subject, is_good=False, detail=str(error), is_refused=_is_refused(error)))
    finally:
        if portal in opened and not opened[portal].done():
            opened[portal].set_result(None)
    return findings


def _told(portal: str, subject: str, ask_lake: Callable[[], str | None]) -> list[Finding]:
    """What the lake says of something, without a call."""
    try:
        told = ask_lake()
    except StorageError as error:
        told = f"not known: {error}"
    return [Finding(portal, subject, is_good=True, detail=told, was_tried=False)] if told else []


def _is_refused(error: PlandayError) -> bool:
    return isinstance(error, AccessRevokedError) or (isinstance(error, ApiError) and error.status in _REFUSED)


def _is_refused_everywhere(catalogue: Catalogue, findings: list[Finding]) -> bool:
    """Whether every call that needs a scope was refused. Calls without a scope prove nothing about the others."""
    scopes = {endpoint.name: endpoint.scope for endpoint in catalogue.endpoints}
    calls = [one for one in findings if one.was_tried and (scopes.get(one.subject) or not one.is_good)]
    return bool(calls) and all(one.is_refused for one in calls)


def advice(installation: Installation, findings: list[Finding]) -> list[str]:
    """What to do about refused calls, per portal, with the `resources` line to paste for missing scopes."""
    catalogue = installation.catalogue
    lines = []
    for portal, settings in installation.config.portals.items():
        own_findings = [one for one in findings if one.portal == portal]
        if _is_refused_everywhere(catalogue, own_findings):
            lines += [
                f"Portal {portal}: every call was refused. There are three causes:",
                "  the package: the Open API is part of Planday's Pro and Enterprise packages, so ask Planday whether this "
                "portal's package has it;",
                "  the app: it has none of the scopes, or was revoked under Settings > Integrations > API Access;",
                f"  the administrator who authorized it: deactivated, or of a low access level. Run `planday authorize "
                f"{portal}` with the highest access level, for an app with all scopes.",
            ]
            continue
        lacking = [one for one in own_findings if one.lacks_scope]
        if not lacking:
            continue
        lines.append(f"Portal {portal}: the app lacks scopes, and scopes cannot be added to an app.")
        lost: dict[str, list[str]] = {}
        for one in lacking:
            tables = [table.full_name for table in catalogue.endpoint_of(one.subject).tables]
            lost.setdefault(one.lacks_scope, []).extend(tables)
        for scope, tables in lost.items():
            lines.append(f"  {scope if scope != '?' else 'a scope that is not documented'}: costs {', '.join(tables)}")
        own = {table.full_name for one in installation.endpoints_of(portal) for table in one.tables}
        excluded = dict.fromkeys(settings.resources.exclude)
        names = [name for tables in lost.values() for name in tables]
        for name in names:
            domain = name.partition(".")[0]
            excluded[domain if {n for n in own if n.startswith(f"{domain}.")} <= {*names} else name] = None
        include = ", ".join(settings.resources.include)
        lines += [
            f"  Either create a new app with all of them and run `planday authorize {portal}`,",
            f"  or leave the tables out; under {portal} in {installation.config.file.name}:",
            f"    resources: {{include: [{include}], exclude: [{', '.join(excluded)}]}}",
        ]
    return lines


def personal_data(installation: Installation) -> list[tuple[str, str, str, str]]:
    """Which personal data is stored where: class, policy, columns, tables in use.

    `sensitive` is requested only if it is not dropped, and only if the app has the scope.
    """
    config, catalogue = installation.config, installation.catalogue
    has = {endpoint.name for portal in config.portals for endpoint in installation.endpoints_of(portal)}
    in_use = [table for endpoint in catalogue.endpoints if endpoint.name in has for table in endpoint.tables]
    found = []
    does = {"keep": "kept as it is", "hash": "kept as a keyed hash", "drop": "dropped: NULL"}
    for name in type(config.privacy).model_fields:
        if name == "hash_key":
            continue
        columns: dict[str, None] = {}
        tables: list[str] = []
        for table in in_use:
            if own := [column.name for column in table.columns if column.privacy == name]:
                columns |= dict.fromkeys(own)
                tables.append(table.full_name)
                if history := catalogue.histories.get(table.full_name):
                    tables.append(history.published_name)
        if name == "unknown":
            columns, tables = {"_extra": None}, ["every table"]
        found.append((name, does[config.privacy.policy(name)], ", ".join(columns), ", ".join(tables)))
    return found


class _Probe:
    """Requests one row from each endpoint of a portal."""

    def __init__(self, installation: Installation, portal: str, client: PortalClient) -> None:
        self._installation = installation
        self._portal = portal
        self._client = client
        self._rows: dict[str, dict[str, Any] | None] = {}

    async def finding(self, endpoint: Endpoint) -> Finding:
        """Whether the endpoint answers."""
        portal = self._portal
        try:
            call = await self._call(endpoint)
            if call is None:
                assert endpoint.fan_out is not None  # noqa: S101 - without one there always is a call
                detail = f"no {endpoint.fan_out.parent} to try it with"
                return Finding(portal, endpoint.name, is_good=True, detail=detail, was_tried=False)
            await self._get(endpoint, call)
        except PlandayError as error:
            missing = endpoint.fan_out.missing_statuses if endpoint.fan_out else ()
            if not (isinstance(error, ApiError) and error.status in missing):
                found = Finding(portal, endpoint.name, is_good=False, detail=str(error), is_refused=_is_refused(error))
                lacks_scope = isinstance(error, MissingScopeError)
                return replace(found, lacks_scope=endpoint.scope or "?") if lacks_scope else found
        return Finding(portal, endpoint.name, is_good=True, detail=endpoint.scope or "no scope documented")

    async def _call(self, endpoint: Endpoint) -> Call | None:
        """The first call of an endpoint, or None when there is nothing to fan out over."""
        parents = None
        today = datetime.now(ZoneInfo(self._installation.config.portals[self._portal].timezone)).date()
        if fan_out := endpoint.fan_out:
            row = await self._first_row(fan_out.parent)
            if row is None or any(row.get(column) is None for column in fan_out.columns):
                return None
            path_params: dict[str, PathParam] = {path_param: row[column] for path_param, column in fan_out.bind}
            path_params |= {fan_out.today[0]: today} if fan_out.today else {}
            parents = [Parent(tuple(row[column] for column in fan_out.columns), path_params)]
        month = month_of(today)
        days = (first_day(month), last_day(month)) if endpoint.window else None
        return calls_of(endpoint, days=days, parents=parents)[0]

    async def _first_row(self, table: str) -> dict[str, Any] | None:
        """The columns of one row that are in the row or in its call."""
        if table not in self._rows:
            endpoint = self._installation.catalogue.endpoint_of(table)
            call = await self._call(endpoint)
            rows = await self._get(endpoint, call) if call else []
            first = rows[0] if rows and isinstance(rows[0], dict) else None
            self._rows[table] = first and {
                column.name: call.path_params.get(column.path_param)
                if call and column.path_param
                else first.get(column.member)
                for column in endpoint.tables[0].columns
            }
        return self._rows[table]

    async def _get(self, endpoint: Endpoint, call: Call) -> list[object]:
        answer = await ask(endpoint, self._client, call, Counters(), rows=1)
        return [] if answer is NONE else [*rows_of(primary(endpoint), answer)]
