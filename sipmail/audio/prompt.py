"""A greeting from any sound file: decoded, mono at 8 kHz, at the level of the others, in both laws.

The result is kept in a cache under the hash of the file's bytes, so it is made once; the two files
are written aside and renamed, so a reader never sees half of one.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile
import soxr

from sipmail.audio import level
from sipmail.audio.speech import RATE, analyse
from sipmail.codecs import g711
from sipmail.codecs.g711 import Samples
from sipmail.codecs.tones import ramped
from sipmail.errors import SipmailError

LONGEST = 300.0
"""Seconds; a greeting that nobody would listen to is a mistake in the configuration."""

LARGEST = 256 << 20
"""Bytes of a sound file."""

_VERSION = b"1"  # part of the name: change it with anything that changes the result
_LEVEL = -20.0
_LEAST_SPEECH = 0.5
_LOWEST_CUT = -18.0
_GUARD = 0.005
_FRAME = 160


class PromptError(SipmailError):
    """A sound file cannot be used as a prompt; the text names the file and what to do."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """A prompt that is ready to be played."""

    stem: Path
    """`stem` + `.ulaw` and `.alaw` are raw G.711 at 8 kHz."""
    seconds: float


def prepare(source: Path, cache: Path) -> Prompt:
    """Makes `source` ready in the folder `cache`, or finds it there.

    Raises PromptError for a file that is missing, unreadable, empty, too long or too large, and
    where the cache cannot be written.
    """
    data = _read(source)
    name = hashlib.sha256(_VERSION + data).hexdigest()[:32]
    stem = cache / name
    sizes = {_size(stem.with_suffix(suffix)) for suffix in (".ulaw", ".alaw")}
    if len(sizes) == 1 and (size := sizes.pop()) > 0:
        return Prompt(stem, size / RATE)
    samples = levelled(decode(source))
    try:
        cache.mkdir(mode=0o700, parents=True, exist_ok=True)
        _write(stem.with_suffix(".ulaw"), g711.encode_ulaw(samples).tobytes())
        _write(stem.with_suffix(".alaw"), g711.encode_alaw(samples).tobytes())
    except OSError as error:
        raise PromptError(
            f"{cache}: the prepared greetings cannot be written there ({error.strerror}); "
            "make the folder writable for sipmail or free some space"
        ) from error
    return Prompt(stem, len(samples) / RATE)


def decode(source: Path) -> Samples:
    """(n,) int16 at 8 kHz: a sound file of any format, rate and number of channels, its level kept.

    Raises PromptError.
    """
    try:
        source.open("rb").close()  # libsndfile does not say what is wrong
    except OSError as error:
        raise _unreadable(source, error) from error
    try:
        with soundfile.SoundFile(source) as file:
            seconds = file.frames / file.samplerate
            if seconds > LONGEST:
                raise PromptError(
                    f"{source}: is {seconds:.0f} s long; a greeting may have {LONGEST:.0f} s, "
                    "so shorten it"
                )
            rate = int(file.samplerate)
            # One more than is allowed, for a file that does not know how long it is.
            wave = file.read(int((LONGEST + 1) * rate), dtype="float32", always_2d=True)
    except (soundfile.LibsndfileError, RuntimeError) as error:
        raise PromptError(
            f"{source}: is no sound file that can be read ({error}); "
            "save it as WAV, MP3, FLAC or Ogg"
        ) from error
    if len(wave) > LONGEST * rate:
        raise PromptError(
            f"{source}: is longer than the {LONGEST:.0f} s that a greeting may have, so shorten it"
        )
    mono = np.nan_to_num(wave.mean(axis=1), posinf=0.0, neginf=0.0)
    if rate != RATE and len(mono):
        mono = np.asarray(soxr.resample(mono, rate, RATE, "HQ"), np.float32)
    if not np.any(np.abs(mono) > 1e-4):
        raise PromptError(f"{source}: is empty or silent; record the greeting again")
    return np.rint(level.limited((mono * 32767).astype(np.float32))).astype(np.int16)


def levelled(samples: Samples) -> Samples:
    """`samples` at the level of the other prompts, without a constant offset, soft at both ends,
    in whole frames of 20 ms."""
    centred: npt.NDArray[np.float32] = samples.astype(np.float32)
    centred -= centred.mean()
    samples = np.rint(level.limited(centred)).astype(np.int16)
    speech = analyse(samples)
    # A beep or a short jingle keeps the level that it was made with.
    if speech.seconds >= _LEAST_SPEECH:
        samples = level.amplified(samples, max(_LOWEST_CUT, _LEVEL - speech.level))
    soft = ramped(samples.astype(np.float64), round(_GUARD * RATE))
    missing = -len(soft) % _FRAME
    return np.rint(np.concatenate((soft, np.zeros(missing)))).astype(np.int16)


def _read(source: Path) -> bytes:
    try:
        size = source.stat().st_size
        if size > LARGEST:
            raise PromptError(
                f"{source}: has {size >> 20} MB, more than the {LARGEST >> 20} MB that a greeting "
                "may have; save it as MP3 or FLAC"
            )
        data = source.read_bytes()
    except OSError as error:
        raise _unreadable(source, error) from error
    if not data:
        raise PromptError(f"{source}: is empty; record the greeting again")
    return data


def _unreadable(source: Path, error: OSError) -> PromptError:
    return PromptError(
        f"{source}: cannot be read ({error.strerror}); check the path and the permissions"
    )


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _write(path: Path, data: bytes) -> None:
    handle, aside = tempfile.mkstemp(prefix=path.name, dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        Path(aside).replace(path)
    except OSError:
        Path(aside).unlink(missing_ok=True)
        raise
