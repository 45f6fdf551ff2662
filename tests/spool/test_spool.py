"""The life of a message in the spool, its locks, its modes, and a full disk."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from sipmail.errors import SpoolError
from sipmail.spool import disk
from sipmail.spool.message import Kind, Message, new_id
from sipmail.spool.spool import AUDIO, MESSAGE, Spool, State
from tests.spool.conftest import NOON

MakeMessage = Callable[..., Message]


def test_a_message_goes_its_way(spool: Spool, message: MakeMessage) -> None:
    begun = message()
    folder = spool.begin(begun)
    assert folder == spool.root / "recording" / begun.id
    assert Message.loads((folder / MESSAGE).read_bytes()) == begun
    (folder / AUDIO).write_bytes(b"packets")
    answered = replace(begun, answered=NOON)
    spool.update(answered)
    assert spool.load(State.RECORDING, begun.id) == answered
    ended = replace(answered, ended=NOON, ending="caller", recorded=True)
    spool.finish(ended)
    assert spool.ids(State.RECORDING) == []
    assert spool.list(State.QUEUE) == [ended]
    assert (spool.folder(State.QUEUE, begun.id) / AUDIO).read_bytes() == b"packets"
    spool.move(begun.id, State.QUEUE, State.DONE)
    assert spool.find(begun.id) == (State.DONE, ended)
    assert sorted(path.name for path in spool.folder(State.DONE, begun.id).iterdir()) == [
        AUDIO,
        MESSAGE,
    ]


def test_nobody_else_may_look(spool: Spool, message: MakeMessage) -> None:
    folder = spool.begin(message())
    for path in (spool.root, *(spool.root / state for state in State), folder):
        assert stat.S_IMODE(path.stat().st_mode) == 0o700, path
    for path in (folder / MESSAGE, folder / disk.RESERVE, spool.root / "lock"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path


def test_the_list_is_in_order_and_survives_what_cannot_be_read(
    spool: Spool, message: MakeMessage
) -> None:
    made = [message(id=new_id(NOON + timedelta(seconds=second))) for second in (2, 0, 1)]
    for one in made:
        spool.begin(one)
        spool.finish(one)
    (spool.root / "queue" / "lost+found").mkdir()
    (spool.root / "queue" / "notes.txt").write_text("a file")
    broken = spool.root / "queue" / "0broken"
    broken.mkdir()
    (broken / MESSAGE).write_text("{")
    assert spool.list(State.QUEUE) == sorted(made, key=lambda one: one.id)


def test_one_owner_whose_process_the_other_is_told(spool: Spool) -> None:
    with pytest.raises(SpoolError, match=f"in use by another sipmail .process {os.getpid()}."):
        Spool(spool.root).open()
    spool.close()
    again = Spool(spool.root)
    again.open()
    again.close()


def test_a_killed_owner_owns_nothing(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from sipmail.spool.spool import Spool\n"
        "spool = Spool(Path(sys.argv[1])); spool.open(); print('open', flush=True)\n"
        "sys.stdin.read()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path / "spool")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stdin is not None
    with process.stdout, process.stdin:
        assert process.stdout.readline() == b"open\n"
        spool = Spool(tmp_path / "spool")
        with pytest.raises(SpoolError, match=f"process {process.pid}"):
            spool.open()
        process.kill()
        process.wait()
    spool.open()
    spool.close()


def test_the_courier_has_a_lock_of_its_own(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sipmail.spool.spool._COURIER_WAIT", 0.0)
    first, second = Spool(spool.root), Spool(spool.root)
    first.attach()
    with pytest.raises(SpoolError, match=r"the queue of .* is in use"):
        second.attach()
    first.close()
    second.attach()
    second.close()


def test_recovery_leaves_recordings_in_progress_alone(spool: Spool, message: MakeMessage) -> None:
    mine = message(id="mine")
    (spool.begin(mine) / AUDIO).write_bytes(b"x")
    theirs = spool.root / "recording" / "theirs"
    theirs.mkdir()
    (theirs / MESSAGE).write_bytes(message(id="theirs").dumps())
    fd = os.open(theirs, os.O_RDONLY)
    fcntl.flock(fd, fcntl.LOCK_EX)
    assert spool.recover() == []
    assert spool.ids(State.RECORDING) == ["mine", "theirs"]
    os.close(fd)
    assert [one.id for one in spool.recover()] == ["theirs"]
    assert spool.ids(State.RECORDING) == ["mine"]


def test_the_same_message_is_not_begun_twice(spool: Spool, message: MakeMessage) -> None:
    spool.begin(message())
    with pytest.raises(SpoolError, match="already being recorded"):
        spool.begin(message())
    assert spool.ids(State.RECORDING) == [message().id]


def test_an_abandoned_message_leaves_nothing(spool: Spool, message: MakeMessage) -> None:
    spool.begin(message())
    spool.abandon(message().id)
    assert spool.ids(State.RECORDING) == []
    spool.begin(message())


def test_interrupted_recordings_are_marked(spool: Spool, message: MakeMessage) -> None:
    (spool.begin(message(id="spoken")) / AUDIO).write_bytes(b"packets")
    spool.begin(message(id="unanswered"))
    finished = message(id="ended", ended=NOON, ending="caller", recorded=True)
    (spool.begin(message(id="ended")) / AUDIO).write_bytes(b"packets")
    spool.update(finished)
    notice = message(id="notice", kind=Kind.NOTICE, ended=NOON)
    spool.begin(notice)
    spool.close()
    spool.open()
    recovered = {one.id: one for one in spool.recover()}
    assert spool.list(State.QUEUE) == sorted(recovered.values(), key=lambda one: one.id)
    assert spool.ids(State.RECORDING) == []
    spoken = recovered["spoken"]
    assert (spoken.ending, spoken.recorded, spoken.kind) == ("interrupted", True, Kind.MESSAGE)
    assert spoken.ended is not None
    unanswered = recovered["unanswered"]
    assert (unanswered.ending, unanswered.recorded) == ("interrupted", False)
    assert unanswered.kind is Kind.MISSED
    assert recovered["ended"] == finished
    assert recovered["notice"] == notice


def test_a_recording_whose_facts_are_lost_is_kept(spool: Spool, message: MakeMessage) -> None:
    for name, content in (("20261123T120000000000-aa", None), ("odd", b"{torn")):
        folder = spool.root / "recording" / name
        folder.mkdir()
        (folder / AUDIO).write_bytes(b"packets")
        if content is not None:
            (folder / MESSAGE).write_bytes(content)
    dated, odd = spool.recover()
    assert (dated.mailbox, dated.ending, dated.recorded) == ("", "interrupted", True)
    assert dated.received == NOON
    assert dated.payloads == {0: "PCMU", 8: "PCMA"}
    assert "missing" in dated.notes[0]
    assert "could not be read" in odd.notes[0]
    kept = spool.folder(State.QUEUE, "odd")
    assert (kept / (MESSAGE + ".broken")).read_bytes() == b"{torn"
    assert (kept / AUDIO).read_bytes() == b"packets"


def test_repair_gives_the_queue_its_facts_again(spool: Spool, message: MakeMessage) -> None:
    spool.begin(message(id="well"))
    spool.finish(message(id="well"))
    folder = spool.root / "queue" / "bare"
    folder.mkdir()
    (folder / AUDIO).write_bytes(b"packets")
    spool.repair()
    assert [one.id for one in spool.list(State.QUEUE)] == ["bare", "well"]


BEGUN = b'{\n"id": "torn",\n"kind": "mess'


@pytest.mark.parametrize("content", [b"", BEGUN, BEGUN + bytes(9), bytes(700)])
@pytest.mark.parametrize("reserve", [None, b"", bytes(4096)])
def test_a_message_that_was_only_begun_is_none(
    spool: Spool, caplog: pytest.LogCaptureFixture, content: bytes, reserve: bytes | None
) -> None:
    folder = spool.root / "recording" / "torn"
    folder.mkdir()
    (folder / MESSAGE).write_bytes(content)
    if reserve is not None:
        (folder / disk.RESERVE).write_bytes(reserve)
    assert spool.recover() == []
    assert spool.ids(State.RECORDING) == spool.ids(State.QUEUE) == []
    assert "was only begun" in caplog.text


@pytest.mark.parametrize(
    ("content", "beside"),
    [
        (b"\x8f\x11 no such thing", {}),  # not what `begin` was writing
        (b'{\n"id": "torn",\n"kind": "mess\n}\n', {}),  # whole, and wrong
        (BEGUN, {AUDIO: b""}),  # the journal is opened after `begin`
        (b"", {AUDIO: b""}),
        (b"", {disk.RESERVE: b'{\n"id": "torn"'}),  # there were notes already
    ],
)
def test_what_may_be_a_message_is_never_removed(
    spool: Spool, content: bytes, beside: dict[str, bytes]
) -> None:
    folder = spool.root / "recording" / "torn"
    folder.mkdir()
    for name, data in ({MESSAGE: content} | beside).items():
        (folder / name).write_bytes(data)
    (recovered,) = spool.recover()
    assert "could not be read" in recovered.notes[0]
    kept = spool.folder(State.QUEUE, "torn")
    assert (kept / (MESSAGE + ".broken")).read_bytes() == content


def test_an_edited_message_is_a_message(spool: Spool, message: MakeMessage) -> None:
    folder = spool.root / "recording" / "edited"
    folder.mkdir()
    (folder / MESSAGE).write_bytes(message(id="edited").dumps().rstrip(b"\n"))
    assert [one.id for one in spool.recover()] == ["edited"]


def test_a_twin_in_the_queue_is_not_delivered_twice(spool: Spool, message: MakeMessage) -> None:
    def put(state: str, name: str, audio: bytes) -> None:
        folder = spool.root / state / name
        folder.mkdir()
        (folder / AUDIO).write_bytes(audio)
        (folder / MESSAGE).write_bytes(message(id=name).dumps())

    put("recording", "same", b"one")
    put("queue", "same", b"one")
    put("recording", "other", b"one")
    put("queue", "other", b"two")
    recovered = spool.recover()
    assert len(recovered) == 1
    assert sorted(spool.ids(State.QUEUE)) == sorted(["same", "other", recovered[0].id])
    assert recovered[0].id not in ("same", "other")
    assert (spool.folder(State.QUEUE, recovered[0].id) / AUDIO).read_bytes() == b"one"
    assert spool.ids(State.RECORDING) == []


def test_done_expires_and_failed_never(spool: Spool, message: MakeMessage) -> None:
    for name, state in (("old", State.DONE), ("new", State.DONE), ("bad", State.FAILED)):
        (spool.begin(message(id=name)) / AUDIO).write_bytes(b"x")
        spool.finish(message(id=name))
        spool.move(name, State.QUEUE, state)
        age = NOON - timedelta(days=1 if name == "new" else 8)
        path = spool.folder(state, name) / MESSAGE
        os.utime(path, (age.timestamp(), age.timestamp()))
    assert spool.expire(7 * 86400.0, NOON) == 1
    assert spool.ids(State.DONE) == ["new"]
    assert spool.ids(State.FAILED) == ["bad"]
    torn = spool.root / "done" / "torn"  # a deletion that a crash cut short
    torn.mkdir()
    os.utime(torn, (0, 0))
    assert spool.expire(7 * 86400.0, NOON) == 1


def full_disk(monkeypatch: pytest.MonkeyPatch, allowed: int = 0) -> None:
    """From now on `os.write` and `posix_fallocate` succeed `allowed` times, then never."""
    left = [allowed]

    def failing(name: str) -> Any:
        original = getattr(os, name)

        def call(*args: Any) -> Any:
            if left[0] <= 0:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            left[0] -= 1
            return original(*args)

        return call

    for name in ("write", "posix_fallocate"):
        monkeypatch.setattr(os, name, failing(name))


@pytest.mark.parametrize("allowed", [0, 1])
def test_a_full_disk_refuses_a_new_message_and_leaves_nothing(
    spool: Spool, message: MakeMessage, monkeypatch: pytest.MonkeyPatch, allowed: int
) -> None:
    with monkeypatch.context() as patch:
        full_disk(patch, allowed)
        # With one success only message.json fits, and there is no reserve for the notes to come:
        # refused all the same.
        with pytest.raises(SpoolError, match="No space left"):
            spool.begin(message())
    assert list((spool.root / "recording").iterdir()) == []
    spool.begin(message())


def test_a_full_disk_keeps_a_recording_and_the_old_facts(
    spool: Spool, message: MakeMessage, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = message()
    (spool.begin(begun) / AUDIO).write_bytes(b"packets")
    with monkeypatch.context() as patch:
        full_disk(patch)
        with pytest.raises(SpoolError, match="No space left"):
            spool.update(replace(begun, answered=NOON))
        spool.finish(replace(begun, ended=NOON))
    assert spool.list(State.QUEUE) == [begun]
    folder = spool.folder(State.QUEUE, begun.id)
    assert (folder / AUDIO).read_bytes() == b"packets"
    assert not list(folder.glob("*.tmp"))


def test_the_reserve_lets_a_note_be_written_on_a_full_disk(
    spool: Spool, message: MakeMessage, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = message()
    folder = spool.begin(begun)
    refused = []
    original = os.write

    def write(fd: int, data: bytes) -> int:
        # As where a block is never written twice (btrfs): only one that is given back helps.
        if (folder / disk.RESERVE).exists():
            refused.append(fd)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return original(fd, data)

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", write)
        spool.update(replace(begun, answered=NOON))
    assert refused
    assert spool.load(State.RECORDING, begun.id).answered == NOON
    assert (folder / disk.RESERVE).stat().st_size == 4096  # refilled, since there was room


def test_a_file_of_the_queue_never_spends_the_reserve(
    spool: Spool, message: MakeMessage, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool.begin(message())
    spool.finish(message())
    folder = spool.folder(State.QUEUE, message().id)
    with monkeypatch.context() as patch:
        full_disk(patch)
        with pytest.raises(SpoolError, match="No space left"):
            spool.store(message().id, "message.mp3", b"sound")
    assert (folder / disk.RESERVE).exists()
    assert not (folder / "message.mp3").exists()
    spool.store(message().id, "message.mp3", b"sound")
    assert (folder / "message.mp3").read_bytes() == b"sound"


def test_a_move_that_is_refused_leaves_the_message_for_recovery(
    spool: Spool, message: MakeMessage, monkeypatch: pytest.MonkeyPatch
) -> None:
    (spool.begin(message()) / AUDIO).write_bytes(b"packets")

    def rename(source: Any, target: Any) -> None:
        if Path(target).parent.name == "queue":
            raise OSError(errno.EIO, "broken")
        original(source, target)

    original = os.rename
    with monkeypatch.context() as patch:
        patch.setattr(os, "rename", rename)
        with pytest.raises(SpoolError, match="cannot move"):
            spool.finish(message(ended=NOON, ending="caller", recorded=True))
        assert spool.recover() == []
        assert spool.retry() == []
    spool.begin(message(id="another"))
    assert [one.ending for one in spool.retry()] == ["caller"]
    assert spool.ids(State.QUEUE) == [message().id]
    assert spool.retry() == []


def test_what_is_not_there_is_said(spool: Spool, tmp_path: Path) -> None:
    with pytest.raises(SpoolError, match="there is no message nothing"):
        spool.find("nothing")
    with pytest.raises(SpoolError, match="there is no message nothing in queue/"):
        spool.load(State.QUEUE, "nothing")
    with pytest.raises(SpoolError, match="cannot read the spool"):
        Spool(tmp_path / "elsewhere").ids(State.QUEUE)
    (tmp_path / "file").write_text("")
    with pytest.raises(SpoolError, match="cannot use the spool"):
        Spool(tmp_path / "file").open()
    assert spool.free_bytes() > 0


def test_a_spool_that_takes_nothing_has_no_free_space(spool: Spool) -> None:
    (spool.root / State.RECORDING).rmdir()
    with pytest.raises(SpoolError, match="cannot be written to"):
        spool.free_bytes()
    spool.root.rename(spool.root.with_name("unmounted"))
    with pytest.raises(SpoolError, match="cannot look at the disk"):
        spool.free_bytes()
