"""Greetings from any file: decoded, levelled, cached, and refused with a sentence that helps."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import numpy as np
import pytest
import soundfile

from sipmail.audio import prompt
from sipmail.audio.prompt import PromptError, prepare
from sipmail.audio.speech import analyse
from sipmail.codecs import g711, tones
from tests.audio.calls import RATE, Samples
from tests.audio.sounds import GREETINGS, level_of, spoken


def heard(made: prompt.Prompt) -> Samples:
    ulaw = g711.decode_ulaw(Path(f"{made.stem}.ulaw").read_bytes())
    alaw = g711.decode_alaw(Path(f"{made.stem}.alaw").read_bytes())
    assert len(ulaw) == len(alaw)
    assert np.abs(ulaw.astype(int) - alaw).max() < 1500
    return alaw


@pytest.mark.parametrize(
    ("name", "rate", "channels", "subtype"),
    [
        ("a.wav", 8000, 1, "PCM_16"),
        ("a.wav", 44100, 2, "PCM_24"),
        ("a.wav", 48000, 1, "FLOAT"),
        ("a.wav", 8000, 1, "ALAW"),
        ("a.wav", 11025, 2, "PCM_U8"),
        ("a.mp3", 44100, 2, "MPEG_LAYER_III"),
        ("a.flac", 22050, 1, "PCM_16"),
        ("a.ogg", 48000, 2, "VORBIS"),
        ("a.opus", 48000, 1, "OPUS"),
        ("a.aiff", 96000, 6, "PCM_16"),
    ],
)
def test_any_format_rate_and_number_of_channels(
    name: str, rate: int, channels: int, subtype: str, tmp_path: Path
) -> None:
    sound = spoken("en/thanks").astype(np.float64) / 32768
    at = np.arange(len(sound) * rate // RATE) * RATE / rate
    longer = np.interp(at, np.arange(len(sound)), sound)
    source = tmp_path / name
    container = "OGG" if name.endswith("opus") else None
    wide = np.repeat(longer[:, np.newaxis], channels, axis=1)
    soundfile.write(source, wide, rate, subtype=subtype, format=container)
    made = prepare(source, tmp_path / "cache")
    assert made.seconds == pytest.approx(len(sound) / RATE, abs=0.1)
    assert analyse(heard(made)).level == pytest.approx(-20, abs=1)


@pytest.mark.parametrize("level", [-8, -20, -45])
def test_greetings_have_one_level_and_do_not_clip(level: float, tmp_path: Path) -> None:
    source = tmp_path / "greeting.wav"
    soundfile.write(source, spoken("pl/default", level), RATE)
    sound = heard(prepare(source, tmp_path / "cache"))
    assert analyse(sound).level == pytest.approx(-20, abs=1.5)
    assert np.abs(sound.astype(np.int32)).max() <= 32256 * 0.95


def test_a_beep_keeps_its_level(tmp_path: Path) -> None:
    sound = heard(prepare(GREETINGS / "beep.wav", tmp_path))
    assert level_of(sound[800:2000]) == pytest.approx(level_of(tones.beep()[800:2000]), abs=0.2)


def test_it_is_soft_at_both_ends_and_made_of_whole_packets(tmp_path: Path) -> None:
    source = tmp_path / "hard.wav"
    soundfile.write(source, spoken("en/sample")[8000:24001], RATE)
    sound = heard(prepare(source, tmp_path))
    assert len(sound) % 160 == 0
    assert abs(int(sound[0])) < 300
    assert abs(int(sound[-1])) < 300


def test_it_is_made_once(tmp_path: Path) -> None:
    cache = tmp_path / "deep" / "cache"
    first = prepare(GREETINGS / "en" / "thanks.wav", cache)
    stamp = Path(f"{first.stem}.ulaw").stat().st_mtime_ns
    assert prepare(GREETINGS / "en" / "thanks.wav", cache) == first
    assert Path(f"{first.stem}.ulaw").stat().st_mtime_ns == stamp
    assert len(list(cache.iterdir())) == 2
    copy = tmp_path / "copy.wav"
    copy.write_bytes((GREETINGS / "en" / "thanks.wav").read_bytes())
    assert prepare(copy, cache) == first
    other = prepare(GREETINGS / "pl" / "thanks.wav", cache)
    assert other.stem != first.stem


def test_half_a_cache_is_made_whole(tmp_path: Path) -> None:
    first = prepare(GREETINGS / "en" / "thanks.wav", tmp_path)
    Path(f"{first.stem}.alaw").write_bytes(b"cut")
    again = prepare(GREETINGS / "en" / "thanks.wav", tmp_path)
    assert again == first
    heard(again)


def refused(source: Path, cache: Path) -> str:
    with pytest.raises(PromptError) as caught:
        prepare(source, cache)
    text = str(caught.value)
    assert text.startswith(f"{source}: ")
    assert list(cache.glob("*")) == []
    return text


def test_what_cannot_be_used_is_refused_with_a_cure(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    assert "check the path" in refused(tmp_path / "missing.wav", cache)
    assert "check the path" in refused(tmp_path, cache)
    (tmp_path / "empty.wav").write_bytes(b"")
    assert "is empty" in refused(tmp_path / "empty.wav", cache)
    (tmp_path / "text.wav").write_text("Dzień dobry")
    assert "save it as WAV, MP3, FLAC or Ogg" in refused(tmp_path / "text.wav", cache)
    soundfile.write(tmp_path / "none.wav", np.zeros(0, np.int16), RATE)
    assert "empty or silent" in refused(tmp_path / "none.wav", cache)
    soundfile.write(tmp_path / "silent.wav", np.zeros(9000, np.int16), RATE)
    assert "empty or silent" in refused(tmp_path / "silent.wav", cache)
    soundfile.write(tmp_path / "long.wav", np.ones(301 * RATE, np.int16), RATE)
    assert "shorten it" in refused(tmp_path / "long.wav", cache)


def test_too_many_bytes_are_refused_unread(tmp_path: Path) -> None:
    source = tmp_path / "huge.wav"
    with source.open("wb") as file:
        file.truncate(prompt.LARGEST + 1)
    assert "save it as MP3 or FLAC" in refused(source, tmp_path / "cache")


def test_not_a_number_is_no_sound(tmp_path: Path) -> None:
    sound = spoken("en/thanks").astype(np.float32) / 32768
    sound[100:200] = np.nan
    sound[300] = np.inf
    soundfile.write(tmp_path / "nan.wav", sound, RATE, subtype="FLOAT")
    assert analyse(heard(prepare(tmp_path / "nan.wav", tmp_path / "cache"))).seconds > 1


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_cache_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    cache.mkdir()
    cache.chmod(stat.S_IRUSR | stat.S_IXUSR)
    with pytest.raises(PromptError, match="make the folder writable"):
        prepare(GREETINGS / "beep.wav", cache)


def test_a_cache_that_is_a_file_is_named(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    cache.write_text("")
    with pytest.raises(PromptError, match="cannot be written there"):
        prepare(GREETINGS / "beep.wav", cache)
