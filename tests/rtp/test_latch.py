"""Whose packets are taken, on a moved clock."""

from __future__ import annotations

from sipmail.rtp.latch import Address, Latch
from sipmail.rtp.packet import RtpPacket

PHONE: Address = ("192.0.2.1", 4000)
NAT: Address = ("198.51.100.7", 61000)
STRANGER: Address = ("203.0.113.9", 5555)


def packet(sequence: int, ssrc: int = 1, payload_type: int = 8) -> bytes:
    return bytes(RtpPacket(payload_type, sequence & 0xFFFF, 0, ssrc, b"\xd5"))


def latch() -> Latch:
    machine = Latch()
    machine.negotiate(PHONE, {8, 101})
    return machine


def stream(
    machine: Latch, source: Address, first: int, count: int, now: float, ssrc: int = 1
) -> list[int]:
    return [len(machine.feed(source, packet(first + n, ssrc), now)) for n in range(count)]


def test_the_negotiated_address_is_taken_at_once() -> None:
    machine = latch()
    assert machine.feed(PHONE, packet(1), 0.0) == [packet(1)]
    assert machine.source == PHONE


def test_another_source_after_four_in_sequence_loses_nothing() -> None:
    machine = latch()
    assert stream(machine, NAT, 65534, 5, 0.0) == [0, 0, 0, 4, 1]
    assert machine.source == NAT


def test_the_four_come_in_order() -> None:
    machine = latch()
    for n in range(3):
        machine.feed(NAT, packet(n), 0.0)
    assert machine.feed(NAT, packet(3), 0.0) == [packet(n) for n in range(4)]


def test_gaps_and_other_streams_begin_the_count_anew() -> None:
    machine = latch()
    assert stream(machine, NAT, 1, 3, 0.0) == [0, 0, 0]
    assert machine.feed(NAT, packet(9), 0.0) == []
    assert machine.feed(NAT, packet(10, ssrc=2), 0.0) == []
    assert machine.feed(NAT, packet(10, payload_type=96), 0.0) == []
    assert stream(machine, NAT, 11, 4, 0.0) == [0, 0, 0, 4]


def test_a_repeated_packet_is_no_progress_and_no_harm() -> None:
    machine = latch()
    assert stream(machine, NAT, 1, 3, 0.0) == [0, 0, 0]
    assert machine.feed(NAT, packet(3), 0.0) == []
    assert len(machine.feed(NAT, packet(4), 0.0)) == 4


def test_the_negotiated_address_wins_at_any_time() -> None:
    machine = latch()
    stream(machine, NAT, 1, 10, 0.0)
    assert machine.feed(PHONE, packet(500, ssrc=7), 0.1) == [packet(500, ssrc=7)]
    assert machine.source == PHONE
    assert stream(machine, NAT, 11, 8, 0.2) == [0] * 8


def test_a_stranger_never_takes_a_living_stream() -> None:
    machine = latch()
    for n in range(200):
        assert len(machine.feed(PHONE, packet(n), n * 0.02)) == 1
        assert machine.feed(STRANGER, packet(n, ssrc=1), n * 0.02) == []


def test_after_two_seconds_only_the_same_stream_moves() -> None:
    machine = latch()
    machine.feed(PHONE, packet(1), 0.0)
    assert stream(machine, NAT, 2, 6, 1.99) == [0] * 6
    assert stream(machine, STRANGER, 50, 6, 2.5, ssrc=9) == [0] * 6
    assert stream(machine, NAT, 50, 5, 2.5) == [0, 0, 0, 4, 1]
    assert machine.source == NAT


def test_batches_keep_the_stream_alive() -> None:
    machine = latch()
    machine.feed(PHONE, packet(1), 0.0)
    machine.heard(1.5)
    assert not machine.quiet(3.0)
    assert machine.quiet(3.5)


def test_a_new_answer_opens_the_latch() -> None:
    machine = latch()
    stream(machine, NAT, 1, 4, 0.0)
    machine.negotiate(STRANGER, {8})
    assert machine.source is None
    assert machine.feed(STRANGER, packet(1, ssrc=5), 0.1) == [packet(1, ssrc=5)]


def test_the_same_answer_keeps_the_negotiated_source() -> None:
    machine = latch()
    machine.feed(PHONE, packet(1), 0.0)
    machine.negotiate(PHONE, {0})
    assert machine.source == PHONE


def test_the_negotiated_address_needs_a_negotiated_payload_type() -> None:
    machine = latch()
    assert machine.feed(PHONE, packet(1, payload_type=96), 0.0) == []
    assert machine.source is None


def test_without_an_address_any_source_may_be_latched() -> None:
    machine = Latch()
    machine.negotiate(None, {8})
    assert stream(machine, NAT, 1, 4, 0.0) == [0, 0, 0, 4]


def test_what_is_no_rtp_is_never_taken() -> None:
    machine = latch()
    assert machine.feed(PHONE, b"\x00\x01" + bytes(18), 0.0) == []
    assert machine.feed(PHONE, b"", 0.0) == []


def test_many_sources_cost_no_memory() -> None:
    machine = latch()
    for port in range(1000):
        machine.feed(("203.0.113.9", port), packet(port), 0.0)
    assert stream(machine, NAT, 1, 4, 0.0) == [0, 0, 0, 4]
