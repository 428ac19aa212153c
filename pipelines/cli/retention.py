"""`planday retention`: takes away what is older than portals.yaml allows, or shows in counts what that would be."""

from __future__ import annotations

from dataclasses import asdict, replace
from datetime import UTC, datetime
from functools import partial

from rich.console import Console

from pipelines.cli.arguments import print_json
from pipelines.cli.console import print_rows, say
from pipelines.cli.publishing import report_without_run
from planday_io.delivery.ageing import old_deliveries, remove_old_deliveries
from planday_io.lake.installation import Installation
from planday_io.privacy.retention import Retained, preview, remarks, retain


def retention(installation: Installation, console: Console, *, dry_run: bool, as_json: bool) -> int:
    """Apply the rules, or only count. Returns the exit code: 1 if something was left."""
    now = datetime.now(UTC)
    report = partial(report_without_run, installation)
    done = preview(installation, now) if dry_run else retain(installation, now, report)
    delivered = len(old_deliveries(installation, now)) if dry_run else remove_old_deliveries(installation, now)
    if as_json:
        print_json(_plain(done) | {"deliveries": delivered})
        return 0 if done.is_complete else 1
    rows = [(one.portal, one.table, one.rule, f"{one.cutoff}", one.removed, one.cleared) for one in done.taken]
    heads = ("portal", "table", "rule", "first day kept", "rows removed", "rows that lost values")
    if rows:
        print_rows(console, "", heads, rows)
    say(console, *_lines(installation, done, dry_run=dry_run))
    if delivered:
        say(
            console,
            f"Delivered files that {'are too old' if dry_run else 'were too old and are removed'}: {delivered}.",
        )
    return 0 if done.is_complete else 1


def _lines(installation: Installation, done: Retained, *, dry_run: bool) -> list[str]:
    config = installation.config
    name = config.file.name
    lines = []
    if not config.has_retention:
        lines.append(f"{name} has no rules of `retention`, so nothing becomes too old.")
    elif dry_run:
        lines.append("Nothing was changed." if done.taken else "Nothing is too old.")
    elif not done.taken:
        lines.append(f"Nothing {'else ' if done.errors else ''}had become too old.")
    else:
        searched = f"Looked for {done.searched} of the {done.values} texts taken in every byte of {done.files} files"
        found = "some are left" if done.places else "none is left"
        lines.append(f"{searched}: {found}." if done.values else "No text was taken, so there was nothing to look for.")
        if done.shared:
            lines.append(f"Rows that stay have {done.shared} of the others as well, so these cannot be looked for.")
        lines.append("Open connections still show the previous file. Backups and copies of the files are up to you.")
    lines += [f"  still in {place}" for place in done.places]
    lines += remarks(done)
    return lines + [f"{key} could not be cleaned: {error}" for key, error in done.errors.items()]


def _plain(done: Retained) -> dict[str, object]:
    taken = [asdict(one) | {"cutoff": one.cutoff.isoformat()} for one in done.taken]
    errors = {str(key): str(error) for key, error in done.errors.items()}
    return asdict(replace(done, errors={})) | {"taken": taken, "errors": errors}
