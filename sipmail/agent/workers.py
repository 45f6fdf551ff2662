"""The media workers of the agent: as many as configured, each with its share of the ports."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise

from sipmail.agent.keeper import Keeper
from sipmail.config.model import Rtp
from sipmail.config.values import PortRange
from sipmail.media.client import MediaWorker
from sipmail.media.protocol import Event


def worker_count(workers: int | str) -> int:
    """How many processes `rtp.workers` means: `auto` is a core each but one, at least one."""
    return workers if isinstance(workers, int) else max(1, len(os.sched_getaffinity(0)) - 1)


def shares(ports: PortRange, count: int) -> list[PortRange]:
    """Cuts a range into `count` ranges that begin with an even port (RTP) and hold pairs."""
    first = ports.first + ports.first % 2
    pairs = (ports.last - first + 1) // 2
    edges = [first + 2 * (pairs * part // count) for part in range(count + 1)]
    return [PortRange(a, b - 1) for a, b in pairwise(edges)]


class Workers:
    """Starts the workers and starts those again that die; `died(worker)` comes before."""

    def __init__(
        self,
        rtp: Rtp,
        prompts: Callable[[], Sequence[str]],
        on_event: Callable[[Event], None],
        died: Callable[[MediaWorker], None],
    ) -> None:
        self._prompts = prompts
        self._died = died
        self._keepers: dict[MediaWorker, Keeper] = {}
        for share in shares(rtp.ports, worker_count(rtp.workers)):
            self._add(share, rtp.timeout, on_event)

    def _add(self, ports: PortRange, timeout: float, on_event: Callable[[Event], None]) -> None:
        worker = MediaWorker(
            ports, timeout=timeout, on_event=on_event, on_exit=lambda: self._exited(worker)
        )
        self._keepers[worker] = Keeper("media worker", lambda: self._start(worker))

    async def start(self) -> None:
        """All at the same time: each has much to load. Raises MediaError when one cannot be."""
        starts = (keeper.start() for keeper in self._keepers.values())
        for error in await asyncio.gather(*starts, return_exceptions=True):
            if error is not None:
                raise error

    def load(self) -> None:
        """Has every worker read the prompts now."""
        for worker in self._keepers:
            worker.load(self._prompts())

    def idlest(self, calls: Mapping[MediaWorker, int]) -> MediaWorker:
        """The worker with the fewest `calls`, those that still ring too: a burst is spread. One
        that died and is not started again yet gets none while there is another."""
        return min(self._keepers, key=lambda worker: (worker.pid is None, calls.get(worker, 0)))

    @property
    def restarts(self) -> int:
        """How often a worker was started again."""
        return sum(keeper.restarts for keeper in self._keepers.values())

    @property
    def running(self) -> bool:
        """Whether any of them takes calls."""
        return any(worker.running for worker in self._keepers)

    @property
    def pids(self) -> list[int]:
        return [worker.pid for worker in self._keepers if worker.pid is not None]

    async def stop(self) -> None:
        for worker, keeper in self._keepers.items():
            keeper.stop()
            await worker.stop()

    async def _start(self, worker: MediaWorker) -> None:
        await worker.start()
        worker.load(self._prompts())

    def _exited(self, worker: MediaWorker) -> None:
        self._died(worker)
        self._keepers[worker].died()
