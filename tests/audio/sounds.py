"""Sounds to measure: the spoken greetings of the repository, noise, hum and what is no speech."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile

from tests.audio.calls import RATE, Samples, decoded

GREETINGS = Path(__file__).resolve().parents[2] / "greetings"


def spoken(name: str, level: float | None = None) -> Samples:
    """A prompt such as `en/sample`; with `level`, its effective value is that, dBFS."""
    wave, rate = soundfile.read(GREETINGS / f"{name}.wav", dtype="int16")
    assert rate == RATE
    made: Samples = wave
    if level is None:
        return made
    now = np.sqrt(np.square(made.astype(np.float64)).mean())
    return clipped(made * (32768 * 10 ** (level / 20) / now))


def noise(level: float, seconds: float, seed: int = 1) -> npt.NDArray[np.float64]:
    chance = np.random.default_rng(seed)
    return chance.standard_normal(round(seconds * RATE)) * 32768 * 10 ** (level / 20)


def hum(level: float, seconds: float) -> npt.NDArray[np.float64]:
    time = np.arange(round(seconds * RATE)) / RATE
    wave = np.zeros(len(time))
    for number in (1, 3, 5, 7):
        wave += np.sin(2 * np.pi * 50 * number * time) / number
    return wave / np.sqrt(np.square(wave).mean()) * 32768 * 10 ** (level / 20)


def quiet(seconds: float) -> Samples:
    return np.zeros(round(seconds * RATE), np.int16)


def clipped(wave: npt.NDArray[np.float64]) -> Samples:
    return np.rint(np.clip(wave, -32768, 32767)).astype(np.int16)


def joined(*parts: npt.NDArray[np.int16]) -> Samples:
    """One after the other, as it comes out of A-law."""
    return decoded(np.concatenate(parts))


def over(sound: Samples, background: npt.NDArray[np.float64]) -> Samples:
    """`sound` with a background, as it comes out of A-law."""
    return decoded(clipped(sound + background[: len(sound)]))


def level_of(sound: npt.NDArray[np.int16]) -> float:
    """Effective value, dBFS."""
    return float(10 * np.log10(np.square(sound.astype(np.float64) / 32768).mean() + 1e-12))
