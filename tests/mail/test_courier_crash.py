"""The courier killed, or the power cut, between any two of its system calls.

`prepare` and `hand_over` are run as the courier runs them, against a server that only counts; after
the crash they run again from what is on disk. Everybody gets the message; twice only where the
crash fell between the server's answer and the note of it; always under one Message-ID.
"""

from __future__ import annotations

import contextlib
import email
import errno
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from sipmail.config.model import Config
from sipmail.mail.deliver import Envelope, Outcome
from sipmail.mail.prepare import Held, Prepared, Settled, prepare
from sipmail.mail.senders import Sent, hand_over
from sipmail.spool.message import Kind, Message
from sipmail.spool.spool import AUDIO, Spool, State
from tests.mail.calls import babble, leave, packets
from tests.mail.conftest import ANNA, JAN, NOON, OFFICE, MakeConfig
from tests.spool.crashing import Crash, Machine

SPOKEN = packets(babble(2.0))


def sound_in(envelope: Envelope) -> bytes:
    for part in email.message_from_bytes(envelope.data).walk():
        if part.get_content_maintype() == "audio":
            content = part.get_payload(decode=True)
            assert isinstance(content, bytes)
            return content
    raise LookupError


@dataclass
class Server:
    """Takes what is for those whom it does not refuse."""

    refused: Mapping[str, Outcome] = field(default_factory=dict)
    taken: list[Envelope] = field(default_factory=list)

    def send(self, envelope: Envelope) -> dict[str, Outcome]:
        accepted = tuple(one for one in envelope.recipients if one not in self.refused)
        if accepted:
            self.taken.append(envelope)
        return {
            one: self.refused.get(one, Outcome(True, False, "250 ok"))
            for one in envelope.recipients
        }

    def close(self) -> None:
        """Nothing is open."""

    def count(self, address: str) -> int:
        return sum(address in one.recipients and address not in self.refused for one in self.taken)

    def message_ids(self) -> set[str]:
        return {email.message_from_bytes(one.data)["Message-ID"] for one in self.taken}


def attempt(spool: Spool, message_id: str, config: Config, server: Server) -> Sent | Settled | Held:
    prepared = prepare(spool, message_id, config, NOON)
    if isinstance(prepared, Prepared):
        return hand_over(spool, prepared, server)
    return prepared


def restart(spool: Spool, config: Config, server: Server) -> None:
    """What the next courier does with what it finds."""
    spool.repair()
    for message_id in spool.ids(State.QUEUE):
        attempt(spool, message_id, config, server)


@pytest.mark.parametrize("lost", ["", "content", "names"], ids=["kill", "power-cut", "journal"])
@pytest.mark.parametrize("audio", [SPOKEN, None], ids=["spoken", "missed"])
def test_everybody_gets_it_whenever_the_courier_dies(
    tmp_path: Path, make_config: MakeConfig, audio: bytes | None, lost: str
) -> None:
    config = make_config()
    after = calls = 0
    twice = []
    while after <= calls:
        spool = Spool(tmp_path / f"after{after}")
        spool.open()
        message = leave(spool, audio)
        server = Server()
        with pytest.MonkeyPatch.context() as patch:
            machine = Machine(patch, after if after else None, spool.root)
            with contextlib.suppress(Crash):
                attempt(spool, message.id, config, server)
        if lost == "content":
            machine.lose_unsynced()
        elif lost == "names":
            machine.lose_uncommitted()
        calls = max(calls, machine.calls)
        spool.recover()
        restart(spool, config, server)
        counts = {server.count(one) for one in (ANNA, JAN, OFFICE)}
        assert counts <= {1, 2}, after
        twice.append(counts == {2})
        assert len(server.message_ids()) == 1
        done = spool.load(State.DONE, message.id)
        assert len(done.delivery.delivered()) == 3
        folder = spool.folder(State.DONE, message.id)
        if audio is not None:
            assert (folder / AUDIO).read_bytes() == audio
            assert len({sound_in(one) for one in server.taken}) == 1
            assert len(sound_in(server.taken[-1])) == 44 + 2 * 16000
        spool.close()
        after += 1
    assert calls > 10
    # Twice only in the few calls between the server's answer and its note, or the note's sync.
    assert 1 <= sum(twice) <= (7 if lost == "names" else 5)


def test_a_settled_message_is_only_moved(make_config: MakeConfig, spool: Spool) -> None:
    config = make_config()
    message = leave(spool, None)
    server = Server(refused={JAN: Outcome(False, False, "550 no")})
    with pytest.MonkeyPatch.context() as patch:
        original = os.rename

        def rename(source: str, target: str) -> None:
            if Path(target).parent.name == "failed":
                raise OSError(errno.EIO, "broken")
            original(source, target)

        patch.setattr(os, "rename", rename)
        sent = attempt(spool, message.id, config, server)
        assert isinstance(sent, Sent)
        assert isinstance(sent.place, Held)
    result = attempt(spool, message.id, make_config(mailboxes={"sales": {"emails": []}}), server)
    assert isinstance(result, Settled)
    assert result.state is State.FAILED
    assert len(server.taken) == 1


def test_an_acceptance_that_cannot_be_noted_is_not_sent_again(
    make_config: MakeConfig, spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = make_config()
    message = leave(spool, None)
    server = Server()
    prepared = prepare(spool, message.id, config, NOON)
    assert isinstance(prepared, Prepared)

    def full(fd: int, data: bytes) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        sent = hand_over(spool, prepared, server)
        assert isinstance(sent.place, Held)
        assert sent.place.unsaved
        again = prepare(spool, message.id, config, NOON, sent.place.message)
        assert isinstance(again, Held)
        assert again.unsaved
        assert not spool.load(State.QUEUE, message.id).delivery.delivered()
    result = prepare(spool, message.id, config, NOON, again.message)
    assert isinstance(result, Settled)
    assert result.state is State.DONE
    assert len(server.taken) == 1
    assert len(spool.load(State.DONE, message.id).delivery.delivered()) == 3


def test_with_a_full_disk_nothing_is_sent_that_could_not_be_noted(
    make_config: MakeConfig, spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = make_config()
    message = leave(spool, SPOKEN)

    def full(fd: int, data: bytes) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        held = prepare(spool, message.id, config, NOON)
    assert isinstance(held, Held)
    assert held.unsaved
    assert held.message.delivery.attempts == 1
    server = Server()
    sent = attempt(spool, message.id, config, server)
    assert isinstance(sent, Sent)
    assert server.count(ANNA) == 1


def test_a_recording_kept_with_the_facts_of_its_beginning_is_interrupted(
    make_config: MakeConfig, spool: Spool
) -> None:
    message = leave(spool, SPOKEN)
    begun = Message.loads(message.dumps().replace(b'"ending": "caller"', b'"ending": null'))
    from dataclasses import replace

    spool.update(replace(begun, ended=None, recorded=False), State.QUEUE)
    prepared = prepare(spool, message.id, make_config(), NOON)
    assert isinstance(prepared, Prepared)
    assert prepared.message.ending == "interrupted"
    assert prepared.message.kind is Kind.MESSAGE
    assert b"audio/" in prepared.envelopes[0].data


def test_whatever_composing_raises_holds_the_message(
    make_config: MakeConfig, spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*arguments: object) -> bytes:
        raise ZeroDivisionError("a mistake of ours")

    monkeypatch.setattr("sipmail.mail.prepare.composed", broken)
    message = leave(spool, SPOKEN)
    held = prepare(spool, message.id, make_config(), NOON)
    assert isinstance(held, Held)
    assert held.for_admin
    kept = spool.load(State.QUEUE, message.id)
    assert "a mistake of ours" in (kept.delivery.last_answer or "")
    assert kept.delivery.sound is not None  # what was done is not done again
