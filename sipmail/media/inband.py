"""Keys that are heard: DTMF in the sound itself, for callers without telephone-events.

What counts as a key is what ITU-T Q.24 asks of a receiver, table 1 with the wider limits of the
administrations in it:

- one frequency of each group of Q.23, off by no more than 1.8 %, never by 3.5 %;
- the high one up to 4 dB stronger or 8 dB weaker than the low one, both down to -25 dBm0;
- 40 ms of it are a key, 20 ms are none; a break of 10 ms does not make it two keys, 40 ms do;
- nearly all that is heard is these two frequencies: speech has them too, never alone for so long.

The spectrum at the eight frequencies is that of 20 ms, 5 ms apart, summed from blocks; how far the
phase turns from one to the next tells the frequency far better than 20 ms could resolve it.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sipmail.codecs import g711
from sipmail.codecs.tones import DTMF, RATE

_BLOCK = 40
_BLOCKS = 4
_WINDOW = _BLOCK * _BLOCKS

_OFF = 0.027
_HIGH_OVER_LOW = 10 ** (6 / 10)
_LOW_OVER_HIGH = 10 ** (10 / 10)
_SHARE = 0.8
_POSSIBLE = 0.3  # of a key whose frequencies are off, before that is allowed for
_QUIETEST = 10 ** (-36 / 10)  # each frequency; -25 dBm0 is -31 here, and levels vary
_LEAST_WINDOWS = 5
_BREAK_WINDOWS = 7

_NONE = -1

_LOWS = tuple(sorted({low for low, _ in DTMF.values()}))
_HIGHS = tuple(sorted({high for _, high in DTMF.values()}))
_KEY_OF = {frequencies: key for key, frequencies in DTMF.items()}
_KEYS = tuple(_KEY_OF[low, high] for low in _LOWS for high in _HIGHS)

Floats = npt.NDArray[np.float32]
Phasors = npt.NDArray[np.complex64]

_SAMPLES: dict[str, Floats] = {
    "PCMU": (g711.decode_ulaw(bytes(range(256))) / 32768.0).astype(np.float32),
    "PCMA": (g711.decode_alaw(bytes(range(256))) / 32768.0).astype(np.float32),
}
_HERTZ: npt.NDArray[np.float64] = np.array(_LOWS + _HIGHS)
_CARRIER: Floats = (
    np.exp(-2j * np.pi * np.outer(np.arange(_BLOCK), _HERTZ) / RATE)
    .astype(np.complex64)
    .view(np.float32)
)
"""(block, 16): real and imaginary parts side by side, so that the product is one of reals."""
_TURN: Phasors = np.exp(-2j * np.pi * _HERTZ * _BLOCK / RATE).astype(np.complex64)


class InbandDetector:
    """Follows the sound of one call."""

    __slots__ = ("_absent", "_candidate", "_rest", "_told", "_windows")

    def __init__(self) -> None:
        self._rest: Floats = np.zeros(_WINDOW - _BLOCK, np.float32)
        self._candidate = _NONE
        self._windows = 0
        self._told = _NONE
        self._absent = 0

    def feed(self, codec: str, codes: npt.NDArray[np.uint8]) -> list[str]:
        """Takes G.711 code words of any shape; returns the keys that have become certain."""
        sound = np.concatenate((self._rest, _SAMPLES[codec].take(codes.ravel())))
        blocks = len(sound) // _BLOCK
        self._rest = sound[(blocks - _BLOCKS + 1) * _BLOCK :]
        if blocks < _BLOCKS:
            return []
        pressed = []
        for key in _keys(sound[: blocks * _BLOCK].reshape(blocks, _BLOCK)):
            if key != self._candidate:
                self._candidate = key
                self._windows = 0
            self._windows += 1
            if key == self._told:
                self._absent = 0
                continue
            self._absent += 1
            if self._absent >= _BREAK_WINDOWS:
                self._told = _NONE
            if key != _NONE and self._windows == _LEAST_WINDOWS:
                self._told = key
                self._absent = 0
                pressed.append(_KEYS[key])
        return pressed


def _keys(blocks: Floats) -> list[int]:
    """The key that each window hears, as an index; there are three windows fewer than blocks."""
    count = len(blocks) - _BLOCKS + 1
    mixed: Phasors = (blocks @ _CARRIER).view(np.complex64)
    phasor = mixed[:count].copy()
    turn = np.ones_like(_TURN)
    for number in range(1, _BLOCKS):
        turn = turn * _TURN
        phasor += mixed[number : number + count] * turn
    energy = np.square(blocks).sum(axis=1)
    whole = np.convolve(energy, np.ones(_BLOCKS, np.float32), "valid") / _WINDOW
    power = np.square(np.abs(phasor)) * np.float32(2 / _WINDOW**2)
    low = power[:, :4].argmax(axis=1)
    high = power[:, 4:].argmax(axis=1)
    chosen = np.stack((low, high + 4), axis=1)
    found = np.take_along_axis(phasor, chosen, 1)
    strength = np.take_along_axis(power, chosen, 1)
    if not (strength.sum(axis=1) >= _POSSIBLE * np.maximum(whole, 2 * _QUIETEST)).any():
        return [_NONE] * count
    # Windows whose tone is not that of their neighbour turn by chance; they do not matter.
    if count > 1:
        step = found[1:] * found[:-1].conj() * _TURN[chosen[1:]]
        off = np.angle(step) * (RATE / _BLOCK / (2 * np.pi))
        off = np.concatenate((off[:1], off))
    else:
        off = np.zeros(found.shape)
    strength = strength / np.square(np.sinc(np.clip(off * (_WINDOW / RATE), -0.9, 0.9)))
    low_power, high_power = strength[:, 0], strength[:, 1]
    good = (np.abs(off) <= _OFF * _HERTZ[chosen]).all(axis=1)
    good &= strength.min(axis=1) >= _QUIETEST
    good &= strength.sum(axis=1) >= _SHARE * whole
    good &= (high_power <= _HIGH_OVER_LOW * low_power) & (low_power <= _LOW_OVER_HIGH * high_power)
    keys: list[int] = np.where(good, low * 4 + high, _NONE).tolist()
    return keys
