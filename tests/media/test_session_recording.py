"""What a call records, and what ends its recording."""

from __future__ import annotations

import os
import socket

import numpy as np
import pytest

from sipmail.codecs import g711, tones
from sipmail.codecs.tones import FAX_CALLING_HERTZ
from sipmail.media.protocol import (
    Digit,
    RecordingEnded,
)
from sipmail.rtp import journal, rtcp
from sipmail.rtp.event import TelephoneEvent
from tests.media.one_call import KEY, Call, Make, recorded


@pytest.mark.parametrize("multiple", [True, False])
def test_the_journal_holds_exactly_what_came_in_the_recording(make: Make, multiple: bool) -> None:
    call = make(multiple)
    call.connect()
    call.talk(1.0)
    call.phone.say(3)  # still in the socket when the recording begins
    path = call.record()
    sent = call.talk(2.0)
    last = call.phone.say(2)  # still in the socket when it ends
    call.session.stop()
    call.talk(0.5)
    assert recorded(path) == sent + last
    index = journal.read(path)
    assert index.malformed == 0
    assert index.start == pytest.approx(1_700_000_001.0, abs=0.02)
    assert index.arrival[0] == pytest.approx(0.2, abs=0.2)
    assert index.arrival[-1] == pytest.approx(2.0, abs=0.02)


def test_packets_before_the_answer_and_after_the_end_are_not_recorded(call: Call) -> None:
    call.phone.say(20)  # a telephone that speaks as soon as it rings
    call.pass_(0.5)
    call.connect()
    call.phone.say(3)
    path = call.record()
    sent = call.talk(1.0)
    call.close()
    late = call.another()
    late.say(10)
    assert recorded(path) == sent
    index = journal.read(path)
    assert index.malformed == 0
    assert len(index) == 50


@pytest.mark.parametrize("multiple", [True, False])
def test_the_slow_path_is_right_for_every_packet(make: Make, multiple: bool) -> None:
    call = make(multiple)
    call.connect()
    call.talk(0.1)
    path = call.record()
    sent: list[bytes] = []
    for n in range(300):
        if n % 7 == 3:
            call.phone.sequence += 1  # lost
        size = (160, 160, 160, 80, 1400, 240)[n // 20 % 6]
        sent += call.phone.say(1, bytes([n & 0xFF]) * size)
        if n % 11 == 5:
            call.phone.send(sent[-1])  # repeated
            sent.append(sent[-1])
        if n % 13 == 5:
            sent += call.phone.say(1, b"\x40", 13)
        if n % 17 == 5:
            call.phone.send(bytes(rtcp.ReceiverReport(1)))
            call.phone.send(b"\x00\x01" + bytes(18))  # STUN
        call.pass_(0.02)
    call.session.stop()
    assert recorded(path) == sent


def test_a_finish_key_ends_the_recording(call: Call) -> None:
    call.connect()
    call.talk(0.1)
    path = call.record()
    call.talk(1.0)
    call.phone.say(1, bytes(TelephoneEvent(1, False, 10, 160)), 101)
    call.talk(0.4)
    key = call.phone.say(1, KEY, 101)
    call.pass_(0.3)
    told = [Digit("call", "1"), Digit("call", "#"), RecordingEnded("call", "key")]
    assert call.events[1:] == told
    assert recorded(path)[-1:] == key


def test_a_key_by_signalling_ends_it_once_all_that_came_is_recorded(call: Call) -> None:
    call.connect()
    call.talk(0.1)
    call.session.finish()  # there is nothing to end
    path = call.record()
    sent = call.talk(0.5)
    sent += call.phone.say(3)  # still in the socket
    call.session.finish()
    assert recorded(path) == sent
    call.session.finish()
    assert call.events.count(RecordingEnded("call", "key")) == 1


def test_digits_before_the_recording_are_told_but_end_nothing(call: Call) -> None:
    call.connect()
    call.talk(0.1)
    call.phone.say(1, KEY, 101)
    path = call.record()
    sent = call.talk(0.4)
    call.session.stop()
    assert call.events[1:] == [Digit("call", "#")]
    assert recorded(path) == sent


def test_the_maximum_is_kept_to_the_millisecond(call: Call) -> None:
    call.connect()
    call.talk(0.1)
    path = call.record(maximum=1.25)
    call.talk(1.24)
    assert RecordingEnded("call", "max") not in call.events
    call.talk(0.2)
    assert call.events[-1] == RecordingEnded("call", "max")
    assert 62 <= len(recorded(path)) <= 64
    assert call.session.close().recorded_seconds == 1.25
    call.open = False


def test_silence_ends_and_speech_does_not(call: Call) -> None:
    call.connect()
    call.talk(0.1)
    call.record(silence=3.0)
    for _ in range(6):
        for swing in (0x2A, 0x3A, 0x0A):  # A-law: a voice is not always of the same strength
            call.talk(0.2, bytes([swing, swing | 0x80]) * 80)
        call.talk(0.6, b"\xd5" * 160)
    assert len(call.events) == 1
    call.talk(3.6, b"\xd5" * 160)
    assert call.events[-1] == RecordingEnded("call", "silence")


def test_a_fax_that_calls_ends_the_recording(call: Call) -> None:
    """CNG of ITU-T T.30: 1100 Hz, 0.5 s on, 3 s off."""
    once = np.concatenate((tones.tone(FAX_CALLING_HERTZ, seconds=0.5), tones.silence(3.0)))
    codes = np.asarray(g711.encode_alaw(np.tile(once, 3))).reshape(-1, 160)
    call.connect()
    call.talk(0.5, b"\xd5" * 160)
    call.record()  # without a silence limit too
    for row in codes:
        call.talk(0.02, row.tobytes())
    assert call.events[1:] == [RecordingEnded("call", "fax")]


@pytest.mark.parametrize(("on", "off"), [(0.2, 3.3), (0.5, 1.0), (3.0, 0.5)])
def test_a_whistle_does_not(call: Call, on: float, off: float) -> None:
    once = np.concatenate((tones.tone(FAX_CALLING_HERTZ, seconds=on), tones.silence(off)))
    codes = np.asarray(g711.encode_alaw(np.tile(once, 4))).reshape(-1, 160)
    call.connect()
    call.talk(0.1)
    call.record()
    for row in codes:
        call.talk(0.02, row.tobytes())
    assert len(call.events) == 1


@pytest.mark.parametrize("receive", [False, True], ids=["inactive", "sendonly"])
def test_suppressed_silence_ends_but_hold_does_not(call: Call, receive: bool) -> None:
    call.connect()
    call.talk(0.5)
    call.record(silence=3.0)
    call.connect(send=False, receive=receive)
    call.pass_(20.0)
    assert len(call.events) == 1
    call.connect()
    call.pass_(3.5)
    assert call.events[-1] == RecordingEnded("call", "silence")


def test_a_full_disk_breaks_only_the_recording(call: Call) -> None:
    if not os.access("/dev/full", os.W_OK):
        pytest.skip("no /dev/full")
    call.connect()
    call.talk(0.1)
    with pytest.raises(OSError, match="space"):
        call.session.record("/dev/full", 10.0, 0.0, "#")
    call.session.abandon()
    call.talk(0.5)
    assert call.broken == []
    assert call.session.close().received == 30
    call.open = False


def test_a_recording_goes_on_where_it_was_interrupted(call: Call) -> None:
    call.connect()
    call.talk(0.1)
    path = call.record()
    first = call.talk(1.0)
    call.session.stop()
    call.pass_(1.0)
    assert call.record() == path
    second = call.talk(1.0)
    call.session.stop()
    assert recorded(path) == first + second
    assert journal.read(path).arrival[-1] == pytest.approx(3.0, abs=0.05)


def test_a_disk_that_fills_up_is_told_and_what_was_written_stays(call: Call) -> None:
    resource = pytest.importorskip("resource")
    call.connect()
    call.talk(0.1)
    path = call.record()
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (5000, before[1]))
    try:
        sent = call.talk(1.0)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert [type(error) for error in call.broken] == [OSError]
    call.session.abandon()
    index = journal.read(path)
    assert path.stat().st_size == 5000
    assert len(index) == (5000 - 45) // 180
    assert index.malformed == 1
    assert recorded(path)[: len(index)] == sent[: len(index)]


@pytest.mark.parametrize("while_recording", [True, False])
def test_what_the_kernel_had_no_room_for_is_told(call: Call, while_recording: bool) -> None:
    """A worker that stands still: nothing after it shows that the end is missing."""
    call.session.sockets[0].setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
    call.connect()
    call.talk(0.5)
    if not while_recording:
        sent = call.phone.say(2000)
        call.record()
    else:
        path = call.record()
        sent = call.phone.say(2000)
    statistics = call.session.close()
    call.open = False
    if while_recording:
        kept = len(recorded(path))
        assert 0 < kept < len(sent)
        assert statistics.overrun == len(sent) - kept
    else:
        assert statistics.overrun == 0
