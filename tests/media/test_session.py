"""One call over loopback sockets, on a moved clock: what it tells and sends."""

from __future__ import annotations

import gc
from pathlib import Path

import numpy as np
import pytest

from sipmail.codecs import g711, tones
from sipmail.media.player import Player
from sipmail.media.protocol import (
    Digit,
    FirstPacket,
    Played,
    RecordingEnded,
    Timeout,
)
from sipmail.media.session import Session
from sipmail.rtp import rtcp
from sipmail.rtp.event import TelephoneEvent
from sipmail.rtp.packet import RtpPacket
from tests.media.loopback import prompt
from tests.media.one_call import LOUD, Call, Make, recorded


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
