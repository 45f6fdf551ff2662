"""What a call sends: prompts, packet by packet on the wheel, and a silent packet a second else.

Rules:
- the packets of a second are built by numpy as rows of one block; a turn of the wheel sends a row;
- prompts that follow each other, in one `play` or in several, are played without a gap;
- sequence numbers count what was sent; timestamps are the wheel's time, so they go on through
  pauses (RFC 3550 section 5.1); the first packet after a pause has the marker (RFC 3551 s. 4.1);
- a packet that the kernel does not take at once is dropped, never waited for; a refused one (an
  ICMP message that came back for an earlier packet) is sent once more.
"""

from __future__ import annotations

import socket
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sipmail.media.prompts import SILENCE, Prompts
from sipmail.media.protocol import Leg
from sipmail.rtp.latch import Address
from sipmail.rtp.packet import CLOCK_RATE, HEADER

_PER_TICK = CLOCK_RATE // 1000
_BLOCK_TICKS = 1000
_FLAGS = 2 << 6
_MARKER = 0x80
_COMFORT_NOISE = b"\x46"  # RFC 3389: -70 dBov, the level alone

PTIMES = (10, 20, 30, 40, 60)
"""Milliseconds of sound in a packet that the wheel can send at."""


@dataclass(slots=True)
class _Job:
    """The prompts of one `play`, how far they were sent, and as code words of one codec."""

    prompts: tuple[str, ...]
    token: int
    position: int = 0
    words: tuple[npt.NDArray[np.uint8], ...] | None = None


class _Block:
    """Packets of one second, as rows that are filled in place and sent as they stand."""

    def __init__(self, samples: int) -> None:
        count = _BLOCK_TICKS * _PER_TICK // samples
        self.count = count
        self.rows = np.zeros((count, HEADER.size + samples), np.uint8)
        self.rows[:, 0] = _FLAGS
        size = HEADER.size + samples
        memory = self.rows.reshape(-1).data
        self.packets = [memory[row * size : (row + 1) * size] for row in range(count)]
        self.payload = self.rows[:, HEADER.size :]
        pitch = (size,)
        self.sequences = np.ndarray((count,), ">u2", self.rows.data, 2, pitch)
        self.timestamps = np.ndarray((count,), ">u4", self.rows.data, 4, pitch)
        self.sources = np.ndarray((count,), ">u4", self.rows.data, 8, pitch)


class Player:
    """The sending side of one call; a `Stream` of the wheel while it plays."""

    __slots__ = (
        "_block",
        "_final",
        "_jobs",
        "_last_sent",
        "_leg",
        "_packets",
        "_played",
        "_prompts",
        "_ready",
        "_row",
        "_samples",
        "_send",
        "_sequence",
        "_socket",
        "_talking",
        "_timestamp",
        "connected",
        "octets",
        "sent",
        "ssrc",
        "target",
    )

    def __init__(
        self,
        sock: socket.socket,
        prompts: Prompts,
        played: Callable[[int], None],
        last_sent: Callable[[], None],
        *,
        ssrc: int,
        sequence: int,
        timestamp: int,
    ) -> None:
        """`last_sent` is called right after the last packet of all that is to be played, `played`
        with the token of a `play` when its sound is over.

        `sequence` is the first sequence number, `timestamp` that of tick 0: both random.
        """
        self.ssrc = ssrc
        self.sent = 0
        """Packets until now."""
        self.octets = 0
        """Their payload bytes."""
        self.connected = False
        """Whether the socket is connected to where packets go."""
        self.target: Address | None = None
        """Where packets go; None: nowhere yet."""
        self._socket = sock
        self._send = sock.send
        self._prompts = prompts
        self._played = played
        self._last_sent = last_sent
        self._leg: Leg | None = None
        self._samples = 0
        self._sequence = sequence & 0xFFFF
        self._timestamp = timestamp
        self._jobs: deque[_Job] = deque()
        self._block: _Block | None = None
        self._packets: list[memoryview] = []
        self._row = 0
        self._ready = 0
        self._final = 0  # how many rows were sent when the last one was; 0: it is not built yet
        self._talking = False

    @property
    def playing(self) -> bool:
        """Whether there is something to be played, now or after the hold."""
        return bool(self._jobs)

    @property
    def ptime(self) -> int:
        """Ticks between two packets: what was negotiated, or the nearest that can be sent."""
        wanted = self._leg.ptime if self._leg else 20
        return min(PTIMES, key=lambda ptime: abs(ptime - wanted))

    def configure(self, leg: Leg) -> None:
        """Sends by this answer from now on; raises OSError where a prompt lacks the codec."""
        self._settle()
        before, self._leg = self._leg, leg
        samples = self.ptime * _PER_TICK
        if samples != self._samples:
            self._samples = samples
            self._block = None
        if not leg.send:
            self._talking = False
        if before is None or before.codec != leg.codec:
            for job in self._jobs:
                job.words = self._load(job.prompts)

    def play(self, prompts: Sequence[str], token: int) -> None:
        """Adds prompts after those that play; raises OSError or ValueError where one is wrong.

        Whoever owns the player lets it join the wheel.
        """
        job = _Job(tuple(prompts), token)
        if self._leg is not None:
            job.words = self._load(job.prompts)
        self._jobs.append(job)
        self._final = 0

    def stop(self) -> None:
        """Forgets what plays and what would; the owner takes the player off the wheel."""
        self._settle()
        self._jobs.clear()
        self._release()

    def close(self) -> None:
        """Stops for good; tells nobody anything any more, and so keeps no owner alive.

        The worker collects no garbage while there are calls: a cycle would stay for as long.
        """
        self.stop()
        self._played = _nobody
        self._last_sent = _nothing

    def timestamp(self, tick: int) -> int:
        """The RTP timestamp of a tick."""
        return (self._timestamp + tick * _PER_TICK) & 0xFFFFFFFF

    def step(self, tick: int) -> bool:
        """Sends the packet of this turn; False when everything was played."""
        row = self._row
        if row == self._ready:
            if not self._fill(tick):
                return False
            row = 0
        self._row = row + 1
        packet = self._packets[row]
        if self.connected:
            try:
                self._send(packet)
            except OSError:
                self._transmit(packet, self._samples)
            else:
                self.sent += 1
                self.octets += self._samples
        else:
            self._transmit(packet, self._samples)
        if self._row == self._final:
            self._last_sent()
        return True

    def idle(self, tick: int) -> None:
        """Sends one silent packet: comfort noise where agreed, else sound of zeros."""
        leg = self._leg
        if leg is None or not leg.send:
            return
        if leg.cn_payload_type is not None:
            kind, payload = leg.cn_payload_type, _COMFORT_NOISE
        else:
            kind, payload = leg.payload_type, bytes([SILENCE[leg.codec]]) * self._samples
            kind |= _MARKER
        head = HEADER.pack(_FLAGS, kind, self._sequence, self.timestamp(tick), self.ssrc)
        self._sequence = (self._sequence + 1) & 0xFFFF
        self._transmit(head + payload, len(payload))

    def _transmit(self, packet: bytes | memoryview, octets: int) -> None:
        for _ in (1, 2):
            try:
                if self.connected:
                    self._send(packet)
                elif self.target is not None:
                    self._socket.sendto(packet, self.target)
                else:
                    return
            except BlockingIOError:
                return
            except OSError:
                continue
            self.sent += 1
            self.octets += octets
            return

    def _load(self, prompts: tuple[str, ...]) -> tuple[npt.NDArray[np.uint8], ...]:
        assert self._leg is not None
        return tuple(self._prompts.load(name, self._leg.codec) for name in prompts)

    def _release(self) -> None:
        """A pause begins: the memory of the block goes, the next packet starts a talkspurt."""
        self._block = None
        self._packets = []
        self._talking = False

    def _settle(self) -> None:
        """Counts the rows that were sent; those that were only built are forgotten."""
        if self._jobs:
            self._jobs[0].position += self._row * self._samples
        self._sequence = (self._sequence + self._row) & 0xFFFF
        self._row = self._ready = self._final = 0

    def _fill(self, tick: int) -> bool:
        """Builds the next second; False when there is nothing more to play."""
        self._settle()
        leg = self._leg
        if leg is None:
            return False
        while self._jobs:
            job = self._jobs[0]
            if self._block is None:
                self._block = _Block(self._samples)
            rows = self._copy(job, self._block, SILENCE[leg.codec])
            if rows:
                break
            self._jobs.popleft()
            self._played(job.token)
        else:
            self._release()
            return False
        block = self._block
        first = self._sequence
        block.rows[:, 1] = leg.payload_type
        if not self._talking:
            self._talking = True
            block.rows[0, 1] |= _MARKER
        block.sequences[:] = _RAMP[: block.count] + first & 0xFFFF
        block.timestamps[:] = (
            _RAMP[: block.count] * self._samples + self.timestamp(tick) & 0xFFFFFFFF
        )
        block.sources[:] = self.ssrc
        self._packets = block.packets
        self._ready = rows
        assert job.words is not None  # its code words have just been copied
        if len(self._jobs) == 1:
            left = sum(map(len, job.words)) - job.position - rows * self._samples
            self._final = rows if left <= 0 else 0
        return True

    def _copy(self, job: _Job, block: _Block, silence: int) -> int:
        """Copies the job's next code words into the rows; returns how many rows they fill."""
        if job.words is None:
            job.words = self._load(job.prompts)
        scratch = _SCRATCH
        want = block.count * self._samples
        got, start = 0, job.position
        for words in job.words:
            if start >= len(words):
                start -= len(words)
                continue
            part = words[start : start + want - got]
            scratch[got : got + len(part)] = part
            got += len(part)
            start = 0
            if got == want:
                break
        rows = -(-got // self._samples)
        scratch[got : rows * self._samples] = silence
        block.payload[:rows] = scratch[: rows * self._samples].reshape(rows, self._samples)
        return rows


def _nobody(token: int) -> None:
    """Is told what nobody wants to know any more."""


def _nothing() -> None:
    """Is told, too."""


_RAMP = np.arange(_BLOCK_TICKS // min(PTIMES), dtype=np.int64)
_SCRATCH = np.empty(_BLOCK_TICKS * _PER_TICK, np.uint8)
