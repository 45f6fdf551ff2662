"""One recording: the journal that packets are appended to, and the limits that end it.

The journal is opened with O_APPEND and gets one `write` a drain; nothing is synced here (the
courier's process does that). What a full disk refuses is raised as OSError; whatever was written
until then is a valid journal with a cut tail.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from sipmail.media.silence import SilenceDetector
from sipmail.rtp import journal

_TICKS = 1000
_HEAD = 512


class Recorder:
    """Writes one journal; ticks are milliseconds."""

    __slots__ = ("_began", "_descriptor", "_max", "_offset", "_silence", "finish_keys")

    def __init__(
        self,
        path: str,
        tick: int,
        wall: float,
        *,
        maximum: float,
        silence: float,
        finish_keys: str,
        host: str,
        port: int,
    ) -> None:
        """Opens the journal at `path` (a new one begins at `wall`, Unix time in seconds).

        `maximum` and `silence` are seconds, a silence of 0 never ends the recording. `host` and
        `port` are the receiving socket's. Raises OSError.
        """
        self.finish_keys = finish_keys
        self._began = tick
        self._max = round(maximum * _TICKS)
        self._silence = SilenceDetector(silence, tick)
        self._offset = -tick
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        self._descriptor = os.open(path, flags, 0o600)
        try:
            start = journal.start_of(os.pread(self._descriptor, _HEAD, 0))
            if start is not None:  # it goes on where it was interrupted
                self._offset += max(0, round((wall - start) * _TICKS))
            else:
                self.append(journal.header(wall, host, port))
        except OSError:
            self.close()
            raise

    def append(self, data: bytes | memoryview) -> None:
        """Appends whole records; raises OSError when the disk refuses."""
        written = os.write(self._descriptor, data)
        while written < len(data):
            data = data[written:]
            written = os.write(self._descriptor, data)

    def milliseconds(self, tick: int) -> int:
        """What a record that arrived at `tick` notes as its time."""
        return tick + self._offset

    def listens(self, tick: int) -> bool:
        """Whether the level of what came now is of interest."""
        return self._silence.listens(tick)

    def level(self, packets: Sequence[float], tick: int) -> None:
        """Takes the level of each packet of sound that came since the last time."""
        self._silence.feed(packets, tick)

    def hold(self, tick: int) -> None:
        """The call is on hold: being silent does not end the recording."""
        self._silence.rest(tick)

    def over(self, tick: int) -> str | None:
        """Why the recording has to end now (max, silence), if it has to."""
        if tick - self._began >= self._max:
            return "max"
        return "silence" if self._silence.over(tick) else None

    def remaining(self, tick: int) -> int:
        """Ticks until the maximum is reached, at least 1."""
        return max(1, self._began + self._max - tick)

    def seconds(self, tick: int) -> float:
        """How long the recording has gone on."""
        return (tick - self._began) / _TICKS

    def close(self) -> None:
        """Closes the journal; the recorder is of no more use then."""
        os.close(self._descriptor)
