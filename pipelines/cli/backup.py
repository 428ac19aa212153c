"""`planday backup` and `planday restore`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.cli.arguments import current_installation, print_json, terminal

if TYPE_CHECKING:
    from rich.console import Console

    from planday_io.backup import Manifest, Restored
    from planday_io.privacy.erasure import Forgetting
    from planday_io.warehouse import Publication

_FILE = Annotated[Path, typer.Argument(metavar="FILE", help="The backup, a tar file.")]
_JSON = Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")]


def backup(file: _FILE, as_json: _JSON = False) -> None:
    """Write lake, state and portals.yaml to one file, while runs go on. Secrets are not in it.

    Exit code 1 if slices were left out because they are damaged or lost. The file holds personal data: only this account
    may read it.
    """
    installation = current_installation()
    from planday_io.backup import back_up

    console = terminal(err=as_json)
    with _progress(console, "Writing") as progress:
        done = back_up(installation, file, progress)
    manifest = done.manifest
    if as_json:
        print_json(
            {"file": str(done.file), "bytes": done.size, "slices": manifest.slices, "left_out": manifest.left_out}
        )
    else:
        typer.echo(
            f"{manifest.slices} slices, the state and portals.yaml are in {done.file} ({done.size / 2**20:.1f} MiB)"
        )
        _print_left_out(manifest)
        typer.echo("Not in it: .env, files that portals.yaml names, and tokens. Keep those where you keep secrets.")
    raise typer.Exit(1 if manifest.left_out else 0)


def restore(
    file: _FILE,
    check: Annotated[bool, typer.Option("--check", help="Only verify every byte of the backup.")] = False,
    forgotten: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="A copy of `lake/_forgotten` that is newer than the backup: whoever it lists is forgotten again.",
        ),
    ] = None,
    as_json: _JSON = False,
) -> None:
    """Restore a backup into a folder that has no data yet, and publish the warehouse.

    The whole backup is verified first. Start services and schedules afterwards. Exit code 1 if a slice cannot be published,
    or if a value of somebody who is forgotten again is still found somewhere.
    """
    from planday_io.backup import restore as restore_backup
    from planday_io.backup import verify
    from planday_io.catalogue import CATALOGUE

    console = terminal(err=as_json)
    if check:
        with _progress(console, "Verifying") as progress:
            manifest = verify(file, progress)
        if as_json:
            print_json(_about(manifest))
        else:
            _print_about(file, manifest)
        return
    with _progress(console, "Restoring") as progress:
        done = restore_backup(file.absolute(), Path.cwd(), CATALOGUE, progress, forgotten=forgotten)
    if not as_json:
        _print_about(file, done.manifest)
    problems, erased = _publish(done)
    if as_json:
        told = {
            "authorize": sorted(done.manifest.replaced_tokens),
            "problems": problems,
            "forgotten_again": sum(map(len, done.to_forget.values())),
            "places": erased.places,
        }
        print_json({**_about(done.manifest), **told})
    else:
        for name, error in problems.items():
            typer.echo(f"not published: {name}: {error}")
        if done.to_forget:
            _print_forgotten(done, erased)
        _print_next(done, forgotten=forgotten)
    raise typer.Exit(1 if problems or erased.places else 0)


def _publish(done: Restored) -> tuple[dict[str, str], Forgetting]:
    """Publish what was restored. Returns slices that were not published, and why, and what forgetting people again did."""
    from pipelines.publication import publish_pending
    from planday_io.privacy.erasure import Forgetting, forget_people
    from planday_io.privacy.retention import retain

    publications: list[Publication] = []
    erased = Forgetting()
    if done.to_forget:
        # Before anything is published: readers never see them.
        erased = forget_people(done.installation, done.to_forget, publications.append)
    if done.installation.config.has_retention:
        # What became too old since the backup was made, likewise.
        retain(done.installation, datetime.now(UTC), publications.append)
    publications.append(publish_pending(done.installation))
    return {str(key): str(error) for one in publications for key, error in one.problems.items()}, erased


def _about(manifest: Manifest) -> dict[str, object]:
    return {
        "made_at": manifest.made_at,
        "program": manifest.program,
        "slices": manifest.slices,
        "left_out": manifest.left_out,
    }


def _print_about(file: Path, manifest: Manifest) -> None:
    made = f"{manifest.made_at:%Y-%m-%d %H:%M} UTC by version {manifest.program}"
    typer.echo(f"{file} was made on {made}, and holds {manifest.slices} slices; every byte is as it was written.")
    _print_left_out(manifest)


def _print_left_out(manifest: Manifest) -> None:
    for name, why in manifest.left_out.items():
        typer.echo(f"not in it: {name}: {why}")


def _print_forgotten(done: Restored, erased: Forgetting) -> None:
    again = sum(map(len, done.to_forget.values()))
    typer.echo(
        f"Forgotten again, because they were forgotten after the backup was made: {again}. Searched every byte of "
        f"{erased.files} files for {erased.values} of their values: {'some are left' if erased.places else 'none is left'}."
    )
    for place in erased.places:
        typer.echo(f"  still in {place}, in a row of somebody else")


def _print_next(done: Restored, *, forgotten: Path | None) -> None:
    manifest, config = done.manifest, done.installation.config
    if others := sorted({key.portal for key in done.installation.lake.slices()} - config.portals.keys()):
        typer.echo(
            f"Portals of the backup that portals.yaml lacks: {', '.join(others)}. One that was renamed since: "
            "`planday portals rename OLD NEW`."
        )
    typer.echo("Next: put .env and the files of secrets in place, then `planday check` and `planday sync`.")
    for portal in sorted(manifest.replaced_tokens):
        typer.echo(
            f"The token of portal '{portal}' had been rotated, and is not in the backup: `planday authorize {portal}`."
        )
    if forgotten is None:
        typer.echo(
            "People who were forgotten since the backup was made are there again: repeat `planday forget` for them, or "
            "restore into another folder with --forgotten FOLDER."
        )


@contextmanager
def _progress(console: Console, what: str) -> Iterator[Callable[[int, int], None]]:
    """Shows bytes on a terminal, and nothing elsewhere."""
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as shown:
        task = shown.add_task(what, total=None)
        yield lambda done, total: shown.update(task, completed=done, total=total)
