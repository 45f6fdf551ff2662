"""When has a caller stopped speaking: the silence limit of a recording.

Rules:
- speech is what stands out from the call's own noise by 8 dB, so a noisy line ends as a quiet
  one does, and a steady tone (a dial tone left behind) counts as silence too;
- the noise floor falls at once to the quietest packet that is heard, and rises by 3 dB a second
  towards the quietest packet of each look, so speech, which has pauses, does not lift it;
- one loud packet among many is a click, not speech;
- where somebody speaks, the next second (an eighth of the limit, if that is less) counts as spoken
  and is not looked at: speech is what a recording is mostly made of;
- no packets at all (suppressed silence) is silence, a call on hold is neither.

Levels are mean squares, 1.0 is a full-scale square wave; `tick` counts milliseconds.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from sipmail.codecs import g711

LEVEL_STRIDE = 7
"""Every how many samples a level is measured: no divisor of the period of a common tone."""

_MARGIN = 10 ** (8 / 10)
_RISE = 10 ** (3 / 10)  # a second
_LOWEST = 10 ** (-65 / 10)
_FIRST_FLOOR = 10 ** (-50 / 10)
_TICKS = 1000

ENERGIES: dict[str, npt.NDArray[np.float32]] = {
    "PCMU": ((g711.decode_ulaw(bytes(range(256))) / 32768.0) ** 2).astype(np.float32),
    "PCMA": ((g711.decode_alaw(bytes(range(256))) / 32768.0) ** 2).astype(np.float32),
}
"""The square of every code word's sample, a table a codec."""


def levels(codec: str, samples: npt.NDArray[np.uint8]) -> list[float]:
    """The mean square of each row of (n, m) G.711 code words."""
    width = samples.shape[1]
    weights = _WEIGHTS.get(width)
    if weights is None:
        weights = _WEIGHTS[width] = np.full(width, 1 / width, np.float32)
    means: list[float] = (ENERGIES[codec].take(samples) @ weights).tolist()
    return means


def packet_level(codec: str, payload: bytes) -> float:
    """The mean square of one packet's G.711 code words, at least one."""
    return levels(codec, np.frombuffer(payload, np.uint8)[np.newaxis, ::LEVEL_STRIDE])[0]


_WEIGHTS: dict[int, npt.NDArray[np.float32]] = {}


class SilenceDetector:
    """Follows one recording; `limit` in seconds, 0 never ends it."""

    __slots__ = ("_floor", "_limit", "_looked", "_pause", "_spoken")

    def __init__(self, limit: float, tick: int) -> None:
        self._limit = limit * _TICKS
        self._pause = round(min(_TICKS, self._limit / 8))
        self._spoken = tick
        self._looked = tick
        self._floor = _FIRST_FLOOR

    def listens(self, tick: int) -> bool:
        """Whether `feed` has a use for the levels of now."""
        return self._limit > 0 and tick >= self._spoken

    def feed(self, packets: Sequence[float], tick: int) -> None:
        """Takes the level of every packet that came since the last look; at least one."""
        ordered = sorted(packets)
        quietest = ordered[0]
        loudest = ordered[-2] if len(ordered) > 2 else ordered[-1]
        if quietest < self._floor:
            self._floor = max(quietest, _LOWEST)
        else:
            risen = self._floor * _RISE ** ((tick - self._looked) / _TICKS)
            self._floor = min(quietest, risen)
        self._looked = tick
        if loudest > self._floor * _MARGIN:
            self._spoken = tick + self._pause

    def rest(self, tick: int) -> None:
        """The call is on hold: the silence so far does not count."""
        self._spoken = tick

    def over(self, tick: int) -> bool:
        """Whether nobody has spoken for the limit."""
        return self._limit > 0 and tick - self._spoken >= self._limit
