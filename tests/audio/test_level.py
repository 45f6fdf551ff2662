"""Levels: quiet callers are lifted, nothing is lowered, nothing clips."""

from __future__ import annotations

import numpy as np
import pytest

from sipmail.audio.level import CEILING, TARGET, amplified, normalize, trimmed
from sipmail.audio.speech import analyse
from tests.audio.sounds import joined, noise, over, quiet, spoken

LARGEST = 32767 * 10 ** (CEILING / 20)


@pytest.mark.parametrize("level", [-25, -35, -45])
@pytest.mark.parametrize("voice", ["en/sample", "pl/sample"])
def test_a_quiet_caller_is_lifted_to_the_target(voice: str, level: float) -> None:
    sound = spoken(voice, level)
    lifted = normalize(sound, analyse(sound))
    assert analyse(lifted).level == pytest.approx(TARGET, abs=1)
    assert np.abs(lifted.astype(np.int32)).max() <= LARGEST + 1


def test_a_loud_caller_is_not_lowered() -> None:
    sound = spoken("en/sample", -14)
    assert np.array_equal(normalize(sound, analyse(sound)), sound)


def test_without_speech_nothing_is_lifted() -> None:
    sound = over(quiet(5), noise(-50, 5))
    assert np.array_equal(normalize(sound, analyse(sound)), sound)


def test_noise_is_not_lifted_to_where_it_tires() -> None:
    sound = over(np.concatenate((quiet(2), spoken("en/sample", -38), quiet(2))), noise(-52, 20))
    lifted = normalize(sound, analyse(sound))
    assert -45 < analyse(lifted).noise < -40


def test_a_click_does_not_keep_a_caller_quiet() -> None:
    sound = spoken("en/sample", -35).copy()
    sound[-50:-40] = 30000
    lifted = normalize(sound, analyse(sound))
    assert analyse(lifted).level == pytest.approx(TARGET, abs=1)
    assert np.abs(lifted.astype(np.int32)).max() <= LARGEST + 1


@pytest.mark.parametrize("gain", [6, 20, 40])
def test_the_limiter_holds_for_any_sound(gain: float) -> None:
    chance = np.random.default_rng(int(gain))
    sound = (chance.standard_normal(7777) * 8000).clip(-32768, 32767).astype(np.int16)
    sound[3000:3005] = -32768
    assert np.abs(amplified(sound, gain).astype(np.int32)).max() <= LARGEST + 1


def test_amplifying_nothing() -> None:
    assert len(amplified(np.zeros(0, np.int16), 10)) == 0


def test_trimming_changes_nothing_inside() -> None:
    sound = joined(quiet(3), spoken("en/thanks"), quiet(3))
    speech = analyse(sound)
    cut = trimmed(sound, speech)
    assert len(cut) == speech.end - speech.begin
    assert len(cut) < len(sound) - 5 * 8000 * 0.9
    assert np.array_equal(cut[50:-50], sound[speech.begin + 50 : speech.end - 50])


def test_nothing_is_trimmed_where_nobody_spoke() -> None:
    sound = quiet(3)
    assert trimmed(sound, analyse(sound)) is sound
