"""How ports are shared between media workers, and how a dead child comes back."""

from __future__ import annotations

import asyncio
import contextlib
from itertools import pairwise

import pytest

from sipmail.agent.keeper import Keeper
from sipmail.agent.workers import Workers, shares, worker_count
from sipmail.config.model import Rtp
from sipmail.config.values import PortRange
from sipmail.errors import MediaError
from sipmail.media.client import MediaWorker
from tests.support.patience import PATIENCE


@pytest.mark.parametrize("count", [1, 2, 3, 7])
@pytest.mark.parametrize("ports", [PortRange(20000, 20999), PortRange(20001, 20100)])
def test_shares_hold_whole_pairs_that_begin_even_and_never_overlap(
    ports: PortRange, count: int
) -> None:
    parts = shares(ports, count)
    assert len(parts) == count
    assert all(part.first % 2 == 0 and part.last % 2 == 1 for part in parts)
    assert all(a.last < b.first for a, b in pairwise(parts))
    assert parts[0].first >= ports.first
    assert parts[-1].last <= ports.last
    assert sum(part.last - part.first + 1 for part in parts) >= ports.last - ports.first - 1


def test_a_burst_is_spread_and_no_call_goes_to_a_worker_that_is_dead(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    dead: set[MediaWorker] = set()
    monkeypatch.setattr(MediaWorker, "pid", property(lambda it: None if it in dead else 1))
    rtp = Rtp.model_validate({"ports": "20000-20099", "workers": 2})
    workers = Workers(rtp, tuple, lambda event: None, lambda worker: None)
    calls: dict[MediaWorker, int] = {}
    first = workers.idlest(calls)
    calls[first] = 1
    second = workers.idlest(calls)
    assert second is not first
    calls[second] = 5
    assert workers.idlest(calls) is first
    dead.add(first)
    assert workers.idlest(calls) is second
    dead.add(second)
    assert workers.idlest(calls) is first, "it will soon be back"


@pytest.mark.parametrize("fails", [False, True])
def test_all_start_at_the_same_time_and_all_have_ended_when_one_cannot(
    monkeypatch: pytest.MonkeyPatch, fails: bool
) -> None:
    under_way: list[MediaWorker] = []
    ended: list[MediaWorker] = []
    all_begun = asyncio.Event()

    async def start(worker: MediaWorker) -> None:
        under_way.append(worker)
        if len(under_way) == 3:
            all_begun.set()
        await all_begun.wait()
        if worker is under_way[0] and fails:
            raise MediaError("no")
        await asyncio.sleep(0)
        ended.append(worker)

    async def main() -> None:
        rtp = Rtp.model_validate({"ports": "20000-20099", "workers": 3})
        workers = Workers(rtp, tuple, lambda event: None, lambda worker: None)
        async with asyncio.timeout(PATIENCE):
            with pytest.raises(MediaError) if fails else contextlib.nullcontext():
                await workers.start()

    monkeypatch.setattr(MediaWorker, "start", start)
    asyncio.run(main())
    assert len(ended) == 3 - fails


def test_a_number_of_workers_is_taken_as_it_is_and_auto_is_at_least_one() -> None:
    assert worker_count(3) == 3
    assert worker_count("auto") >= 1


def test_a_child_that_dies_while_it_is_started_comes_back() -> None:
    async def main() -> None:
        started: list[int] = []
        up = asyncio.Event()

        async def start() -> None:
            started.append(len(started))
            if len(started) == 2:
                keeper.died()  # it was ready, and its end is known before its start is over
            elif len(started) == 3:
                up.set()

        async def rest(seconds: float) -> None:
            pass

        keeper = Keeper("child", start, rest)
        await keeper.start()
        keeper.died()
        async with asyncio.timeout(PATIENCE):
            await up.wait()
        assert keeper.restarts == 2
        keeper.stop()

    asyncio.run(main())


def test_the_first_death_is_mended_at_once_and_a_start_that_fails_is_tried_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def main() -> None:
        started: asyncio.Queue[int] = asyncio.Queue()
        attempts = 0

        async def start() -> None:
            nonlocal attempts
            attempts += 1
            started.put_nowait(attempts)
            if attempts == 2:
                raise OSError("cannot")

        pauses: list[float] = []

        async def rest(seconds: float) -> None:
            pauses.append(seconds)

        keeper = Keeper("child", start, rest)
        await keeper.start()
        keeper.died()
        async with asyncio.timeout(PATIENCE):
            assert [await started.get() for _ in range(3)] == [1, 2, 3]
        assert pauses == [0.0, 0.5]
        keeper.stop()
        keeper.died()
        assert started.empty()

    asyncio.run(main())
    assert "the child could not be started: cannot" in caplog.text
    assert "Traceback" not in caplog.text
