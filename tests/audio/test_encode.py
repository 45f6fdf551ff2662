"""Sound files: what independent players make of them."""

from __future__ import annotations

import io
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from sipmail.audio.encode import FORMATS, EncodeError, encode
from sipmail.codecs import g711
from tests.audio.calls import Samples, decoded
from tests.audio.sounds import spoken

EXPECTED = {
    "mp3": ("audio/mpeg", "mp3"),
    "wav": ("audio/wav", "wav"),
    "ulaw": ("audio/wav", "wav"),
    "alaw": ("audio/wav", "wav"),
    "flac": ("audio/flac", "flac"),
    "opus": ("audio/ogg", "opus"),
}


def ffmpeg(program: str, path: Path) -> Samples:
    raw = ["-f", "s16le", "-ar", "8000", "-ac", "1", "-"]
    command = [program, "-v", "error", "-i", str(path), *raw]
    made = subprocess.run(command, capture_output=True, check=True)
    assert made.stderr == b""
    return np.frombuffer(made.stdout, np.int16)


def sox_plays(program: str, format: str) -> bool:
    """Whether this sox has the format: that of Debian 12 is built without Opus."""
    known = subprocess.run([program, "--help"], capture_output=True, text=True, check=False).stdout
    formats = known.partition("AUDIO FILE FORMATS:")[2].partition("\n")[0].split()
    assert "wav" in formats
    return format != "opus" or "opus" in formats


def sox(program: str, path: Path) -> Samples:
    command = [program, "-D", str(path), "-t", "raw", "-e", "signed", "-b", "16", "-r", "8000", "-"]
    made = subprocess.run(command, capture_output=True, check=True)
    return np.frombuffer(made.stdout, np.int16)


@pytest.mark.parametrize("format", FORMATS)
def test_type_name_and_length(format: str) -> None:
    sound = spoken("en/thanks")
    made = encode(sound, 8000, format)
    assert (made.mime, made.extension) == EXPECTED[format]
    assert made.duration == len(sound) / 8000
    info = soundfile.info(io.BytesIO(made.data))
    assert info.channels == 1
    assert info.duration == pytest.approx(made.duration, abs=0.1)


@pytest.mark.interop
@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("count", [8000, 24001])
def test_plays_in_ffmpeg(
    format: str, count: int, program: Callable[[str], str], tmp_path: Path
) -> None:
    sound = decoded(spoken("en/sample"))[:count]
    made = encode(sound, 8000, format)
    path = tmp_path / f"message.{made.extension}"
    path.write_bytes(made.data)
    heard = ffmpeg(program("ffmpeg"), path)
    assert abs(len(heard) - count) <= 800
    if format in ("wav", "flac", "alaw"):
        assert np.array_equal(heard, sound)
    else:
        length = min(count, len(heard))
        assert np.corrcoef(heard[:length], sound[:length])[0, 1] > 0.9


@pytest.mark.interop
@pytest.mark.parametrize("format", FORMATS)
def test_plays_in_sox(format: str, program: Callable[[str], str], tmp_path: Path) -> None:
    sound = decoded(spoken("en/thanks"))
    made = encode(sound, 8000, format)
    path = tmp_path / f"message.{made.extension}"
    path.write_bytes(made.data)
    if not sox_plays(program("sox"), format):
        # It knows the file for what it is, and ffmpeg plays it.
        refused = subprocess.run([program("sox"), path, "-n"], capture_output=True, check=False)
        assert b"no handler for detected file type `opus'" in refused.stderr
        return
    heard = sox(program("sox"), path)
    assert abs(len(heard) - len(sound)) <= 800
    if format in ("wav", "flac", "alaw"):
        assert np.array_equal(heard, sound)


def test_mp3_has_a_rate_that_every_player_knows() -> None:
    """MPEG-2 layer III without CRC: 0xFFF3, and 24 kHz in the next byte (ISO 13818-3)."""
    data = encode(spoken("en/thanks"), 8000, "mp3").data
    at = data.index(b"\xff\xf3")
    assert data[at + 2] >> 2 & 3 == 1
    assert b"Xing" in data[:400]
    assert len(data) < 8 * 1000 * len(spoken("en/thanks")) / 8000


@pytest.mark.parametrize(("format", "code"), [("ulaw", 7), ("alaw", 6)])
def test_g711_goes_through_unchanged(format: str, code: int) -> None:
    codes = np.arange(256, dtype=np.uint8)
    decode = g711.decode_ulaw if format == "ulaw" else g711.decode_alaw
    data = encode(decode(codes), 8000, format).data
    assert data[20] == code
    kept = data[-256:]
    if format == "ulaw":  # its negative zero becomes the positive one
        assert kept.replace(b"\xff", b"\x7f") == codes.tobytes().replace(b"\xff", b"\x7f")
    else:
        assert kept == codes.tobytes()


def test_odd_lengths_are_padded_to_whole_words() -> None:
    made = encode(np.zeros(3, np.int16), 8000, "alaw")
    assert len(made.data) % 2 == 0
    assert soundfile.info(io.BytesIO(made.data)).frames == 3


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("count", [0, 1, 100])
def test_the_shortest_sounds_are_files_too(format: str, count: int) -> None:
    made = encode(np.zeros(count, np.int16), 8000, format)
    assert made.duration == count / 8000
    assert made.data


def test_an_unknown_format_names_the_known_ones() -> None:
    with pytest.raises(EncodeError, match="'gsm'; known: mp3, wav"):
        encode(np.zeros(8, np.int16), 8000, "gsm")
