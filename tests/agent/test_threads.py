"""The spool's threads: results, errors, and who stops waiting."""

import asyncio
import threading
from collections.abc import Coroutine
from typing import Any

import pytest

from sipmail.agent.threads import Threads


def with_threads(most: int, body: Any) -> Any:
    async def run() -> Any:
        threads = Threads(most, "test")
        try:
            return await body(threads)
        finally:
            threads.close()

    return asyncio.run(run())


def test_results_come_to_who_asked() -> None:
    async def body(threads: Threads) -> list[int]:
        return await asyncio.gather(*(threads.run(lambda k=k: k * k) for k in range(50)))

    assert with_threads(3, body) == [k * k for k in range(50)]


def test_an_error_is_raised_where_it_is_awaited_and_the_thread_lives_on() -> None:
    async def body(threads: Threads) -> int:
        with pytest.raises(OSError, match="full"):
            await threads.run(fail)
        return await threads.run(lambda: 1)

    def fail() -> None:
        raise OSError("full")

    assert with_threads(1, body) == 1


def test_at_most_so_many_work_at_once_and_those_in_threads_of_their_name() -> None:
    together = threading.Barrier(3)

    def work() -> str:
        together.wait(10)  # passes only when three are here
        return threading.current_thread().name

    async def body(threads: Threads) -> set[str]:
        return set(await asyncio.gather(*(threads.run(work) for _ in range(9))))

    assert with_threads(3, body) == {"test_0", "test_1", "test_2"}


def test_a_thread_that_is_idle_is_taken_before_another_is_started() -> None:
    async def body(threads: Threads) -> set[str]:
        return {await threads.run(lambda: threading.current_thread().name) for _ in range(5)}

    assert with_threads(8, body) == {"test_0"}


def test_what_nobody_waits_for_any_more_does_not_begin() -> None:
    begun: list[int] = []
    hold, held = threading.Event(), threading.Event()

    def block() -> None:
        held.set()
        hold.wait(10)

    async def body(threads: Threads) -> None:
        blocked = threads.run(block)
        held.wait(10)
        given_up = threads.run(lambda: begun.append(1))
        wanted = threads.run(lambda: begun.append(2))
        given_up.cancel()
        hold.set()
        await asyncio.gather(blocked, wanted)

    with_threads(1, body)
    assert begun == [2]


def test_close_waits_for_what_is_in_the_queue() -> None:
    done: list[int] = []

    async def body(threads: Threads) -> None:
        for k in range(20):
            threads.run(lambda k=k: done.append(k))
        threads.close()
        assert done == list(range(20))

    with_threads(1, body)


def test_work_that_ends_after_its_loop_disturbs_nobody() -> None:
    hold = threading.Event()
    threads = Threads(1, "test")
    done: list[int] = []

    def work() -> None:
        hold.wait(10)
        done.append(1)

    async def body() -> None:
        threads.run(work)

    run: Coroutine[Any, Any, None] = body()
    asyncio.run(run)
    hold.set()
    threads.close()
    assert done == [1]
