"""kill -9 and power cuts between any two system calls of the spool.

What was promised (a `begin` that returned: the 200 went out) is in the queue exactly once after
recovery; what was not promised is there at most once; nothing that recovery leaves is half.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from sipmail.spool import disk
from sipmail.spool.exchange import exchange
from sipmail.spool.spool import AUDIO, Spool, State
from tests.spool.conftest import NOON, a_message
from tests.spool.crashing import Crash, Machine

PACKETS = b"packets" * 100
BEGUN = a_message()
ENDED = replace(BEGUN, answered=NOON, ended=NOON, ending="caller", recorded=True)


class Story:
    """A whole call, as the agent and the media worker act on the spool."""

    def __init__(self, root: Path) -> None:
        self.spool = Spool(root)
        self.promised = False
        self.recorded = False
        self.finished = False
        self.settled = False

    def run(self) -> None:
        folder = self.spool.begin(BEGUN)
        self.promised = True
        (folder / AUDIO).write_bytes(PACKETS)
        disk.sync_file(folder / AUDIO)  # as the courier's rounds do
        disk.sync_folder(folder)
        self.recorded = True
        self.spool.update(replace(BEGUN, answered=NOON))
        self.spool.finish(ENDED)
        self.finished = True
        self.spool.update(replace(ENDED, notes=("delivered",)), State.QUEUE)
        self.spool.move(BEGUN.id, State.QUEUE, State.DONE)
        self.settled = True


def crashed(root: Path, after: int | None, lost: str = "") -> tuple[Story, Machine]:
    """The story until the crash; the spool is open and its folders exist before it begins."""
    story = Story(root)
    story.spool.open()
    with pytest.MonkeyPatch.context() as patch:
        machine = Machine(patch, after, root)
        with contextlib.suppress(Crash):
            story.run()
    lose(machine, lost)
    story.spool.close()  # the kernel drops the locks of the dead
    return story, machine


def lose(machine: Machine, lost: str) -> None:
    if lost == "content":
        machine.lose_unsynced()
    elif lost == "names":
        machine.lose_uncommitted()


def system_calls(root: Path) -> int:
    story, machine = crashed(root, None)
    assert story.settled
    return machine.calls


def check(root: Path, story: Story) -> None:
    """The next start finds what was promised, once."""
    spool = Spool(root)
    spool.open()
    try:
        spool.recover()
        spool.repair()
        assert list((root / "recording").iterdir()) == []
        found = [
            (state, message)
            for state in (State.QUEUE, State.DONE, State.FAILED)
            for message in spool.list(state)
        ]
        folders = [path for state in State for path in (root / state).iterdir()]
        assert len(folders) == len(found), "a folder that cannot be read"
        assert len(found) == 1 if story.promised else len(found) <= 1
        for state, message in found:
            folder = spool.folder(state, message.id)
            assert message.id == BEGUN.id
            assert message.mailbox == "sales"
            assert message.ending in ("caller", "interrupted")
            if story.finished:
                assert message.ending == "caller"
            if story.recorded:
                assert message.recorded
                assert (folder / AUDIO).read_bytes() == PACKETS
            if story.settled:
                assert state is State.DONE
                assert message.notes == ("delivered",)
        assert spool.recover() == []
    finally:
        spool.close()


@pytest.fixture(params=[True, False], ids=["exchange", "rename"])
def exchanges(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether this file system can exchange two names."""
    if not request.param:
        monkeypatch.setattr(disk, "exchange", refuse_to_exchange)
    return bool(request.param)


def refuse_to_exchange(one: Path, other: Path) -> None:
    raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))


@pytest.mark.usefixtures("exchanges")
@pytest.mark.parametrize("lost", ["", "content", "names"], ids=["kill", "power-cut", "journal"])
def test_no_crash_loses_or_doubles_a_message(tmp_path: Path, lost: str) -> None:
    calls = system_calls(tmp_path / "whole")
    assert calls > 30
    for after in range(calls + 1):
        root = tmp_path / f"after{after}"
        story, _ = crashed(root, after, lost)
        check(root, story)


@pytest.mark.usefixtures("exchanges")
@pytest.mark.parametrize("lost", ["content", "names"])
@pytest.mark.parametrize("stage", ["recording", "finishing"])
def test_a_crash_in_the_recovery_is_recovered_from(tmp_path: Path, stage: str, lost: str) -> None:
    def left(root: Path) -> Story:
        story = Story(root)
        story.spool.open()
        folder = story.spool.begin(BEGUN)
        (folder / AUDIO).write_bytes(PACKETS)
        story.promised = story.recorded = True
        if stage == "finishing":
            story.spool.update(ENDED)
        story.spool.close()
        return story

    def recover(root: Path, after: int | None) -> int:
        spool = Spool(root)
        spool.open()
        with pytest.MonkeyPatch.context() as patch:
            machine = Machine(patch, after, root)
            with contextlib.suppress(Crash):
                spool.recover()
        lose(machine, lost)
        spool.close()
        return machine.calls

    left(tmp_path / "whole")
    calls = recover(tmp_path / "whole", None)
    assert calls > 8
    for after in range(calls + 1):
        root = tmp_path / f"after{after}"
        story = left(root)
        recover(root, after)
        check(root, story)


def test_a_crash_in_the_deletion_leaves_what_the_next_one_deletes(tmp_path: Path) -> None:
    def old(root: Path) -> Spool:
        story, _ = crashed(root, None)
        spool = story.spool
        spool.open()
        return spool

    far = NOON.replace(year=2050)
    for after in range(6):
        spool = old(tmp_path / f"after{after}")
        with pytest.MonkeyPatch.context() as patch:
            Machine(patch, after)
            with contextlib.suppress(Crash):
                spool.expire(0.0, far)
        spool.expire(0.0, far)
        assert spool.ids(State.DONE) == []
        spool.close()


@pytest.mark.usefixtures("exchanging")
def test_what_finish_promises_is_synced_in_the_right_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []
    spool = Spool(tmp_path / "spool")
    spool.open()
    (spool.begin(BEGUN) / AUDIO).write_bytes(PACKETS)

    def note(name: str, original: Callable[..., object]) -> Callable[..., object]:
        def call(*args: object, **kwargs: object) -> object:
            result = original(*args, **kwargs)
            if name == "fsync":
                order.append("sync " + Path(f"/proc/self/fd/{args[0]}").readlink().name)
            else:
                order.append(f"{name} {Path(str(args[0])).name} {Path(str(args[1])).parent.name}")
            return result

        return call

    for name in ("fsync", "rename"):
        monkeypatch.setattr(os, name, note(name, getattr(os, name)))
    monkeypatch.setattr("sipmail.spool.disk.exchange", note("exchange", exchange))
    spool.finish(ENDED)
    monkeypatch.undo()
    spool.close()
    assert order == [
        f"sync {AUDIO}",
        f"sync {disk.RESERVE}",
        f"exchange {disk.RESERVE} {BEGUN.id}",
        f"rename {BEGUN.id} queue",
        f"sync {BEGUN.id}",
        "sync queue",
        "sync recording",
    ]
