"""Counts of RFC 3550 appendix A, across wraps, losses and restarts."""

from __future__ import annotations

from sipmail.rtp.reception import Reception


def test_no_loss_over_a_wrap() -> None:
    reception = Reception()
    for n in range(65530, 65546):
        reception.packet(1, n & 0xFFFF)
    block = reception.block()
    assert block is not None
    assert (block.highest, block.lost, block.fraction_lost) == (0x10000 + 9, 0, 0)
    assert (reception.received, reception.lost) == (16, 0)


def test_runs_count_like_packets() -> None:
    reception = Reception()
    reception.packet(1, 65530)
    reception.run(15)
    block = reception.block()
    assert block is not None
    assert (block.highest, reception.received, reception.lost) == (0x10009, 16, 0)


def test_loss_since_the_last_report() -> None:
    reception = Reception()
    for n in range(100):
        if n % 4:
            reception.packet(1, n)
    first = reception.block()  # begins at 1: 99 expected, 75 came
    assert first is not None
    assert (first.lost, first.fraction_lost) == (24, 24 * 256 // 99)
    for n in range(100, 200):
        reception.packet(1, n)
    second = reception.block()
    assert second is not None
    assert (second.lost, second.fraction_lost) == (24, 0)


def test_repeats_and_late_packets() -> None:
    reception = Reception()
    for n in (10, 12, 11, 13, 13):
        reception.packet(1, n)
    assert reception.received == 5
    assert reception.lost == -1


def test_a_stray_packet_changes_nothing_two_in_sequence_restart() -> None:
    reception = Reception()
    for n in (1, 2, 40000, 3, 4):
        reception.packet(1, n)
    assert (reception.sequence, reception.received, reception.lost) == (4, 4, 0)
    for n in (50000, 50001, 50002):
        reception.packet(1, n)
    assert (reception.sequence, reception.received, reception.lost) == (50002, 6, 0)


def test_totals_span_sources() -> None:
    reception = Reception()
    for n in (1, 3):
        reception.packet(1, n)
    for n in (900, 902):
        reception.packet(2, n)
    assert (reception.received, reception.lost) == (4, 2)


def test_jitter_by_appendix_a8() -> None:
    reception = Reception()
    reception.packet(1, 1)
    reception.arrival(10.0, 0)
    reception.arrival(10.0225, 160)  # 2.5 ms late: 20 units, a sixteenth of which counts
    assert reception.jitter == 20 / 16
    reception.arrival(10.0425, 320)
    assert reception.jitter == 20 / 16 * 15 / 16
    assert reception.jitter_seconds == reception.jitter / 8000


def test_nothing_heard_is_no_block() -> None:
    assert Reception().block() is None
