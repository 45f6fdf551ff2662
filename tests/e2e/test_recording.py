"""What is mailed is what was said: exactly on a good line, in real length on a bad one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import StartAgent, require_program
from tests.support.caller import Call, Caller
from tests.support.rtp import (
    PCMA,
    PCMU,
    SILENCE,
    digit,
    dropped,
    paused,
    reordered,
    repeated,
    schedule,
)
from tests.support.smtp import SmtpServer
from tests.support.sounds import greeting, read_wav, sox_decode, speech

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]

_STEP, _RATE = 160, 8000


def short(tmp_path: Path) -> dict[str, object]:
    """A mailbox whose greeting lasts half a second."""
    return {"sales": {"greeting": str(greeting(tmp_path / "greeting.wav"))}}


def spoken(seconds: float, law: int, folder: Path) -> bytes:
    return speech(seconds, law, require_program("sox"), folder)


def after_the_beep(call: Call) -> Call:
    """Returns once the agent has spoken and beeped, and records."""
    call.wait_quiet(0.4)
    return call


@pytest.mark.parametrize("law", [PCMU, PCMA], ids=["PCMU", "PCMA"])
def test_a_good_line_gives_exactly_what_was_sent(
    agent: StartAgent,
    smtp_server: SmtpServer,
    caller: Callable[..., Caller],
    tmp_path: Path,
    law: int,
) -> None:
    started = agent(smtp=smtp_server, mailboxes=short(tmp_path))
    said = spoken(4.0, law, tmp_path)
    call = after_the_beep(caller(started.address).call(codecs=(law,)))
    call.send(schedule(said, law))
    call.hang_up()
    (mail,) = smtp_server.wait(1)
    recorded = read_wav(mail.attachment()[1])
    expected = sox_decode(said, law, require_program("sox"), tmp_path)
    np.testing.assert_array_equal(recorded[: len(expected)], expected)
    assert len(recorded) == len(expected)


def test_a_bad_line_keeps_the_callers_time(
    agent: StartAgent, smtp_server: SmtpServer, caller: Callable[..., Caller], tmp_path: Path
) -> None:
    """5 % of the packets dropped, 3 % repeated, 5 % late behind others, and 2 s of silence that
    was not sent: the recording lasts as long as the caller spoke, and every sample that arrived
    stands where it was spoken.
    """
    started = agent(smtp=smtp_server, mailboxes=short(tmp_path))
    said = spoken(8.0, PCMU, tmp_path)
    packets = paused(schedule(said, PCMU), at=4.0, seconds=2.0)
    kept = dropped(packets, 0.05)
    call = after_the_beep(caller(started.address).call())
    call.send(reordered(repeated(kept, 0.03), 0.05))
    call.hang_up()
    (mail,) = smtp_server.wait(1)
    recorded = read_wav(mail.attachment()[1])
    assert abs(len(recorded) / _RATE - 10.0) <= 0.020
    expected = sox_decode(said, PCMU, require_program("sox"), tmp_path)
    first = packets[0].timestamp
    for packet in kept:
        at = packet.timestamp - first
        source = at if packet.due < 4.0 else at - 2 * _RATE
        np.testing.assert_array_equal(
            recorded[at : at + _STEP], expected[source : source + _STEP], f"packet at {at}"
        )


def test_a_key_ends_the_message_and_is_not_heard(
    agent: StartAgent, smtp_server: SmtpServer, caller: Callable[..., Caller], tmp_path: Path
) -> None:
    started = agent(smtp=smtp_server, mailboxes=short(tmp_path))
    packets = schedule(spoken(2.0, PCMU, tmp_path), PCMU)
    call = after_the_beep(caller(started.address).call())
    call.send([*packets, *digit(11, packets[-1])])
    call.wait_bye(10)
    (mail,) = smtp_server.wait(1)
    assert len(read_wav(mail.attachment()[1])) / _RATE == pytest.approx(2.0, abs=0.3)


def test_silence_ends_the_message(
    agent: StartAgent, smtp_server: SmtpServer, caller: Callable[..., Caller], tmp_path: Path
) -> None:
    mailbox = {**short(tmp_path)["sales"], "record": {"silence": "1s"}}  # type: ignore[dict-item]
    started = agent(smtp=smtp_server, mailboxes={"sales": mailbox})
    call = after_the_beep(caller(started.address).call())
    packets = schedule(spoken(2.0, PCMU, tmp_path) + SILENCE[PCMU] * (4 * _RATE), PCMU)
    call.send(packets)
    assert call.bye is not None, "the agent hangs up after a second of silence"
    (mail,) = smtp_server.wait(1)
    assert 2.0 <= len(read_wav(mail.attachment()[1])) / _RATE <= 4.0


def test_a_caller_who_says_nothing_is_a_missed_call(
    agent: StartAgent, smtp_server: SmtpServer, caller: Callable[..., Caller], tmp_path: Path
) -> None:
    started = agent(smtp=smtp_server, mailboxes=short(tmp_path))
    call = after_the_beep(caller(started.address).call())
    call.send(schedule(SILENCE[PCMU] * _RATE, PCMU))
    call.hang_up()
    (mail,) = smtp_server.wait(1)
    assert "Missed call" in str(mail.message["Subject"])
    with pytest.raises(LookupError):
        mail.attachment()


def test_a_line_that_goes_dead_ends_the_call_and_keeps_the_message(
    agent: StartAgent, smtp_server: SmtpServer, caller: Callable[..., Caller], tmp_path: Path
) -> None:
    started = agent(smtp=smtp_server, mailboxes=short(tmp_path), rtp={"timeout": "4s"})
    call = after_the_beep(caller(started.address).call())
    call.send(schedule(spoken(2.0, PCMU, tmp_path), PCMU))
    call.wait_bye(10)
    (mail,) = smtp_server.wait(1)
    body = mail.message.get_body(("plain",))
    assert body is not None
    assert "broke off" in body.get_content()
