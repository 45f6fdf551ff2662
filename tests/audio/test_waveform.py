"""The picture of a recording: a PNG of its size that shows where it is loud."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from sipmail.audio.waveform import waveform
from tests.audio.sounds import quiet, spoken


def opened(png: bytes) -> Image.Image:
    return Image.open(io.BytesIO(png)).convert("RGBA")


def columns(png: bytes) -> list[int]:
    """How many pixels of each column are drawn."""
    alpha = np.asarray(opened(png))[:, :, 3]
    return (alpha > 0).sum(axis=0).tolist()


def test_size_and_form() -> None:
    png = waveform(spoken("en/sample"))
    picture = Image.open(io.BytesIO(png))
    assert (picture.format, picture.size) == ("PNG", (600, 80))
    assert len(png) < 3000
    assert waveform(spoken("en/sample"), width=300, height=41) != png


def test_it_reads_on_white_and_on_black() -> None:
    """Contrast of the bars (WCAG 2, for pictures: 3 to 1) against both, and a clear ground."""
    pixels = np.asarray(opened(waveform(spoken("en/sample"))))
    assert set(np.unique(pixels[:, :, 3])) == {0, 110, 255}
    colour = pixels[pixels[:, :, 3] == 255][0, :3] / 255
    linear = np.where(colour <= 0.04045, colour / 12.92, ((colour + 0.055) / 1.055) ** 2.4)
    luminance = float(linear @ [0.2126, 0.7152, 0.0722])
    assert 1.05 / (luminance + 0.05) >= 3
    assert (luminance + 0.05) / 0.05 >= 3


def test_loud_parts_are_tall_and_quiet_ones_small() -> None:
    sound = np.concatenate((quiet(5), spoken("en/sample")[:40000]))
    tall = columns(waveform(sound))
    assert max(tall[:290]) == 2
    assert max(tall[310:]) == 80


@pytest.mark.parametrize("count", [0, 1, 50, 99, 100, 101])
def test_the_shortest_sounds_have_a_picture(count: int) -> None:
    assert opened(waveform(np.full(count, 1000, np.int16))).size == (600, 80)


def test_nothing_but_noise_is_drawn_small() -> None:
    chance = np.random.default_rng(1)
    hiss = (chance.standard_normal(80000) * 33).astype(np.int16)
    assert max(columns(waveform(hiss))) < 45
