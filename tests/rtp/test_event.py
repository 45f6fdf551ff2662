"""Digits by RFC 4733: once each, whatever of their packets is lost, late or repeated."""

from __future__ import annotations

import pytest

from sipmail.rtp.event import DIGITS, DigitDetector, TelephoneEvent

Packets = list[tuple[int, bytes]]


def press(event: int, timestamp: int, packets: int = 5) -> Packets:
    """The packets of one key: one each 20 ms, the end three times."""
    durations = [160 * (n + 1) for n in range(packets)]
    sent = [(timestamp, bytes(TelephoneEvent(event, False, 10, d))) for d in durations]
    end = (timestamp, bytes(TelephoneEvent(event, True, 10, durations[-1] + 160)))
    return [*sent, end, end, end]


def heard(packets: Packets, ssrc: int = 1) -> str:
    detector = DigitDetector()
    return "".join(filter(None, (detector.feed(ssrc, t, payload) for t, payload in packets)))


def test_payload_layout() -> None:
    # RFC 4733 section 2.3: event 11 (#), E, volume 10, duration 800
    assert TelephoneEvent.parse(bytes.fromhex("0b8a0320")) == TelephoneEvent(11, True, 10, 800)
    assert bytes(TelephoneEvent(11, True, 10, 800)).hex() == "0b8a0320"
    with pytest.raises(ValueError, match="shorter than 4"):
        TelephoneEvent.parse(b"\x0b\x8a\x03")


def test_every_digit_once() -> None:
    packets = [p for n in range(16) for p in press(n, 8000 * n)]
    assert heard(packets) == DIGITS


def test_the_same_key_twice() -> None:
    assert heard(press(5, 0) + press(5, 4000)) == "55"


@pytest.mark.parametrize("kept", [[0], [4], [5], [7], [2, 6], [0, 7]])
def test_any_packet_is_enough(kept: list[int]) -> None:
    first, second = press(1, 0), press(2, 4000)
    assert heard([first[n] for n in kept] + [second[n] for n in kept]) == "12"


def test_late_packets_of_an_old_event() -> None:
    first, second = press(1, 0), press(2, 4000)
    assert heard([*first[:3], *second, *first[3:]]) == "12"


def test_timestamps_wrap() -> None:
    assert heard(press(1, 0xFFFFFF00) + press(1, 0x00000F00)) == "11"


def test_long_event_in_segments() -> None:
    # section 2.5.1.3: the field is full, the event goes on with a new timestamp
    first = [(0, bytes(TelephoneEvent(3, False, 10, d))) for d in (160, 32000, 65535)]
    assert heard(first + press(3, 65535)) == "3"
    assert heard(press(3, 0) + press(3, 65535)) == "33"  # ended in between: pressed again


def test_other_events_and_garbage_are_no_digits() -> None:
    assert heard([(0, bytes(TelephoneEvent(36, False, 10, 160))), (8000, b"\x01")]) == ""


def test_a_new_source_may_repeat_a_timestamp() -> None:
    detector = DigitDetector()
    payload = bytes(TelephoneEvent(9, False, 10, 160))
    assert detector.feed(1, 800, payload) == "9"
    assert detector.feed(2, 800, payload) == "9"
