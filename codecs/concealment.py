"""Packet-loss concealment of a whole message at once, after ITU-T G.711 Appendix I and beyond it.

A lost stretch is filled with the pitch period before it, repeated, as the appendix does; and since
the message is complete when it is decoded, also with the period after it, repeated backwards, so
that both ends fit and the middle is a cross-fade. Rules:
- samples that were received are never changed;
- each side is at full strength for a packet and then fades; with two sides the fade may take much
  longer than the appendix's 60 ms before it sounds artificial (`bench/concealment.py` measures it);
  what remains of a longer loss is the background of the recording;
- the pitch may be as low as 50 Hz, so that mains hum is repeated whole;
- the fades keep the power, so noise, hum and tones stay as loud as they were.

All losses are worked on together, as arrays of one row a loss. Only where the sound before a loss
is itself concealed does it wait for that, in a further round.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sipmail.codecs.comfort_noise import LOOP
from sipmail.codecs.g711 import Samples

FADE_FROM = 160
"""Samples of a side at full strength."""

FADE_TO = 1600
"""Samples after which a side is gone."""

_SHORTEST_PITCH = 40
_LONGEST_PITCH = 160
_TEMPLATE = 80
_HISTORY = _TEMPLATE + _LONGEST_PITCH
_JOIN = 3
_EVENED_FROM = 40
_MOST_EVENED = 1.5

Floats = npt.NDArray[np.float32]
Index = npt.NDArray[np.int64]


def conceal(samples: Samples, losses: Index, background: Samples) -> None:
    """Fills the (k, 2) `losses` (first sample, sample after the last) of `samples` in place.

    The losses are sorted, disjoint and not empty; `background` is a loop of noise (`LOOP` samples).
    """
    if not len(losses):
        return
    start, stop = losses[:, 0], losses[:, 1]
    before = np.concatenate(([0], stop[:-1]))
    after = np.concatenate((start[1:], [len(samples)]))
    waits = (start - before < _HISTORY) & (np.arange(len(start)) > 0)
    # The round of a loss is how many losses in a row before it each stand on the one before.
    row = np.arange(len(start))
    rounds = row - np.maximum.accumulate(np.where(waits, 0, row))
    for turn in range(int(rounds.max()) + 1):
        chosen = np.flatnonzero(rounds == turn)
        _fill(samples, start[chosen], stop[chosen], after[chosen], background)


def _fill(samples: Samples, start: Index, stop: Index, until: Index, background: Samples) -> None:
    """Conceals losses that do not depend on each other; `until` is where the next one begins."""
    length = stop - start
    reach = int(min(length.max(), FADE_TO))
    last = len(samples) - 1
    past = start[:, np.newaxis] + np.arange(-_HISTORY, 0)
    left = np.where(past >= 0, samples[np.maximum(past, 0)], 0).astype(np.float32)
    ahead = stop[:, np.newaxis] + np.arange(_HISTORY - 1, -1, -1)
    known = ahead < until[:, np.newaxis]
    right = np.where(known, samples[np.minimum(ahead, last)], 0).astype(np.float32)

    pitch = _pitch(left)
    room = until - stop
    own = room >= _HISTORY
    pitch_right = np.where(own, _pitch(right), pitch)
    two_sided = room >= pitch_right
    forwards = _repeated(left, pitch, reach)
    backwards = _repeated(right, pitch_right, reach)

    at = np.arange(int(length.max()))
    inside = at < length[:, np.newaxis]
    share = (at + 0.5) / length[:, np.newaxis]
    cross = np.where(two_sided[:, np.newaxis], 0.5 + 0.5 * np.cos(np.pi * np.minimum(share, 1)), 1)
    mirrored = length[:, np.newaxis] - 1 - at
    weight_left = cross * _fade(at)
    weight_right = (1 - cross) * _fade(mirrored)
    from_left = np.zeros(inside.shape, np.float32)
    from_left[:, :reach] = forwards
    within = inside & (mirrored < reach)
    from_right = np.where(
        within, np.take_along_axis(backwards, np.clip(mirrored, 0, reach - 1), 1), 0
    )
    mixed = weight_left * from_left + weight_right * from_right
    mixed *= _power_kept(weight_left, weight_right, from_left, from_right, inside)
    noise = background[(start[:, np.newaxis] + at) % LOOP]
    faded = 1 - np.minimum(np.square(weight_left + weight_right), 1)
    loudness = np.square(background.astype(np.float64)).mean()
    due = np.where(inside, np.square(mixed) + faded * loudness, 0).sum(axis=1)
    mixed += np.sqrt(faded) * noise
    mixed *= _evened(mixed, due, inside, at, mirrored)
    target = start[:, np.newaxis] + at
    filled = np.clip(np.rint(mixed[inside]), -32768, 32767).astype(np.int16)
    samples[target[inside]] = filled


def _evened(
    mixed: npt.NDArray[np.float64],
    due: npt.NDArray[np.float64],
    inside: npt.NDArray[np.bool_],
    at: Index,
    mirrored: Index,
) -> npt.NDArray[np.float64]:
    """What gives each loss the energy that is `due`, without a step at its ends.

    A tone and a background that is much the same tone add up or cancel out as chance will have it.
    """
    energy = np.where(inside, np.square(mixed), 0).sum(axis=1)
    change = np.sqrt(np.maximum(due, 1.0) / np.maximum(energy, 1.0))
    gain = np.clip(change, 1 / _MOST_EVENED, _MOST_EVENED)[:, np.newaxis]
    within = np.clip(np.minimum(at, mirrored) / _EVENED_FROM, 0.0, 1.0)
    evened: npt.NDArray[np.float64] = 1 + (gain - 1) * within
    return evened


def _pitch(history: Floats) -> Index:
    """(k,) the lag at which the end of each row is most like what came before it."""
    template = history[:, -_TEMPLATE:]
    lags = np.arange(_SHORTEST_PITCH, _LONGEST_PITCH + 1)
    windows = np.lib.stride_tricks.sliding_window_view(history, _TEMPLATE, axis=1)
    shifted = windows[:, _LONGEST_PITCH - lags]
    product = np.einsum("klt,kt->kl", shifted, template)
    energy = np.einsum("klt,klt->kl", shifted, shifted)
    likeness = product / np.sqrt(np.maximum(energy, 1.0))
    best: Index = lags[likeness.argmax(axis=1)]
    return best


def _repeated(history: Floats, pitch: Index, reach: int) -> Floats:
    """(k, reach) the last period of each row over and over, led smoothly on from the row's end."""
    at = np.arange(reach)
    source = history.shape[1] - pitch[:, np.newaxis] + at % pitch[:, np.newaxis]
    wave: Floats = np.take_along_axis(history, source, 1)
    # One period earlier the row went on from here; what it was off by there is taken back slowly.
    expected = np.take_along_axis(history, history.shape[1] - pitch[:, np.newaxis] - 1, 1)
    off = history[:, -1:] - expected
    wave += off * np.exp(-(at + 1) / _JOIN).astype(np.float32)
    return wave


def _fade(at: Index) -> npt.NDArray[np.float64]:
    """The strength of a side `at` samples from its end."""
    return np.clip((FADE_TO - at) / (FADE_TO - FADE_FROM), 0.0, 1.0)


def _power_kept(
    weight_left: npt.NDArray[np.float64],
    weight_right: npt.NDArray[np.float64],
    left: Floats,
    right: Floats,
    inside: npt.NDArray[np.bool_],
) -> npt.NDArray[np.float64]:
    """What a cross-fade of two sides must be multiplied by, so that its power has no dip."""
    both = np.where(inside, 1.0, 0.0)
    product = (left * right * both).sum(axis=1)
    energy = np.sqrt((left * left * both).sum(axis=1) * (right * right * both).sum(axis=1))
    likeness = np.clip(product / np.maximum(energy, 1.0), -0.2, 1.0)[:, np.newaxis]
    whole = weight_left + weight_right
    power = (
        np.square(weight_left) + np.square(weight_right) + 2 * likeness * weight_left * weight_right
    )
    return np.where(power > 1e-6, whole / np.sqrt(np.maximum(power, 1e-6)), 1.0)
