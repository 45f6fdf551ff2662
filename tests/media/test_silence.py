"""The silence limit, fed with what a caller says over a background, as packets on a moved clock.

How far the end of a recording lies behind the last audible sample plus the limit, in seconds, over
24 scenes a row (`lateness` of the seeds 100 to 123: voice, codec, ptime and time between two drains
by chance):

| background | speech over it | earliest | mean | latest |
| --- | --- | --- | --- | --- |
| white -60 dBFS | 20 dB | +0.10 | +0.16 | +0.28 |
| white -60 dBFS | 30 dB | +0.18 | +0.23 | +0.26 |
| white -50 dBFS | 15 dB | +0.10 | +0.16 | +0.26 |
| white -50 dBFS | 20 dB | +0.10 | +0.16 | +0.26 |
| white -50 dBFS | 30 dB | +0.18 | +0.23 | +0.27 |
| white -40 dBFS | 15 dB | +0.10 | +0.16 | +0.26 |
| white -40 dBFS | 20 dB | +0.10 | +0.16 | +0.26 |
| white -40 dBFS | 30 dB | +0.18 | +0.23 | +0.27 |
| hum -60 dBFS | 20 dB | +0.10 | +0.16 | +0.28 |
| hum -60 dBFS | 30 dB | +0.18 | +0.23 | +0.27 |
| hum -50 dBFS | 15 dB | +0.10 | +0.16 | +0.26 |
| hum -50 dBFS | 20 dB | +0.10 | +0.16 | +0.26 |
| hum -50 dBFS | 30 dB | +0.18 | +0.23 | +0.27 |
| hum -40 dBFS | 15 dB | +0.10 | +0.16 | +0.26 |
| hum -40 dBFS | 20 dB | +0.10 | +0.16 | +0.26 |
| hum -40 dBFS | 30 dB | +0.18 | +0.23 | +0.27 |
| babble -60 dBFS | 20 dB | +0.10 | +0.17 | +0.28 |
| babble -60 dBFS | 30 dB | +0.18 | +0.23 | +0.27 |
| babble -50 dBFS | 15 dB | +0.10 | +0.16 | +0.26 |
| babble -50 dBFS | 20 dB | +0.10 | +0.16 | +0.26 |
| babble -50 dBFS | 30 dB | +0.18 | +0.23 | +0.27 |
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from sipmail.media.loudness import LEVEL_STRIDE, Levels, levels
from sipmail.media.session import LEAST_TICKS, MOST_TICKS
from sipmail.media.silence import SilenceDetector
from tests.media.voices import RATE, VOICES, Wave, at, background, said, words

PERIOD = 400


@dataclass
class Line:
    """A caller, packet by packet, and a detector that gets them as a session drains them."""

    limit: float = 5.0
    codec: str = "PCMA"
    ptime: int = 20
    period: int = PERIOD
    suspected: bool = False

    def ends(self, wave: Wave, missing: tuple[tuple[float, float], ...] = ()) -> float | None:
        """When the recording of `wave` ends, in seconds; None where it does not.

        Packets within a `missing` time (from, until) never come.
        """
        size = self.ptime * RATE // 1000
        codes = words(wave, self.codec)
        rows = codes[: len(codes) // size * size].reshape(-1, size)
        begins = np.arange(len(rows)) * self.ptime / 1000
        comes = np.ones(len(rows), np.bool_)
        for start, stop in missing:
            comes &= (begins < start) | (begins >= stop)
        detector = SilenceDetector(self.limit, 0)
        came = rows[comes]

        def levels_from(position: int) -> Levels:
            return levels(self.codec, came[position:heard, ::LEVEL_STRIDE])

        tick = taken = heard = 0
        while tick < len(wave) * 1000 // RATE:
            tick += max(1, min(self.period, detector.due - tick))
            here = min(tick // self.ptime, len(rows))
            new = int(comes[taken:here].sum())
            taken = here
            if new:
                heard += new
                detector.hear(new * self.ptime, tick, heard - new)
            detector.looked(tick)
            over = detector.over(tick, levels_from)
            self.suspected |= detector.suspects_machine()
            if over:
                return tick / 1000
        return None


def message(seed: int, level: float) -> Wave:
    """Two sentences with a pause between, after a moment of silence."""
    chance = np.random.default_rng(seed)
    first, second = (at(level, said(*VOICES[n])) for n in chance.choice(len(VOICES), 2))
    pauses = chance.uniform(0.2, 3.0, 2) * RATE
    parts = (np.zeros(int(pauses[0])), first, np.zeros(int(pauses[1])), second)
    return np.concatenate(parts)


def lateness(kind: str, level: float, speech: float, seed: int, limit: float = 5.0) -> float:
    """How much later than `limit` after the last word the recording of a message ends."""
    chance = np.random.default_rng([seed, 1])
    spoken = message(seed, speech)
    whole = np.concatenate((spoken, np.zeros(round((limit + 5) * RATE))))
    whole += background(kind, level, len(whole), seed, int(chance.integers(2, 9)))
    line = Line(
        limit,
        str(chance.choice(["PCMA", "PCMU"])),
        int(chance.choice([10, 20, 30, 40, 60])),
        int(chance.choice([LEAST_TICKS, MOST_TICKS, 800])),
    )
    end = line.ends(whole)
    assert end is not None
    return end - len(spoken) / RATE - limit


BACKGROUNDS = [
    (kind, level)
    for kind, known in (
        ("white", (-60, -50, -40)),
        ("hum", (-60, -50, -40)),
        ("babble", (-60, -50)),
    )
    for level in known
]


@pytest.mark.parametrize("over", [15, 20, 30])
@pytest.mark.parametrize(("kind", "level"), BACKGROUNDS)
def test_ends_half_a_second_around_the_limit(kind: str, level: int, over: int) -> None:
    for seed in range(4):
        assert abs(lateness(kind, level, max(level + over, -40), seed)) <= 0.5


@pytest.mark.parametrize("limit", [2.0, 3.0, 8.0, 20.0])
def test_every_limit_is_kept(limit: float) -> None:
    for seed in range(3):
        spoken = at(-25, said(*VOICES[seed]))
        whole = np.concatenate((spoken, np.zeros(round((limit + 3) * RATE))))
        whole += background("white", -50, len(whole), seed)
        end = Line(limit).ends(whole)
        assert end == pytest.approx(len(spoken) / RATE + limit, abs=0.5)


@pytest.mark.parametrize("limit", [2.0, 5.0])
@pytest.mark.parametrize(
    ("kind", "level", "speech"),
    [
        ("white", -60, -40),
        ("white", -55, -40),
        ("white", -40, -25),
        ("hum", -40, -25),
        ("babble", -55, -40),
        ("babble", -50, -35),
        ("white", -75, -46),
    ],
)
def test_speech_is_never_cut(kind: str, level: int, speech: int, limit: float) -> None:
    for seed, voice in enumerate(VOICES[::3]):
        whole = np.resize(at(speech, said(*voice)), 40 * RATE)
        assert Line(limit).ends(whole + background(kind, level, len(whole), seed)) is None


@pytest.mark.parametrize(("kind", "level"), [*BACKGROUNDS, ("white", -30), ("hum", -90)])
def test_silence_from_the_beginning(kind: str, level: int) -> None:
    for seed in range(4):
        end = Line().ends(background(kind, level, 12 * RATE, seed, 2 + seed))
        assert end == pytest.approx(5.0, abs=0.5)


def test_noise_that_begins_when_the_caller_stops() -> None:
    """As of a telephone that was put down beside a fan."""
    spoken = at(-22, said(*VOICES[0]))
    whole = np.concatenate((spoken, background("white", -38, 12 * RATE, 1)))
    assert Line().ends(whole) == pytest.approx(len(spoken) / RATE + 5, abs=0.5)


@pytest.mark.parametrize("period", [LEAST_TICKS, MOST_TICKS, 800])
@pytest.mark.parametrize("ptime", [10, 20, 30, 40, 60])
def test_suppressed_silence_is_silence(ptime: int, period: int) -> None:
    """A caller with discontinuous transmission: nothing comes from 0.2 s after the last word on."""
    spoken = at(-25, said(*VOICES[1]))
    whole = (
        np.concatenate((spoken, np.zeros(12 * RATE)))
        + background("white", -55, 999_999, 2)[: len(spoken) + 12 * RATE]
    )
    ended = len(spoken) / RATE
    end = Line(ptime=ptime, period=period).ends(whole, ((ended + 0.2, 99.0),))
    assert end == pytest.approx(ended + 5, abs=0.5)


@pytest.mark.parametrize("period", [LEAST_TICKS, MOST_TICKS, 800])
@pytest.mark.parametrize("pause", [0.3, 0.5, 0.9, 4.0])
def test_words_between_suppressed_silence(pause: float, period: int) -> None:
    word = at(-25, said(*VOICES[2])[:8000])
    spaced = np.tile(np.concatenate((word, np.zeros(round(pause * RATE)))), 4)
    gaps = [((1 + pause) * n + 1.05, (1 + pause) * (n + 1)) for n in range(3)]
    gaps.append((4 + 3 * pause + 0.2, 99.0))
    end = Line(period=period).ends(np.concatenate((spaced, np.zeros(9 * RATE))), tuple(gaps))
    assert end == pytest.approx(4 + 3 * pause + 5, abs=0.5)


def test_lost_packets_change_nothing() -> None:
    chance = np.random.default_rng(3)
    spoken = message(5, -25)
    whole = np.concatenate((spoken, np.zeros(9 * RATE)))
    whole += background("white", -50, len(whole), 3)
    gone = tuple((n / 50, (n + 1) / 50) for n in np.flatnonzero(chance.random(5000) < 0.2))
    end = Line().ends(whole, gone)
    assert end == pytest.approx(len(spoken) / RATE + 5, abs=0.5)


def test_an_outage_is_no_end_of_speech() -> None:
    spoken = np.resize(at(-25, said(*VOICES[0])), 20 * RATE)
    assert Line().ends(spoken, ((4.0, 8.0), (12.0, 15.0))) is None


@pytest.mark.parametrize("period", [20, LEAST_TICKS, MOST_TICKS, 800])
def test_the_pace_of_the_drains_does_not_matter(period: int) -> None:
    spoken = at(-25, said(*VOICES[3]))
    whole = np.concatenate((spoken, np.zeros(9 * RATE)))
    whole += background("white", -50, len(whole), 3)
    end = Line(period=period).ends(whole)
    assert end == pytest.approx(len(spoken) / RATE + 5, abs=0.5)


def test_pauses_shorter_than_the_limit() -> None:
    word = at(-25, said(*VOICES[4])[:8000])
    spaced = np.tile(np.concatenate((word, np.zeros(round(4.2 * RATE)))), 6)
    assert Line().ends(spaced + background("white", -50, len(spaced), 1)) is None


@pytest.mark.parametrize(
    ("hertz", "on", "off"),
    [((425.0,), 1, 0), ((425.0,), 0.5, 0.5), ((480.0, 620.0), 0.25, 0.25), ((350.0, 440.0), 1, 0)],
)
def test_a_line_that_was_left_alone(hertz: tuple[float, ...], on: float, off: float) -> None:
    """Dial and busy tones (ITU-T E.180) after the caller is gone."""
    spoken = at(-25, said(*VOICES[0]))
    time = np.arange(60 * RATE) / RATE
    tone = np.sum([np.sin(2 * np.pi * f * time) for f in hertz], axis=0)
    whole = np.concatenate((spoken, at(-15, tone * (time % (on + off) < on))))
    end = Line().ends(whole)
    assert end is not None
    assert 20 < end - len(spoken) / RATE < 45


@pytest.mark.parametrize("kind", ["noise", "tone", "bursts"])
def test_what_is_loud_and_steady_is_listened_to_for_a_while(kind: str) -> None:
    """Music, a siren, a test call: louder than any background, it is not the end of a message."""
    time = np.arange(25 * RATE) / RATE
    sound = at(-12, np.sin(2 * np.pi * 440 * time) * ((time % 1 < 0.5) | (kind == "tone")))
    if kind == "noise":
        sound = background("white", -15, len(time), 1)
    whole = np.concatenate((sound, background("white", -55, 9 * RATE, 2)))
    assert Line().ends(whole) == pytest.approx(30, abs=0.7)  # a burst ends 0.5 s before


def test_a_click_is_no_speech() -> None:
    sound = background("white", -60, 12 * RATE, 1)
    sound[3 * RATE : 3 * RATE + 60] = 20_000
    assert Line().ends(sound) == pytest.approx(5.0, abs=0.5)


def test_zero_never_ends() -> None:
    assert Line(limit=0.0).ends(np.zeros(60 * RATE)) is None


def nothing(position: int) -> Levels:
    raise AssertionError("no sound was told of, so there is none to be read back")


def test_no_packets_are_silence_and_hold_is_not() -> None:
    detector = SilenceDetector(5.0, 0)
    assert not detector.over(4999, nothing)
    assert detector.over(5000, nothing)
    detector.rest(5000)
    assert not detector.over(9999, nothing)
    assert detector.over(10_000, nothing)


def test_speech_before_hold_does_not_shorten_what_follows() -> None:
    detector = SilenceDetector(5.0, 0)
    codes = words(at(-20, said(*VOICES[0])[: 2 * RATE]), "PCMA")
    heard = levels("PCMA", codes[::LEVEL_STRIDE])
    detector.hear(2000, 2000, 0)
    detector.rest(9000)
    assert not detector.over(13_999, lambda position: heard)
    assert detector.over(14_000, lambda position: heard)


@pytest.mark.parametrize(("codec", "word"), [("PCMU", 0x80), ("PCMA", 0xAA)])
def test_full_scale(codec: str, word: int) -> None:
    # ITU-T G.711: the largest code word is 32124 (µ-law) and 32256 (A-law) of 32768
    (level,) = levels(codec, np.full(32, word, np.uint8))
    assert level == pytest.approx(1.0, abs=0.05)


def calling(seconds: float) -> Wave:
    """A fax that calls: 0.5 s of 1100 Hz, then 3 s of nothing."""
    time = np.arange(round(seconds * RATE)) / RATE
    return at(-15, np.sin(2 * np.pi * 1100 * time) * (time % 3.5 < 0.5))


@pytest.mark.parametrize("suppressed", [False, True])
@pytest.mark.parametrize("noise", [None, -50])
def test_what_may_be_a_fax_is_suspected(noise: int | None, suppressed: bool) -> None:
    sound = calling(16)
    if noise is not None:
        sound += background("white", noise, len(sound), 3)
    pauses = tuple((3.5 * n + 0.5, 3.5 * n + 3.5) for n in range(5) if suppressed)
    line = Line(limit=0.0)
    assert line.ends(sound, pauses) is None
    assert line.suspected


@pytest.mark.parametrize("kind", ["speech", "noise", "dial tone"])
def test_what_is_steady_or_speaks_is_not(kind: str) -> None:
    time = np.arange(16 * RATE) / RATE
    sound = {
        "speech": np.concatenate([message(seed, -20) for seed in range(3)]),
        "noise": background("white", -15, len(time), 1),
        "dial tone": at(-15, np.sin(2 * np.pi * 425 * time)),
    }[kind]
    line = Line(limit=0.0)
    assert line.ends(sound) is None
    assert not line.suspected
