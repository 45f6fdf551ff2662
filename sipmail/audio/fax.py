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
    # The carrier repeats every two blocks (11 periods): a matrix for each half is the whole table.
    parts = np.empty((blocks, 2), np.float32)
    for half, carrier in enumerate(_CARRIER):
        parts[half::2] = rows[half::2] @ carrier
    phasor = parts.view(np.complex64)[:, 0]
    power = np.einsum("ij,ij->i", rows, rows) * np.float32(1 / _BLOCK)
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


_PHASES = np.exp(-2j * np.pi * FAX_CALLING_HERTZ * np.arange(2 * _BLOCK) / RATE) / _BLOCK
_CARRIER: npt.NDArray[np.float32] = np.stack(
    [_PHASES.real.reshape(2, _BLOCK), _PHASES.imag.reshape(2, _BLOCK)], axis=2
).astype(np.float32)
"""(2, 40, 2): what makes of a block its mean at 1100 Hz, real and imaginary part."""
