"""The mail of a delivery: its subject and first line say whether it is complete. Figures are only in the file."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC

from planday_io.delivery.delivered import Delivered
from planday_io.export.request import Filter
from planday_io.monitoring.messages import some

_NAMED, _LINES = 6, 20


def letter(done: Delivered, chosen: Filter, attached: str | None) -> tuple[str, str]:
    """Subject and text.

    Args:
        done: what was exported.
        chosen: the filter.
        attached: name of the attachment, or None where it is too large.
    """
    verdict = "complete" if done.is_complete else "NOT COMPLETE"
    subject = f"{done.name} {done.span.name}".strip() + f": {verdict}"
    return subject, "\n".join(_lines(done, chosen, attached))


def _lines(done: Delivered, chosen: Filter, attached: str | None) -> Iterator[str]:
    yield verdict_of(done)
    yield from (f"- {remark}" for remark in done.remarks)
    bad = [one for one in done.states if not one.is_complete]
    yield from (f"- {one.portal} {one.month or 'lists'}: {one.words}" for one in bad[:_LINES])
    if len(bad) > _LINES:
        yield f"- and {len(bad) - _LINES} more, on the first sheet"
    yield ""
    if attached is not None:
        yield f"Attached: {attached}"
    if done.is_kept:
        too_large = "" if attached else " (too large to attach)"
        yield f"Saved as: {done.made}{too_large}"
    yield "Contents: " + "; ".join(f"{name} ({rows:,} rows)" for name, rows in done.sheets)
    yield from (f"{name}: {remark}" for name, remark in done.notes)
    # Without a filter also one that portals.yaml no longer has.
    portals = dict.fromkeys(one.portal for one in done.states)
    yield f"Portals: {', '.join(portals)}. Filter: {chosen.words()}."
    yield f"Figures as of: {done.published_at.astimezone(UTC):%Y-%m-%d %H:%M} UTC."
    yield ""
    yield "It may contain personal data: pass it on only to people who may see it."
    yield "You get this mail because the settings of the data warehouse name you. Whoever runs it can remove you."


def verdict_of(done: Delivered) -> str:
    """One line: complete or not, and what is not."""
    if done.is_complete:
        return "Complete: everything that these figures are computed from was read, and nothing is stale."
    bad = [one for one in done.states if not one.is_complete]
    if not bad:
        return "NOT COMPLETE:"
    names = some([f"{one.portal} {one.month or 'lists'}" for one in bad], _NAMED)
    return f"NOT COMPLETE: {names} ({len(bad)} of {len(done.states)} portals and months)."
