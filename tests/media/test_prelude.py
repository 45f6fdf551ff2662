"""The first words after a prompt are recorded, however late the recording itself begins."""

from __future__ import annotations

from pathlib import Path

import pytest

from sipmail.media.protocol import Digit, Played, RecordingEnded
from sipmail.rtp import journal
from tests.media.loopback import prompt
from tests.media.one_call import KEY, LOUD, Call, Make, recorded


def hear(call: Call, folder: Path, name: str, packets: int, token: int = 1) -> list[bytes]:
    """A prompt was heard to its last packet, while the caller spoke; what was said then."""
    call.phone.heard()
    call.session.play([prompt(folder, name, LOUD * packets)], token)
    said: list[bytes] = []
    count = 0
    while count < packets:
        said += call.talk(0.02)
        count += len(call.phone.packets())
        assert call.now < 10
    return said


def played(call: Call, folder: Path) -> list[bytes]:
    return hear(call, folder, "beep", 25)


@pytest.mark.parametrize("multiple", [True, False])
@pytest.mark.parametrize("late", [0.0, 0.1, 1.5])
def test_the_recording_begins_where_the_prompt_was_over(
    make: Make, tmp_path: Path, late: float, multiple: bool
) -> None:
    call = make(multiple)
    call.connect()
    call.talk(0.2)
    played(call, tmp_path)
    over = call.now
    sent = call.talk(late)  # the agent has much to do
    path = call.record()
    sent += call.talk(1.0)
    call.session.stop()
    assert recorded(path) == sent
    index = journal.read(path)
    assert index.malformed == 0
    assert index.start == pytest.approx(1_700_000_000 + over, abs=0.02)
    assert index.arrival[-1] == pytest.approx(late + 1.0, abs=0.03)


def test_who_speaks_when_the_last_packet_is_heard_is_recorded_from_there(
    call: Call, tmp_path: Path
) -> None:
    call.connect()
    call.talk(0.2)
    call.phone.heard()
    call.session.play([prompt(tmp_path, "beep", LOUD * 25)], 1)
    count = 0
    while count < 25:
        over = call.phone.say(1)
        call.pass_(0.01)
        count += len(call.phone.packets())
    sent = call.phone.say(3)  # a busy worker has not come round again
    assert Played("call", 1) not in call.events
    call.pass_(0.05)
    assert Played("call", 1) in call.events
    path = call.record()
    call.session.stop()
    assert over
    assert recorded(path) == sent


def test_what_was_said_over_a_prompt_is_not_recorded(call: Call, tmp_path: Path) -> None:
    call.connect()
    call.talk(0.2)
    said = played(call, tmp_path)
    path = call.record()
    sent = call.talk(0.5)
    call.session.stop()
    assert said
    assert recorded(path) == sent


def test_after_another_prompt_only_what_follows_that_one(call: Call, tmp_path: Path) -> None:
    call.connect()
    call.talk(0.2)
    played(call, tmp_path)
    call.talk(0.5)
    hear(call, tmp_path, "again", 10, token=2)
    sent = call.talk(0.3)
    path = call.record()
    call.session.stop()
    assert recorded(path) == sent


def test_a_prompt_that_was_cut_short_leaves_nothing(call: Call, tmp_path: Path) -> None:
    call.connect()
    call.talk(0.2)
    played(call, tmp_path)
    call.talk(0.5)
    call.session.stop()
    path = call.record()
    sent = call.talk(0.3)
    call.session.stop()
    assert recorded(path) == sent


def test_of_a_long_wait_the_last_seconds_are_kept(call: Call, tmp_path: Path) -> None:
    call.connect()
    call.talk(0.2)
    played(call, tmp_path)
    sent = call.talk(60.0)
    path = call.record()
    call.session.stop()
    kept = recorded(path)
    assert kept == sent[-len(kept) :]
    assert 450 <= len(kept) <= 512
    assert journal.read(path).arrival[0] >= 0


def test_its_silence_and_its_length_count(call: Call, tmp_path: Path) -> None:
    call.connect()
    call.talk(0.2)
    played(call, tmp_path)
    over = call.now
    call.talk(1.0, b"\xd5" * 160)
    call.record(silence=2.0)
    call.talk(3.0, b"\xd5" * 160)
    assert RecordingEnded("call", "silence") in call.events
    call.record(maximum=1.0)
    call.talk(1.1)
    assert RecordingEnded("call", "max") in call.events
    assert call.now > over


def test_a_finish_key_before_the_recording_has_begun_ends_it(call: Call, tmp_path: Path) -> None:
    call.connect()
    call.talk(0.2)
    played(call, tmp_path)
    sent = call.talk(0.5)
    call.phone.say(1, KEY, 101)
    call.pass_(0.6)
    path = call.record(keys="#")
    assert RecordingEnded("call", "key") in call.events
    assert recorded(path)[: len(sent)] == sent
    call.record(keys="#")
    call.talk(1.0)
    assert call.events.count(RecordingEnded("call", "key")) == 1


def test_a_key_at_the_end_of_a_prompt_is_told_before_it_is_over(call: Call, tmp_path: Path) -> None:
    call.connect()
    call.talk(0.2)
    call.session.play([prompt(tmp_path, "menu", LOUD * 10)], 1)
    call.pass_(0.18)
    call.phone.say(1, KEY, 101)
    while Played("call", 1) not in call.events:
        call.pass_(0.01)
    assert call.events.index(Digit("call", "#")) < call.events.index(Played("call", 1))
