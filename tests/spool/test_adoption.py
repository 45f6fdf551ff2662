"""Another machine's spool comes into ours: whole, once, and from another disk too."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from itertools import chain
from pathlib import Path

import pytest

from sipmail.errors import SpoolError
from sipmail.spool.adoption import adopt
from sipmail.spool.layout import COURIER_LOCK
from sipmail.spool.lock import Lock
from sipmail.spool.message import Message, new_id
from sipmail.spool.spool import AUDIO, MESSAGE, Spool, State
from tests.spool.conftest import NOON
from tests.spool.crashing import Crash, Machine

MakeMessage = Callable[..., Message]
OTHER = ("queue", "failed", "done", "recording")


@pytest.fixture
def dead(tmp_path: Path, message: MakeMessage) -> Path:
    """The spool of a machine that is gone."""
    return die(tmp_path, message)


def die(folder: Path, message: MakeMessage) -> Path:
    """A spool with a message in each state, one of them cut off, whose owner is gone."""
    folder.mkdir(exist_ok=True)
    other = Spool(folder / "dead")
    other.open()
    for number, state in enumerate(OTHER):
        one = message(id=new_id(NOON + timedelta(seconds=number)), call_id=state)
        (other.begin(one) / AUDIO).write_bytes(b"packets " + state.encode())
        if state == "recording":
            continue
        other.finish(replace(one, ended=NOON, ending="caller", recorded=True))
        if state != "queue":
            other.move(one.id, State.QUEUE, State(state))
    other.close()
    return other.root


@pytest.fixture
def other_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """No folder can be renamed from the dead spool into ours."""

    def refuse(self: Path, target: Path) -> Path:
        if self.parts[-3:-2] == ("dead",) and "dead" not in Path(target).parts:
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
        os.rename(self, target)  # noqa: PTH104
        return Path(target)

    monkeypatch.setattr(Path, "rename", refuse)


def holding(spool: Spool) -> dict[str, list[str]]:
    """The Call-IDs in each state."""
    return {state.value: [one.call_id for one in spool.list(state)] for state in State}


ALL = {"queue": ["queue", "recording"], "failed": ["failed"], "done": ["done"], "recording": []}


def left_over(folder: Path) -> list[Path]:
    return [one for state in State for one in (folder / state).iterdir()]


def test_everything_comes(spool: Spool, dead: Path) -> None:
    adoption = adopt(spool, dead)
    assert adoption.counts() == {"queue": 2, "failed": 1, "done": 1, "known": 0, "left": 0}
    assert holding(spool) == ALL
    assert left_over(dead) == []
    waiting = spool.list(State.QUEUE)
    assert [one.id for one in waiting] == adoption.gained[State.QUEUE]
    assert [one.ending for one in waiting] == ["caller", "interrupted"]
    for one in waiting:
        audio = spool.folder(State.QUEUE, one.id) / AUDIO
        assert audio.read_bytes() == b"packets " + one.call_id.encode()


@pytest.mark.usefixtures("other_disk")
def test_everything_comes_from_another_disk(spool: Spool, dead: Path) -> None:
    (old,) = (dead / "done").iterdir()
    os.utime(old / MESSAGE, (1000.0, 1000.0))
    (old / "link").symlink_to("/etc/passwd")
    assert adopt(spool, dead).counts()["left"] == 0
    assert holding(spool) == ALL
    assert left_over(dead) == []
    # It is as old as it was, so that it goes when its time is over.
    assert spool.kept_since(old.name) == 1000.0
    folder = spool.folder(State.DONE, old.name)
    assert sorted(path.name for path in folder.iterdir()) == [AUDIO, MESSAGE]
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}


@pytest.mark.parametrize("power_cut", [False, True])
@pytest.mark.parametrize("disks", [1, 2])
def test_a_crash_at_any_moment(
    tmp_path: Path,
    message: MakeMessage,
    request: pytest.FixtureRequest,
    disks: int,
    power_cut: bool,
) -> None:
    if disks == 2:
        request.getfixturevalue("other_disk")
    calls, total = 0, 1
    while calls <= total:
        root = tmp_path / f"{calls}"
        dead, spool = die(root, message), Spool(root / "spool")
        spool.open()
        with pytest.MonkeyPatch.context() as patch:
            machine = Machine(patch, calls or None)  # the first time nothing happens
            with contextlib.suppress(Crash):
                adopt(spool, dead)
        total = machine.calls if not calls else total
        if power_cut:
            machine.lose_unsynced()
        assert adopt(spool, dead).left == 0
        assert holding(spool) == ALL, calls
        for state in (State.QUEUE, State.FAILED, State.DONE):
            for one in spool.list(state):
                audio = spool.folder(state, one.id) / AUDIO
                assert audio.read_bytes() == b"packets " + one.call_id.encode()
        spool.close()
        calls += 1
    assert total > 30


@pytest.mark.usefixtures("other_disk")
def test_after_a_crash_nothing_is_here_twice(
    spool: Spool, dead: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(path: Path) -> None:
        raise Crash

    with monkeypatch.context() as patch:
        patch.setattr("sipmail.spool.adoption.delete", crash)
        with pytest.raises(Crash):
            adopt(spool, dead)
    assert len(left_over(dead)) == 4  # one is here, and is there still
    (arrived,) = spool.list(State.QUEUE)
    spool.move(arrived.id, State.QUEUE, State.DONE)  # and is delivered meanwhile
    counts = adopt(spool, dead).counts()
    assert counts == {"queue": 1, "failed": 1, "done": 1, "known": 1, "left": 0}
    assert sorted(chain(*holding(spool).values())) == sorted(OTHER)
    assert left_over(dead) == []


@pytest.mark.usefixtures("other_disk")
def test_a_copy_that_was_not_finished_is_made_again(spool: Spool, dead: Path) -> None:
    (waiting,) = (dead / "queue").iterdir()
    half = spool.root / "queue" / f".adopting-{waiting.name}"
    half.mkdir()
    (half / AUDIO).write_bytes(b"pack")
    assert spool.list(State.QUEUE) == []
    adopt(spool, dead)
    assert not half.exists()
    assert (spool.folder(State.QUEUE, waiting.name) / AUDIO).read_bytes() == b"packets queue"


def test_the_same_id_with_other_packets_is_another_message(
    spool: Spool, dead: Path, message: MakeMessage
) -> None:
    (waiting,) = (dead / "queue").iterdir()
    ours = message(id=waiting.name, call_id="ours")
    (spool.begin(ours) / AUDIO).write_bytes(b"other packets")
    spool.finish(replace(ours, ended=NOON, recorded=True))
    adoption = adopt(spool, dead)
    assert waiting.name not in adoption.gained[State.QUEUE]
    assert sorted(holding(spool)["queue"]) == ["ours", "queue", "recording"]
    assert left_over(dead) == []


def test_what_cannot_be_read_stays_there(spool: Spool, dead: Path) -> None:
    (failed,) = (dead / "failed").iterdir()
    (failed / MESSAGE).write_text("{")
    assert adopt(spool, dead).counts() == {
        **{"queue": 2, "failed": 0, "done": 1},
        **{"known": 0, "left": 1},
    }
    assert (failed / AUDIO).read_bytes() == b"packets failed"


def test_a_spool_in_use_is_left_alone(spool: Spool, dead: Path) -> None:
    owner = Spool(dead)
    owner.open()
    with pytest.raises(SpoolError, match=f"process {os.getpid()}"):
        adopt(spool, dead)
    owner.close()
    courier = Lock.on_file(dead / COURIER_LOCK, "the queue")
    with pytest.raises(SpoolError, match="is in use by another sipmail"):
        adopt(spool, dead)
    courier.release()
    assert len(left_over(dead)) == 4
    assert adopt(spool, dead).counts()["queue"] == 2


def test_only_another_spool_can_be_adopted(spool: Spool, tmp_path: Path) -> None:
    with pytest.raises(SpoolError, match="is the spool of this sipmail itself"):
        adopt(spool, spool.root)
    (tmp_path / "empty").mkdir()
    for folder in (tmp_path / "empty", tmp_path / "nowhere"):
        with pytest.raises(SpoolError, match="is no spool"):
            adopt(spool, folder)
    assert list((tmp_path / "empty").iterdir()) == []
