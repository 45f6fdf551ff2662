"""Long calls, and several things at once: the errors of length and place must not add up."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from sipmail.audio.timeline import Cause, samples
from tests.audio.calls import PAYLOADS, RATE, Sender, Timed, decoded, drained, lossy, voice, written

MINUTE = voice(60)
TEN_MINUTES = np.tile(MINUTE, 10)
FRAME = 160


def skewed(packets: list[Timed], ppm: float) -> list[Timed]:
    """The packets of a sender whose clock is so much too fast (or too slow, where negative)."""
    return [replace(one, arrival=one.arrival / (1 + ppm / 1e6)) for one in packets]


@pytest.mark.parametrize("ppm", [-200, 200])
@pytest.mark.parametrize("drop", [0.0, 0.03])
def test_ten_minutes_with_a_wrong_clock_are_exact(ppm: int, drop: float) -> None:
    call = Sender().speak(TEN_MINUTES)
    received = lossy(drained(skewed(call.sent, ppm), 0.4), 1, drop=drop)
    made = samples(written(received), PAYLOADS)
    assert len(made.samples) == len(TEN_MINUTES)
    assert (made.stretches, made.received + made.lost) == (1, len(call.sent))
    # No sample that was received has moved: the last minute stands where it was said.
    last = made.samples[-len(MINUTE) :] == decoded(MINUTE)
    assert last.mean() > 1 - 2 * drop - 1e-9


@pytest.mark.parametrize("ppm", [-200, 200])
@pytest.mark.parametrize("change", ["ssrc", "jump"])
def test_a_new_stretch_late_in_a_call_with_a_wrong_clock(ppm: int, change: str) -> None:
    """Five minutes of skew are 60 ms: they must not show where the second stretch is placed."""
    call = Sender().speak(np.tile(MINUTE, 5))
    if change == "ssrc":
        call.ssrc, call.sequence = 99, 7
    call.timestamp += 1_000_000_000
    call.clock += 1.0
    call.speak(MINUTE, marker=True)
    made = samples(written(drained(skewed(call.sent, ppm), 0.4)), PAYLOADS)
    assert made.stretches == 2
    assert abs(len(made.samples) - 6 * len(MINUTE) - RATE) <= FRAME
    assert np.array_equal(made.samples[: len(MINUTE)], decoded(MINUTE))
    assert np.array_equal(made.samples[-len(MINUTE) :], decoded(MINUTE))


@pytest.mark.parametrize("ppm", [-200, 0, 200])
def test_pauses_of_ten_minutes_do_not_drift(ppm: int) -> None:
    """Speech of 1 s and suppressed silence of 2 s, 200 times; comfort noise now and then."""
    call = Sender()
    for number in range(200):
        call.speak(MINUTE[:RATE], marker=True)
        if number % 3 == 0:
            call.comfort_noise(bytes((60,)))
        call.be_silent(2)
    call.speak(MINUTE[:RATE], marker=True)
    made = samples(written(drained(skewed(call.sent, ppm), 0.4)), PAYLOADS)
    assert len(made.samples) == 601 * RATE
    assert (made.lost, made.stretches) == (0, 1)
    assert np.array_equal(made.samples[-RATE:], decoded(MINUTE[:RATE]))
    assert made.suppressed_seconds == pytest.approx(400, abs=0.1)


@pytest.mark.parametrize("field", ["sequence", "timestamp", "both"])
def test_numbers_wrap_within_pauses_and_losses(field: str) -> None:
    sequence = 65_536 - 60 if field != "timestamp" else 100
    timestamp = 2**32 - 60 * FRAME if field != "sequence" else 100
    call = Sender(sequence=sequence, timestamp=timestamp)
    call.speak(MINUTE[: 50 * FRAME]).be_silent(1.5).speak(MINUTE[: 50 * FRAME], marker=True)
    received = [one for n, one in enumerate(call.sent) if not 55 <= n < 65]  # across the wrap
    made = samples(written(drained(received)), PAYLOADS)
    assert len(made.samples) == 100 * FRAME + 1.5 * RATE
    assert made.lost == 10
    assert made.stretches == 1
    half = decoded(MINUTE[: 50 * FRAME])
    assert np.array_equal(made.samples[: 50 * FRAME], half)
    assert np.array_equal(made.samples[-35 * FRAME :], half[-35 * FRAME :])


@pytest.mark.parametrize("seed", range(4))
def test_ptime_and_law_change_on_a_bad_line(seed: int) -> None:
    call = Sender()
    parts = []
    for number, ptime in enumerate((20, 60, 10, 40, 30, 20)):
        call.ptime, call.payload_type = ptime, 8 * (number % 2)
        call.speak(MINUTE[: 4800 * 4])
        parts.append(decoded(MINUTE[: 4800 * 4], call.payload_type))
    received = lossy(drained(call.sent), seed, drop=0.04, repeat=0.02, reorder=0.05)
    made = samples(written(received), PAYLOADS)
    expected = np.concatenate(parts)
    assert len(made.samples) == len(expected)
    assert made.received + made.lost == len(call.sent)
    assert (made.samples == expected).mean() > 0.9


def test_a_digit_a_pause_and_a_loss_in_a_row() -> None:
    call = Sender().speak(MINUTE[:16000]).press(3).be_silent(1).speak(MINUTE[16000:32000])
    received = call.sent[:-50] + call.sent[-40:]
    made = samples(written(drained(received)), PAYLOADS)
    assert len(made.samples) == 32000 + 800 + RATE
    assert made.lost == 10
    assert np.array_equal(made.samples[16800 + RATE :][:8000], decoded(MINUTE[16000:24000]))


def test_music_on_hold_between_two_parts_of_a_call() -> None:
    """Another SSRC, another law and another ptime for a while, 250 ms after the last word."""
    first = Sender(ssrc=1).speak(MINUTE[:16000])
    music = Sender(ssrc=2, payload_type=0, ptime=30, clock=first.clock + 0.25, timestamp=7)
    music.speak(MINUTE[:24000])
    back = Sender(ssrc=3, clock=music.clock + 0.25, timestamp=999, sequence=3)
    back.speak(MINUTE[:16000])
    made = samples(written(drained(first.sent + music.sent + back.sent)), PAYLOADS)
    assert made.stretches == 3
    assert abs(len(made.samples) - 56000 - RATE // 2) <= 2 * FRAME
    assert np.array_equal(made.samples[:16000], decoded(MINUTE[:16000]))
    assert np.array_equal(made.samples[-16000:], decoded(MINUTE[:16000]))
    assert all(gap.cause is Cause.SUPPRESSED for gap in made.gaps)
