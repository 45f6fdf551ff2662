"""What a call sends, turn by turn; the far side is a socket that notes."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from sipmail.media.player import Player
from sipmail.media.prompts import Prompts
from sipmail.media.protocol import Leg
from sipmail.rtp.packet import RtpPacket
from tests.media.loopback import prompt


class Wire:
    """A socket that keeps what is sent, and raises the errors that it is given."""

    def __init__(self) -> None:
        self.sent: list[RtpPacket] = []
        self.errors: list[OSError] = []

    def send(self, data: bytes) -> int:
        if self.errors:
            raise self.errors.pop(0)
        self.sent.append(RtpPacket.parse(bytes(data)))
        return len(data)

    def sendto(self, data: bytes, _: object) -> int:
        return self.send(data)


LEG = Leg("192.0.2.1", 4000, "192.0.2.1", 4001, False, "PCMA", 8, 101, None, 20, True, True)


def leg(**changes: Any) -> Leg:
    values = {name: getattr(LEG, name) for name in Leg.__slots__}
    return Leg(**values | changes)


class Call:
    """A player with its wire; `turns` gives it turns as the wheel does."""

    def __init__(self, folder: Path, **changes: Any) -> None:
        self.folder = folder
        self.wire = Wire()
        self.played: list[int] = []
        self.over: list[int] = []
        """How many packets were sent when the last one was."""
        self.player = Player(
            cast(socket.socket, self.wire),
            Prompts(),
            self.played.append,
            lambda: self.over.append(len(self.wire.sent)),
            ssrc=7,
            sequence=65500,
            timestamp=0xFFFFF000,
        )
        self.player.configure(leg(**changes))
        self.player.connected = True
        self.tick = 0

    def prompt(self, name: str, words: bytes) -> str:
        prompt(self.folder, name, words, "ulaw")
        return prompt(self.folder, name, words)

    def turns(self, count: int) -> None:
        for _ in range(count):
            self.tick += self.player.ptime
            if not self.player.step(self.tick):
                break

    def sound(self) -> bytes:
        return b"".join(packet.payload for packet in self.wire.sent)


@pytest.fixture
def call(tmp_path: Path) -> Call:
    return Call(tmp_path)


WORDS = bytes(np.random.default_rng(1).integers(0, 256, 20_000, dtype=np.uint8))


@pytest.mark.parametrize("ptime", [10, 20, 30, 40, 60])
def test_every_sample_once_and_the_tail_is_silence(tmp_path: Path, ptime: int) -> None:
    call = Call(tmp_path, ptime=ptime)
    call.player.play([call.prompt("a", WORDS[:19_997])], 1)
    call.turns(1000)
    size = 8 * ptime
    assert {len(p.payload) for p in call.wire.sent} == {size}
    sound = call.sound()
    assert sound[:19_997] == WORDS[:19_997]
    assert len(sound) == -(-19_997 // size) * size
    assert set(sound[19_997:]) <= {0xD5}
    assert call.played == [1]
    assert call.over == [len(call.wire.sent)]
    assert call.player.sent == len(call.wire.sent)
    assert call.player.octets == len(sound)


def test_numbers_go_on_over_the_wraps(call: Call) -> None:
    call.player.play([call.prompt("a", WORDS)], 1)
    call.turns(1000)
    sent = call.wire.sent
    assert [p.sequence for p in sent] == [(65500 + n) & 0xFFFF for n in range(len(sent))]
    first = 0xFFFFF000 + 20 * 8
    assert [p.timestamp for p in sent] == [first + 160 * n & 0xFFFFFFFF for n in range(len(sent))]
    assert {p.ssrc for p in sent} == {7}
    assert {p.payload_type for p in sent} == {8}
    assert [p.marker for p in sent] == [True] + [False] * (len(sent) - 1)


def test_prompts_follow_without_a_gap(call: Call) -> None:
    a, b = call.prompt("a", WORDS[:8_100]), call.prompt("b", WORDS[8_100:8_190])
    call.player.play([a, b, "silence:0.3", a], 1)
    call.turns(1000)
    expected = WORDS[:8_190] + b"\xd5" * 2400 + WORDS[:8_100]
    assert call.sound()[: len(expected)] == expected


def test_plays_that_wait_follow_in_the_next_turn(call: Call) -> None:
    call.player.play([call.prompt("a", WORDS[:320])], 1)
    call.player.play([call.prompt("b", WORDS[320:640])], 2)
    call.turns(4)
    assert call.played == [1]
    assert call.sound() == WORDS[:640]
    assert sum(p.marker for p in call.wire.sent) == 1
    call.turns(1)
    assert call.played == [1, 2]
    assert call.over == [4]
    assert not call.player.playing


def test_timestamps_count_the_pause_and_the_marker_comes_again(call: Call) -> None:
    call.player.play([call.prompt("a", WORDS[:160])], 1)
    call.turns(2)
    call.tick += 5000
    call.player.play([call.prompt("a", WORDS[:160])], 2)
    call.turns(1)
    before, after = call.wire.sent
    assert after.sequence == (before.sequence + 1) & 0xFFFF
    assert (after.timestamp - before.timestamp) & 0xFFFFFFFF == (5000 + 40) * 8
    assert after.marker


def test_stopping_forgets_and_the_sequence_has_no_gap(call: Call) -> None:
    call.player.play([call.prompt("a", WORDS)], 1)
    call.turns(7)
    call.player.stop()
    assert not call.player.playing
    call.player.play([call.prompt("b", WORDS[:160])], 2)
    call.turns(2)
    assert [p.sequence for p in call.wire.sent] == [(65500 + n) & 0xFFFF for n in range(8)]
    assert call.played == [2]


def test_another_codec_and_ptime_in_the_middle(call: Call) -> None:
    call.player.play([call.prompt("a", WORDS)], 1)
    call.turns(60)
    call.player.configure(leg(codec="PCMU", payload_type=0, ptime=30))
    call.turns(1000)
    assert call.over == [len(call.wire.sent)]
    assert call.sound()[: len(WORDS)] == WORDS  # the two files hold the same bytes here
    assert [p.payload_type for p in call.wire.sent[59:61]] == [8, 0]
    assert len(call.wire.sent[60].payload) == 240


def test_hold_and_resume_start_a_talkspurt(call: Call) -> None:
    call.player.play([call.prompt("a", WORDS)], 1)
    call.turns(10)
    call.player.configure(leg(send=False))
    call.tick += 3000
    call.player.configure(leg())
    call.turns(1000)
    assert call.sound()[: len(WORDS)] == WORDS
    assert [n for n, p in enumerate(call.wire.sent) if p.marker] == [0, 10]


def test_silent_packets(tmp_path: Path) -> None:
    call = Call(tmp_path)
    call.player.idle(1000)
    assert call.wire.sent[0].payload == b"\xd5" * 160
    assert call.wire.sent[0].marker
    call.player.configure(leg(cn_payload_type=13))
    call.player.idle(2000)
    noise = call.wire.sent[1]
    assert (noise.payload_type, noise.payload, noise.marker) == (13, b"\x46", False)
    assert (noise.timestamp - call.wire.sent[0].timestamp) & 0xFFFFFFFF == 8000
    call.player.configure(leg(send=False))
    call.player.idle(3000)
    assert len(call.wire.sent) == 2


def test_a_refused_packet_is_sent_once_more(call: Call) -> None:
    call.player.play([call.prompt("a", WORDS)], 1)
    call.wire.errors = [ConnectionRefusedError()]
    call.turns(2)
    assert len(call.wire.sent) == 2
    call.wire.errors = [
        ConnectionRefusedError(),
        ConnectionRefusedError(),
        ConnectionRefusedError(),
    ]
    call.turns(3)  # the first is dropped, none is waited for
    assert [(p.sequence - 65500) & 0xFFFF for p in call.wire.sent] == [0, 1, 3, 4]
    assert call.player.sent == 4


def test_a_missing_prompt_is_said_at_once(call: Call) -> None:
    with pytest.raises(FileNotFoundError):
        call.player.play([str(call.folder / "none")], 1)
    with pytest.raises(ValueError, match="silence"):
        call.player.play(["silence:-1"], 1)
    assert not call.player.playing


def test_prompts_are_read_once(tmp_path: Path) -> None:
    prompts = Prompts()
    stem = prompt(tmp_path, "a", WORDS)
    first = prompts.load(stem, "PCMA")
    (tmp_path / "a.alaw").unlink()
    assert prompts.load(stem, "PCMA") is first
    assert not first.flags.writeable


def test_old_prompts_make_room(tmp_path: Path) -> None:
    prompts = Prompts(most=1000)
    stems = [prompt(tmp_path, name, WORDS[:400]) for name in "abc"]
    loaded = [prompts.load(stem, "PCMA") for stem in stems]
    assert prompts.load(stems[2], "PCMA") is loaded[2]
    assert prompts.load(stems[0], "PCMA") is not loaded[0]
