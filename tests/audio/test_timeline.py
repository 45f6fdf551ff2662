"""Calls as networks and telephones make them: each must have its true length and place."""

from __future__ import annotations

import struct
from dataclasses import replace

import numpy as np
import pytest

from sipmail.audio.timeline import Cause, samples
from sipmail.codecs import g711
from sipmail.rtp import journal
from tests.audio.calls import (
    PAYLOADS,
    RATE,
    Sender,
    Timed,
    decoded,
    drained,
    lossy,
    voice,
    written,
)

VOICE = voice(6)
FRAME = 160


def level(sound: np.ndarray[tuple[int], np.dtype[np.int16]]) -> float:
    return float(10 * np.log10(np.square(sound / 32768).mean() + 1e-12))


@pytest.mark.parametrize("payload_type", [0, 8])
@pytest.mark.parametrize("ptime", [10, 20, 30, 40, 60])
def test_without_loss_every_sample_is_what_was_sent(payload_type: int, ptime: int) -> None:
    call = Sender(payload_type=payload_type, ptime=ptime).speak(VOICE)
    made = samples(written(drained(call.sent)), PAYLOADS)
    assert np.array_equal(made.samples, decoded(VOICE, payload_type))
    assert (made.received, made.lost, made.repeated, made.stretches) == (len(call.sent), 0, 0, 1)
    assert made.gaps == ()


@pytest.mark.parametrize("sequence", [0, 0xFFFF - 20, 0x7FFF - 20])
@pytest.mark.parametrize("timestamp", [0, 2**32 - 3000, 2**31 - 3000])
@pytest.mark.parametrize("drop", [0, 0.05])
def test_numbers_may_wrap(sequence: int, timestamp: int, drop: float) -> None:
    call = Sender(sequence=sequence, timestamp=timestamp).speak(VOICE)
    made = samples(written(lossy(call.sent, 1, drop=drop)), PAYLOADS)
    assert len(made.samples) == len(VOICE)
    assert made.received + made.lost == len(call.sent)


def test_a_changing_ptime_is_exact() -> None:
    call = Sender()
    for ptime in (20, 60, 10, 40, 30):
        call.ptime = ptime
        call.speak(VOICE[:9600])
    made = samples(written(call.sent), PAYLOADS)
    assert np.array_equal(made.samples, np.tile(decoded(VOICE[:9600]), 5))
    assert made.lost == 0


def test_the_payload_type_may_change_in_mid_call() -> None:
    call = Sender(payload_type=8).speak(VOICE[:16000])
    call.payload_type = 0
    call.speak(VOICE[16000:32000])
    made = samples(written(call.sent), PAYLOADS)
    expected = np.concatenate((decoded(VOICE[:16000], 8), decoded(VOICE[16000:32000], 0)))
    assert np.array_equal(made.samples, expected)


def test_dynamic_payload_types_are_those_of_the_offer() -> None:
    call = Sender(payload_type=8).speak(VOICE)
    renamed = [replace(one, packet=replace(one.packet, payload_type=97)) for one in call.sent]
    made = samples(written(renamed), {97: "pcma/8000"})
    assert np.array_equal(made.samples, decoded(VOICE))
    nothing = samples(written(renamed), {})
    assert len(nothing.samples) == 0
    assert nothing.ignored == len(renamed)


@pytest.mark.parametrize("seed", range(6))
def test_a_bad_line_keeps_the_callers_length(seed: int) -> None:
    """5 % dropped, 3 % repeated, 5 % reordered and a gap of 2 s: ± 20 ms."""
    call = Sender().speak(VOICE).be_silent(2).speak(VOICE)
    received = lossy(drained(call.sent), seed, drop=0.05, repeat=0.03, reorder=0.05)
    made = samples(written(received), PAYLOADS)
    assert abs(made.duration - 14) <= 0.02
    assert made.received + made.lost == len(call.sent)
    assert made.received + made.repeated == len(received)
    assert made.reordered > 0
    assert made.concealed_seconds == pytest.approx(made.lost * 0.02)
    assert made.suppressed_seconds == pytest.approx(2, abs=0.05)
    # What was received stands where it was said.
    same = made.samples[:48000] == decoded(VOICE)
    assert same.mean() > 0.9


def test_only_reordered_and_repeated_is_exact() -> None:
    call = Sender().speak(VOICE)
    made = samples(written(lossy(call.sent, 3, repeat=0.1, reorder=0.2)), PAYLOADS)
    assert np.array_equal(made.samples, decoded(VOICE))
    assert (made.lost, made.concealed_seconds) == (0, 0)


def test_a_packet_that_is_very_late_lands_where_it_belongs() -> None:
    call = Sender().speak(VOICE)
    received = list(call.sent)
    received.insert(90, replace(received.pop(40), arrival=received[90].arrival))
    made = samples(written(received), PAYLOADS)
    assert np.array_equal(made.samples, decoded(VOICE))


def test_a_long_loss_is_as_long_as_it_was() -> None:
    call = Sender().speak(VOICE)
    received = call.sent[:100] + call.sent[250:]
    made = samples(written(drained(received)), PAYLOADS)
    assert len(made.samples) == len(VOICE)
    assert made.lost == 150
    assert [gap.cause for gap in made.gaps] == [Cause.LOST]
    assert made.gaps[0].start == pytest.approx(2.0)
    assert made.gaps[0].seconds == pytest.approx(3.0)
    expected = decoded(VOICE)
    assert np.array_equal(made.samples[:16000], expected[:16000])
    assert np.array_equal(made.samples[40000:], expected[40000:])


def test_suppressed_silence_is_quiet_and_has_its_length() -> None:
    call = Sender().speak(VOICE[:16000]).be_silent(3).speak(VOICE[16000:], marker=True)
    made = samples(written(drained(call.sent)), PAYLOADS)
    assert len(made.samples) == len(VOICE) + 3 * RATE
    assert np.array_equal(made.samples[40000:], decoded(VOICE)[16000:])
    assert (made.lost, made.concealed_seconds) == (0, 0)
    assert made.suppressed_seconds == pytest.approx(3)
    # As loud as the noise of the call (60 of 32768), not digital silence.
    assert level(made.samples[17000:39000]) == pytest.approx(20 * np.log10(60 / 32768), abs=2)


def test_suppression_by_a_whole_hour_is_kept() -> None:
    call = Sender().speak(VOICE[:1600]).be_silent(3600).speak(VOICE[:1600])
    made = samples(written(drained(call.sent)), PAYLOADS)
    assert len(made.samples) == 3200 + 3600 * RATE


def test_comfort_noise_has_the_level_of_its_packet() -> None:
    call = Sender().speak(VOICE[:16000]).comfort_noise(bytes((40,)))
    call.be_silent(2).comfort_noise(bytes((55,))).be_silent(2).speak(VOICE[16000:32000])
    made = samples(written(drained(call.sent)), PAYLOADS)
    assert len(made.samples) == 32000 + 4 * RATE
    assert (made.lost, made.concealed_seconds) == (0, 0)
    overload = 20 * np.log10(4 * 8031 / 32768)
    assert level(made.samples[16000:32000]) == pytest.approx(overload - 40, abs=0.3)
    assert level(made.samples[32000:48000]) == pytest.approx(overload - 55, abs=0.3)


def test_a_lost_comfort_noise_packet_is_no_loss_of_sound() -> None:
    """Of five seconds at most what one packet holds is concealed, the rest is quiet."""
    call = Sender().speak(VOICE[:16000]).comfort_noise(bytes((50,))).be_silent(5)
    call.speak(VOICE[16000:])
    received = [one for one in call.sent if one.packet.payload_type != 13]
    made = samples(written(drained(received)), PAYLOADS)
    assert len(made.samples) == len(VOICE) + 5 * RATE
    assert made.concealed_seconds <= 0.02


def test_digits_are_silence_of_their_length() -> None:
    call = Sender().speak(VOICE[:16000]).press(5).speak(VOICE[16000:32000]).press(11)
    made = samples(written(call.sent), PAYLOADS)
    assert len(made.samples) == 32000 + 800
    assert not made.samples[16000:16800].any()
    assert np.array_equal(made.samples[16800:], decoded(VOICE)[16000:32000])
    assert (made.lost, made.concealed_seconds) == (0, 0)


@pytest.mark.parametrize("where", [0, 50, 300])
def test_a_digit_that_takes_no_time_leaves_the_call_exact(where: int) -> None:
    """Most messages end with a key; some telephones let the timestamps of speech go on beneath."""
    call = Sender().speak(VOICE)
    key = Sender(clock=1.0, sequence=5).press(11).sent
    made = samples(written([*call.sent[:where], *key, *call.sent[where:]]), PAYLOADS)
    assert np.array_equal(made.samples, decoded(VOICE))
    assert (made.received, made.lost, made.gaps) == (len(call.sent), 0, ())


def test_digits_of_which_packets_are_lost_are_not_concealed() -> None:
    call = Sender().speak(VOICE[:16000]).press(5).speak(VOICE[16000:32000])
    events = [n for n, one in enumerate(call.sent) if one.packet.payload_type == 101]
    received = [one for n, one in enumerate(call.sent) if n not in events[1:4]]
    made = samples(written(received), PAYLOADS)
    assert len(made.samples) == 32800
    assert not made.samples[16000 : 16000 + 800].any()
    assert made.concealed_seconds == 0


def test_sound_beside_a_digit_stays() -> None:
    """Some senders speak on, with their own timestamps, while the event is sent."""
    call = Sender().speak(VOICE)
    at = call.sent[50].packet
    body = bytes((5, 10)) + (320).to_bytes(2, "big")
    event = replace(at, payload_type=101, payload=body)
    shifted = [
        replace(one, packet=replace(one.packet, sequence=(one.packet.sequence + 1) & 0xFFFF))
        for one in call.sent[50:]
    ]
    received = [*call.sent[:50], Timed(event, call.sent[50].arrival), *shifted]
    made = samples(written(received), PAYLOADS)
    assert np.array_equal(made.samples, decoded(VOICE))


@pytest.mark.parametrize("ppm", [-200, 200])
def test_clock_skew_does_not_change_the_length(ppm: int) -> None:
    call = Sender().speak(voice(60))
    skewed = [replace(one, arrival=one.arrival * (1 + ppm / 1e6)) for one in call.sent]
    made = samples(written(lossy(drained(skewed), 1, drop=0.02)), PAYLOADS)
    assert len(made.samples) == 60 * RATE
    assert made.stretches == 1


@pytest.mark.parametrize("pause", [0.0, 0.5, 3.0])
@pytest.mark.parametrize("every", [0.02, 0.2, 0.5])
def test_a_new_ssrc_is_placed_by_its_arrival(pause: float, every: float) -> None:
    first = Sender(ssrc=1, timestamp=1000).speak(VOICE[:24000])
    second = Sender(ssrc=2, timestamp=3_000_000_000, sequence=7, clock=first.clock + pause)
    second.speak(VOICE[24000:])
    made = samples(written(drained(first.sent + second.sent, every)), PAYLOADS)
    expected = decoded(VOICE)
    assert made.stretches == 2
    assert abs(len(made.samples) - len(VOICE) - pause * RATE) <= max(FRAME, 0.1 * every * RATE)
    assert np.array_equal(made.samples[:24000], expected[:24000])
    assert np.array_equal(made.samples[-24000:], expected[24000:])
    assert made.lost == 0


@pytest.mark.parametrize("jump", [-10_000_000, -1600, 80_000, 1_000_000_000])
@pytest.mark.parametrize("pause", [0.0, 2.0])
def test_a_timestamp_that_jumps_begins_a_new_stretch(jump: int, pause: float) -> None:
    """The sequence goes on, the timestamp does not, as when a PBX bridges another source."""
    call = Sender().speak(VOICE[:24000])
    call.timestamp += jump
    call.clock += pause
    call.speak(VOICE[24000:], marker=True)
    made = samples(written(drained(call.sent)), PAYLOADS)
    expected = decoded(VOICE)
    assert made.stretches == 2
    assert abs(len(made.samples) - len(VOICE) - pause * RATE) <= FRAME
    assert np.array_equal(made.samples[:24000], expected[:24000])
    assert np.array_equal(made.samples[-24000:], expected[24000:])


def test_a_sequence_that_jumps_alone_is_no_loss_of_time() -> None:
    call = Sender().speak(VOICE[:24000])
    call.sequence += 20_000
    call.speak(VOICE[24000:])
    made = samples(written(drained(call.sent)), PAYLOADS)
    assert np.array_equal(made.samples, decoded(VOICE))
    assert made.lost == 0


def test_a_source_that_returns_goes_on_where_its_clock_is() -> None:
    speaker = Sender(ssrc=1).speak(VOICE[:16000]).be_silent(2)
    music = Sender(ssrc=2, clock=2.0, timestamp=77).speak(VOICE[16000:32000])
    before = list(speaker.sent)
    speaker.speak(VOICE[32000:])
    after = speaker.sent[len(before) :]
    made = samples(written(before + music.sent + after), PAYLOADS)
    assert np.array_equal(made.samples, decoded(VOICE))
    assert made.stretches == 2


def test_a_stray_packet_does_not_harm_the_call() -> None:
    """Another source's packet or a broken header in the middle loses to the caller's own sound."""
    call = Sender().speak(VOICE)
    stray = call.sent[100]
    for packet in (
        replace(stray.packet, ssrc=99),
        replace(stray.packet, timestamp=5),
        replace(stray.packet, sequence=1, timestamp=2**31),
    ):
        received = [*call.sent[:101], Timed(packet, stray.arrival), *call.sent[101:]]
        made = samples(written(received), PAYLOADS)
        assert np.array_equal(made.samples, decoded(VOICE))


def test_of_two_streams_at_once_the_larger_is_heard() -> None:
    call = Sender(ssrc=1).speak(VOICE)
    other = Sender(ssrc=2, clock=1.0, timestamp=5).speak(voice(3, seed=2))
    both = sorted(call.sent + other.sent, key=lambda one: one.arrival)
    made = samples(written(both), PAYLOADS)
    assert np.array_equal(made.samples, decoded(VOICE))
    assert made.stretches == 2


def test_packets_longer_than_their_timestamps_allow() -> None:
    """30 ms of sound each 20 ms: nobody can say what is right, but nothing breaks."""
    call = Sender(ptime=30).speak(VOICE)
    crowded = [
        replace(one, packet=replace(one.packet, timestamp=1000 + n * 160))
        for n, one in enumerate(call.sent)
    ]
    made = samples(written(crowded), PAYLOADS)
    assert len(made.samples) == (len(crowded) - 1) * 160 + 240
    assert np.array_equal(made.samples[:240], decoded(VOICE)[:240])


def test_the_same_journal_gives_the_same_samples() -> None:
    packets = lossy(Sender().speak(VOICE).sent, 8, drop=0.1, reorder=0.1)
    first, second = (samples(written(packets), PAYLOADS) for _ in range(2))
    assert np.array_equal(first.samples, second.samples)


def test_padding_csrc_and_extensions_do_not_matter() -> None:
    call = Sender().speak(VOICE)
    dressed = []
    for number, one in enumerate(call.sent):
        packet = one.packet
        if number % 3 == 0:
            packet = replace(packet, csrc=(1, 2, 3))
        if number % 4 == 0:
            packet = replace(packet, extension=(0xBEDE, b"\x10\xff\x00\x00"))
        data = bytes(packet)
        if number % 5 == 0:
            data = bytes((data[0] | 0x20,)) + data[1:] + b"\x00\x00\x00\x04"
        dressed.append(journal.frame([data], round(one.arrival * 1000)))
    made = samples(journal.read(journal.header(0.0) + b"".join(dressed)), PAYLOADS)
    assert np.array_equal(made.samples, decoded(VOICE))


def test_rtcp_between_the_packets_does_not_matter() -> None:
    report = struct.pack(">BBHI", 0x80, 201, 1, 5)
    call = Sender().speak(VOICE)
    records = [journal.frame([report, bytes(one.packet)], 0) for one in call.sent]
    made = samples(journal.read(journal.header(0.0) + b"".join(records)), PAYLOADS)
    assert np.array_equal(made.samples, decoded(VOICE))


def test_what_cannot_be_sound_is_left_out() -> None:
    call = Sender().speak(VOICE)
    first = call.sent[0].packet
    odd = [
        Timed(replace(first, payload=b""), 1.0),
        Timed(replace(first, payload=bytes(5000)), 1.0),
        Timed(replace(first, payload_type=111), 1.0),
        Timed(replace(first, payload_type=101, payload=b"\x05"), 1.0),
        Timed(replace(first, payload_type=13, payload=b""), 1.0),
    ]
    made = samples(written([*call.sent[:50], *odd, *call.sent[50:]]), PAYLOADS)
    assert np.array_equal(made.samples, decoded(VOICE))
    assert made.ignored == len(odd)


def test_no_packets_no_sound() -> None:
    for packets in ([], Sender().press(1).sent):
        made = samples(written(packets), PAYLOADS)
        assert len(made.samples) == 0
        assert made.duration == 0
        assert made.lost_share == 0


def test_one_packet_is_a_recording() -> None:
    call = Sender().speak(VOICE[:160])
    assert np.array_equal(samples(written(call.sent), PAYLOADS).samples, decoded(VOICE[:160]))


def test_a_clock_that_stands_still_is_replaced_by_arrival() -> None:
    """A sender with one timestamp for all its packets: nothing it said is lost."""
    call = Sender().speak(VOICE)
    frozen = [replace(one, packet=replace(one.packet, timestamp=9)) for one in call.sent]
    made = samples(written(drained(frozen)), PAYLOADS)
    assert np.array_equal(made.samples, decoded(VOICE))


def test_malice_does_not_make_a_recording_much_longer_than_the_call() -> None:
    """Timestamps that race away would ask for gigabytes; arrival says what is true."""
    chance = np.random.default_rng(5)
    call = Sender().speak(voice(20))
    for step in (lambda n: n * 900 * 16, lambda n: int(chance.integers(2**32))):
        racing = [
            replace(
                one, packet=replace(one.packet, timestamp=step(n) & 0xFFFF_FFFF, sequence=16 * n)
            )
            for n, one in enumerate(call.sent)
        ]
        made = samples(written(racing), PAYLOADS)
        assert 18 <= made.duration <= 110


@pytest.mark.parametrize("seed", range(20))
def test_any_packets_give_a_recording(seed: int) -> None:
    """Whatever stands in the headers, nothing is raised and the length stays within reason."""
    chance = np.random.default_rng(seed)
    call = Sender().speak(VOICE)
    wild = []
    for one in call.sent:
        packet = one.packet
        if chance.random() < 0.3:
            packet = replace(
                packet,
                sequence=int(chance.integers(65536)),
                timestamp=int(chance.integers(2**32)),
                payload_type=int(chance.choice([0, 8, 13, 101, 77])),
                ssrc=int(chance.integers(3)),
                payload=chance.bytes(int(chance.integers(0, 400))),
            )
        wild.append(Timed(packet, float(chance.random() * 8)))
    made = samples(written(wild), PAYLOADS)
    assert made.duration < 100
    assert made.samples.dtype == np.int16


def test_arrival_may_lie() -> None:
    """A damaged record says that a packet came weeks later: the timestamps know better."""
    call = Sender().speak(VOICE)
    received = [replace(one, arrival=4e6) if n == 70 else one for n, one in enumerate(call.sent)]
    made = samples(written(lossy(received, 2, drop=0.02)), PAYLOADS)
    assert len(made.samples) == len(VOICE)


def test_concealment_beats_silence() -> None:
    call = Sender().speak(VOICE)
    made = samples(written(lossy(call.sent, 4, drop=0.08)), PAYLOADS)
    clean = decoded(VOICE).astype(np.float64)
    error = np.square(made.samples - clean).sum()
    lost = np.flatnonzero((made.samples != clean).reshape(-1, FRAME).any(axis=1))
    assert error < 0.8 * np.square(clean.reshape(-1, FRAME)[lost]).sum()


def test_both_laws_may_be_mixed_packet_by_packet() -> None:
    call = Sender().speak(VOICE[:16000])
    mixed, expected = [], []
    for number, one in enumerate(call.sent):
        part = VOICE[number * FRAME : (number + 1) * FRAME]
        law = 0 if number % 2 else 8
        codes = g711.encode_ulaw(part) if law == 0 else g711.encode_alaw(part)
        packet = replace(one.packet, payload_type=law, payload=codes.tobytes())
        mixed.append(Timed(packet, one.arrival))
        expected.append(decoded(part, law))
    assert np.array_equal(samples(written(mixed), PAYLOADS).samples, np.concatenate(expected))
