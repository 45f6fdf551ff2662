"""Comfort noise (RFC 3389) has the level and shape that its payload says."""

from __future__ import annotations

import numpy as np
import pytest

from sipmail.codecs.comfort_noise import LOOP, background, comfort_noise, looped

OVERLOAD = 4 * 8031  # RFC 3389 section 3.1: a square wave of this is 0 dBov


def level(samples: np.ndarray[tuple[int], np.dtype[np.int16]]) -> float:
    return float(10 * np.log10(np.square(samples.astype(np.float64)).mean() / OVERLOAD**2))


@pytest.mark.parametrize("dbov", [20, 40, 60])
@pytest.mark.parametrize("coefficients", [b"", b"\x50", b"\x40\xa0\x70"])
def test_level_is_that_of_the_first_byte(dbov: int, coefficients: bytes) -> None:
    assert level(comfort_noise(bytes((dbov,)) + coefficients)) == pytest.approx(-dbov, abs=0.3)


def test_a_negative_first_coefficient_leans_to_low_frequencies() -> None:
    """k1 = -r1/r0 for the predictor 1 + k z^-1: -0.8 is a noise whose neighbours are alike."""
    noise = comfort_noise(bytes((30, 127 - 102))).astype(np.float64)
    correlation = (noise[1:] * noise[:-1]).mean() / np.square(noise).mean()
    assert correlation == pytest.approx(0.8, abs=0.03)


def test_without_coefficients_it_is_white() -> None:
    noise = comfort_noise(b"\x1e").astype(np.float64)
    assert abs((noise[1:] * noise[:-1]).mean() / np.square(noise).mean()) < 0.03


def test_any_payload_is_taken() -> None:
    for payload in (b"", b"\xff" * 200, b"\x00" + b"\xff" * 30, b"\x00" * 30):
        assert len(comfort_noise(payload)) == LOOP


def test_the_background_is_that_of_the_quiet_places() -> None:
    chance = np.random.default_rng(3)
    noise = chance.standard_normal(40000) * 100
    noise[8000:30000] += 8000 * np.sin(np.arange(22000))
    made = background(noise.astype(np.int16)).astype(np.float64)
    assert np.sqrt(np.square(made).mean()) == pytest.approx(100, rel=0.1)


def test_digital_silence_has_a_silent_background() -> None:
    assert not background(np.zeros(8000, np.int16)).any()
    assert not background(np.ones(10, np.int16)).any()


def test_a_loop_goes_on_where_it_was() -> None:
    noise = comfort_noise(b"\x1e")
    assert np.array_equal(looped(noise, LOOP - 5, LOOP + 5), np.roll(noise, 5)[:10])
