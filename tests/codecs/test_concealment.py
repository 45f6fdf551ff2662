"""Concealment: what was received stays, what was lost is like what is around it."""

from __future__ import annotations

import numpy as np
import pytest

from sipmail.codecs.comfort_noise import background, comfort_noise
from sipmail.codecs.concealment import FADE_TO, Index, conceal

QUIET = np.zeros(8192, np.int16)


def sine(hertz: float, count: int = 8000) -> np.ndarray[tuple[int], np.dtype[np.int16]]:
    return np.rint(8000 * np.sin(2 * np.pi * hertz * np.arange(count) / 8000)).astype(np.int16)


def losses(*pairs: tuple[int, int]) -> Index:
    return np.array(pairs, np.int64).reshape(-1, 2)


def lose(samples: np.ndarray[tuple[int], np.dtype[np.int16]], where: Index) -> None:
    for start, stop in where:
        samples[start:stop] = 0


@pytest.mark.parametrize("hertz", [50, 80, 100, 160, 200])
@pytest.mark.parametrize("length", [80, 160, 320, 480])
def test_a_steady_sound_goes_on(hertz: float, length: int) -> None:
    clean = sine(hertz)
    heard = clean.copy()
    where = losses((4000, 4000 + length))
    lose(heard, where)
    conceal(heard, where, QUIET)
    was, now = (sound[4000 : 4000 + length].astype(np.float64) for sound in (clean, heard))
    assert np.corrcoef(was, now)[0, 1] > 0.98
    # The fade of a longer loss takes a little strength away, never the shape.
    assert abs(10 * np.log10(np.square(now).mean() / np.square(was).mean())) < 1


def test_what_was_received_is_unchanged() -> None:
    chance = np.random.default_rng(1)
    clean = (chance.standard_normal(16000) * 3000).astype(np.int16)
    heard = clean.copy()
    where = losses((160, 320), (480, 640), (800, 2400), (9000, 9001), (15000, 15990))
    inside = np.zeros(16000, np.bool_)
    for start, stop in where:
        inside[start:stop] = True
    lose(heard, where)
    conceal(heard, where, QUIET)
    assert np.array_equal(heard[~inside], clean[~inside])
    assert heard[inside].any()


def test_a_long_loss_becomes_background() -> None:
    noise = comfort_noise(b"\x28")
    heard = np.concatenate((sine(200, 4000), np.zeros(8000, np.int16), sine(200, 4000)))
    conceal(heard, losses((4000, 12000)), noise)
    middle = heard[4000 + FADE_TO : 12000 - FADE_TO].astype(np.float64)
    expected = np.square(noise.astype(np.float64)).mean()
    assert np.square(middle).mean() == pytest.approx(expected, rel=0.1)


@pytest.mark.parametrize("seed", range(3))
def test_noise_stays_as_loud_as_it_was(seed: int) -> None:
    """Within 1 dB, single losses and bursts together."""
    chance = np.random.default_rng(seed)
    clean = (chance.standard_normal(160_000) * 300).astype(np.int16)
    packets = np.sort(chance.choice(np.arange(5, 990, 7), 60, replace=False))
    where = np.stack((packets * 160, (packets + chance.integers(1, 6, 60)) * 160), axis=1)
    inside = np.zeros(len(clean), np.bool_)
    for start, stop in where:
        inside[start:stop] = True
    heard = clean.copy()
    heard[inside] = 0
    conceal(heard, where, background(heard[~inside]))
    change = np.square(heard[inside].astype(np.float64)).mean()
    change /= np.square(clean[inside].astype(np.float64)).mean()
    assert abs(10 * np.log10(change)) < 1


@pytest.mark.parametrize("hertz", [100, 425, 1000])
@pytest.mark.parametrize("length", [800, 1280, 2400])
def test_a_tone_stays_as_loud_while_it_fades_into_a_background_of_the_same_tone(
    hertz: float, length: int
) -> None:
    clean = sine(hertz, 16000)
    for start in range(4000, 4400, 37):
        heard = clean.copy()
        where = losses((start, start + length))
        lose(heard, where)
        conceal(heard, where, background(clean))
        power = np.square(heard[start : start + length].astype(np.float64)).mean()
        assert abs(10 * np.log10(power / np.square(clean.astype(np.float64)).mean())) < 1


def test_a_loss_near_the_ends() -> None:
    heard = sine(100, 400)
    where = losses((10, 60), (390, 400))
    lose(heard, where)
    conceal(heard, where, QUIET)
    assert heard[390:].any()


def test_no_loss_nothing_to_do() -> None:
    heard = sine(100, 400)
    conceal(heard, losses(), QUIET)
    assert np.array_equal(heard, sine(100, 400))


def test_full_scale_does_not_wrap() -> None:
    heard = np.full(4000, 32767, np.int16)
    where = losses((2000, 2320))
    lose(heard, where)
    conceal(heard, where, QUIET)
    assert heard.min() >= 0
