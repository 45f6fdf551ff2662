"""`sipmail messages`: what is kept, hearing it, and sending it again."""

from __future__ import annotations

import io
import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from sipmail.audio.encode import encode
from sipmail.codecs import g711
from sipmail.mail.queue import DROPPED
from sipmail.spool.message import (
    Caller,
    Delivery,
    Kind,
    Message,
    RecipientState,
    RecipientStatus,
    Sound,
)
from sipmail.spool.spool import Spool, State
from tests.cli.conftest import Sipmail, Site
from tests.mail.calls import babble, leave, packets

ANNA, JAN, OFFICE = "anna@sipmail.test", "jan@sipmail.test", "office@sipmail.test"


@pytest.fixture
def spool(site: Site) -> Spool:
    """The spool of a site whose agent does not run."""
    spool = Spool(site().spool)
    spool.open()
    spool.close()
    return spool


def keep(spool: Spool, audio: bytes | None = None, **changes: object) -> Message:
    """A delivered message."""
    message = leave(spool, audio)
    has_it = RecipientState(RecipientStatus.DELIVERED, "250 OK", message.received)
    delivery = Delivery(recipients=dict.fromkeys((ANNA, JAN, OFFICE), has_it))
    message = replace(message, delivery=delivery, **changes)  # type: ignore[arg-type]
    spool.update(message, State.QUEUE)
    spool.move(message.id, State.QUEUE, State.DONE)
    return message


def test_nothing_is_kept(spool: Spool, sipmail: Sipmail) -> None:
    assert sipmail("messages").out == "no delivered message is kept\n"
    assert json.loads(sipmail("messages", "--json").out) == []


def test_before_the_first_start_nothing_is_kept(site: Site, sipmail: Sipmail) -> None:
    site()
    assert sipmail("messages", "list").out == "no delivered message is kept\n"


@pytest.mark.parametrize(
    ("command", "status", "said"),
    [
        ("queue retry all", 0, "0 messages will be tried"),
        ("queue retry 20261123T143012123456-9f86d081884c", 1, "there is no message 2026"),
        ("queue drop 20261123T143012123456-9f86d081884c", 1, "there is no message 2026"),
        ("messages resend 20261123T143012123456-9f86d081884c", 1, "there is no message 2026"),
    ],
)
def test_before_the_first_start_no_command_makes_the_spool(
    site: Site, sipmail: Sipmail, command: str, status: int, said: str
) -> None:
    """Made by root, it could not be used by the user that sipmail runs as."""
    config = site()
    result = sipmail(*command.split())
    assert (result.status, said in result.out + result.err) == (status, True)
    assert not config.spool.exists()


def test_the_list(spool: Spool, sipmail: Sipmail) -> None:
    first = keep(spool, duration=3.21)
    second = keep(spool, duration=75.0, caller=Caller(None, None, withheld=True))
    third = keep(spool, kind=Kind.MISSED)
    leave(spool, None)  # waits, so it is not among them
    lines = sipmail("messages", "list").out.splitlines()
    assert [line.split()[0] for line in lines if line[:1].isdigit()] == [
        first.id,
        second.id,
        third.id,
    ]
    text = "\n".join(lines)
    assert "Jan Kowalski +48600123456" in text
    assert "3.2 s" in text
    assert "withheld" in text
    assert "1:15" in text
    assert "missed" in text
    assert f"{ANNA} " in text
    assert "6 d 23 h" in text


def test_the_list_for_programs(spool: Spool, sipmail: Sipmail) -> None:
    message = keep(spool, duration=3.0)
    os.utime(spool.folder(State.DONE, message.id) / "message.json", (1.8e9, 1.8e9))
    (facts,) = json.loads(sipmail("messages", "list", "--json").out)
    assert facts["id"] == message.id
    assert facts["duration"] == 3.0
    assert facts["deleted"] == "2027-01-22T08:00:00+00:00"  # seven days after 1.8e9
    assert facts["recipients"][JAN] == {"state": "delivered", "answer": "250 OK"}


def test_the_list_can_be_shortened(spool: Spool, sipmail: Sipmail) -> None:
    for _ in range(3):
        last = keep(spool)
    (facts,) = json.loads(sipmail("messages", "list", "--last", 1, "--json").out)
    assert facts["id"] == last.id
    assert len(json.loads(sipmail("messages", "list", "-m", "sales", "--json").out)) == 3
    result = sipmail("messages", "list", "--mailbox", "sale")
    assert (result.status, result.err) == (
        2,
        "sipmail: there is no mailbox 'sale': there are sales\n",
    )


def test_dropped_messages_and_notices_are_shown_only_when_asked_for(
    spool: Spool, sipmail: Sipmail
) -> None:
    delivered = keep(spool)
    dropped = keep(spool, notes=(DROPPED,))
    notice = keep(spool, kind=Kind.NOTICE)
    (facts,) = json.loads(sipmail("messages", "list", "--json").out)
    assert facts["id"] == delivered.id
    for words in (("messages", "list", "--all"), ("messages", "--all")):
        everything = json.loads(sipmail(*words, "--json").out)
        assert {one["id"] for one in everything} == {delivered.id, dropped.id, notice.id}
    (facts,) = json.loads(sipmail("messages", "--json").out)
    assert facts["id"] == delivered.id
    wrong = sipmail("messages", "--all", "show", delivered.id)
    assert wrong.status == 2
    assert "messages list --all" in wrong.err


def test_a_name_is_no_command_for_the_terminal(spool: Spool, sipmail: Sipmail) -> None:
    keep(spool, caller=Caller("1", "[red]\x1b[31mEve\n"))
    out = sipmail("messages", "list").out
    assert "[red]?[31mEve" in out
    assert "\x1b" not in out


def test_show(spool: Spool, sipmail: Sipmail) -> None:
    message = keep(spool, duration=3.0)
    out = sipmail("messages", "show", message.id).out
    assert "Jan Kowalski +48600123456" in out
    assert f"{ANNA} delivered" in out
    facts = json.loads(sipmail("messages", "show", message.id, "--json").out)
    assert (facts["id"], facts["state"]) == (message.id, "done")
    assert sipmail("messages", "show", "nobody").status == 1


def read(path: Path) -> tuple[np.ndarray, int]:
    return soundfile.read(path, dtype="int16")


def test_what_came_is_written_to_the_sample(spool: Spool, sipmail: Sipmail) -> None:
    spoken = babble(1.0)
    message = keep(spool, packets(spoken))
    result = sipmail("messages", "play", message.id, "--to", "out.wav")
    assert result.out == "out.wav: 1.0 s\n"
    samples, rate = read(Path("out.wav"))
    assert rate == 8000
    np.testing.assert_array_equal(samples, g711.decode_alaw(g711.encode_alaw(spoken)))


def test_the_mailed_recording_comes_first(spool: Spool, sipmail: Sipmail) -> None:
    message = keep(spool, packets(babble(2.0)))
    cut = encode(babble(0.5), 8000, "mp3")
    folder = spool.folder(State.DONE, message.id)
    (folder / "message.mp3").write_bytes(cut.data)
    sound = Sound(file="message.mp3", size=len(cut.data), mime=cut.mime)
    spool.update(replace(message, delivery=replace(message.delivery, sound=sound)), State.DONE)
    assert sipmail("messages", "play", message.id, "--to", "mailed.wav").status == 0
    samples, rate = read(Path("mailed.wav"))
    assert rate > 8000  # that of the MP3, not of the telephone
    assert len(samples) / rate == pytest.approx(0.5, abs=0.1)  # MP3 pads to whole frames
    assert sipmail("messages", "play", message.id, "--to", "came.wav", "--received").status == 0
    assert len(read(Path("came.wav"))[0]) == 16000
    (folder / "message.mp3").write_bytes(cut.data[:-1])  # torn by a crash
    assert sipmail("messages", "play", message.id, "--to", "again.wav").status == 0
    assert len(read(Path("again.wav"))[0]) == 16000


def test_to_stdout(spool: Spool, sipmail: Sipmail, monkeypatch: pytest.MonkeyPatch) -> None:
    class Stdout(io.StringIO):
        buffer = io.BytesIO()

    message = keep(spool, packets(babble(0.5)))
    monkeypatch.setattr("sys.stdout", Stdout())
    assert sipmail("messages", "play", message.id, "--to", "-").status == 0
    samples, _ = soundfile.read(io.BytesIO(Stdout.buffer.getvalue()))
    assert len(samples) == 4000


def test_there_may_be_nothing_to_hear(spool: Spool, sipmail: Sipmail) -> None:
    message = keep(spool)
    result = sipmail("messages", "play", message.id)
    assert result.status == 1
    assert result.err == f"sipmail: message {message.id} has no recording: nothing was recorded\n"


def test_a_place_that_cannot_be_written(spool: Spool, sipmail: Sipmail) -> None:
    message = keep(spool, packets(babble(0.5)))
    result = sipmail("messages", "play", message.id, "--to", "no/such/folder.wav")
    assert result.status == 1
    assert "no/such/folder.wav cannot be written: No such file" in result.err


@pytest.fixture
def players(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is the whole PATH."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    return folder


def script(path: Path, text: str) -> None:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def test_the_first_player_that_works_is_used(spool: Spool, sipmail: Sipmail, players: Path) -> None:
    message = keep(spool, packets(babble(0.5)))
    script(players / "aplay", "echo 'no sound card' >&2; exit 1")
    script(players / "play", f'/bin/cp "$2" {players}/heard.wav')
    result = sipmail("messages", "play", message.id)
    assert result.status == 0
    assert result.out.startswith("Jan Kowalski +48600123456, ")
    assert result.out.endswith(", 0.5 s\n")
    assert len(read(players / "heard.wav")[0]) == 4000


def test_without_a_player_it_says_what_to_do(spool: Spool, sipmail: Sipmail, players: Path) -> None:
    message = keep(spool, packets(babble(0.5)))
    result = sipmail("messages", "play", message.id)
    assert result.status == 1
    assert "none of these is installed: pw-play, paplay, aplay, ffplay, play;" in result.err
    script(players / "aplay", "echo 'no sound card' >&2; exit 1")
    assert (
        "aplay cannot play here (no sound card); write"
        in sipmail("messages", "play", message.id).err
    )


def test_resend_without_an_agent(spool: Spool, sipmail: Sipmail) -> None:
    message = keep(spool)
    result = sipmail("messages", "resend", message.id, "--to", ANNA, "--to", JAN)
    assert result.status == 0
    assert result.out == (
        f"message {message.id} will be sent to {ANNA}, {JAN} again, when sipmail runs again\n"
    )
    assert spool.load(State.QUEUE, message.id).delivery.waiting() == (ANNA, JAN)
    result = sipmail("messages", "resend", message.id)
    assert result.status == 1
    assert "is in queue/: it is about to be sent anyway" in result.err


def test_resend_for_programs(spool: Spool, sipmail: Sipmail) -> None:
    message = keep(spool)
    result = sipmail("messages", "resend", message.id, "--json")
    assert json.loads(result.out) == {"count": 1, "running": False}


def test_resend_through_the_agent(
    spool: Spool, sipmail: Sipmail, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, dict[str, object]]] = []

    def ask(root: Path, command: str, **arguments: object) -> int:
        asked.append((command, arguments))
        return 1

    monkeypatch.setattr("sipmail.spool.control.ask", ask)
    message = keep(spool)
    result = sipmail("messages", "resend", message.id, "--to", ANNA)
    assert result.out == f"message {message.id} will be sent to {ANNA} again, now\n"
    assert asked == [("messages.resend", {"id": message.id, "addresses": [ANNA]})]


def test_the_configuration_may_be_named_before_or_after(
    spool: Spool, sipmail: Sipmail, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    message = keep(spool)
    monkeypatch.chdir("/")
    file: Path = tmp_path / "sipmail.yaml"
    for arguments in (["-c", file, "list", "--json"], ["list", "--json", "-c", file]):
        (facts,) = json.loads(sipmail("messages", *arguments).out)
        assert facts["id"] == message.id
