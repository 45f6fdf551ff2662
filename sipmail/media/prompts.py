"""Prompts as they are sent: raw G.711, each in memory once for all calls.

A prompt is named by the stem of its files, `STEM.ulaw` and `STEM.alaw`, or `silence:SECONDS`.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from sipmail.rtp.packet import CLOCK_RATE

SILENCE: dict[str, int] = {"PCMU": 0xFF, "PCMA": 0xD5}
"""The code word of a sample of zero (ITU-T G.711)."""

_SUFFIXES = {"PCMU": ".ulaw", "PCMA": ".alaw"}
_SILENCE = "silence:"
_MOST_BYTES = 64 << 20
_LONGEST_SILENCE = 60.0


class Prompts:
    """Reads prompts when they are first asked for; the longest known go when there are too many."""

    def __init__(self, most: int = _MOST_BYTES) -> None:
        """`most` is how many bytes are kept at most, beside what calls are playing."""
        self._most = most
        self._held = 0
        self._loaded: dict[tuple[str, str], npt.NDArray[np.uint8]] = {}

    def load(self, name: str, codec: str) -> npt.NDArray[np.uint8]:
        """(n,) code words of a prompt, read-only; `codec` is PCMU or PCMA.

        Raises OSError when the file is not there, ValueError for a wrong silence.
        """
        words = self._loaded.get((name, codec))
        if words is not None:
            return words
        if name.startswith(_SILENCE):
            seconds = float(name.removeprefix(_SILENCE))
            if not 0 <= seconds <= _LONGEST_SILENCE:
                raise ValueError(f"{name}: a silence has 0 to {_LONGEST_SILENCE:g} seconds")
            words = np.full(round(seconds * CLOCK_RATE), SILENCE[codec], np.uint8)
        else:
            words = np.frombuffer(Path(name + _SUFFIXES[codec]).read_bytes(), np.uint8)
        self._held += len(words)
        while self._held > self._most and self._loaded:
            self._held -= len(self._loaded.pop(next(iter(self._loaded))))
        self._loaded[name, codec] = words
        return words
