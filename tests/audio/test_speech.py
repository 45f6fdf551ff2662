"""Seconds of speech: people count, noise, digits, clicks and beeps do not."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from sipmail.audio.speech import SILENT, analyse, speaks
from sipmail.codecs import tones
from tests.audio.calls import RATE, Samples
from tests.audio.sounds import clipped, hum, joined, level_of, noise, over, quiet, spoken

VOICES = ("en/sample", "pl/sample", "en/default", "pl/closed")

BACKGROUNDS: dict[str, Callable[[float, float], np.ndarray[tuple[int], np.dtype[np.float64]]]] = {
    "white": noise,
    "hum": hum,
}


@pytest.mark.parametrize("voice", VOICES)
@pytest.mark.parametrize("level", [-20, -30, -40])
def test_speech_is_measured_at_any_level(voice: str, level: float) -> None:
    sound = spoken(voice, level)
    heard = analyse(joined(quiet(2), sound, quiet(2)))
    assert 0.75 * len(sound) / RATE <= heard.seconds <= len(sound) / RATE + 0.2
    assert heard.level == pytest.approx(level, abs=2.5)


@pytest.mark.parametrize("voice", VOICES)
@pytest.mark.parametrize("background", BACKGROUNDS)
@pytest.mark.parametrize("level", [-60, -50, -40])
def test_speech_above_a_background_is_measured(voice: str, background: str, level: float) -> None:
    """Speech 15 dB above the noise, and above -40 dBFS."""
    sound = spoken(voice, max(level + 15, -40))
    whole = np.concatenate((quiet(2), sound, quiet(2)))
    heard = analyse(over(whole, BACKGROUNDS[background](level, len(whole) / RATE)))
    assert 0.6 * len(sound) / RATE <= heard.seconds <= len(sound) / RATE + 0.3
    # What is kept holds all of what was said, and the margins are no longer than they should be.
    assert 1.5 * RATE <= heard.begin <= 2.15 * RATE
    assert len(sound) + 1.8 * RATE <= heard.end <= len(sound) + 2.6 * RATE


@pytest.mark.parametrize("background", BACKGROUNDS)
@pytest.mark.parametrize("level", [-60, -50, -40, -30])
def test_a_background_alone_is_no_speech(background: str, level: float) -> None:
    heard = analyse(over(quiet(20), BACKGROUNDS[background](level, 20)))
    assert heard.seconds == 0
    assert heard.level == SILENT
    assert (heard.begin, heard.end) == (0, 20 * RATE)


def test_the_noise_has_its_level() -> None:
    assert analyse(over(quiet(10), noise(-45, 10))).noise == pytest.approx(-45, abs=1.5)


NOT_SPEECH: dict[str, Samples] = {
    "digits": tones.dtmf("0123456789*#", seconds=0.1, pause=0.1),
    "long digits": tones.dtmf("15#", seconds=0.6, pause=0.4),
    "fast digits": tones.dtmf("15#78", seconds=0.06, pause=0.06),
    "dial tone": tones.tone(425, seconds=5),
    "busy tone": np.tile(np.concatenate((tones.tone(425, seconds=0.5), quiet(0.5))), 6),
    "beep": np.concatenate((quiet(1), tones.beep(), quiet(1))),
    "fax": np.tile(np.concatenate((tones.tone(1100, seconds=0.5), quiet(3))), 3),
    "click": np.concatenate((quiet(1), np.full(20, 20000, np.int16), quiet(1))),
    "rustle": np.concatenate((quiet(1), clipped(noise(-25, 0.5)), quiet(1))),
    "knock": np.concatenate((quiet(1), clipped(noise(-20, 0.04)), quiet(1))),
    "nothing": quiet(5),
}


@pytest.mark.parametrize("name", NOT_SPEECH)
@pytest.mark.parametrize("level", [None, -50])
def test_what_is_no_speech_does_not_count(name: str, level: float | None) -> None:
    sound = NOT_SPEECH[name]
    heard = joined(sound) if level is None else over(sound, noise(level, len(sound) / RATE))
    assert analyse(heard).seconds < 0.1


@pytest.mark.parametrize("after", ["digits", "click", "beep"])
def test_a_digit_or_click_at_the_end_is_cut(after: str) -> None:
    sound = spoken("en/sample")
    tail = {"digits": tones.dtmf("#"), "click": np.full(20, 20000, np.int16), "beep": tones.beep()}
    foreign = len(sound) + round(0.2 * RATE)
    heard = analyse(joined(sound, quiet(0.2), tail[after], quiet(0.1)))
    assert len(sound) - 0.2 * RATE <= heard.end <= foreign


def test_speech_between_digits_is_whole() -> None:
    sound = spoken("pl/busy")
    digits = tones.dtmf("12")
    heard = analyse(joined(digits, sound, digits))
    assert heard.seconds == pytest.approx(analyse(joined(sound)).seconds, abs=0.4)


@pytest.mark.parametrize("voice", VOICES)
def test_trim_bounds_keep_margins(voice: str) -> None:
    sound = spoken(voice)
    heard = analyse(joined(quiet(3), sound, quiet(4)))
    assert 2.5 * RATE <= heard.begin <= 3.0 * RATE
    assert 3 * RATE + len(sound) - 0.1 * RATE <= heard.end <= 3.5 * RATE + len(sound)


def test_runs_are_within_the_sound() -> None:
    sound = joined(quiet(1), spoken("en/thanks"), quiet(1), spoken("en/thanks"))
    heard = analyse(sound)
    assert len(heard.runs) >= 2
    flat = [at for run in heard.runs for at in run]
    assert flat == sorted(flat)
    assert flat[-1] <= len(sound)


@pytest.mark.parametrize("count", [0, 1, 159, 160, 161, 255, 256, 1000, 2399, 2400])
def test_short_sounds_are_measured_without_trouble(count: int) -> None:
    for sound in (np.zeros(count, np.int16), spoken("en/thanks")[:count]):
        heard = analyse(sound)
        assert 0 <= heard.begin <= heard.end <= count


@pytest.mark.parametrize("seconds", [0.0, 0.5, 1.0, 3.0])
def test_speaks_agrees_with_the_whole_measure(seconds: float) -> None:
    late = joined(quiet(20), spoken("en/sample"))
    assert speaks(late, seconds)
    assert speaks(spoken("en/sample"), seconds)
    assert speaks(joined(quiet(3), tones.dtmf("123")), seconds) == (seconds == 0)
    assert not speaks(spoken("en/thanks"), 30)


def test_babble_far_below_is_background() -> None:
    """Many voices at -50 dBFS under one at -30: the one is found."""
    babble = np.zeros(12 * RATE)
    for name in ("en/menu", "pl/menu", "en/greeting_menu"):
        voice = spoken(name).astype(np.float64)
        babble += np.resize(voice, len(babble)) + np.resize(voice[::-1], len(babble))
    babble *= 32768 * 10 ** (-50 / 20) / np.sqrt(np.square(babble).mean())
    sound = np.concatenate((quiet(1), spoken("en/thanks", -28), quiet(1)))
    heard = analyse(over(sound, babble))
    assert heard.level == pytest.approx(-28, abs=3)
    assert level_of(spoken("en/thanks", -28)) == pytest.approx(-28, abs=0.5)
