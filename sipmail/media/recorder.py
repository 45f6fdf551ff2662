"""One recording: the journal that packets are appended to, and what ends it.

The journal is opened with O_APPEND and gets one `write` a drain; nothing is synced here (the
courier's process does that). What a full disk refuses is raised as OSError; whatever was written
until then is a valid journal with a cut tail.

What the silence limit has to judge is read back from the journal, which needs no disk: it was
written a moment ago. The recording of a fax machine ends as well. The silence limit says when it
may be one; only then is its calling tone looked for in the sound itself.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from sipmail.audio.fax import is_fax
from sipmail.audio.timeline import samples
from sipmail.media.loudness import Levels, levels_of
from sipmail.media.protocol import FAX
from sipmail.media.silence import SilenceDetector
from sipmail.rtp import journal

_TICKS = 1000
_HEAD = 512
_MOST_READ_BACK = 200_000  # bytes: a calling machine is known within 20 s


class Recorder:
    """Writes one journal; ticks are milliseconds."""

    __slots__ = ("_began", "_descriptor", "_max", "_offset", "_silence", "_size", "finish_keys")

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
        self._size = 0
        try:
            self._size = os.fstat(self._descriptor).st_size
            start = journal.start_of(os.pread(self._descriptor, _HEAD, 0))
            if start is not None:  # it goes on where it was interrupted
                self._offset += max(0, round((wall - start) * _TICKS))
            else:
                self._append(journal.header(wall, host, port))
        except OSError:
            self.close()
            raise

    def take(self, records: bytes | memoryview, lasts: int, tick: int) -> None:
        """Appends whole records that came until now, with `lasts` ticks of sound in them; raises
        OSError when the disk refuses."""
        position = self._size
        self._append(records)
        if lasts:
            self._silence.hear(lasts, tick, position)

    def _append(self, data: bytes | memoryview) -> None:
        self._size += len(data)
        written = os.write(self._descriptor, data)
        while written < len(data):
            data = data[written:]
            written = os.write(self._descriptor, data)

    def looked(self, tick: int) -> None:
        """All that has come until now was taken."""
        self._silence.looked(tick)

    def milliseconds(self, tick: int) -> int:
        """What a record that arrived at `tick` notes as its time."""
        return tick + self._offset

    def hold(self, tick: int) -> None:
        """The call is on hold: being silent does not end the recording."""
        self._silence.rest(tick)

    def over(self, tick: int, payloads: Mapping[int, str]) -> str | None:
        """Why the recording has to end now (max, fax, silence), if it has to.

        `payloads` names the encodings of the packets. Raises OSError.
        """
        if tick - self._began >= self._max:
            return "max"

        def levels_from(position: int) -> Levels:
            size = self._size - position
            return levels_of(os.pread(self._descriptor, size, position), payloads)

        silent = self._silence.over(tick, levels_from)
        if self._silence.suspects_machine() and self._is_fax(payloads):
            return FAX
        return "silence" if silent else None

    def remaining(self, tick: int) -> int:
        """Ticks until `over` may be true, at least 1."""
        return max(1, min(self._began + self._max, self._silence.due) - tick)

    def _is_fax(self, payloads: Mapping[int, str]) -> bool:
        begin = max(0, self._size - _MOST_READ_BACK)
        packets = journal.read(os.pread(self._descriptor, _MOST_READ_BACK, begin))
        return is_fax(samples(packets, payloads).samples)

    def seconds(self, tick: int) -> float:
        """How long the recording has gone on."""
        return (tick - self._began) / _TICKS

    def close(self) -> None:
        """Closes the journal; the recorder is of no more use then."""
        os.close(self._descriptor)
