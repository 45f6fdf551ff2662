"""A fax machine that calls: its calling tone, CNG (ITU-T T.30, section 4.3.3.1.1).

CNG is 1100 Hz ± 38 Hz, on for 0.5 s and off for 3 s, each ± 15 %. One such tone may be anybody's
beep; two of them at that distance are a fax.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sipmail.audio.speech import RATE
from sipmail.codecs.g711 import Samples
from sipmail.codecs.tones import FAX_CALLING_HERTZ

_BLOCK = 40
_OFF_HERTZ = 45.0  # 38 Hz and what a short tone blurs
_SHARE = 0.7
_QUIETEST = 10 ** (-45 / 10)
_ON = (0.4, 0.6)
_PERIOD = (2.95, 4.05)
_HOLE_BLOCKS = 2


def is_fax(samples: Samples) -> bool:
    """Whether (n,) int16 `samples` at 8 kHz have two calling tones in their right distance."""
    begins = np.array([begin for begin, _ in calling_tones(samples)])
    apart = np.subtract.outer(begins, begins)
    return bool(((apart >= _PERIOD[0]) & (apart <= _PERIOD[1])).any())


def calling_tones(samples: Samples) -> tuple[tuple[float, float], ...]:
    """Begin and end, in seconds, of every tone that has the frequency and the length of CNG."""
    blocks = len(samples) // _BLOCK
    if blocks < 2:
        return ()
    wave = samples[: blocks * _BLOCK].astype(np.float32) * np.float32(1 / 32768)
    rows = wave.reshape(blocks, _BLOCK)
    # The carrier repeats every 80 samples (11 periods): its two halves are the whole table.
    mixed = rows * _CARRIER[np.arange(blocks) % len(_CARRIER)]
    phasor = mixed.mean(axis=1)
    power = np.square(rows).mean(axis=1)
    share = 2 * np.square(np.abs(phasor)) / np.maximum(power, _QUIETEST)
    turn = np.angle(phasor[1:] * phasor[:-1].conj()) / (2 * np.pi) * RATE / _BLOCK
    pure = share > _SHARE
    pure[1:] &= np.abs(turn) < 3 * _OFF_HERTZ
    found = []
    for first, after in _bridged(pure):
        seconds = (after - first) * _BLOCK / RATE
        inside = turn[first : after - 1]
        steady = len(inside) > 0 and abs(float(np.median(inside))) <= _OFF_HERTZ
        if _ON[0] <= seconds <= _ON[1] and steady:
            found.append((first * _BLOCK / RATE, after * _BLOCK / RATE))
    return tuple(found)


def _bridged(flags: npt.NDArray[np.bool_]) -> list[tuple[int, int]]:
    """First and after-last index of every run of True, short holes overlooked."""
    at = np.flatnonzero(flags)
    if not len(at):
        return []
    cut = np.flatnonzero(np.diff(at) > _HOLE_BLOCKS + 1)
    firsts = at[np.concatenate(([0], cut + 1))]
    lasts = at[np.concatenate((cut, [len(at) - 1]))]
    return list(zip(firsts.tolist(), (lasts + 1).tolist(), strict=True))


_CARRIER: npt.NDArray[np.complex64] = (
    np.exp(-2j * np.pi * FAX_CALLING_HERTZ * np.arange(2 * _BLOCK) / RATE)
    .reshape(2, _BLOCK)
    .astype(np.complex64)
)
