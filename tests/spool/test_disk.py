"""Files replaced whole: what the reserve may be, full disks, and who reads meanwhile."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from sipmail.spool import disk
from sipmail.spool.exchange import exchange
from sipmail.spool.filesystem import writes_in_place
from sipmail.spool.message import Message
from sipmail.spool.spool import MESSAGE, Spool, State
from tests.spool.conftest import NOON, a_message

BLOCK = 4096
BEGUN = a_message()


def note(number: int, length: int = 700) -> bytes:
    """A content that says in every place which one it is."""
    return (f"{number:06d} " * (length // 7 + 1)).encode()[:length]


@pytest.fixture
def path(spool: Spool) -> Path:
    """The message.json of a message that is being recorded."""
    return spool.begin(BEGUN) / MESSAGE


@pytest.fixture
def reserve(path: Path) -> Path:
    return path.with_name(disk.RESERVE)


def refusing(number: int) -> Callable[[Path, Path], None]:
    def refuse(one: Path, other: Path) -> None:
        raise OSError(number, os.strerror(number))

    return refuse


@pytest.mark.usefixtures("exchanging")
def test_two_files_exchange_their_names(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "ż"
    one.write_bytes(b"1")
    other.write_bytes(b"2")
    exchange(one, other)
    assert (one.read_bytes(), other.read_bytes()) == (b"2", b"1")
    with pytest.raises(FileNotFoundError):
        exchange(one, tmp_path / "none")
    assert one.read_bytes() == b"2"
    assert sorted(tmp_path.iterdir()) == [one, other]


def test_a_system_without_the_call_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sipmail.spool.exchange._call", None)
    with pytest.raises(OSError, match="not implemented") as caught:
        exchange(tmp_path / "one", tmp_path / "other")
    assert caught.value.errno == errno.ENOSYS


@pytest.mark.usefixtures("exchanging")
def test_notes_take_turns_in_two_files(spool: Spool, path: Path, reserve: Path) -> None:
    files = path.stat().st_ino, reserve.stat().st_ino
    for number in range(1, 4):
        before = path.read_bytes()
        spool.update(replace(BEGUN, notes=("x" * number,)))
        assert spool.load(State.RECORDING, BEGUN.id).notes == ("x" * number,)
        assert reserve.read_bytes() == before
        assert (path.stat().st_ino, reserve.stat().st_ino) == files[:: -1 if number % 2 else 1]
        assert sorted(path.parent.iterdir()) == [path, reserve]


@pytest.mark.parametrize("number", [None, errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EPERM])
def test_a_note_is_whole_whatever_length_the_reserve_has(
    spool: Spool, path: Path, reserve: Path, monkeypatch: pytest.MonkeyPatch, number: int | None
) -> None:
    if number is not None:
        monkeypatch.setattr(disk, "exchange", refusing(number))
    for turn, length in enumerate((10, 5000, 4096, 1, 4097, 4095, 20_000, 700, 700)):
        disk.replace(path, note(turn, length))
        assert path.read_bytes() == note(turn, length)
        disk.keep_reserve(path.parent)
        for file in (path, reserve):
            assert stat.S_IMODE(file.stat().st_mode) == 0o600
            assert file.stat().st_nlink == 1
        assert reserve.stat().st_blocks * 512 >= BLOCK
        assert sorted(path.parent.iterdir()) == [path, reserve]


def test_small_blocks_are_no_reserve(
    spool: Spool, path: Path, reserve: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = os.fstat

    def small(fd: int) -> Any:
        known = original(fd)
        facts = ("st_mode", "st_nlink", "st_size", "st_dev", "st_ino")
        return SimpleNamespace(
            **{name: getattr(known, name) for name in facts} | {"st_blksize": 1024}
        )

    with monkeypatch.context() as patch:
        patch.setattr(os, "fstat", small)
        spool.update(replace(BEGUN, answered=NOON))
    assert spool.load(State.RECORDING, BEGUN.id).answered == NOON
    assert reserve.read_bytes() == bytes(BLOCK)  # untouched


def test_a_file_system_that_overwrites_nothing_keeps_its_reserve(
    spool: Spool, path: Path, reserve: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The block of a note would be no reserve for the next (btrfs)."""
    monkeypatch.setattr("sipmail.spool.filesystem._known", {})
    monkeypatch.setattr("sipmail.spool.filesystem._type", lambda fd: 0x9123683E)
    spool.update(replace(BEGUN, answered=NOON))
    assert spool.load(State.RECORDING, BEGUN.id).answered == NOON
    assert reserve.read_bytes() == bytes(BLOCK)  # untouched


@pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="no tmpfs")
def test_the_type_of_a_file_system_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    for folder, expected in (("/dev/shm", True), ("/proc", False)):
        fd = os.open(folder, os.O_RDONLY)
        assert writes_in_place(fd, os.fstat(fd).st_dev) is expected
        os.close(fd)
    monkeypatch.setattr("sipmail.spool.filesystem._fstatfs", None)
    monkeypatch.setattr("sipmail.spool.filesystem._known", {})
    assert not writes_in_place(0, 0)


def test_a_reserve_without_its_block_is_made_a_whole_one(path: Path, reserve: Path) -> None:
    reserve.unlink()
    reserve.touch()  # what a power cut leaves of one that was never synced
    disk.replace(path, note(1))
    path.rename(reserve)
    os.truncate(reserve, 0)
    path.write_bytes(note(2))
    disk.keep_reserve(path.parent)
    assert reserve.stat().st_blocks * 512 >= BLOCK
    disk.replace(path, note(3))
    assert path.read_bytes() == note(3)


def a_symlink(reserve: Path, elsewhere: Path) -> None:
    reserve.symlink_to(elsewhere)


def a_hard_link(reserve: Path, elsewhere: Path) -> None:
    reserve.hardlink_to(elsewhere)


def a_fifo(reserve: Path, elsewhere: Path) -> None:
    os.mkfifo(reserve)


def a_folder(reserve: Path, elsewhere: Path) -> None:
    reserve.mkdir()
    (reserve / "file").write_bytes(b"x")


@pytest.mark.parametrize("kind", [a_symlink, a_hard_link, a_fifo, a_folder])
def test_what_is_no_reserve_of_ours_is_never_written(
    spool: Spool, path: Path, reserve: Path, tmp_path: Path, kind: Callable[[Path, Path], None]
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_bytes(b"somebody's")
    reserve.unlink()
    kind(reserve, elsewhere)
    noted = replace(BEGUN, answered=NOON)
    spool.update(noted)
    assert spool.load(State.RECORDING, BEGUN.id) == noted
    assert elsewhere.read_bytes() == b"somebody's"
    assert elsewhere.stat().st_nlink == 1 or kind is a_hard_link
    if kind is a_folder:
        assert (reserve / "file").read_bytes() == b"x"
        return
    assert reserve.lstat().st_size == BLOCK  # one of ours took its place
    assert stat.S_ISREG(reserve.lstat().st_mode)
    assert elsewhere.stat().st_nlink == 1


def test_a_backup_of_links_keeps_what_it_has(spool: Spool, path: Path, tmp_path: Path) -> None:
    backup = tmp_path / "backup"
    backup.hardlink_to(path)
    for number in range(4):
        spool.update(replace(BEGUN, notes=("x" * number,)))
        assert Message.loads(backup.read_bytes()) == BEGUN


def test_a_message_json_that_is_gone_is_made(path: Path) -> None:
    path.unlink()
    disk.replace(path, note(1))
    assert path.read_bytes() == note(1)


# Full and broken disks


class FullDisk:
    """Where no file gets a block that it does not have."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self._write = os.write
        patch.setattr(os, "write", self.write)
        patch.setattr(os, "posix_fallocate", self.fallocate)

    def write(self, fd: int, data: bytes) -> int:
        room = os.fstat(fd).st_blocks * 512 - os.lseek(fd, 0, os.SEEK_CUR)
        if room <= 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return self._write(fd, data[:room])

    def fallocate(self, fd: int, offset: int, length: int) -> None:
        if os.fstat(fd).st_blocks * 512 < offset + length:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.usefixtures("exchanging")
def test_a_full_disk_takes_every_note_of_a_few_lines(
    spool: Spool, path: Path, reserve: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    FullDisk(monkeypatch)
    for number in range(9):
        noted = replace(BEGUN, notes=("x" * 300 * number,))
        spool.update(noted)
        assert spool.load(State.RECORDING, BEGUN.id) == noted
    spool.finish(replace(BEGUN, ended=NOON))
    assert spool.load(State.QUEUE, BEGUN.id).ended == NOON
    monkeypatch.undo()


@pytest.mark.usefixtures("exchanging")
def test_a_full_disk_takes_the_last_note_where_names_cannot_be_exchanged(
    spool: Spool, path: Path, reserve: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(disk, "exchange", refusing(errno.EINVAL))
    with monkeypatch.context() as patch:
        FullDisk(patch)
        spool.update(replace(BEGUN, answered=NOON))
        assert reserve.stat().st_blocks == 0
    assert spool.load(State.RECORDING, BEGUN.id).answered == NOON
    spool.update(BEGUN)
    assert reserve.stat().st_size == BLOCK


def test_a_note_that_does_not_fit_leaves_the_one_before(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = path.read_bytes()
    with monkeypatch.context() as patch:
        FullDisk(patch)
        with pytest.raises(OSError, match="No space left"):
            disk.replace(path, note(1, 9000))
    assert path.read_bytes() == before
    disk.replace(path, note(2))
    assert path.read_bytes() == note(2)


@pytest.mark.parametrize("name", ["write", "ftruncate", "fsync"])
def test_a_reserve_that_cannot_be_written_is_left_alone(
    path: Path, reserve: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    original = getattr(os, name)

    def broken(fd: int, *args: Any) -> Any:
        if os.path.samestat(os.fstat(fd), reserve.stat()):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return original(fd, *args)

    with monkeypatch.context() as patch:
        patch.setattr(os, name, broken)
        disk.replace(path, note(1))
    assert path.read_bytes() == note(1)
    assert not path.with_name(MESSAGE + disk.TEMPORARY).exists()


# Readers


@contextlib.contextmanager
def reading(path: Path) -> Iterator[int]:
    """Somebody in the middle of `disk.read`."""
    fd = os.open(path, os.O_RDONLY)
    fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    yield fd
    os.close(fd)


def test_who_reads_slowly_reads_one_content(path: Path) -> None:
    before = path.read_bytes()
    with reading(path) as fd:
        start = os.read(fd, 100)
        for number in range(4):
            disk.replace(path, note(number))
            disk.keep_reserve(path.parent)
            assert disk.read(path) == note(number)
        assert start + os.read(fd, 9999) == before
    disk.replace(path, note(5))
    assert path.read_bytes() == note(5)


@pytest.mark.parametrize("updates", [1, 2, 3])
def test_who_opened_it_before_the_exchange_reads_the_new_one(
    path: Path, monkeypatch: pytest.MonkeyPatch, updates: int
) -> None:
    original = os.open
    left = list(range(updates))

    def slow(*args: Any) -> int:
        fd = original(*args)
        if args[1] == os.O_RDONLY:
            with contextlib.suppress(IndexError):
                while True:
                    disk.replace(path, note(left.pop(0)))
        return fd

    monkeypatch.setattr(os, "open", slow)
    assert disk.read(path) == note(updates - 1)


def test_who_meets_a_reserve_being_written_looks_again(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was message.json when it was opened, and is locked before it is."""
    old = path.with_name("old")
    old.write_bytes(note(1))
    writer = os.open(old, os.O_WRONLY)
    fcntl.flock(writer, fcntl.LOCK_EX)
    original = os.open
    opened = [old, path]

    def other(name: Path, *args: Any) -> int:
        return original(opened.pop(0), *args)

    monkeypatch.setattr(os, "open", other)
    assert disk.read(path) == BEGUN.dumps()
    assert opened == []
    os.close(writer)


def test_a_lock_that_stays_stops_nobody(path: Path) -> None:
    fd = os.open(path, os.O_WRONLY)
    fcntl.flock(fd, fcntl.LOCK_EX)
    assert disk.read(path) == BEGUN.dumps()
    disk.replace(path, note(1))
    disk.replace(path, note(2))
    assert disk.read(path) == note(2)
    os.close(fd)


def test_no_lock_is_left_in_a_child(path: Path) -> None:
    """A process that was forked meanwhile has the open files of its parent."""
    original = os.ftruncate
    copies = []

    def forked(fd: int, length: int) -> None:
        copies.append(os.dup(fd))
        original(fd, length)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "ftruncate", forked)
        disk.replace(path, note(1))
    with reading(path):
        assert disk.read(path) == note(1)
    for fd in copies:
        os.close(fd)


_WRITER = """
import sys
from pathlib import Path
from sipmail.spool import disk
path = Path(sys.argv[1])
for number in range(int(sys.argv[2])):
    disk.place(path, (f"{number:06d} " * (50 + number % 7 * 90)).encode())
    disk.keep_reserve(path.parent)
"""


def test_another_process_never_sees_a_part(path: Path) -> None:
    disk.replace(path, note(0))
    command = [sys.executable, "-c", _WRITER, str(path), "400"]
    seen = set()
    with subprocess.Popen(command) as writer:
        while writer.poll() is None:
            words = disk.read(path).split()
            assert len(set(words)) == 1
            assert all(len(word) == 6 for word in words)
            seen.add(words[0])
    assert writer.returncode == 0
    assert disk.read(path).startswith(b"000399 ")
    assert len(seen) > 3
