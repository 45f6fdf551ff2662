"""What a caller says before the recording that follows a prompt has begun.

A prompt ends here, in the media worker; that the recording begins is decided by the agent, which
hears of it and answers. Usually that is a matter of a millisecond, on a busy machine it may be a
second, and nobody's first words are to be lost for it: what comes after the last packet of the
prompt is kept, and the recording begins with it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence

_MOST_PACKETS = 512


class Prelude:
    """The packets since `began`, the tick at which the prompt was over; the oldest go first."""

    __slots__ = ("_batches", "_count", "began", "pressed")

    def __init__(self, tick: int) -> None:
        self.began = tick
        self.pressed = ""
        """The keys among them."""
        self._batches: deque[tuple[int, Sequence[bytes]]] = deque()
        self._count = 0

    def keep(self, packets: Sequence[bytes], tick: int) -> None:
        """Takes packets that have come until now."""
        self._batches.append((tick, packets))
        self._count += len(packets)
        while self._count > _MOST_PACKETS:
            self.began, oldest = self._batches.popleft()
            self._count -= len(oldest)

    def __iter__(self) -> Iterator[tuple[int, Sequence[bytes]]]:
        """The packets of each drain, and when that was."""
        return iter(self._batches)
