"""Portals added while everything runs."""

from __future__ import annotations

from tests.support.installation import Installation


def add_to_file(planday: Installation, key: str) -> None:
    client_id = next(app.client_id for app in planday.sandbox.apps.values() if "oslo" in app.refresh_tokens)
    (planday.folder / f"{key}.txt").write_text(planday.add_portal(key, 9001))
    planday.edit_config(
        "portals:\n", f"portals:\n  {key}: {{client_id: {client_id}, refresh_token: {{file: {key}.txt}}}}\n"
    )
