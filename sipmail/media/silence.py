"""When has a caller stopped speaking: the silence limit of a recording.

Rules:
- while a call is recorded only when sound came is noted; how loud it was is read back when the
  limit may be reached, all of the last seconds at once, so that what came after a moment helps to
  judge it. Somebody who talks is looked at once a limit;
- the noise is what the quietest tenth of these seconds has, so a line is noisy or hums as it likes,
  from one moment to the next too; what stands out from it by `_MARGIN` is speech;
- it must be as loud as a voice is on a telephone as well, for other people in the room stand out
  from their own murmur. Quieter callers are heard where no louder one spoke before and the line
  is so quiet that a murmur is out of the question;
- a word is over when its end has sunk into the noise, weak syllables at its end too;
- one loud frame is a click, not speech; noise is no louder than `_LOUDEST_NOISE`. What is louder
  and steady, or comes and goes as strong each time, may be music or a machine with something to
  say, but after `_MONOTONE_TICKS` of it a dial tone, a busy tone or a broken line;
- no packets (suppressed silence, comfort noise, an outage) are silence, a call on hold is neither.

Levels are mean squares, 1.0 is a full-scale square wave; `tick` counts milliseconds; a frame is
20 ms, whatever the ptime.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from sipmail.media.loudness import FRAME_TICKS, Levels

_SMOOTHED = 5
_SHARE = np.float32(1 / (_SMOOTHED - 1))
_LATE_TICKS = 60
_MISSING_TICKS = 200

_MARGIN = 10 ** (8 / 10)
_VOICE = 10 ** (-42.5 / 10)
_QUIET_MARGIN = 10 ** (20 / 10)
_BESIDE_LOUDEST = 10 ** (-15 / 10)
_LOWEST = 10 ** (-68 / 10)
_SHARES = (10, 50, 90)  # percent

_TAIL_MARGIN = 10 ** (5 / 10)
_TAIL_FRAMES = 50
_TAIL_HOLE = 6
_HANGOVER_TICKS = 220

_TONE_FRAMES = 75
_MONOTONE_TICKS = 30_000
_LOUDEST_NOISE = 10 ** (-34 / 10)
_MACHINE_FRAMES = 15
_MACHINE_SHARE = 0.4  # of the time, at most: a fax calls for a seventh of it, a steady noise always
_TONE_SPREAD = 10 ** (1.2 / 10)

_LEAST_HISTORY = 5000
_BEFORE_HISTORY = 2000
_LOOK_TICKS = 7500  # two calling tones of a fax and what lies between
_MACHINE_TICKS = 40_000
_NEVER = 1 << 40
_TICKS = 1000


class _Span(NamedTuple):
    """When some sound was said, and where it begins in the journal."""

    begun: int
    ended: int
    position: int


class SilenceDetector:
    """Follows one recording; `limit` in seconds, 0 never ends it."""

    __slots__ = (
        "_ended",
        "_history",
        "_limit",
        "_look_until",
        "_looked",
        "_loudest",
        "_since",
        "_spans",
        "_spoken",
        "_suspects",
        "_varied",
        "due",
    )

    def __init__(self, limit: float, tick: int) -> None:
        self._limit = round(limit * _TICKS)
        self._history = max(self._limit, _LEAST_HISTORY) + _BEFORE_HISTORY
        self._ended = self._looked = tick
        self._spans: deque[_Span] = deque()
        self._loudest = 0.0
        self._since = self._spoken = tick
        self._look_until = tick + _MACHINE_TICKS
        self._suspects = False
        self._varied = tick
        self.due = self._next(tick)
        """When `over` has something to judge."""

    def hear(self, lasts: int, tick: int, position: int) -> None:
        """Notes sound that has come until now: `lasts` ticks of it, from `position` in the journal
        to its end."""
        until = tick
        # More than losses is missing, where sound had come until the last look: this was its end.
        missing = tick - self._looked - lasts
        if missing > _MISSING_TICKS and self._looked - self._ended <= _LATE_TICKS:
            until = min(tick, self._ended + lasts)
        self._spans.append(_Span(until - lasts, until, position))
        self._ended = until
        while self._spans[0].ended < until - self._history:
            self._spans.popleft()

    def looked(self, tick: int) -> None:
        """All that has come until now was told to `hear`."""
        self._looked = tick

    def rest(self, tick: int) -> None:
        """The call is on hold: the silence so far does not count."""
        self._since = self._spoken = tick
        self.due = self._next(tick)

    def over(self, tick: int, levels_from: Callable[[int], Levels]) -> bool:
        """Whether nobody has spoken for the limit; `levels_from` tells how loud each frame was from
        a position in the journal to its end."""
        if tick < self.due:
            return False
        last = self._last_spoken(levels_from(self._spans[0].position)) if self._spans else 0
        self._spoken = max(last or self._spoken, self._since)
        self.due = self._next(tick)
        return 0 < self._limit <= tick - self._spoken

    def suspects_machine(self) -> bool:
        """Whether what `over` judged last may be the calling tone of a machine; asked once."""
        suspects, self._suspects = self._suspects, False
        return suspects

    def _next(self, tick: int) -> int:
        due = self._spoken + self._limit if self._limit else tick + _NEVER
        return min(due, tick + _LOOK_TICKS) if tick < self._look_until else due

    def _last_spoken(self, raw: Levels) -> int:
        """When the last word ended, as far as these frames tell; 0 where there is none."""
        if not len(raw):
            return 0
        smooth = _smooth(raw)
        ranked = np.sort(smooth)
        quiet, usual, loud = (ranked.item(len(ranked) * share // 100) for share in _SHARES)
        floor = max(quiet, _LOWEST)
        self._loudest = max(self._loudest, loud)
        voice = min(_VOICE, max(floor * _QUIET_MARGIN, self._loudest * _BESIDE_LOUDEST))
        stands_out = max(min(floor, _LOUDEST_NOISE) * _MARGIN, voice)
        strong = np.flatnonzero(smooth > stands_out)
        if not len(strong):
            return 0
        tone = len(strong) >= _MACHINE_FRAMES and _is_tone(raw[strong])
        lasts = (self._ended - self._spans[0].begun) // FRAME_TICKS
        comes_and_goes = len(strong) < _MACHINE_SHARE * lasts
        self._suspects = tone and comes_and_goes and self._ended < self._look_until
        if not (tone and len(strong) >= _TONE_FRAMES) and ranked.item(-1) > floor * _MARGIN:
            self._varied = self._ended
        elif self._ended - self._varied >= _MONOTONE_TICKS:
            return 0
        last = int(strong[-1])
        tail = smooth[last : last + _TAIL_FRAMES] > max(usual, floor) * _TAIL_MARGIN
        tail[0] = True
        near = np.flatnonzero(tail)
        apart = np.flatnonzero(np.diff(near) > _TAIL_HOLE)
        last += int(near[apart[0] if len(apart) else -1]) + 1
        until = last * FRAME_TICKS
        for begun, ended, _ in self._spans:
            if until <= ended - begun:
                return begun + until + _HANGOVER_TICKS
            until -= ended - begun
        return self._ended


def _smooth(raw: Levels) -> Levels:
    """The mean of the five frames around each, without the loudest of them; as many as `raw`."""
    padded = np.concatenate((raw[:1], raw[:1], raw, raw[-1:], raw[-1:]))
    count = len(raw)
    whole = padded[:count].copy()
    loudest = padded[:count].copy()
    for shift in range(1, _SMOOTHED):
        near = padded[shift : shift + count]
        whole += near
        np.maximum(loudest, near, out=loudest)
    whole -= loudest
    whole *= _SHARE
    return whole


def _is_tone(strong: Levels) -> bool:
    """Whether the strong frames of some seconds are all of one strength."""
    ranked = np.sort(strong)
    low, high = ranked.item(len(ranked) // 4), ranked.item(3 * len(ranked) // 4)
    return high < low * _TONE_SPREAD
