"""A recording on its way to be a greeting: converted, and what a listener would say about it.

The result is what callers will hear: `prompt.prepare` changes nothing more about it. The remarks
are about what no conversion can mend.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sipmail.audio.encode import encode
from sipmail.audio.level import trimmed
from sipmail.audio.prompt import decode, levelled
from sipmail.audio.speech import RATE, Speech, analyse
from sipmail.codecs.g711 import Samples

_LONG = 30.0
_LEAST_SPEECH = 0.5
_QUIET = -40.0
_LEAST_DISTANCE = 20.0
_CLIPPED = 0.002
_FULL = 32767 * 10 ** (-1.05 / 20)
"""What the limiter of `prompt.decode` leaves of an overdriven sample, and a little less."""


@dataclass(frozen=True, slots=True, eq=False)
class Greeting:
    """(n,) int16 at 8 kHz, level-matched, and remarks: a sentence each, for the person who
    recorded it."""

    samples: Samples
    remarks: tuple[str, ...]

    @property
    def seconds(self) -> float:
        return len(self.samples) / RATE

    def wav(self) -> bytes:
        """The greeting as a WAV file, 16 bits."""
        return encode(self.samples, RATE, "wav").data


def read(source: Path, *, trim: bool = True) -> Greeting:
    """The recording in the file `source`; `trim` cuts silence at both ends. Raises PromptError."""
    samples = decode(source)
    speech = analyse(samples)
    cut = trimmed(samples, speech) if trim else samples
    return Greeting(levelled(cut), tuple(_remarks(samples, cut, speech)))


def _remarks(samples: Samples, cut: Samples, speech: Speech) -> list[str]:
    seconds = len(cut) / RATE
    remarks = []
    if speech.seconds < _LEAST_SPEECH:
        return ["no speech was found in it: listen to it before you use it"]
    if seconds > _LONG:
        remarks.append(f"{seconds:.0f} s are long: many callers hang up before the beep")
    if speech.level < _QUIET:
        remarks.append("it is very quiet: what was lifted sounds of noise; record it closer")
    elif speech.level - speech.noise < _LEAST_DISTANCE:
        remarks.append("there is noise behind the voice: record it in a quiet room")
    if np.count_nonzero(np.abs(samples.astype(np.int32)) >= _FULL) > _CLIPPED * len(samples):
        remarks.append("it is overdriven: record it with less gain")
    return remarks
