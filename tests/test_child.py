"""A child process that dies, hangs or cannot start, seen from the event loop.

What a living one does is tested with the two that there are: `tests/media/test_worker.py` and
`tests/mail/test_courier.py`.
"""

from __future__ import annotations

import asyncio
import os
import signal

import pytest

from sipmail.child import Child
from sipmail.errors import MediaError
from tests.support.patience import PATIENCE


class Owner:
    """A child of `tests.support.lingering`, and what it told."""

    def __init__(self, module: str = "tests.support.lingering") -> None:
        self.died = asyncio.Event()
        self.child: Child[int] = Child(
            "child",
            module,
            failure=MediaError,
            on_word=lambda word: self.child.ready(),
            on_exit=self.died.set,
        )


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_one_that_closed_its_channel_is_ended_before_its_owner_hears_of_it() -> None:
    async def scene() -> None:
        owner = Owner()
        assert not owner.child.running
        await owner.child.start()
        pid = owner.child.pid
        assert pid is not None
        assert owner.child.running
        asked = asyncio.create_task(owner.child.ask(lambda request: ("Ask", request)))
        os.kill(pid, signal.SIGUSR1)
        with pytest.raises(MediaError, match="the child died"):
            await asked
        assert owner.child.pid is None
        assert not owner.child.running
        async with asyncio.timeout(PATIENCE):
            await owner.died.wait()
        assert not alive(pid)
        with pytest.raises(MediaError, match="not running at this moment"):
            await owner.child.ask(lambda request: ("Ask", request))
        await owner.child.start()
        assert owner.child.pid not in (None, pid)
        await owner.child.stop(0.0)

    asyncio.run(scene())


def test_one_that_does_not_end_when_told_is_killed_and_nobody_hears_of_a_death() -> None:
    async def scene() -> None:
        owner = Owner()
        await owner.child.start()
        pid = owner.child.pid
        assert pid is not None
        with pytest.raises(MediaError, match="runs already"):
            await owner.child.start()
        await owner.child.stop(0.1, ("Stop",))
        assert not alive(pid)
        assert not owner.died.is_set()

    asyncio.run(scene())


def test_one_that_ends_at_its_start_is_an_error() -> None:
    async def scene() -> None:
        owner = Owner("tests.support.no_such_module")
        with pytest.raises(MediaError, match="the child did not start"):
            await owner.child.start()
        assert owner.child.pid is None

    asyncio.run(scene())
