"""Tones have the frequency, level and length that they are asked for."""

from __future__ import annotations

import numpy as np
import pytest

from sipmail.codecs import tones


def strongest(samples: tones.Samples, count: int) -> list[float]:
    power = np.abs(np.fft.rfft(samples.astype(np.float64)))
    peaks = np.flatnonzero((power[1:-1] > power[:-2]) & (power[1:-1] > power[2:])) + 1
    best = peaks[np.argsort(power[peaks])[-count:]]
    return sorted(float(peak) * tones.RATE / len(samples) for peak in best)


@pytest.mark.parametrize(
    ("key", "hertz"),
    [
        ("1", (697, 1209)),
        ("5", (770, 1336)),
        ("9", (852, 1477)),
        ("#", (941, 1477)),
        ("D", (941, 1633)),
    ],
)
def test_digits_have_the_frequencies_of_q23(key: str, hertz: tuple[int, int]) -> None:
    made = tones.dtmf(key, seconds=1, pause=0)
    assert strongest(made, 2) == pytest.approx(hertz, abs=1.5)


def test_a_tone_has_its_level_and_length() -> None:
    made = tones.tone(1000, seconds=2, level=-15)
    assert len(made) == 16000
    effective = np.sqrt(np.square(made.astype(np.float64)).mean()) / 32767
    assert 20 * np.log10(effective) + 3.01 == pytest.approx(-15, abs=0.1)


def test_tones_begin_and_end_softly() -> None:
    made = tones.beep()
    assert abs(int(made[0])) < 60
    assert abs(int(made[-1])) < 60
    assert np.abs(made).max() == pytest.approx(32767 * 10 ** (-15 / 20), rel=0.02)


def test_what_would_clip_is_refused() -> None:
    with pytest.raises(ValueError, match="clip"):
        tones.tone(697, 1209, seconds=0.1, level=-1)


def test_what_is_no_key_is_refused() -> None:
    with pytest.raises(KeyError):
        tones.dtmf("1x")


def test_no_keys_no_sound() -> None:
    assert len(tones.dtmf("")) == 0
