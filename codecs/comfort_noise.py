"""Noise that sounds like the line: comfort noise (RFC 3389) and the background of a recording.

Both are made as a loop of about one second with a given power spectrum and random phases, from a
fixed seed, so that the same recording always gives the same bytes.

The payload of RFC 3389, section 3: a byte with the level in -dBov (its top bit zero), then bytes
with the reflection coefficients k = (N - 127) / 128 of an all-pole filter, as many as the sender
likes, none for white noise. 0 dBov is a square wave of the largest G.711 sample (section 3.1).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sipmail.codecs.g711 import Samples

LOOP = 8192
"""Samples of a loop of noise."""

_OVERLOAD = 32124.0  # 8031 in 14 bits, the largest sample of μ-law
_MOST_COEFFICIENTS = 24
_FRAME = 256
_STEP = 128
_MOST_FRAMES = 4000
_QUIET_SHARE = 5  # percent
_QUIET_MARGIN = 2.0  # 3 dB
_SEED = 3389

Spectrum = npt.NDArray[np.float64]


def comfort_noise(payload: bytes) -> Samples:
    """(LOOP,) int16: the noise that a CN payload describes; silence for an empty one."""
    if not payload:
        return np.zeros(LOOP, np.int16)
    level = payload[0] & 0x7F
    mean_square = (_OVERLOAD * 10 ** (-level / 20)) ** 2
    coefficients = np.frombuffer(payload[1 : 1 + _MOST_COEFFICIENTS], np.uint8)
    reflection = np.clip((coefficients.astype(np.float64) - 127) / 128, -0.99, 0.99)
    response = np.fft.rfft(_predictor(reflection), 2 * _FRAME)
    return _noise(1 / np.maximum(np.abs(response) ** 2, 1e-9), mean_square)


def background(samples: Samples) -> Samples:
    """(LOOP,) int16: noise with the level and spectrum of the quiet places of (n,) `samples`."""
    if len(samples) < _FRAME:
        return np.zeros(LOOP, np.int16)
    step = max(_STEP, len(samples) // _MOST_FRAMES)
    frames = np.lib.stride_tricks.sliding_window_view(samples, _FRAME)[::step]
    energy = np.square(frames.astype(np.float32)).mean(axis=1, dtype=np.float64)
    quiet = energy <= _QUIET_MARGIN * np.percentile(energy, _QUIET_SHARE)
    window = np.hanning(_FRAME + 1)[:_FRAME]
    spectrum = np.square(np.abs(np.fft.rfft(frames[quiet] * window, axis=1))).mean(axis=0)
    return _noise(spectrum, float(energy[quiet].mean()))


def looped(noise: Samples, start: int, stop: int) -> Samples:
    """(stop - start,) int16: what the endless loop of `noise` has at these positions."""
    return np.resize(np.roll(noise, -(start % len(noise))), stop - start)


def _noise(spectrum: Spectrum, mean_square: float) -> Samples:
    """A loop with the shape of a power `spectrum` (0 Hz to half the rate) and this mean square."""
    bins = LOOP // 2 + 1
    at = np.linspace(0, len(spectrum) - 1, bins)
    shape = np.sqrt(np.interp(at, np.arange(len(spectrum)), spectrum))
    shape[0] = 0
    # Random phases over a smooth spectrum: noise whose level is the same in every loop.
    turn = np.random.default_rng(_SEED).uniform(0, 2 * np.pi, bins)
    wave = np.fft.irfft(shape * np.exp(1j * turn), LOOP)
    effective = float(np.sqrt(np.square(wave).mean()))
    if effective == 0 or mean_square == 0:
        return np.zeros(LOOP, np.int16)
    scaled = np.rint(wave * (np.sqrt(mean_square) / effective))
    clipped: Samples = np.clip(scaled, -32768, 32767).astype(np.int16)
    return clipped


def _predictor(reflection: Spectrum) -> Spectrum:
    """The coefficients of A(z) for reflection coefficients (the step-up recursion)."""
    polynomial = np.ones(1)
    for k in reflection:
        longer = np.append(polynomial, 0.0)
        polynomial = longer + k * longer[::-1]
    return polynomial
