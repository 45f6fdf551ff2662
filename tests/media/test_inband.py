"""DTMF in the sound: the limits of ITU-T Q.24, and what is no key.

Q.24, table 1 (AT&T, NTT, Danish, Australian, Brazilian administrations): operate within 1.5 to
1.8 %, not beyond 3.5 %; high over low from +4 to -8 dB; down to -25 dBm0 a frequency; 40 ms
operate, 20 to 24 ms do not; a pause of 40 ms is one, a break of 10 ms is none.
0 dBm0 is 3.14 dB below the overload of G.711 (3.17 of µ-law): about -6.2 dBFS.
"""

from __future__ import annotations

import numpy as np
import pytest

from sipmail.codecs.tones import DTMF
from sipmail.media.inband import InbandDetector
from tests.media.voices import RATE, VOICES, Wave, at, background, said, words

KEYS = "123A456B789C*0#D"
DBM0 = -6.2


def press(key: str, seconds: float, *, off: float = 0, low: float = -10, high: float = -10) -> Wave:
    """One key; `low` and `high` are dBm0, `off` is the deviation of both frequencies."""
    time = np.arange(round(seconds * RATE)) / RATE
    tone: Wave = np.zeros(len(time))
    for hertz, level in zip(DTMF[key], (low, high), strict=True):
        amplitude = 32768 * np.sqrt(2) * 10 ** ((level + DBM0) / 20)
        tone = tone + amplitude * np.sin(2 * np.pi * hertz * (1 + off) * time + hertz)
    return tone


def heard(wave: Wave, codec: str = "PCMA", drain: int = 3200) -> str:
    detector = InbandDetector()
    codes = words(wave, codec)
    found: list[str] = []
    for begin in range(0, len(codes), drain):
        found += detector.feed(codec, codes[begin : begin + drain])
    return "".join(found)


def dialled(*tones: Wave, pause: float = 0.06, noise: float = -70.0) -> Wave:
    quiet = np.zeros(round(pause * RATE))
    whole = np.concatenate([quiet, *(part for tone in tones for part in (tone, quiet))])
    return whole + background("white", noise, len(whole), 1)


@pytest.mark.parametrize("codec", ["PCMU", "PCMA"])
@pytest.mark.parametrize("seconds", [0.04, 0.05, 0.1, 0.5])
def test_every_key_is_heard_once(codec: str, seconds: float) -> None:
    assert heard(dialled(*(press(key, seconds) for key in KEYS)), codec) == KEYS


@pytest.mark.parametrize("drain", [80, 160, 237, 4000])
def test_the_pace_of_the_drains_does_not_matter(drain: int) -> None:
    assert heard(dialled(*(press(key, 0.06) for key in KEYS)), drain=drain) == KEYS


@pytest.mark.parametrize("seconds", [0.01, 0.02, 0.024])
def test_what_is_too_short_is_no_key(seconds: float) -> None:
    assert heard(dialled(*(press(key, seconds) for key in KEYS))) == ""


@pytest.mark.parametrize("off", [-0.018, -0.015, 0.015, 0.018])
def test_frequencies_may_be_off(off: float) -> None:
    assert heard(dialled(*(press(key, 0.05, off=off) for key in KEYS))) == KEYS


@pytest.mark.parametrize("off", [-0.05, -0.035, 0.035, 0.05])
def test_but_not_by_more(off: float) -> None:
    assert heard(dialled(*(press(key, 0.1, off=off) for key in KEYS))) == ""


@pytest.mark.parametrize(("low", "high"), [(-10, -6), (-10, -18), (-25, -25), (0, 0), (-3, -11)])
def test_levels_and_twist(low: float, high: float) -> None:
    assert heard(dialled(*(press(key, 0.05, low=low, high=high) for key in KEYS))) == KEYS


@pytest.mark.parametrize(("low", "high"), [(-55, -55), (-10, -30), (-30, -10)])
def test_what_is_too_weak_or_unequal_is_no_key(low: float, high: float) -> None:
    assert heard(dialled(*(press(key, 0.1, low=low, high=high) for key in KEYS))) == ""


@pytest.mark.parametrize("ratio", [30, 20, 15])
def test_over_noise(ratio: float) -> None:
    level = -10 + DBM0 + 3  # of the two together
    tones = [press(key, 0.06) for key in KEYS]
    assert heard(dialled(*tones, noise=level - ratio)) == KEYS


def test_a_break_is_no_second_key_and_a_pause_is() -> None:
    tone = press("5", 0.06)
    assert heard(np.concatenate((tone, np.zeros(80), tone, np.zeros(400)))) == "5"
    assert heard(np.concatenate((tone, np.zeros(320), tone, np.zeros(400)))) == "55"


def test_one_frequency_is_no_key() -> None:
    for pair in DTMF.values():
        for hertz in pair:
            tone = np.sin(2 * np.pi * hertz * np.arange(RATE) / RATE)
            assert heard(at(-15, tone)) == ""


@pytest.mark.parametrize("voice", VOICES)
def test_speech_is_no_key(voice: tuple[str, str]) -> None:
    spoken = said(*voice)
    for level in (-30, -20, -12):
        assert heard(at(level, spoken)) == ""


def test_a_key_during_speech_of_somebody_in_the_room() -> None:
    tones = dialled(*(press(key, 0.08, low=-8, high=-8) for key in KEYS))
    assert heard(tones + background("babble", -45, len(tones), 1)) == KEYS
