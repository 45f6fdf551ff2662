"""One call over loopback sockets, on a moved clock: what it takes, records, tells and sends."""

from __future__ import annotations

import gc
import itertools
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sipmail.codecs import g711, tones
from sipmail.codecs.tones import FAX_CALLING_HERTZ
from sipmail.media.batch import Batch
from sipmail.media.player import Player
from sipmail.media.ports import PortPool, bind_pair
from sipmail.media.prompts import Prompts
from sipmail.media.protocol import (
    Digit,
    Event,
    FirstPacket,
    Played,
    RecordingEnded,
    Timeout,
)
from sipmail.media.session import Session, Studio
from sipmail.media.wheel import Wheel
from sipmail.rtp import journal, rtcp
from sipmail.rtp.event import TelephoneEvent
from sipmail.rtp.packet import RtpPacket
from tests.media.loopback import Phone, free_ports, prompt

LOUD = bytes([0x2A, 0xAA]) * 80  # A-law: full scale, both signs
KEY = bytes(TelephoneEvent(11, False, 10, 160))


class Call:
    """A session with its worker's wheel, whose clock the test moves; and what it told."""

    def __init__(self, folder: Path, multiple: bool | None = None) -> None:
        self.events: list[Event] = []
        self.broken: list[Exception] = []
        self.folder = folder
        self.now = 0.0
        self.wheel = Wheel(0.0, lambda _, error: self.broken.append(error))
        numbers = itertools.count(1)
        studio = Studio(
            self.wheel,
            Batch(multiple),
            Prompts(),
            self.events.append,
            lambda: 1_700_000_000.0 + self.now,
            lambda _: next(numbers),
            30.0,
        )
        first = free_ports(2)
        port, rtp, rtcp_socket = bind_pair(PortPool(first, first + 1), "127.0.0.1", 0.0)
        self.session = Session("call", port, rtp, rtcp_socket, studio)
        self.phone = Phone(port)
        self.others: list[Phone] = []
        self.open = True

    def another(self, ssrc: int = 0x1234) -> Phone:
        phone = Phone(self.session.port, ssrc)
        self.others.append(phone)
        return phone

    def connect(self, **changes: Any) -> None:
        self.session.connect(self.phone.leg(**changes))

    def pass_(self, seconds: float) -> None:
        """Time goes by, in steps of the wheel that are no stall."""
        end = self.now + seconds
        while self.now < end - 1e-9:
            self.now = min(end, self.now + 0.01)
            self.wheel.advance(self.now + 1e-4)

    def talk(self, seconds: float, payload: bytes = LOUD) -> list[bytes]:
        """The phone speaks for that long, a packet each 20 ms."""
        sent: list[bytes] = []
        for _ in range(round(seconds * 50)):
            sent += self.phone.say(1, payload)
            self.pass_(0.02)
        return sent

    def record(self, maximum: float = 100.0, silence: float = 0.0, keys: str = "#") -> Path:
        path = self.folder / "audio.rtp"
        self.session.record(str(path), maximum, silence, keys)
        return path

    def close(self) -> None:
        if self.open:
            self.open = False
            self.session.close()
        for phone in (self.phone, *self.others):
            phone.close()


Make = Callable[..., Call]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    calls: list[Call] = []

    def build(multiple: bool | None = None) -> Call:
        calls.append(Call(tmp_path, multiple))
        return calls[-1]

    yield build
    for call in calls:
        call.close()


@pytest.fixture
def call(make: Make) -> Call:
    return make()


def recorded(path: Path) -> list[bytes]:
    """The packets of a journal, whole."""
    data = path.read_bytes()
    position = data.index(b"\n") + 17
    packets = []
    while position < len(data):
        length, size, _ = journal.RECORD.unpack_from(data, position)
        packets.append(data[position + 8 : position + 8 + size])
        position += length
    return packets


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


def test_first_packet_and_digits_are_told_once(call: Call) -> None:
    call.connect()
    call.pass_(0.1)
    assert call.events == []
    call.talk(0.1)
    for _ in range(3):
        call.phone.say(1, bytes(TelephoneEvent(5, False, 10, 160)), 101)
        call.phone.sequence -= 1  # the timestamp of the event stays
    call.phone.sequence += 10
    call.talk(1.0)
    assert call.events == [FirstPacket("call"), Digit("call", "5")]


def test_first_packet_is_told_within_20_ms(call: Call) -> None:
    call.connect()
    call.pass_(1.0)
    call.phone.say()
    call.pass_(0.021)
    assert call.events == [FirstPacket("call")]


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


@pytest.mark.parametrize("lossy", [False, True])
def test_keys_are_heard_where_there_are_no_events(call: Call, lossy: bool) -> None:
    codes = np.asarray(g711.encode_alaw(tones.dtmf("12#", seconds=0.12, pause=0.14)))
    call.connect(event_payload_type=None)
    call.talk(0.1)
    call.record()
    for row in codes[: len(codes) // 160 * 160].reshape(-1, 160):
        call.talk(0.02, row.tobytes())
        call.phone.sequence += lossy and row[0] == row[1] == 0xD5
    call.talk(0.6, b"\xd5" * 160)
    told = [Digit("call", "1"), Digit("call", "2"), Digit("call", "#")]
    assert call.events[1:] == [*told, RecordingEnded("call", "key")]


def test_keys_are_not_heard_where_there_are_events(call: Call) -> None:
    codes = np.asarray(g711.encode_alaw(tones.dtmf("12#", seconds=0.12, pause=0.14)))
    call.connect()
    call.talk(0.1)
    call.record()
    for row in codes[: len(codes) // 160 * 160].reshape(-1, 160):
        call.talk(0.02, row.tobytes())
    call.talk(0.6)
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


@pytest.mark.parametrize(("send", "receive"), [(True, False), (False, True), (False, False)])
def test_timeout_once_and_not_during_hold(call: Call, send: bool, receive: bool) -> None:
    call.connect()
    call.talk(0.1)
    call.connect(send=send, receive=receive)
    call.pass_(100.0)
    assert call.events == [FirstPacket("call")]
    call.connect()
    call.pass_(29.9)
    assert call.events == [FirstPacket("call")]
    call.pass_(10.0)
    assert call.events == [FirstPacket("call"), Timeout("call")]


@pytest.mark.parametrize("sign", ["rtcp", "muxed", "noise"])
def test_signs_of_life(call: Call, sign: str) -> None:
    call.connect(rtcp_mux=sign == "muxed")
    call.talk(0.1)
    report = bytes(rtcp.ReceiverReport(0x1234))
    for _ in range(4):
        call.pass_(20.0)
        if sign == "noise":
            call.phone.say(1, b"\x40", 13)
        else:
            call.phone.send(report, call.session.port + (sign == "rtcp"))
    assert Timeout("call") not in call.events


def test_the_kernel_filters_once_the_negotiated_address_speaks(call: Call) -> None:
    call.connect()
    stranger = call.another(ssrc=9)
    stranger.say(2)
    call.talk(0.1)
    assert call.session.receiver.connected
    path = call.record()
    sent = call.talk(0.1)
    stranger.socket.connect(("127.0.0.1", call.session.port))
    stranger.socket.send(bytes(RtpPacket(8, 1, 1, 9, b"")))
    with pytest.raises(ConnectionRefusedError):  # nobody else is listened to
        stranger.socket.send(b"")
    call.session.stop()
    assert recorded(path) == sent


def test_what_was_queued_before_connecting_is_still_told_apart(call: Call) -> None:
    call.connect()
    path = call.record()
    stranger = call.another(ssrc=0x1234)
    stranger.sequence = call.phone.sequence + 70
    sent = call.phone.say(70)
    stranger.say(3)
    call.pass_(0.1)
    call.session.stop()
    assert recorded(path) == sent


def test_behind_nat_the_other_source_is_latched_and_answered(call: Call, tmp_path: Path) -> None:
    call.connect()
    real = call.another()
    path = call.record()
    sent = []
    for _ in range(50):
        sent += real.say()
        call.pass_(0.02)
    call.session.play([prompt(tmp_path, "a", LOUD * 10)], 1)
    call.pass_(0.5)
    assert len(real.packets()) == 10
    # the negotiated address still wins
    sent += call.talk(0.5)
    real.say(10)
    call.pass_(0.3)
    call.session.stop()
    assert recorded(path) == sent


def test_a_phone_that_moves_goes_on_after_two_seconds(call: Call) -> None:
    call.connect()
    call.talk(0.5)
    path = call.record()
    call.pass_(2.3)
    moved = call.another()
    moved.sequence = call.phone.sequence
    sent = []
    for _ in range(25):
        sent += moved.say()
        call.pass_(0.02)
    call.session.stop()
    assert recorded(path) == sent


def test_a_new_answer_moves_the_call(call: Call) -> None:
    call.connect()
    call.talk(0.5)
    path = call.record()
    before = call.phone.say(2)
    second = call.another(ssrc=77)
    call.session.connect(second.leg())
    sent = []
    for _ in range(20):
        sent += second.say()
        call.pass_(0.02)
    call.session.stop()
    assert recorded(path) == before + sent
    call.phone.heard()
    call.pass_(3.0)
    assert second.heard()
    assert not call.phone.heard()


def test_prompts_play_and_pause_for_hold(call: Call, tmp_path: Path) -> None:
    words = bytes(range(256)) * 50
    call.connect()
    call.session.play([prompt(tmp_path, "a", words)], 3)
    call.pass_(0.5)
    call.connect(send=False, receive=False)
    call.pass_(5.0)
    assert Played("call", 3) not in call.events
    call.connect()
    call.pass_(1.3)
    assert Played("call", 3) in call.events
    packets = [p for p in call.phone.packets() if p.payload != b"\xd5" * 160]
    assert b"".join(p.payload for p in packets) == words
    numbers = [p.sequence for p in packets]
    assert numbers == list(range(numbers[0], numbers[0] + len(packets)))


def test_a_play_before_the_answer_waits_for_it(call: Call, tmp_path: Path) -> None:
    call.session.play([prompt(tmp_path, "a", LOUD)], 1)
    call.pass_(0.1)
    call.connect()
    call.pass_(0.1)
    assert Played("call", 1) in call.events


def test_a_silent_packet_a_second_while_recording(call: Call) -> None:
    call.connect(cn_payload_type=None)
    call.talk(0.1)
    call.phone.heard()
    call.record()
    call.talk(5.0)
    assert 4 <= len(call.phone.packets()) <= 6


def test_nobody_at_the_far_side_ends_nothing(call: Call, tmp_path: Path) -> None:
    call.connect()
    call.talk(0.1)
    address = call.phone.address
    call.phone.close()
    call.session.play([prompt(tmp_path, "a", LOUD * 50)], 1)
    call.pass_(2.0)
    assert Played("call", 1) in call.events
    assert call.broken == []
    back = call.another()
    back.socket.close()
    back.socket = type(back.socket)(back.socket.family, back.socket.type)
    back.socket.bind(address)
    path = call.record()
    back.say(3)
    call.session.stop()
    assert len(recorded(path)) == 3


def test_a_closed_call_is_gone_without_the_garbage_collector(make: Make) -> None:
    # The worker collects only while there is no call: on a busy day a cycle would stay for hours.
    gc.collect()
    gc.disable()
    try:
        call = make()
        call.connect()
        call.talk(0.1)
        call.session.play((prompt(call.folder, "a", b"\xd5" * 1600),), 1)
        call.session.record(str(call.folder / "audio.rtp"), 60.0, 1.0, "#")
        call.talk(0.5)
        call.close()
        del call.session
        assert not any(isinstance(one, Session | Player) for one in gc.get_objects())
    finally:
        gc.enable()


def test_reports_are_true(call: Call, tmp_path: Path) -> None:
    call.connect(rtcp_mux=True, cn_payload_type=None)
    call.session.play([prompt(tmp_path, "a", LOUD * 100)], 1)
    call.talk(2.0)
    call.phone.sequence += 10  # ten are lost
    call.talk(3.3)
    came = call.phone.heard()
    reports = [rtcp.parse(data) for data in came if 192 <= data[1] <= 223]
    sound = [RtpPacket.parse(data) for data in came if not 192 <= data[1] <= 223]
    (report, description), *_ = reports
    assert len(reports) == 1
    assert isinstance(report, rtcp.SenderReport)
    assert isinstance(description, rtcp.SourceDescription)
    assert report.ssrc == description.ssrc == sound[0].ssrc
    assert report.ntp >> 32 == pytest.approx(2_208_988_800 + 1_700_000_005, abs=1)
    assert len(sound) - 1 <= report.packets <= len(sound)
    assert report.octets == report.packets * 160
    (block,) = report.blocks
    assert (block.ssrc, block.lost) == (0x1234, 10)
    assert block.fraction_lost == pytest.approx(10 / 260 * 256, abs=2)
    statistics = call.session.close()
    call.open = False
    assert (statistics.received, statistics.lost) == (265, 10)
    *_, last = call.phone.heard()
    assert rtcp.Goodbye((report.ssrc,)) in rtcp.parse(last)


def test_reports_on_the_odd_port(call: Call) -> None:
    control = call.another()
    call.connect(rtcp_port=control.address[1])
    call.talk(0.1)
    sender = rtcp.SenderReport(0x1234, 0x1111_22223333_4444, 0, 1, 160)
    control.send(bytes(sender), call.session.port + 1)
    call.pass_(5.5)
    ((report, _),) = [rtcp.parse(data) for data in control.heard()]
    assert isinstance(report, rtcp.SenderReport)
    assert report.blocks[0].last_report == 0x22223333
    assert report.blocks[0].delay >= 0


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
