"""Levels: lifting a quiet caller, matching a prompt, and never clipping while doing so.

The gain is one number for the whole sound, from the level of its speech; where a peak would pass
the ceiling, a limiter that looks ahead takes the gain back smoothly around it.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sipmail.audio.speech import RATE, SILENT, Speech
from sipmail.codecs.g711 import Samples

TARGET = -19.0
"""The level of speech that is comfortable to listen to, dBFS (mean square), near -19 LUFS."""

CEILING = -1.0
"""No sample of a changed sound is above this, dB below the largest."""

_MOST_LIFT = 30.0
_LOUDEST_NOISE = -42.0
_BLOCK = 40


def normalize(samples: Samples, speech: Speech, target: float = TARGET) -> Samples:
    """`samples` lifted so that its speech reaches `target`; never lowered.

    Unchanged without speech. Background noise is not lifted above a level at which it would tire
    the listener.
    """
    if speech.level <= SILENT:
        return samples
    lift = min(target - speech.level, _MOST_LIFT, max(0.0, _LOUDEST_NOISE - speech.noise))
    return amplified(samples, lift) if lift > 0 else samples


def amplified(samples: Samples, gain: float) -> Samples:
    """(n,) int16: `samples` changed by `gain` dB, its peaks limited softly below `CEILING`."""
    if not len(samples):
        return samples
    wave = samples.astype(np.float32) * np.float32(10 ** (gain / 20))
    return np.rint(limited(wave)).astype(np.int16)


def limited(wave: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """`wave` (in units of int16) with every peak below `CEILING`, the gain moving within 5 ms."""
    ceiling = np.float32(32767 * 10 ** (CEILING / 20))
    if float(np.abs(wave).max(initial=0.0)) <= ceiling:
        return wave
    blocks = -(-len(wave) // _BLOCK)
    padded = np.zeros(blocks * _BLOCK, np.float32)
    padded[: len(wave)] = np.abs(wave)
    peaks = padded.reshape(blocks, _BLOCK).max(axis=1)
    needed = np.minimum(1.0, ceiling / np.maximum(peaks, 1.0))
    # The gain at a block's edge is what both of its sides need, so no line between edges is above.
    edges = np.minimum(np.concatenate((needed[:1], needed)), np.concatenate((needed, needed[-1:])))
    at = np.arange(len(wave)) / _BLOCK
    gain = np.interp(at, np.arange(blocks + 1), edges).astype(np.float32)
    lowered: npt.NDArray[np.float32] = wave * gain
    return lowered


def trimmed(samples: Samples, speech: Speech) -> Samples:
    """`samples` from shortly before the first word to shortly after the last, with soft ends.

    What lies between is unchanged; all of it is kept where nobody spoke.
    """
    begin, end = speech.begin, speech.end
    if begin == 0 and end == len(samples):
        return samples
    cut = samples[begin:end].copy()
    slope = np.linspace(0, 1, min(_FADE, len(cut) // 2), dtype=np.float32)
    if begin and len(slope):
        cut[: len(slope)] = (cut[: len(slope)] * slope).astype(np.int16)
    if end < len(samples) and len(slope):
        cut[-len(slope) :] = (cut[-len(slope) :] * slope[::-1]).astype(np.int16)
    return cut


_FADE = RATE // 200
