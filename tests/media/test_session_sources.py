"""Whose packets a call takes."""

from __future__ import annotations

from pathlib import Path

import pytest

from sipmail.rtp.packet import RtpPacket
from tests.media.loopback import prompt
from tests.media.one_call import LOUD, Call, recorded


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
