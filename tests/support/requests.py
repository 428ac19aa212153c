"""One client that asks the sandbox, and what it may filter by."""

from __future__ import annotations

import httpx

from planday_io.sandbox.state import Sandbox
from planday_io.sandbox.world import ALL_SCOPES
from tests.support.judging import LEFT, PEOPLE, Row


class Local:
    """A sandbox on a socket and one client that asks it as oslo's app."""

    def __init__(self, sandbox: Sandbox, address: str) -> None:
        self.sandbox, self.portal = sandbox, sandbox.portals["oslo"]
        app = next(app for app in sandbox.apps.values() if "oslo" in app.refresh_tokens)
        app.scopes = ALL_SCOPES
        token = sandbox.access_token(app.client_id, "oslo")
        headers = {"Authorization": f"Bearer {token}", "X-ClientId": app.client_id}
        self.client = httpx.Client(base_url=address, headers=headers, timeout=60)

    def get(self, path: str, query: str = "") -> httpx.Response:
        return self.client.get(f"{path}?{query}" if query else path)

    def rows(self, path: str, query: str = "") -> list[Row]:
        """Rows of all pages, stepping by what came."""
        rows: list[Row] = []
        while True:
            answer = self.get(path, f"{query}&limit={LARGEST.get(path, 50)}&offset={len(rows)}")
            assert answer.status_code == 200, f"{path}?{query}: {answer.text}"
            document = answer.json()
            rows += document["data"]
            if len(rows) >= document.get("paging", {}).get("total", 0):
                return rows


SHIFTS = "/scheduling/v1.0/shifts"
DELETED = "/scheduling/v1.0/shifts/deleted"
LARGEST = {SHIFTS: 5000, DELETED: 1000}


NO_FILTERS = {
    (PEOPLE, "special"),
    (LEFT, "special"),
    (PEOPLE, "includeSecurityGroups"),
    ("/scheduling/v1.0/scheduleDay", "departmentId"),
    ("/scheduling/v1.0/skills", "departmentId"),
    ("/scheduling/v1.0/skills", "employeeGroupId"),
    ("/absence/v1.0/accounts/{accountId}/transactions", "externalId"),
    ("/revenue/v1.0/revenue", "departmentId"),
}
"""Documented parameters of lists whose rows do not show what was asked for: each has a test of its own below."""
