"""Makes one delivery: the export, into its folder, and the mail. What its filters cannot be applied to is refused.

Not here: when it is due (`rounds`), what happens when it fails (`attempts`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile

from planday_io.config.days import Span, span_of
from planday_io.config.delivery import Delivery
from planday_io.config.load import mistakes_in
from planday_io.delivery.delivered import Delivered
from planday_io.delivery.letter import letter
from planday_io.delivery.rounds import zone_of
from planday_io.errors import ConfigError, ExportError, PlandayError, StorageError
from planday_io.export.export import export, require_answer
from planday_io.export.parquet_files import export_parquet
from planday_io.export.request import Filter, Query, query_of
from planday_io.files import storage_errors, temporary
from planday_io.lake.installation import Installation
from planday_io.monitoring.mail import new_mail, send_mail
from planday_io.monitoring.messages import some
from planday_io.warehouse.mart_files import marts

MOST_BYTES = 20 * 2**20
"""Of an attachment: most mail servers take 25 MB, and an attachment grows by a third on its way."""
_NAMES = 3
_PACKED = 10
"""How many times smaller zip makes CSV files, at best."""
_SECONDS = 300.0
"""That sending a mail may take."""
_TYPES = {
    ".xlsx": ("application", "vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
    ".zip": ("application", "zip"),
}


def span_at(installation: Installation, name: str, at: datetime) -> Span:
    """The days of a delivery that is due at an instant."""
    config = installation.config
    return span_of(config.deliver[name].days, at.astimezone(zone_of(config, name)).date())


def faults(installation: Installation, name: str) -> list[str]:
    """What is wrong with a delivery beyond `portals.yaml` itself: its SQL files, and filters that cannot be applied.

    A line each, with file, line, key, found and expected.
    """
    return mistakes_in(installation.config.file, _faults(installation, name))


def _faults(installation: Installation, name: str) -> Iterator[tuple[tuple[str | int, ...], object, str]]:
    one = installation.config.deliver[name]
    columns = {mart.name: mart.columns for mart in marts()}
    for number, mart in enumerate(one.marts):
        for key, values, column in (
            ("portals", one.portals, "portal"),
            ("departments", one.departments, "department_id"),
        ):
            if values and column not in columns[mart]:
                expected = (
                    f"a mart with the column `{column}`, by which `{key}` chooses rows: it is never delivered whole"
                )
                yield ("deliver", name, "marts", number), mart, expected
    for number, file in enumerate(one.sql):
        place = ("deliver", name, "sql", number)
        if not file.is_file():
            yield place, str(file), "a file; there is none"
            continue
        try:
            query = query_of(file)
        except PlandayError as error:
            yield place, str(file), f"a query that can run: {error}"
            continue
        if query.parameters and one.days == "all":
            yield place, str(file), f"`days` other than all, because it uses ${min(query.parameters)}"


def obstacles(installation: Installation, name: str, at: datetime) -> list[str]:
    """Why a delivery that is due at an instant cannot be made: its faults, a folder that is not there, or a query that the
    published file cannot answer.
    """
    missing = _missing_folder(installation, name)
    found = faults(installation, name) or ([missing] if missing else [])
    return found or mistakes_in(installation.config.file, _unanswered(installation, name, at))


def _unanswered(
    installation: Installation, name: str, at: datetime
) -> Iterator[tuple[tuple[str | int, ...], object, str]]:
    one = installation.config.deliver[name]
    # Before the first publication nobody knows.
    for number, file in enumerate(one.sql if installation.config.warehouse.exists() else ()):
        try:
            require_answer(installation, query_of(file), _chosen(one, span_at(installation, name, at)))
        except PlandayError as error:
            yield ("deliver", name, "sql", number), str(file), f"a query that the published file can answer: {error}"


def _chosen(one: Delivery, span: Span) -> Filter:
    return Filter(first=span.first, last=span.last, portals=one.portals, departments=one.departments, is_strict=True)


def _missing_folder(installation: Installation, name: str) -> str:
    """Why the folder of a delivery cannot be made, or an empty text. No mistake of `portals.yaml`: its disk may be away."""
    to = installation.config.deliver[name].to
    if to is None or to.parent.is_dir():
        return ""
    return (
        f"cannot deliver to {to}: there is no folder {to.parent} that it could stand in. Make it, or check that the disk is "
        "mounted. What was there before is untouched"
    )


def deliver(
    installation: Installation,
    name: str,
    at: datetime,
    *,
    remarks: Sequence[str] = (),
    sends: bool = True,
    now: datetime | None = None,
    most_bytes: int = MOST_BYTES,
) -> Delivered:
    """Make a delivery.

    Args:
        installation: whose configuration says what is delivered.
        name: of the delivery.
        at: UTC instant at which it is due: its day says which days are meant.
        remarks: what is known not to be complete, beside what the published file says.
        sends: False for a dry run: the export is made and removed again, and nothing is sent.
        now: the instant that staleness is judged at; the current one by default.
        most_bytes: of an attachment.

    Raises:
        ConfigError: its settings cannot be applied. Nothing was delivered.
        ExportError: it cannot be exported or mailed.
        StorageError: the published file cannot be read, or its folder not be written.
        AlertError, SecretError: the mail was not sent; the file is in its folder, if it has one.
    """
    config = installation.config
    one = config.deliver[name]
    if wrong := faults(installation, name):
        raise ConfigError("\n".join(wrong))
    span = span_at(installation, name, at)
    chosen = _chosen(one, span)
    lease = installation.state.locks.take(f"deliver-{name}")
    if lease is None:
        raise StorageError(f"delivery '{name}' is being made by another process: wait until it has ended")
    with lease, ExitStack() as stack:
        if missing := _missing_folder(installation, name):
            raise StorageError(missing)
        if one.to and sends:
            folder = _folder(one.to)
        else:
            outbox = installation.state.outbox
            with storage_errors(outbox, "make a mail in"):
                outbox.mkdir(parents=True, exist_ok=True, mode=0o700)
                folder = stack.enter_context(temporary(outbox / name))
                folder.mkdir(mode=0o700)
        done = _exported(installation, name, folder, span, chosen, tuple(remarks), now)
        done = replace(done, is_kept=bool(one.to and sends))
        return _mailed(installation, done, chosen, at, most_bytes) if one.mail and sends else done


def _exported(
    installation: Installation,
    name: str,
    folder: Path,
    span: Span,
    chosen: Filter,
    remarks: tuple[str, ...],
    now: datetime | None,
) -> Delivered:
    one = installation.config.deliver[name]
    queries = [query_of(file) for file in one.sql]
    if one.format == "parquet":
        wanted: list[str | Query] = [*(f"marts.{mart}" for mart in one.marts), *queries]
        # Programs read one place, whatever the days.
        made = export_parquet(installation, wanted, folder / name, chosen=chosen, warnings=remarks, now=now)
        return Delivered(
            name=name,
            span=span,
            made=made.place,
            sheets=tuple((table.source, table.rows) for table in made.tables),
            notes=tuple((some(tables, _NAMES), text) for text, tables in made.remarks.items()),
            states=made.states,
            published_at=made.published_at,
            remarks=remarks,
            is_kept=False,
        )
    file_name = f"{name} {span.name}".strip() + (".xlsx" if one.format == "xlsx" else "")
    exported = export(
        installation,
        [*one.marts, *queries],
        folder / file_name,
        form=one.format,
        locale=one.locale or "en",
        chosen=chosen,
        warnings=remarks,
        now=now,
    )
    return Delivered(
        name=name,
        span=span,
        made=exported.place,
        sheets=tuple((sheet.name, sheet.rows) for sheet in exported.sheets),
        notes=exported.remarks,
        states=exported.states,
        published_at=exported.published_at,
        remarks=remarks,
        is_kept=False,
    )


def _folder(folder: Path) -> Path:
    """The folder, which is created; its parent is not: the file must not land in the mount point of an unmounted disk."""
    with storage_errors(folder, "deliver to"):
        folder.mkdir(exist_ok=True)
    return folder


def _mailed(installation: Installation, done: Delivered, chosen: Filter, at: datetime, most_bytes: int) -> Delivered:
    config = installation.config
    mail, to = config.alerts.mail, config.deliver[done.name].mail
    assert mail is not None  # noqa: S101 - refused when the file is read
    file = done.made
    with storage_errors(file, "read"):
        content = _attachment(file, most_bytes)
    if content is None and not done.is_kept:
        raise ExportError(
            f"delivery '{done.name}' is larger than the {most_bytes // 2**20} MiB that a mail may carry. Nothing was sent. "
            "Give it a folder (`to`): then the mail says where the file is. Or deliver fewer days, marts or portals"
        )
    attached = f"{file.name}.zip" if file.is_dir() else file.name
    made = new_mail(mail, to, *letter(done, chosen, attached if content is not None else None))
    # The same for each attempt: of a mail that was sent twice, mail programs show one.
    domain = mail.sender.rpartition("@")[2]
    made.replace_header("Message-ID", f"<planday-{done.name}-{at.astimezone(UTC):%Y%m%dT%H%M%S}@{domain}>")
    made["Auto-Submitted"] = "auto-generated"
    if content is not None:
        maintype, subtype = _TYPES[Path(attached).suffix]
        made.add_attachment(content, maintype=maintype, subtype=subtype, filename=attached)
    refused = send_mail(mail, config, made, _SECONDS)
    return replace(done, mailed=len(to) - refused, refused=refused, is_attached=content is not None)


def _attachment(file: Path, most_bytes: int) -> bytes | None:
    """The file, or a folder's files in one; None if that is too large for a mail. Raises OSError."""
    if not file.is_dir():
        return file.read_bytes() if file.stat().st_size <= most_bytes else None
    files = [one for one in sorted(file.iterdir()) if not one.name.startswith(".")]
    if sum(one.stat().st_size for one in files) > most_bytes * _PACKED:
        return None
    with BytesIO() as memory:
        with ZipFile(memory, "w", ZIP_DEFLATED) as packed:
            for one in files:
                packed.write(one, one.name)
        content = memory.getvalue()
    return content if len(content) <= most_bytes else None
