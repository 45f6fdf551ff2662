"""What a caller has recorded, played back to the caller: from the journal to a prompt.

The recording is decoded as the courier will decode it, cut and levelled for a telephone's ear, and
written beside the prepared prompts; it is deleted with the call. CPU for some milliseconds a
minute of speech: for a thread.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sipmail.audio.level import trimmed
from sipmail.audio.prompt import levelled
from sipmail.audio.speech import analyse
from sipmail.audio.timeline import samples
from sipmail.codecs import g711
from sipmail.codecs.g711 import Samples
from sipmail.rtp import journal
from sipmail.voicemail.call import Review

_SUFFIXES = (".ulaw", ".alaw")
_NOTHING = 0.05
"""Seconds; less sound than a click has nobody heard."""
_QUIET = 150
"""Peak of a frame, of 32,767, below which a telephone lets nothing be heard."""
_FRAME = 160


@dataclass(frozen=True, slots=True, eq=False)
class Heard:
    """A decoded recording: (n,) int16 at 8 kHz, cut; see `voicemail.call.Review` for the rest."""

    samples: Samples
    speech: float
    sound: bool


def listen(path: Path, payloads: Mapping[int, str]) -> Heard:
    """Decodes the journal at `path`; one that is missing or empty is silence. Raises OSError."""
    try:
        recording = samples(journal.read(path), payloads)
    except FileNotFoundError:
        return Heard(g711.decode_ulaw(b""), 0.0, False)
    found = analyse(recording.samples)
    whole = len(recording.samples) // _FRAME * _FRAME
    peaks = abs(recording.samples[:whole].astype("i4")).reshape(-1, _FRAME).max(axis=1, initial=0)
    loud = int((peaks > _QUIET).sum()) * _FRAME / recording.rate
    return Heard(trimmed(recording.samples, found), found.seconds, loud >= _NOTHING)


def write(heard: Heard, stem: Path) -> Review:
    """Makes `heard` a prompt named `stem`. Raises OSError."""
    sound = levelled(heard.samples) if len(heard.samples) else heard.samples
    stem.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    stem.with_suffix(_SUFFIXES[0]).write_bytes(g711.encode_ulaw(sound).tobytes())
    stem.with_suffix(_SUFFIXES[1]).write_bytes(g711.encode_alaw(sound).tobytes())
    return Review(str(stem), heard.speech, heard.sound)


def settle(first: Path, further: Path, payloads: Mapping[int, str], least: float) -> bool:
    """Puts the recording `further` in the place of `first` where it has `least` seconds of speech,
    or more than the first; else it is deleted. Returns whether it did. Raises OSError."""
    said = listen(further, payloads).speech
    taken = said >= least or said > listen(first, payloads).speech
    if taken:
        further.replace(first)
    else:
        further.unlink(missing_ok=True)
    return taken


def forget(stem: Path) -> None:
    """Deletes a prompt that `write` made."""
    for suffix in _SUFFIXES:
        with contextlib.suppress(OSError):
            stem.with_suffix(suffix).unlink()
