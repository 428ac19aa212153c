"""Files that are replaced: where a link leads, and who may read them before and after."""

from __future__ import annotations

import errno
import os
import stat
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from planday_io.errors import StorageError
from planday_io.files import replacing, replacing_folder, storage_errors, temporary, write_text

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="gives files to other accounts")


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_first_file_follows_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_text(tmp_path / "new", "text")
    finally:
        os.umask(before)
    assert mode_of(tmp_path / "new") == 0o640


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o664, 0o444, 0o2660])
def test_replaced_file_keeps_its_mode(tmp_path: Path, mode: int) -> None:
    file = tmp_path / "file"
    file.write_text("before")
    file.chmod(mode)
    write_text(file, "after")
    assert (file.read_text(), mode_of(file)) == ("after", mode)


@needs_root
def test_replaced_file_keeps_owner_and_group(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("before")
    file.chmod(0o640)
    os.chown(file, 12345, 23456)
    write_text(file, "after")
    found = file.stat()
    assert (found.st_uid, found.st_gid, mode_of(file)) == (12345, 23456, 0o640)


def test_replaced_file_keeps_extended_attributes(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("before")
    try:
        os.setxattr(file, "user.origin", b"finance")
    except (AttributeError, OSError):
        pytest.skip("no extended attributes here")
    write_text(file, "after")
    assert os.getxattr(file, "user.origin") == b"finance"


def test_stated_mode_is_never_widened(tmp_path: Path) -> None:
    """A secret that somebody opened to others is closed again when it is replaced."""
    file = tmp_path / "token"
    file.write_text("before")
    file.chmod(0o644)
    write_text(file, "after", mode=0o600)
    assert mode_of(file) == 0o600


def link(place: Path, target: Path | str) -> Path:
    place.parent.mkdir(parents=True, exist_ok=True)
    place.symlink_to(target)
    return place


def absolute(base: Path) -> Path:
    return link(base / "file", base / "share/real")


def relative(base: Path) -> Path:
    return link(base / "file", "share/real")


def chain(base: Path) -> Path:
    link(base / "second", "share/real")
    return link(base / "first", "second")


def through_a_folder(base: Path) -> Path:
    link(base / "folder", "share")
    return base / "folder" / "real"


@pytest.mark.parametrize("exists", [True, False])
@pytest.mark.parametrize("linked", [absolute, relative, chain, through_a_folder])
def test_link_stays_and_its_target_is_replaced(tmp_path: Path, linked: Callable[[Path], Path], exists: bool) -> None:
    target = tmp_path / "share/real"
    target.parent.mkdir()
    if exists:
        target.write_text("before")
    path = linked(tmp_path)
    was_link = path.is_symlink()
    write_text(path, "after")
    assert target.read_text() == "after"
    assert not target.is_symlink()
    assert path.is_symlink() == was_link
    assert sorted(one.name for one in target.parent.iterdir()) == ["real"]


def test_link_to_another_file_system_is_replaced_there(tmp_path: Path) -> None:
    other = Path("/dev/shm")
    if not other.is_dir() or other.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("no other file system")
    target = other / f"planday-test-{os.getpid()}"
    try:
        target.write_text("before")
        write_text(link(tmp_path / "file", target), "after")
        assert target.read_text() == "after"
        assert (tmp_path / "file").is_symlink()
    finally:
        target.unlink(missing_ok=True)


def test_link_into_a_missing_folder_is_refused(tmp_path: Path) -> None:
    """A share that is not mounted: no folder is made in its place."""
    path = link(tmp_path / "file", tmp_path / "share/real")
    with pytest.raises(StorageError, match=r"does not exist.*mounted"), storage_errors(path, "write"):
        write_text(path, "after")
    assert path.is_symlink()
    assert not (tmp_path / "share").exists()


def test_circle_of_links_is_named(tmp_path: Path) -> None:
    link(tmp_path / "one", "two")
    path = link(tmp_path / "two", "one")
    with pytest.raises(StorageError, match="circle"), storage_errors(path, "write"), replacing(path):
        pass
    assert sorted(one.name for one in tmp_path.iterdir()) == ["one", "two"]


@pytest.mark.parametrize(
    ("code", "says"),
    [
        (errno.ENOSPC, "disk is full"),
        (errno.EDQUOT, "disk is full"),
        (errno.EROFS, "read-only"),
        (errno.EIO, "reports a fault"),
        (errno.ESTALE, "mount it again"),
        (errno.EMFILE, "ulimit"),
        (errno.ENFILE, "Too many files"),
        (errno.ENOMEM, "memory"),
        (errno.EISDIR, "folder is in the place"),
        (errno.ENOENT, "mounted"),
        (errno.EACCES, "has no right"),
        (errno.EPERM, "has no right"),
    ],
)
def test_system_error_says_what_to_do(tmp_path: Path, code: int, says: str) -> None:
    with pytest.raises(StorageError, match=says), storage_errors(tmp_path, "read"):
        raise OSError(code, os.strerror(code))


def test_folder_is_never_missing_while_replaced(tmp_path: Path) -> None:
    """A kill between two renames would leave none."""
    folder = tmp_path / "folder"
    folder.mkdir()
    missed, is_over = [], threading.Event()

    def watch() -> None:
        while not is_over.is_set():
            if not folder.exists():
                missed.append(1)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        for number in range(30):
            with replacing_folder(folder) as made:
                (made / "inner").mkdir()
                (made / "inner" / "file").write_text(str(number))
    finally:
        is_over.set()
        watcher.join()
    assert not missed
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]
    assert (folder / "inner" / "file").read_text() == "29"


def test_replaced_folder_leaves_opened_files_readable(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    for text in ("before", "after"):
        with replacing_folder(folder) as made:
            (made / "file").write_text(text)
        if text == "before":
            opened = (folder / "file").open()
    with opened:
        assert opened.read() == "before"
    assert (folder / "file").read_text() == "after"


def test_new_files_inherit_the_folders_group(tmp_path: Path) -> None:
    """Those who read an export by their group go on doing so."""
    folder = tmp_path / "folder"
    folder.mkdir()
    folder.chmod(0o2750)
    with replacing_folder(folder) as made:
        (made / "inner").mkdir()
    assert mode_of(folder) == 0o2750
    assert mode_of(folder / "inner") & stat.S_ISGID


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="a folder that lets nothing be created is Linux's")
def test_folder_that_takes_no_files_is_an_error() -> None:
    with pytest.raises(FileNotFoundError), temporary(Path("/proc/out.xlsx")):
        pass
