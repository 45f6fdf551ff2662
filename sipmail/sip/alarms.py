"""Alarms: what is to happen later, in a heap, so that thousands of machines cost nothing to wait.

Rules: setting is O(log n), the next deadline O(1); a cancelled alarm stays in the heap until its
time or until cancelled ones outnumber the others, whichever is first. Alarms ring in the order of
their times, those of one time in the order in which they were set.
"""

from __future__ import annotations

from collections.abc import Callable
from heapq import heapify, heappop, heappush
from itertools import count

Callback = Callable[[float], None]
"""Called with the time `now`, which may be later than what was asked for."""

_FEW = 64


class Alarm:
    """One alarm that was set. `when` is in the seconds of the given clock."""

    __slots__ = ("_alarms", "_callback", "when")

    def __init__(self, when: float, callback: Callback, alarms: Alarms) -> None:
        self.when = when
        self._callback: Callback | None = callback
        self._alarms = alarms

    def cancel(self) -> None:
        """It won't ring any more; cancelling again, or after it rang, does nothing."""
        if self._callback is not None:
            self._callback = None
            self._alarms.note_cancelled()

    def ring(self, now: float) -> bool:
        """Calls back, once; False where it was cancelled."""
        callback = self._callback
        if callback is None:
            return False
        self._callback = None
        callback(now)
        return True

    @property
    def pending(self) -> bool:
        """Whether it will still ring."""
        return self._callback is not None


class Alarms:
    """All alarms of one endpoint."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Alarm]] = []
        self._order = count()
        self._cancelled = 0

    def __len__(self) -> int:
        return len(self._heap) - self._cancelled

    def set(self, when: float, callback: Callback) -> Alarm:
        """Calls `callback` from `ring` once its time has come."""
        alarm = Alarm(when, callback, self)
        heappush(self._heap, (when, next(self._order), alarm))
        return alarm

    @property
    def deadline(self) -> float | None:
        """When `ring` is wanted next."""
        heap = self._heap
        while heap and not heap[0][2].pending:
            heappop(heap)
            self._cancelled -= 1
        return heap[0][0] if heap else None

    def ring(self, now: float) -> None:
        """Rings every alarm whose time has come, those too that the callbacks set for now."""
        heap = self._heap
        while heap and heap[0][0] <= now:
            if not heappop(heap)[2].ring(now):
                self._cancelled -= 1

    def note_cancelled(self) -> None:
        """One more alarm in the heap will not ring."""
        self._cancelled += 1
        if self._cancelled > _FEW and self._cancelled * 2 > len(self._heap):
            self._heap[:] = [entry for entry in self._heap if entry[2].pending]
            heapify(self._heap)
            self._cancelled = 0
