"""The silence limit, fed with levels and with sound, on a moved clock."""

from __future__ import annotations

import numpy as np
import pytest

from sipmail.codecs import g711
from sipmail.media.silence import SilenceDetector, levels, packet_level


def packets(decibels: float, count: int, seed: int) -> list[float]:
    """Levels of packets of white noise, as mean squares around `decibels` of full scale."""
    noise = np.random.default_rng(seed).standard_normal((count, 160)) * 10 ** (decibels / 20)
    words = g711.encode_alaw(np.clip(noise * 32768, -32768, 32767).astype(np.int16).ravel())
    return levels("PCMA", np.asarray(words).reshape(count, 160)[:, ::7])


def ends(limit: float, scene: list[tuple[float, float]]) -> float | None:
    """Feeds (decibels, seconds) parts one after the other; returns when the limit was reached."""
    detector = SilenceDetector(limit, 0)
    tick = 0
    for part, (decibels, seconds) in enumerate(scene):
        for _ in range(round(seconds * 5)):
            tick += 200
            if detector.listens(tick):
                detector.feed(packets(decibels, 10, part * 1000 + tick), tick)
            if detector.over(tick):
                return tick / 1000
    return None


def talk(noise: float, seconds: int) -> list[tuple[float, float]]:
    """Speech: 0.6 s at -20 dBFS, 0.4 s of the background."""
    return [(-20.0, 0.6), (noise, 0.4)] * seconds


@pytest.mark.parametrize("noise", [-90.0, -60.0, -50.0, -40.0])
def test_ends_after_the_limit_on_any_background(noise: float) -> None:
    end = ends(5.0, [*talk(noise, 10), (noise, 12.0)])
    assert end is not None
    assert 14.0 <= end <= 17.0  # the last word ends at 9.6


@pytest.mark.parametrize("noise", [-60.0, -40.0])
def test_speech_is_never_cut(noise: float) -> None:
    assert ends(3.0, talk(noise, 60)) is None


def test_silence_from_the_beginning() -> None:
    end = ends(8.0, [(-55.0, 20.0)])
    assert end is not None
    assert 8.0 <= end <= 9.0


def test_a_steady_tone_counts_as_silence() -> None:
    end = ends(5.0, [*talk(-60.0, 3), (-15.0, 30.0)])
    assert end is not None


def test_pauses_shorter_than_the_limit() -> None:
    assert ends(5.0, [(-20.0, 1.0), (-60.0, 4.0)] * 5) is None


def test_zero_never_ends() -> None:
    detector = SilenceDetector(0.0, 0)
    assert not detector.listens(200)
    assert not detector.over(10_000_000)


def test_no_packets_are_silence_and_hold_is_not() -> None:
    detector = SilenceDetector(5.0, 0)
    assert not detector.over(4999)
    assert detector.over(5000)
    detector.rest(5000)
    assert not detector.over(9999)


def test_a_click_is_no_speech() -> None:
    detector = SilenceDetector(5.0, 0)
    for tick in range(200, 5000, 200):
        detector.feed([*packets(-60.0, 9, tick), 0.1], tick)
    assert detector.over(5000)


@pytest.mark.parametrize(("codec", "word"), [("PCMU", 0x80), ("PCMA", 0xAA)])
def test_full_scale(codec: str, word: int) -> None:
    # ITU-T G.711: the largest code word is 32124 (µ-law) and 32256 (A-law) of 32768
    assert packet_level(codec, bytes([word]) * 160) == pytest.approx(1.0, abs=0.05)
