"""Samples to a sound file in memory, in the formats that a mailbox may ask for.

What plays where decided the choices:
- `mp3` is resampled to 24 kHz: 8 kHz is MPEG-2.5, an extension that not every player has, while
  16, 22.05 and 24 kHz are MPEG-2 layer III, which phones, Outlook and browsers play; of these 24
  has the shortest frames, so that a player which does not know of the encoder's delay is less than
  0.1 s off. Variable bit rate; the length stands in its Xing header.
- `ulaw` and `alaw` are G.711 in a WAV container: half the size of PCM, and Windows plays it. They
  come from our own encoder, so a recording in the same law goes through unchanged.
- `wav` (16-bit PCM) and `flac` keep every sample;
- `opus` is in Ogg, at the telephone's own 8 kHz, which it knows and which costs its encoder a
  quarter of what 16 kHz do.
"""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import soundfile
import soxr

from sipmail.codecs import g711
from sipmail.codecs.g711 import Samples
from sipmail.errors import SipmailError

FORMATS = ("mp3", "wav", "ulaw", "alaw", "flac", "opus")
"""What `encode` takes as `format`."""

_MP3_RATE = 24000
_OPUS_RATE = 8000
_MP3_COMPRESSION = 0.5
_WAVE_ALAW = 6
_WAVE_MULAW = 7


class EncodeError(SipmailError):
    """The format is unknown, or this machine's libsndfile cannot write it."""


@dataclass(frozen=True, slots=True)
class Encoded:
    """A finished sound file: its bytes, its MIME type, its usual file name extension (no dot)."""

    data: bytes
    mime: str
    extension: str
    duration: float
    """Seconds of sound that went in."""


def encode(samples: Samples, rate: int, format: str) -> Encoded:
    """The (n,) int16 `samples`, mono at `rate`, as a file of one of `FORMATS`.

    Raises EncodeError.
    """
    duration = len(samples) / rate
    match format:
        case "wav":
            return Encoded(_riff_pcm(samples, rate), "audio/wav", "wav", duration)
        case "ulaw":
            data = _riff_g711(_WAVE_MULAW, g711.encode_ulaw(samples), rate)
            return Encoded(data, "audio/wav", "wav", duration)
        case "alaw":
            data = _riff_g711(_WAVE_ALAW, g711.encode_alaw(samples), rate)
            return Encoded(data, "audio/wav", "wav", duration)
        case "flac":
            return Encoded(_write(samples, rate, "FLAC", "PCM_16"), "audio/flac", "flac", duration)
        case "mp3":
            data = _write(
                _resampled(samples, rate, _MP3_RATE),
                _MP3_RATE,
                "MP3",
                "MPEG_LAYER_III",
                compression_level=_MP3_COMPRESSION,
                bitrate_mode="VARIABLE",
            )
            return Encoded(data, "audio/mpeg", "mp3", duration)
        case "opus":
            data = _write(_resampled(samples, rate, _OPUS_RATE), _OPUS_RATE, "OGG", "OPUS")
            return Encoded(data, "audio/ogg", "opus", duration)
    raise EncodeError(f"unknown audio format {format!r}; known: {', '.join(FORMATS)}")


def _resampled(samples: Samples, rate: int, wanted: int) -> npt.NDArray[np.int16]:
    if rate == wanted or not len(samples):
        return samples
    return np.asarray(soxr.resample(samples, rate, wanted, "HQ"), dtype=np.int16)


def _write(samples: Samples, rate: int, container: str, subtype: str, **options: Any) -> bytes:
    file = io.BytesIO()
    # libsndfile writes nothing at all for no samples, and an empty file is no sound file.
    samples = samples if len(samples) else np.zeros(1, np.int16)
    try:
        soundfile.write(file, samples, rate, format=container, subtype=subtype, **options)
    except (soundfile.LibsndfileError, RuntimeError, TypeError, ValueError) as error:
        raise EncodeError(
            f"libsndfile {soundfile.__libsndfile_version__} cannot write {subtype}: {error}; "
            "version 1.1 or newer can (it comes with the soundfile package)"
        ) from error
    return file.getvalue()


def _riff_pcm(samples: Samples, rate: int) -> bytes:
    """A WAV file of 16-bit PCM: RIFF header, `fmt `, `data`."""
    data = samples.astype("<i2", copy=False).tobytes()
    format_chunk = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, rate, 2 * rate, 2, 16)
    return _riff(format_chunk, data)


def _riff_g711(tag: int, codes: g711.Codes, rate: int) -> bytes:
    """A WAV file of G.711: `fmt ` with an empty extension, `fact` with the sample count, `data`."""
    format_chunk = struct.pack("<4sIHHIIHHH", b"fmt ", 18, tag, 1, rate, rate, 1, 8, 0)
    fact = struct.pack("<4sII", b"fact", 4, len(codes))
    return _riff(format_chunk + fact, codes.tobytes())


def _riff(chunks: bytes, data: bytes) -> bytes:
    padding = bytes(len(data) % 2)
    head = chunks + struct.pack("<4sI", b"data", len(data))
    size = 4 + len(head) + len(data) + len(padding)
    # Joined once: the data are nearly all of it.
    return b"".join((struct.pack("<4sI4s", b"RIFF", size, b"WAVE"), head, data, padding))
