"""The load: N callers that ring, listen, speak and hang up, in one process on one core.

SIP is `signalling`; RTP is sent and received in batches, a tick of 1 ms at a time. Every call
speaks its own stretch of one long recording, so that its e-mail can be checked to the sample.
`python -m bench.generator ORDER.json RESULT.json` does what `Order` says.
"""

from __future__ import annotations

import gc
import json
import random
import socket
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.mmsg import Batch, Inbox, Outbox
from bench.signalling import Leg, State

RATE, STEP, PTIME = 8000, 160, 0.02
_TICK = 0.001
_SIP_EVERY = 0.002
_PACKET = 12 + STEP
_SILENCE = {0: 0xFF, 8: 0xD5}
# So many calls share a port of the generator; their RTP is told apart by the server's ports.
_CALLS_A_SOCKET = 64
_GIVE_UP = 60.0
_PAUSE = 0.5


@dataclass(frozen=True)
class Order:
    """`listen` and `talk` are seconds; `audio` is raw G.711 that calls speak stretches of.

    A caller speaks after `listen`, and not before as many packets as the `prompts` have were heard
    and then nothing for `_PAUSE`: after the beep, however late that comes. With `media_base` there
    is no SIP: call i sends to port `media_base + 2 i` from the start.
    """

    host: str
    port: int
    calls: int
    rate: float
    listen: float
    talk: float
    audio: str
    prompts: int = 0
    payload_type: int = 0
    user: str = "201"
    sip_port: int = 0
    media_base: int = 0


def stretch(audio: NDArray[np.uint8], call: int, frames: int) -> NDArray[np.uint8]:
    """The frames `(frames, 160)` that call number `call` speaks."""
    available = len(audio) // STEP
    return audio[: available * STEP].reshape(-1, STEP)[frame_numbers(call, available, frames)]


def frame_numbers(call: int, available: int, frames: int) -> NDArray[np.intp]:
    return (np.arange(frames) + call * 37) % available


class Generator:
    def __init__(self, order: Order) -> None:
        self.order = order
        audio = np.frombuffer(Path(order.audio).read_bytes(), np.uint8)
        self._frames = audio[: len(audio) // STEP * STEP].reshape(-1, STEP)
        self._sip = _bound(order.sip_port)
        self._sip.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        self._sockets = [_bound() for _ in range(-(-order.calls // _CALLS_A_SOCKET))]
        for sock in self._sockets:
            Inbox.prepare(sock)
        self._groups = np.arange(order.calls) // _CALLS_A_SOCKET
        self.legs = [self._leg(index) for index in range(order.calls)]
        self._by_id = {leg.call_id: leg for leg in self.legs}
        self._outbox = Outbox(order.calls, _PACKET)
        self._inbox = Inbox()
        self._start = np.full(order.calls, np.inf)
        self._sent = np.zeros(order.calls, np.int64)
        self._spoken = np.zeros(order.calls, np.int64)
        self._heard_packets = np.zeros(order.calls, np.int64)
        self._heard_last = np.full(order.calls, np.inf)
        self._call_at_port = np.full(65536, -1, np.int64)
        self._heard: list[tuple[NDArray[np.int64], Batch]] = []
        self._waiting: set[int] = set()
        self._unsent = 0
        self._latest = 0.0
        rows = self._outbox.rows
        rows[:, 0] = 0x80
        rows[:, 1] = order.payload_type
        rows[:, 8:12] = np.arange(order.calls, dtype=">u4").view(np.uint8).reshape(-1, 4)

    def _leg(self, index: int) -> Leg:
        order = self.order
        local = ("127.0.0.1", self._sip.getsockname()[1])
        rtp_port = self._sockets[self._groups[index]].getsockname()[1]
        target = (order.host, order.port)
        return Leg(index, order.user, local, target, rtp_port, order.payload_type)

    def run(self) -> dict[str, object]:
        """All calls from the first INVITE to the last answer to a BYE; returns what was seen."""
        gc.freeze()
        gc.disable()
        order = self.order
        begun = time.monotonic()
        deadline = begun + order.calls / order.rate + order.listen + order.talk + _GIVE_UP
        # Calls come at random moments (seeded), as calls do, at the given rate on average.
        gaps = random.Random(7)
        due = [begun + (index + gaps.random()) / order.rate for index in range(order.calls)]
        next_call, tick, next_sip, peak = 0, begun, begun, 0
        while time.monotonic() < deadline:
            now = time.monotonic()
            self._latest = max(self._latest, now - tick)
            while next_call < order.calls and due[next_call] <= now:
                self._begin(self.legs[next_call], now)
                next_call += 1
            if now >= next_sip:
                self._signal(now)
                next_sip = now + _SIP_EVERY
                peak = max(peak, int(np.isfinite(self._start).sum()))
                if next_call == order.calls and all(
                    leg.state in (State.DONE, State.FAILED) for leg in self.legs
                ):
                    break
            self._hear(now)
            self._speak(now)
            tick = max(tick + _TICK, now)
            time.sleep(max(0.0, tick - time.monotonic()))
        return self._result(begun, peak)

    def _begin(self, leg: Leg, now: float) -> None:
        if not self.order.media_base:
            leg.invite(now)
            self._flush(leg)
            return
        leg.state, leg.invited, leg.answered = State.UP, now, now
        leg.remote_rtp = (self.order.host, self.order.media_base + 2 * leg.index)
        self._connect(leg)

    def _connect(self, leg: Leg) -> None:
        assert leg.remote_rtp is not None
        host, port = leg.remote_rtp
        address = int.from_bytes(socket.inet_aton(host), "big")
        self._outbox.addresses["address"][leg.index] = address
        self._outbox.addresses["port"][leg.index] = port
        self._call_at_port[port] = leg.index
        self._start[leg.index] = leg.answered

    def _signal(self, now: float) -> None:
        for _ in range(500):
            try:
                data, _ = self._sip.recvfrom(65535)
            except OSError:
                break
            text = data.decode("utf-8", "replace")
            marker = text.lower().find("call-id:")
            call_id = text[marker + 8 : text.find("\r", marker)].strip()
            if (leg := self._by_id.get(call_id)) is not None:
                before = leg.state
                leg.receive(text, now)
                if before is State.INVITING and leg.state is State.UP:
                    self._connect(leg)
                self._flush(leg)
        for index in list(self._waiting):
            self.legs[index].timer(now)
            self._flush(self.legs[index])

    def _flush(self, leg: Leg) -> None:
        """Sends what the call has to say, and keeps in mind whether it waits for an answer."""
        for text in leg.outbox:
            self._sip.sendto(text.encode(), leg.target)
        leg.outbox.clear()
        if leg.state in (State.INVITING, State.LEAVING):
            self._waiting.add(leg.index)
        else:
            self._waiting.discard(leg.index)
        if leg.state in (State.DONE, State.FAILED, State.LEAVING):
            self._start[leg.index] = np.inf

    def _speak(self, now: float) -> None:
        """Sends every packet that is due, at answer + k · 20 ms."""
        order = self.order
        calls = np.flatnonzero(self._start + self._sent * PTIME <= now)
        if not len(calls):
            return
        k, spoken = self._sent[calls], self._spoken[calls]
        over = spoken >= round(order.talk / PTIME)
        for call in calls[over]:
            leg = self.legs[call]
            self._start[call] = np.inf
            if order.media_base:
                leg.state, leg.left = State.DONE, now
            else:
                leg.leave(now)
                self._flush(leg)
        calls, k, spoken = calls[~over], k[~over], spoken[~over]
        rows = self._outbox.rows
        rows[calls, 1] = order.payload_type | (k == 0) << 7
        rows[calls, 2:4] = (k & 0xFFFF).astype(">u2").view(np.uint8).reshape(-1, 2)
        rows[calls, 4:8] = (k * STEP).astype(">u4").view(np.uint8).reshape(-1, 4)
        frames = self._frames[(spoken + calls * 37) % len(self._frames)]
        speaks = (spoken > 0) | self._turn(calls, k, now)
        frames[~speaks] = _SILENCE[order.payload_type]
        self._spoken[calls] += speaks
        rows[calls, 12:] = frames
        groups = self._groups[calls]
        for group in np.unique(groups):
            self._unsent += self._outbox.send(self._sockets[group], calls[groups == group])
        self._sent[calls] += 1

    def _turn(self, calls: NDArray[np.intp], k: NDArray[np.int64], now: float) -> NDArray[np.bool_]:
        """Which of the calls may begin to speak with their packet number `k`."""
        listened = k >= round(self.order.listen / PTIME)
        if not self.order.prompts:
            return listened
        heard = self._heard_packets[calls] >= self.order.prompts
        return listened & heard & (now - self._heard_last[calls] > _PAUSE)

    def _hear(self, now: float) -> None:
        """Takes what came, with its kernel times; these are looked at when all is over."""
        for sock in self._sockets:
            while (batch := self._inbox.receive(sock)) is not None:
                calls = self._call_at_port[batch.ports]
                self._heard.append((calls, batch))
                known = calls[calls >= 0]
                np.add.at(self._heard_packets, known, 1)
                self._heard_last[known] = now

    def _greetings(self) -> tuple[int, int, NDArray[np.float64]]:
        """Packets heard, packets lost between them, and how far each was from 20 ms (seconds).

        A pause of over half a second is not jitter but the end of the greeting.
        """
        if not self._heard:
            return 0, 0, np.zeros(0)
        calls = np.concatenate([calls for calls, _ in self._heard])
        times = np.concatenate([batch.times for _, batch in self._heard])
        sequences = np.concatenate([batch.sequences for _, batch in self._heard]).astype(np.int64)
        order = np.lexsort((times, calls))
        order = order[calls[order] >= 0]
        calls, times, sequences = calls[order], times[order], sequences[order]
        same = np.diff(calls) == 0
        steps = (np.diff(sequences) & 0xFFFF)[same]
        pauses = np.diff(times)[same]
        lost = int((steps[steps < 0x8000] - 1).clip(0).sum())
        in_row = (steps == 1) & (pauses < 0.5)
        return len(calls), lost, np.abs(pauses[in_row] - PTIME)

    def _result(self, begun: float, peak: int) -> dict[str, object]:
        answers = [leg.answered - leg.invited for leg in self.legs if leg.answered]
        heard, lost, off = self._greetings()
        return {
            "calls": len(self.legs),
            "answered": len(answers),
            "done": sum(leg.state is State.DONE for leg in self.legs),
            "failures": sorted({leg.status for leg in self.legs if leg.state is State.FAILED}),
            "at_once": peak,
            "seconds": time.monotonic() - begun,
            "call_seconds": sum((leg.left or leg.answered) - leg.answered for leg in self.legs),
            "packets_sent": int(self._sent.sum()),
            "packets_unsent": self._unsent,
            "greeting_packets": heard,
            "greeting_lost": lost,
            "answer_ms": _percentiles(answers),
            "jitter_ms": _percentiles(off),
            "generator_late_ms": self._latest * 1e3,
            "hung_up": {leg.number: leg.left for leg in self.legs},
        }


def _percentiles(values: object) -> dict[str, float]:
    array = np.asarray(values, float) * 1e3
    if not len(array):
        return {}
    return {
        "p50": float(np.percentile(array, 50)),
        "p99": float(np.percentile(array, 99)),
        "max": float(array.max()),
    }


def _bound(port: int = 0) -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("127.0.0.1", port))
    sock.setblocking(False)
    return sock


def write(order: Order, path: Path) -> None:
    path.write_text(json.dumps(asdict(order)))


if __name__ == "__main__":
    source, result = map(Path, sys.argv[1:])
    generator = Generator(Order(**json.loads(source.read_text())))
    result.write_text(json.dumps(generator.run()))
