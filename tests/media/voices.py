"""Voices and backgrounds for what listens to a call: espeak-ng speaks, numpy makes the noise.

Levels are effective values of the whole sound in dBFS (0: the mean square of a full-scale square).
"""

from __future__ import annotations

import functools
import shutil
import subprocess

import numpy as np
import numpy.typing as npt
import pytest
import soxr

from sipmail.codecs import g711

RATE = 8000

Wave = npt.NDArray[np.float64]

_TEXTS = {
    "en-gb": "The delivery you promised for Tuesday has not arrived, and nobody could tell me why.",
    "pl": "Zamówienie, które miało przyjść we wtorek, jeszcze nie dotarło i nikt nie wie dlaczego.",
    "de": "Guten Tag, hier spricht Meier. Ist mein Auto schon fertig? Bitte rufen Sie mich zurück.",
}
VOICES = tuple((language, variant) for language in _TEXTS for variant in ("m1", "m3", "f2", "f4"))


@functools.cache
def said(language: str, variant: str) -> Wave:
    """A sentence, from its first to its last audible sample (-45 dB of the largest)."""
    if shutil.which("espeak-ng") is None:
        pytest.skip("espeak-ng is not installed")
    made = subprocess.run(
        ["espeak-ng", "-v", f"{language}+{variant}", "--stdout", _TEXTS[language]],
        check=True,
        capture_output=True,
    ).stdout
    rate = int.from_bytes(made[24:28], "little")
    body = made[made.index(b"data") + 8 :]
    wave = np.frombuffer(body[: len(body) // 2 * 2], "<i2").astype(np.float64)
    wave = np.asarray(soxr.resample(wave, rate, RATE, "VHQ"))
    audible = np.flatnonzero(np.abs(wave) > np.abs(wave).max() * 10 ** (-45 / 20))
    trimmed: Wave = wave[audible[0] : audible[-1] + 1]
    return trimmed


def at(level: float, wave: Wave) -> Wave:
    """`wave` with this effective value."""
    scaled: Wave = wave * (32768 * 10 ** (level / 20) / np.sqrt(np.square(wave).mean()))
    return scaled


def background(kind: str, level: float, count: int, seed: int, voices: int = 4) -> Wave:
    """`count` samples of white noise, of mains hum, or of babble of so many voices."""
    chance = np.random.default_rng(seed)
    if kind == "white":
        return at(level, chance.standard_normal(count))
    if kind == "hum":
        turn = 2 * np.pi * chance.choice([50, 60]) * np.arange(count) / RATE
        return at(level, np.sum([np.sin(k * turn) / k for k in (1, 3, 5, 7)], axis=0))
    wave = np.zeros(count)
    for one in chance.choice(len(VOICES), voices, replace=False):
        spoken = np.resize(at(-20, said(*VOICES[one])), count)
        wave += np.roll(spoken, int(chance.integers(count)))
    return at(level, wave)


def words(wave: Wave, codec: str) -> npt.NDArray[np.uint8]:
    """The G.711 code words of a sound."""
    samples = np.rint(np.clip(wave, -32768, 32767)).astype(np.int16)
    encode = g711.encode_ulaw if codec == "PCMU" else g711.encode_alaw
    return np.asarray(encode(samples))
