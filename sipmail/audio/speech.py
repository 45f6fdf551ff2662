"""Is somebody speaking: seconds of speech, its level, and where it begins and ends.

Rules:
- what counts is how far each of six bands of the telephone spectrum stands out from its own noise,
  and that noise is the least that the band had within some seconds, so a noisy line, a hum and a
  quiet caller are measured alike;
- one or two steady sines (DTMF, dial tone, beep) are not speech, however loud;
- neither is a click: a stretch of speech has at least 80 ms that stand out clearly;
- short pauses between syllables belong to the speech.

Everything is done for the whole message at once; frames are 20 ms apart. Levels are in dB relative
to a mean square of full scale (dBFS in which a full-scale sine is -3), as loudness units count.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sipmail.codecs.g711 import Samples

RATE = 8000
HOP = 160
"""Samples from one frame to the next."""

SILENT = -100.0
"""The level of nothing, dB."""

_WINDOW = 256
_FIRST_BIN = 4  # 125 Hz
_BINS = 112  # up to 3.6 kHz, the telephone's spectrum
_BANDS_HERTZ = (187.5, 375.0, 687.5, 1125.0, 1718.75, 2500.0, 3562.5)
_QUIETEST = -72.0  # per band; below it is the quantisation noise of G.711
_BLOCK = 15
_NEIGHBOURS = 5
_BIAS = 2.5  # how far the least of a smoothed noise lies below its mean, dB
_STRONGEST = 20.0
_LOW = 2.5
_HIGH = 5.0
_LEAST_FRAMES = 4
_BRIDGE_FRAMES = 15
_TONE_SHARE = 0.9
_TONE_LOWEST_BIN = 11 - _FIRST_BIN  # 344 Hz
_TONE_FRAMES = 3
_LEAST_STRUCTURED = 2
_NOISE_FLATNESS = 0.4
_GATE = 10 ** (-15.9 / 10)
_BEFORE = 0.25
_AFTER = 0.3
_FIRST_LOOK = 3.0

Floats = npt.NDArray[np.float32]
Flags = npt.NDArray[np.bool_]
Index = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Speech:
    """What was heard in a recording."""

    seconds: float
    """Of speech, with the short pauses within it."""
    level: float
    """Of the speech, dBFS; `SILENT` without any."""
    noise: float
    """Of what lies under and between it, dBFS."""
    begin: int
    """Sample at which to begin so that nothing spoken is lost; 0 without speech."""
    end: int
    """Sample at which to end, the click of the hang-up and digits cut; all without speech."""
    runs: tuple[tuple[int, int], ...]
    """Each stretch of speech, (first sample, sample after the last)."""


def analyse(samples: Samples) -> Speech:
    """Measures (n,) int16 `samples` at 8 kHz."""
    total = len(samples)
    if total < HOP:
        return Speech(0.0, SILENT, SILENT, 0, total, ())
    spectrum = _spectra(samples)
    bands = spectrum @ _BAND_OF_BIN
    narrow = spectrum @ _NARROW_OF_BIN
    decibels = 10 * np.log10(np.maximum(bands, 10 ** (_QUIETEST / 10)))
    power = bands.sum(axis=1)
    floor = _floor(decibels)
    distinct = np.clip(decibels - floor, 0, _STRONGEST).mean(axis=1)
    tonal = _tones(spectrum, power)
    runs, loud = _runs(distinct, tonal, _structured(narrow))
    # The floor of the bands is no lower than G.711's own noise; a quiet line may be.
    under = min(float((10 ** (floor / 10)).sum(axis=1).mean()), float(np.percentile(power, 10)))
    noise = 10 * math.log10(max(under, 10 ** (SILENT / 10)))
    if not len(runs):
        return Speech(0.0, SILENT, noise, 0, total, ())
    spoken = np.zeros(len(power), np.bool_)
    for first, after in runs:
        spoken[first:after] = True
    level = _level(power[spoken])
    begin = max(0, int(runs[0, 0]) * HOP - round(_BEFORE * RATE))
    end = min(total, int(runs[-1, 1]) * HOP + round(_AFTER * RATE))
    foreign = np.flatnonzero(loud[runs[-1, 1] + 1 :])
    if len(foreign):
        end = min(end, (int(runs[-1, 1]) + int(foreign[0])) * HOP)
    return Speech(
        seconds=int(spoken.sum()) * HOP / RATE,
        level=level,
        noise=noise,
        begin=begin,
        end=end,
        runs=tuple((int(first) * HOP, min(total, int(after) * HOP)) for first, after in runs),
    )


def speaks(samples: Samples, seconds: float) -> bool:
    """Whether (n,) `samples` hold at least so many seconds of speech.

    The same measure as `analyse`, but it listens no longer than it takes to be sure.
    """
    if seconds <= 0:
        return True
    listened = round((seconds + _FIRST_LOOK) * RATE)
    while analyse(samples[:listened]).seconds < seconds:
        if listened >= len(samples):
            return False
        listened *= 2
    return True


def _spectra(samples: Samples) -> Floats:
    """(frames, bins) power of each bin; the sum of a frame is its mean square."""
    frames = -(-len(samples) // HOP)
    # In double precision: numpy takes five times as long for a transform of single.
    padded = np.zeros((frames - 1) * HOP + _WINDOW)
    lead = (_WINDOW - HOP) // 2
    kept = min(len(samples), len(padded) - lead)
    np.multiply(samples[:kept], 1 / 32768, out=padded[lead : lead + kept])
    view = np.lib.stride_tricks.sliding_window_view(padded, _WINDOW)[::HOP]
    spectrum = np.fft.rfft(view * _HANN, axis=1)[:, _FIRST_BIN : _FIRST_BIN + _BINS]
    power = np.square(spectrum.real) + np.square(spectrum.imag)
    return power.astype(np.float32)


def _level(power: Floats) -> float:
    """The active level of frames of speech, dB: without pauses, with the margin of ITU-T P.56."""
    loud = power[power > _GATE * power.mean()]
    return 10 * math.log10(float(loud.mean()))


def _floor(decibels: Floats) -> Floats:
    """(frames, bands) the noise under each frame, dB."""
    frames, bands = decibels.shape
    # A rising edge must not be blamed on the noise: three frames are smoothed before the minimum.
    padded = np.pad(decibels, ((1, 1), (0, 0)), mode="edge")
    smooth = (padded[:-2] + padded[1:-1] + padded[2:]) / 3
    blocks = max(1, frames // _BLOCK)
    whole = smooth[: blocks * _BLOCK] if frames >= _BLOCK else smooth
    least = whole.reshape(blocks, -1, bands).min(axis=1)
    reach = np.pad(least, ((_NEIGHBOURS, _NEIGHBOURS), (0, 0)), mode="edge")
    window = 2 * _NEIGHBOURS + 1
    near = np.lib.stride_tricks.sliding_window_view(reach, window, axis=0).min(axis=2)
    of_block = np.minimum(np.arange(frames) // _BLOCK, blocks - 1)
    floor: Floats = near[of_block] + np.float32(_BIAS)
    return floor


def _tones(spectrum: Floats, power: Floats) -> Flags:
    """(frames,) whether a frame is one or two sines that hold for some frames."""
    rows = np.arange(len(spectrum))
    first = spectrum.argmax(axis=1)
    rest = spectrum.copy()
    around = np.arange(-2, 3)
    near = np.clip(first[:, np.newaxis] + around, 0, spectrum.shape[1] - 1)
    strongest = np.take_along_axis(spectrum, near, 1).sum(axis=1)
    rest[rows[:, np.newaxis], near] = 0
    second = rest.argmax(axis=1)
    near = np.clip(second[:, np.newaxis] + around, 0, spectrum.shape[1] - 1)
    strongest += np.take_along_axis(rest, near, 1).sum(axis=1)
    whole = spectrum.sum(axis=1)
    pure = (strongest > _TONE_SHARE * whole) & (first >= _TONE_LOWEST_BIN)
    same = np.zeros(len(spectrum) + 1, np.bool_)
    low, high = np.minimum(first, second), np.maximum(first, second)
    steady = np.abs(np.diff(np.where(pure, first, -9))) <= 1
    steady |= (np.abs(np.diff(low)) <= 1) & (np.abs(np.diff(high)) <= 1)
    same[1:-1] = steady & pure[1:] & pure[:-1]
    held = np.zeros(len(spectrum), np.bool_)
    for start, after in _stretches(same[1:]):
        if after - start + 1 >= _TONE_FRAMES:
            held[start : after + 1] = True
    return held


def _runs(distinct: Floats, tonal: Flags, structured: Flags) -> tuple[Index, Flags]:
    """The stretches of speech as (k, 2) frames, and which frames are loud without being speech."""
    clear = (distinct > _HIGH) & ~tonal
    active = (distinct > _LOW) & ~tonal
    stretches = _stretches(active)
    # Ramps of a tone are broad for a frame or two: the least number leaves them out as well.
    kept = stretches[
        (_counted(clear, stretches) >= _LEAST_FRAMES)
        & (_counted(clear & structured, stretches) >= _LEAST_STRUCTURED)
    ]
    loud = distinct > _HIGH
    for first, after in kept:
        loud[first:after] = False
    if not len(kept):
        return kept, loud
    apart = kept[1:, 0] - kept[:-1, 1] > _BRIDGE_FRAMES
    between = np.stack((kept[:-1, 1], kept[1:, 0]), axis=1)
    cut = np.flatnonzero(apart | (_counted(tonal, between) > 0))
    first = kept[np.concatenate(([0], cut + 1)), 0]
    after = kept[np.concatenate((cut, [len(kept) - 1])), 1]
    return np.stack((first, after), axis=1), loud


def _structured(narrow: Floats) -> Flags:
    """(frames,) whether a spectrum is not as flat as that of a rustle."""
    body = narrow + np.float32(1e-12)
    flatness = np.exp(np.log(body).mean(axis=1)) / body.mean(axis=1)
    structured: Flags = flatness < _NOISE_FLATNESS
    return structured


def _counted(flags: Flags, stretches: Index) -> Index:
    """How many of `flags` are set in each (first, after-last) stretch."""
    count = np.concatenate(([0], np.cumsum(flags)))
    counted: Index = count[stretches[:, 1]] - count[stretches[:, 0]]
    return counted


def _stretches(flags: Flags) -> Index:
    """(k, 2) first and after-last index of every run of True."""
    edges = np.diff(np.concatenate(([False], flags, [False])).astype(np.int8))
    return np.stack((np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)), axis=1)


def _window() -> npt.NDArray[np.float64]:
    """(window,) Hann, scaled so that the power of a frame's bins sums up to its mean square."""
    window = np.hanning(_WINDOW + 1)[:_WINDOW]
    window *= np.sqrt(2 / (_WINDOW * np.square(window).sum()))
    return window


def _band_matrix(*edges: float) -> Floats:
    """(bins, bands) 1 where a bin lies between two of the `edges`, Hz."""
    hertz = (_FIRST_BIN + np.arange(_BINS))[:, np.newaxis] * RATE / _WINDOW
    inside = (hertz >= np.array(edges[:-1])) & (hertz < np.array(edges[1:]))
    return inside.astype(np.float32)


_HANN = _window()
_BAND_OF_BIN: Floats = _band_matrix(*_BANDS_HERTZ)
_NARROW_OF_BIN: Floats = _band_matrix(*np.linspace(187.5, 3500.0, 17).tolist())
