"""The media of one call: its sockets, what it hears, what it sends, and its limits.

A session is a `Duty` of the wheel. Each time it comes round it drains the socket, looks at digits
and limits, and sends what is due: a silent packet a second while nothing plays, RTCP every 5 s. It
does so every 20 ms until the first packet, then every 200 ms, and a millisecond less often for each
other call, up to 400: a drain costs nearly the same whatever it finds, and a key can wait so long.
Beyond that nothing is gained, since packets that wait longer are out of the processor's caches.
Its player is a `Stream` of the wheel while there is something to play and we are not on hold.
Time is the wheel's tick, milliseconds.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sipmail.media.batch import Batch
from sipmail.media.control import Control
from sipmail.media.overrun import overrun
from sipmail.media.player import Player
from sipmail.media.prelude import Prelude
from sipmail.media.prompts import Prompts
from sipmail.media.protocol import (
    Digit,
    Event,
    FirstPacket,
    Leg,
    Played,
    RecordingEnded,
    Statistics,
    Timeout,
)
from sipmail.media.receiver import Receiver
from sipmail.media.recorder import Recorder
from sipmail.media.wheel import TICKS, Wheel
from sipmail.rtp.reception import Reception

UNTIL_FIRST_TICKS = 20
LEAST_TICKS, MOST_TICKS = 200, 400
SILENT_PACKET_TICKS = 1000


@dataclass(frozen=True, slots=True)
class Studio:
    """What all calls of a worker share."""

    wheel: Wheel
    batch: Batch
    prompts: Prompts
    emit: Callable[[Event], None]
    wall: Callable[[], float]
    """Unix time, seconds."""
    random: Callable[[int], int]
    """An unpredictable number of so many bits."""
    timeout: float
    """The RTP timeout, seconds."""


class Session:
    """One call; its sockets are its own and are closed with it."""

    __slots__ = (
        "_control",
        "_leg",
        "_on_wheel",
        "_overrun",
        "_prelude",
        "_reception",
        "_recorded",
        "_recorder",
        "_rtp",
        "_silent_due",
        "_started",
        "_studio",
        "_timed_out",
        "call",
        "due",
        "player",
        "port",
        "receiver",
    )

    def __init__(
        self, call: str, port: int, rtp: socket.socket, rtcp: socket.socket, studio: Studio
    ) -> None:
        """`rtp` and `rtcp` are bound to `port` and the one above, and do not block."""
        self.call = call
        self.port = port
        self.due: int | None = None
        self.player = Player(
            rtp,
            studio.prompts,
            self._played,
            self._last_sent,
            ssrc=studio.random(32),
            sequence=studio.random(15),
            timestamp=studio.random(32),
        )
        self._studio = studio
        self._rtp = rtp
        self._reception = Reception()
        self._control = Control(rtcp, rtp, self.player, self._reception, studio.random(64))
        self.receiver = Receiver(
            rtp, studio.batch, self._reception, self._control, studio.wheel.tick
        )
        self._leg: Leg | None = None
        self._started = False
        self._timed_out = False
        self._silent_due = 0
        self._on_wheel = False
        self._recorder: Recorder | None = None
        self._prelude: Prelude | None = None
        self._recorded = 0.0
        self._overrun = 0

    @property
    def sockets(self) -> tuple[socket.socket, socket.socket]:
        """Those of RTP and RTCP."""
        return self._rtp, self._control.socket

    def connect(self, leg: Leg) -> None:
        """The answer of the far side, the first or another.

        Raises MediaError where its host is a name, OSError where a prompt lacks the new codec.
        """
        tick = self._studio.wheel.tick
        before = self._leg
        if before is not None:
            self._drain(tick)  # what came until now came under the old answer
        self.receiver.configure(leg)
        self._leg = leg
        self._control.configure(leg, tick)
        self.player.configure(leg)
        self._aim()
        self._leave()
        self._join()
        if before is None or before.on_hold != leg.on_hold:
            self.receiver.heard = tick
            self._timed_out = False
        if before is None:
            self._silent_due = tick
            self._studio.wheel.schedule(self, UNTIL_FIRST_TICKS)

    def play(self, prompts: Sequence[str], token: int) -> None:
        """Adds prompts to what plays; raises OSError or ValueError where one is wrong."""
        self._prelude = None
        self.player.play(prompts, token)
        self._join()

    def record(self, path: str, maximum: float, silence: float, finish_keys: str) -> None:
        """Begins a recording; raises OSError.

        Its first packet is the first after the prompt that has just been played, or else the next
        that comes: what came before is drained and dropped, except for the digits in it. A finish
        key after the prompt ends it at once.
        """
        wheel = self._studio.wheel
        self._drain(wheel.tick)
        self._end_recording()
        prelude, self._prelude = self._prelude, None
        began = wheel.tick if prelude is None else prelude.began
        host, port, *_ = self._rtp.getsockname()
        recorder = self._recorder = Recorder(
            path,
            began,
            self._studio.wall() - (wheel.tick - began) / TICKS,
            maximum=maximum,
            silence=silence,
            finish_keys=finish_keys,
            host=host,
            port=port,
        )
        self._overrun -= overrun(self._rtp)
        if prelude is not None:
            for tick, packets in prelude:
                self.receiver.record(recorder, packets, tick)
                recorder.looked(tick)
            if set(prelude.pressed) & set(finish_keys):
                self._finish("key")
                return
        wheel.schedule(self, min(self._period(), recorder.remaining(wheel.tick)))

    def finish(self) -> None:
        """Ends the recording as a finish key does, every packet that came until now in it; raises
        OSError."""
        if self._recorder is not None:
            self._drain(self._studio.wheel.tick)
        if self._recorder is not None:
            self._finish("key")

    def stop(self) -> None:
        """Ends playing and recording; every packet that came until now is in the journal.

        Raises OSError where the journal could not take the last ones; all is ended even so.
        """
        try:
            self._drain(self._studio.wheel.tick)
        finally:
            self.abandon()

    def abandon(self) -> None:
        """Ends playing and recording as they stand, where going on has failed."""
        self._leave()
        self.player.stop()
        self._prelude = None
        self._end_recording()

    def close(self) -> Statistics:
        """Stops, says BYE and closes the sockets; the port is to be given back."""
        wheel = self._studio.wheel
        with contextlib.suppress(OSError):
            self.stop()
        self._control.goodbye(wheel.tick, self._studio.wall())
        wheel.cancel(self)
        self.player.close()
        self._control.close()
        self._rtp.close()
        return Statistics(
            received=self._reception.received,
            sent=self.player.sent,
            lost=self._reception.lost,
            recorded_seconds=self._recorded,
            jitter=self._reception.jitter_seconds,
            rejected=self.receiver.rejected,
            overrun=0 if self.receiver.flooded else self._overrun,
        )

    def run(self, tick: int) -> int | None:
        """The duty; raises OSError where the journal cannot be written."""
        leg = self._leg
        if leg is None:
            return None
        self._drain(tick)
        receiver = self.receiver
        if self._control.run(tick, self._studio.wall, receiver.latched):
            receiver.heard = tick
        if tick >= self._silent_due:
            self._silent_due = tick + SILENT_PACKET_TICKS
            if not self._on_wheel:
                self.player.idle(tick)
        if leg.on_hold:
            receiver.heard = tick
        if tick - receiver.heard < self._studio.timeout * TICKS:
            self._timed_out = False
        elif not self._timed_out:
            self._timed_out = True
            self._studio.emit(Timeout(self.call))
        recorder = self._recorder
        if recorder is None:
            return self._period()
        if leg.on_hold:
            recorder.hold(tick)
        if why := recorder.over(tick, receiver.codecs):
            self._finish(why)
            return self._period()
        return min(self._period(), recorder.remaining(tick))

    def _period(self) -> int:
        if not self._started:
            return UNTIL_FIRST_TICKS
        return min(MOST_TICKS, LEAST_TICKS + self._studio.wheel.waiting)

    def _drain(self, tick: int) -> None:
        """Takes what has come, tells of the first packet and of digits, obeys finish keys."""
        pressed = self.receiver.drain(tick, self._recorder or self._prelude)
        self._aim()
        if self._recorder is not None:
            self._recorder.looked(tick)
        if not self._started and self.receiver.started:
            self._started = True
            self._studio.emit(FirstPacket(self.call))
        for digit in pressed:
            self._studio.emit(Digit(self.call, digit))
            if self._prelude is not None:
                self._prelude.pressed += digit
            if self._recorder is not None and digit in self._recorder.finish_keys:
                self._finish("key")

    def _aim(self) -> None:
        self.player.connected = self.receiver.connected
        self.player.target = self.receiver.target

    def _finish(self, why: str) -> None:
        self._end_recording()
        self._studio.emit(RecordingEnded(self.call, why))

    def _end_recording(self) -> None:
        recorder, self._recorder = self._recorder, None
        if recorder is not None:
            self._recorded += recorder.seconds(self._studio.wheel.tick)
            self._overrun += overrun(self._rtp)
            recorder.close()

    def _last_sent(self) -> None:
        """What the caller says from now on is an answer; what has come until now was said, or
        pressed, over the prompt."""
        if self._recorder is None:
            tick = self._studio.wheel.tick
            self._drain(tick)
            self._prelude = Prelude(tick)

    def _played(self, token: int) -> None:
        if not self.player.playing:
            self._on_wheel = False  # its step returns False, the wheel takes it off
        self._studio.emit(Played(self.call, token))

    def _join(self) -> None:
        """Puts the player on the wheel, where it has something to send and may."""
        if not self._on_wheel and self.player.playing and self._leg is not None and self._leg.send:
            self._on_wheel = True
            self._studio.wheel.join(self.player, self.player.ptime)

    def _leave(self) -> None:
        if self._on_wheel:
            self._on_wheel = False
            self._studio.wheel.leave(self.player)
