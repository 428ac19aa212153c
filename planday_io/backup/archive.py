"""The file of a backup: a plain tar file whose first member, the manifest, names every other one with its SHA-256.

A tar file, because every system reads it: `tar -xf FILE lake/hr` takes out one domain. It is not compressed: what is in it is
Parquet, which is. Python's `tarfile` writes and reads it member by member, so memory does not grow with the lake.

Names in a backup: `portals.yaml`, `state.sqlite`, and `lake/` with paths as in the lake.

Not here: what belongs in a backup (`make`), restoring it (`restore`).
"""

from __future__ import annotations

import hashlib
import io
import shutil
import tarfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import IO, Annotated

import msgspec

from planday_io.errors import BackupError
from planday_io.files import replacing, storage_errors

FORMAT = 1
"""The version of the manifest. A backup of a later version is refused."""
CONFIGURATION, STATE, LAKE = "portals.yaml", "state.sqlite", "lake/"
"""Names of members; the last is the beginning of those of the lake."""

Progress = Callable[[int, int], None]
"""Called with the bytes done, and the bytes in total."""

_MANIFEST = "manifest.json"
_DIGEST = "comment"
"""The extended header with the manifest's own SHA-256. POSIX has its name; GNU tar warns about others."""
_LARGEST_MANIFEST = 1 << 30
_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One file in a backup."""

    name: str
    size: Annotated[int, msgspec.Meta(ge=0)]
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Versions:
    """What made a backup, as numbers that only grow."""

    lake: int
    catalogue: int
    state: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What a backup says about itself.

    Args:
        format: of the manifest.
        made_at: UTC instant at which it began.
        program: version of the program that made it, for people.
        versions: of what is in it.
        slices: how many are in it.
        left_out: slices that could not be read, and why.
        replaced_tokens: portals whose configured refresh token was replaced by one that is not in the backup, and a digest
            of the configured one.
        members: all other files, in the order in which they are in the backup.
    """

    format: int = FORMAT
    made_at: datetime
    program: str
    versions: Versions
    slices: int
    left_out: dict[str, str] = field(default_factory=dict)
    replaced_tokens: dict[str, str] = field(default_factory=dict)
    members: tuple[Member, ...] = ()

    @property
    def size(self) -> int:
        """Bytes of all members."""
        return sum(one.size for one in self.members)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Head:
    """The part of a manifest that every version understands."""

    format: int


def member_of(name: str, file: Path) -> Member:
    """A file as it will be in a backup. Raises StorageError."""
    with storage_errors(file, "read"), file.open("rb") as content:
        digest = hashlib.file_digest(content, "sha256")
        return Member(name=name, size=content.tell(), sha256=digest.hexdigest())


def write(file: Path, manifest: Manifest, sources: Mapping[str, Path], progress: Progress) -> None:
    """Write a backup, for this account only, all or nothing.

    Args:
        file: the backup. One that is there is replaced.
        manifest: names all members.
        sources: the file of each member. None of them may change meanwhile.
        progress: called with the bytes written.

    Raises:
        StorageError: nothing was written; a backup that was there is untouched.
    """
    done, when = 0, int(manifest.made_at.timestamp())
    with (
        storage_errors(file, "write the backup"),
        replacing(file, mode=0o600) as temporary,
        tarfile.open(temporary, "w", format=tarfile.PAX_FORMAT) as tar,
    ):
        text = msgspec.json.encode(manifest)
        about = _about(_MANIFEST, len(text), when)
        about.pax_headers = {_DIGEST: hashlib.sha256(text).hexdigest()}
        tar.addfile(about, io.BytesIO(text))
        for member in manifest.members:
            with sources[member.name].open("rb") as content:
                tar.addfile(_about(member.name, member.size, when), content)
            done += member.size
            progress(done, manifest.size)


def _about(name: str, size: int, when: int) -> tarfile.TarInfo:
    about = tarfile.TarInfo(name)
    about.size, about.mtime, about.mode = size, when, 0o600
    return about


def is_backup(file: Path) -> bool:
    """Whether a file begins as a backup does, of whatever version. Raises StorageError."""
    with storage_errors(file, "read"):
        try:
            with tarfile.open(file, "r:") as tar:
                first = tar.next()
                return first is not None and first.name == _MANIFEST
        except (tarfile.TarError, EOFError, ValueError):
            return False


def read_manifest(file: Path) -> Manifest:
    """The manifest of a backup; nothing else is read.

    Raises:
        BackupError: it is not a backup, or is of a later version.
        StorageError: it cannot be read.
    """
    with _opened(file) as (manifest, _):
        return manifest


def verify(file: Path, progress: Progress) -> Manifest:
    """Read every byte of a backup. Raises like `read_manifest`, and BackupError where it is not what was written."""
    with _opened(file) as (manifest, members):
        for _ in _copied(file, manifest, members, lambda _: None, progress):
            pass
        return manifest


def extract(file: Path, folder: Path, progress: Progress) -> None:
    """Write the members of a backup into a folder, verifying them again. Raises like `verify`; part may be written then."""

    def place(name: str) -> IO[bytes]:
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        return target.open("xb")

    with _opened(file) as (manifest, members):
        for _ in _copied(file, manifest, members, place, progress):
            pass


def extract_one(file: Path, name: str, target: Path) -> None:
    """Write one member of a verified backup. Raises like `read_manifest`."""
    with _opened(file) as (_, members), target.open("wb") as written:
        for found, content in members:
            if found == name:
                shutil.copyfileobj(content, written)
                return


@contextmanager
def _opened(file: Path) -> Iterator[tuple[Manifest, Iterator[tuple[str, IO[bytes]]]]]:
    """The manifest of a backup, and its other members, to be read in turn."""
    try:
        with storage_errors(file, "read the backup"), tarfile.open(file, "r:") as tar:
            yield _manifest_in(tar, file), _members_in(tar, file)
    except (tarfile.TarError, EOFError):
        raise _damaged(file, "it is not a complete tar file") from None


def _manifest_in(tar: tarfile.TarFile, file: Path) -> Manifest:
    first = tar.next()
    content = tar.extractfile(first) if first is not None and first.isreg() else None
    if first is None or content is None or first.name != _MANIFEST or first.size > _LARGEST_MANIFEST:
        raise BackupError(f"{file} is no backup made by `planday backup`: its first member is not {_MANIFEST}")
    text = content.read()
    if first.pax_headers.get(_DIGEST) != hashlib.sha256(text).hexdigest():
        raise _damaged(file, "its manifest is not what was written")
    try:
        found = msgspec.json.decode(text, type=_Head).format
        if found > FORMAT:
            raise BackupError(
                f"{file} was made by a later version of this program (backup format {found}, this one reads {FORMAT}): "
                "install that version, and restore with it"
            )
        manifest = msgspec.json.decode(text, type=Manifest)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        raise _damaged(file, "its manifest cannot be read") from None
    if any(not _is_ours(one.name) for one in manifest.members):
        raise _damaged(file, "its manifest names files that do not belong in a backup")
    return manifest


def _is_ours(name: str) -> bool:
    """Whether a name is one of a backup, and so leads nowhere else when it is extracted."""
    parts = PurePosixPath(name).parts
    if name in (CONFIGURATION, STATE):
        return True
    return name.startswith(LAKE) and "/".join(parts) == name and ".." not in parts and "\0" not in name


def _members_in(tar: tarfile.TarFile, file: Path) -> Iterator[tuple[str, IO[bytes]]]:
    while (about := tar.next()) is not None:
        content = tar.extractfile(about) if about.isreg() else None
        if content is None:
            raise _damaged(file, "it has members that are not files")
        yield about.name, content
        # Otherwise `tarfile` keeps a list of all members that it has read.
        tar.members.clear()  # type: ignore[attr-defined]


def _copied(
    file: Path,
    manifest: Manifest,
    members: Iterable[tuple[str, IO[bytes]]],
    place: Callable[[str], IO[bytes] | None],
    progress: Progress,
) -> Iterator[Member]:
    """Copy members to where `place` says, and check that they are those of the manifest."""
    done, expected = 0, iter(manifest.members)
    for name, content in members:
        member = next(expected, None)
        if member is None or member.name != name:
            raise _damaged(file, f"it holds {name} where its manifest names {member.name if member else 'nothing'}")
        digest, size = hashlib.sha256(), 0
        target = place(name)
        try:
            # A member may claim to be larger than it is in the file.
            while size <= member.size and (chunk := content.read(_CHUNK)):
                digest.update(chunk)
                size += len(chunk)
                if target is not None:
                    target.write(chunk)
        finally:
            if target is not None:
                target.close()
        if (size, digest.hexdigest()) != (member.size, member.sha256):
            raise _damaged(file, f"{name} in it is not what was written")
        done += size
        progress(done, manifest.size)
        yield member
    if (missing := next(expected, None)) is not None:
        raise _damaged(file, f"it ends before {missing.name}")


def _damaged(file: Path, why: str) -> BackupError:
    return BackupError(f"{file} is damaged: {why}. Take an older backup, or copy this one again. Nothing was restored")
