"""Which rules of `retention` a portal has, and whether the people of `hold` are known; from the lake, without a call."""

from __future__ import annotations

from planday_io.lake.installation import Installation
from planday_io.lake.retention import PortalRetention


def retention(installation: Installation, portal: str) -> str | None:
    """The rules that apply to a portal, and what keeps them from working.

    Returns:
        Sentences for people, or None where the portal has no rule.

    Raises:
        StorageError: the lake cannot be read.
    """
    settings = installation.config.portals[portal].retention
    if not settings.ages() and not settings.hold:
        return None
    rules = PortalRetention(installation.config, installation.lake, portal)
    told = [", ".join(f"{rule} {age}" for rule, age in settings.ages().items()) or "no rule, so `hold` has no effect"]
    if settings.hold:
        told.append(f"people held: {len({*settings.hold})}")
    if unknown := rules.unknown_held():
        told.append(f"`hold` names ids that nobody has: {', '.join(map(str, unknown))}")
    if not rules.knows_leavers():
        told.append("who left is not known until hr.employees and hr.deactivated_employees were read")
    return "; ".join(told)
