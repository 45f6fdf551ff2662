"""The shipped prompts: complete in both languages, audible, alike, and small."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile

from sipmail.audio.speech import analyse
from tests.audio.sounds import GREETINGS, level_of, spoken

LANGUAGES = ("en", "pl")
NEEDED = {"default", "busy", "no_answer", "unavailable", "closed", "thanks", "sample", "menu"}


def names(language: str, suffix: str) -> set[str]:
    return {path.stem for path in (GREETINGS / language).glob(f"*{suffix}")}


def test_every_text_is_spoken_in_every_language() -> None:
    texts = names("en", ".txt")
    assert texts >= NEEDED
    for language in LANGUAGES:
        assert names(language, ".txt") == texts
        assert names(language, ".wav") == texts


@pytest.mark.parametrize("language", LANGUAGES)
def test_all_have_the_same_level(language: str) -> None:
    for name in names(language, ".wav"):
        sound = spoken(f"{language}/{name}")
        assert analyse(sound).level == pytest.approx(-20, abs=1.5), name
        assert np.abs(sound.astype(np.int32)).max() < 32000, name
        # No silence to wait through before the first word.
        assert analyse(sound).runs[0][0] <= 0.15 * 8000, name


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_default_greeting_takes_five_to_eight_seconds(language: str) -> None:
    assert 5 <= len(spoken(f"{language}/default")) / 8000 <= 8


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("name", ["default", "busy", "no_answer", "unavailable", "closed"])
def test_a_greeting_says_that_a_tone_follows(language: str, name: str) -> None:
    text = (GREETINGS / language / f"{name}.txt").read_text()
    assert {"en": "after the tone", "pl": "po sygnale"}[language] in text


def test_the_beep() -> None:
    sound = spoken("beep")
    assert 0.3 <= len(sound) / 8000 <= 0.4
    assert level_of(sound[800:2000]) == pytest.approx(-15 - 3.01, abs=0.2)


def test_they_are_small() -> None:
    files = [*GREETINGS.glob("*/*.wav"), *GREETINGS.glob("*.wav")]
    assert sum(path.stat().st_size for path in files) < 4_000_000
    for path in files:
        info = soundfile.info(path)
        assert (info.samplerate, info.channels, info.subtype) == (8000, 1, "PCM_16")


def test_there_is_no_code() -> None:
    assert list(GREETINGS.rglob("*.py")) == []
