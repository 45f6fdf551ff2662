"""How many messages are prepared at a time: making a recording a file takes seconds of CPU.

The threads do other work, too, and whoever has prepared a message goes on with what comes next:
waking another thread for it costs as much as a page of code.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor

Then = Callable[[], None]


class Encoders:
    """At most `limit` at a time, the others in turn. For any thread."""

    def __init__(self, threads: Executor, limit: int) -> None:
        self._threads = threads
        self._guard = threading.Lock()
        self._free = limit
        self._waiting: deque[Callable[[], Then]] = deque()

    def submit(self, work: Callable[[], Then]) -> None:
        """Calls `work` as soon as there is room, and what it returns when it is no longer counted.
        Neither is to raise."""
        with self._guard:
            if not self._free:
                self._waiting.append(work)
                return
            self._free -= 1
        self._threads.submit(self._run, work)

    def _run(self, work: Callable[[], Then]) -> None:
        then = work()
        with self._guard:
            following = self._waiting.popleft() if self._waiting else None
            if following is None:
                self._free += 1
        if following is not None:
            self._threads.submit(self._run, following)
        then()
