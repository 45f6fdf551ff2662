"""Sounds for tests: spoken, encoded and decoded by sox, read by Python's own WAV reader."""

from __future__ import annotations

import io
import subprocess
import wave
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

RATE = 8000
SAMPLE = Path(__file__).resolve().parents[2] / "greetings" / "en" / "sample.wav"
_NAMES = {0: "ul", 8: "al"}


def speech(seconds: float, payload_type: int, sox: str, folder: Path) -> bytes:
    """The spoken sample, from its start and over and over, as G.711 bytes that sox encoded."""
    raw = folder / "speech"
    encoding = ["-t", _NAMES[payload_type], "-r", str(RATE), "-c", "1"]
    effects = ["repeat", "9", "trim", "0", str(seconds)]
    subprocess.run([sox, "-D", SAMPLE, *encoding, raw, *effects], check=True, timeout=60)
    payload = raw.read_bytes()
    assert len(payload) == round(seconds * RATE)
    return payload


def sox_decode(payload: bytes, payload_type: int, sox: str, folder: Path) -> NDArray[np.int16]:
    """What sox makes of G.711 bytes."""
    raw, plain = folder / "g711", folder / "decoded"
    raw.write_bytes(payload)
    encoding = ["-t", _NAMES[payload_type], "-r", str(RATE), "-c", "1"]
    subprocess.run([sox, "-D", *encoding, raw, "-t", "s16", plain], check=True, timeout=60)
    return np.frombuffer(plain.read_bytes(), "<i2")


def greeting(path: Path, seconds: float = 0.5) -> Path:
    """A WAV file with a tone, short so that tests don't listen long; returns its path."""
    tone = 6000 * np.sin(2 * np.pi * 350 * np.arange(round(seconds * RATE)) / RATE)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(tone.astype("<i2").tobytes())
    return path


def read_wav(data: bytes) -> NDArray[np.int16]:
    """The samples of a mono 16-bit WAV file at 8 kHz."""
    with wave.open(io.BytesIO(data)) as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (1, 2, RATE)
        return np.frombuffer(file.readframes(file.getnframes()), "<i2")
