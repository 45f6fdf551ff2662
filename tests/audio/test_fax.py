"""The calling tone of a fax, in the tolerances of ITU-T T.30."""

from __future__ import annotations

import numpy as np
import pytest

from sipmail.audio.fax import calling_tones, is_fax
from sipmail.codecs import tones
from tests.audio.calls import Samples
from tests.audio.sounds import joined, noise, over, quiet, spoken


def cng(hertz: float = 1100, on: float = 0.5, off: float = 3.0, level: float = -20) -> Samples:
    once = np.concatenate((tones.tone(hertz, seconds=on, level=level), quiet(off)))
    return np.concatenate((quiet(0.7), np.tile(once, 3)))


@pytest.mark.parametrize("hertz", [1062, 1100, 1138])
@pytest.mark.parametrize(("on", "off"), [(0.5, 3.0), (0.425, 2.55), (0.575, 3.45)])
@pytest.mark.parametrize("level", [-10, -35])
def test_a_fax_is_known(hertz: float, on: float, off: float, level: float) -> None:
    sound = joined(cng(hertz, on, off, level))
    assert is_fax(sound)
    begin, end = calling_tones(sound)[0]
    assert begin == pytest.approx(0.7, abs=0.02)
    assert end - begin == pytest.approx(on, abs=0.03)


def test_a_fax_is_known_over_noise() -> None:
    sound = cng()
    assert is_fax(over(sound, noise(-40, len(sound) / 8000)))


def test_the_first_tone_alone_may_be_a_beep() -> None:
    sound = joined(cng()[:12000])
    assert len(calling_tones(sound)) == 1
    assert not is_fax(sound)


@pytest.mark.parametrize(
    "sound",
    [
        cng(hertz=1000),
        cng(hertz=1209),
        cng(on=0.25),
        cng(on=1.0),
        cng(off=0.5),
        tones.tone(1100, seconds=10),
        tones.dtmf("123456789*0#", seconds=0.5, pause=3),
        spoken("en/sample"),
        spoken("pl/menu"),
        quiet(10),
        quiet(0),
    ],
)
def test_anything_else_is_no_fax(sound: Samples) -> None:
    assert not is_fax(joined(sound))
