"""Killed at any moment, nothing that was recorded is lost, and no process stays behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import StartAgent, require_program
from tests.support.agent import Agent
from tests.support.caller import Call, Caller
from tests.support.rtp import PCMU, schedule
from tests.support.smtp import Delivered, SmtpServer
from tests.support.sounds import greeting, read_wav, sox_decode, speech

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

RECIPIENTS = {"anna@sipmail.test", "jan@sipmail.test", "office@sipmail.test"}
MEDIA, COURIER = "sipmail.media.worker", "sipmail.mail.courier"
_RATE = 8000


def mailboxes(tmp_path: Path) -> dict[str, object]:
    return {"sales": {"greeting": str(greeting(tmp_path / "greeting.wav"))}}


def talking(phone: Caller, count: int, payload: bytes) -> list[Call]:
    """Calls that are past the beep and speak, each from a thread; returns when all have begun."""
    calls = [phone.invite(headers=[("Subject", str(index))]) for index in range(count)]
    for call in calls:
        call.wait_answer(15)
    for call in calls:
        call.wait_quiet()
    for index, call in enumerate(calls):
        packets = schedule(payload, PCMU, ssrc=index + 1)
        threading.Thread(target=_send, args=(call, packets), daemon=True).start()
    return calls


def _send(call: Call, packets: list) -> None:  # type: ignore[type-arg]
    try:
        call.send(packets)
    except OSError:
        return  # the agent is gone: that is the test


def wait_for(condition: Callable[[], bool], timeout: float, what: str) -> None:
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not happen within {timeout} s"
        threading.Event().wait(0.02)


def by_message(mails: list[Delivered]) -> Counter[tuple[str, str]]:
    """How often each recipient was sent each message."""
    return Counter(
        (str(mail.message["X-Sipmail-ID"]), address)
        for mail in mails
        for address in mail.recipients
    )


def test_killed_with_twenty_recordings_all_twenty_are_mailed(
    agent: StartAgent, smtp_server: SmtpServer, caller: Callable[..., Caller], tmp_path: Path
) -> None:
    started = agent(smtp=smtp_server, calls=25, mailboxes=mailboxes(tmp_path))
    sox = require_program("sox")
    said = speech(20.0, PCMU, sox, tmp_path)
    calls = talking(caller(started.address), 20, said)
    begun = time.monotonic()
    wait_for(lambda: time.monotonic() - begun >= 4.0, 6, "four seconds of speech")
    spoken = time.monotonic() - begun
    started.kill9()
    for call in calls:
        call.status = None  # there is nobody to hang up on
    assert started.processes() == {}

    started.start()
    smtp_server.wait_until(
        lambda: len({str(m.message["X-Sipmail-ID"]) for m in smtp_server.delivered}) >= 20,
        60,
        "20 messages",
    )
    mails = {str(mail.message["X-Sipmail-ID"]): mail for mail in smtp_server.delivered}
    assert len(mails) == 20
    expected = sox_decode(said, PCMU, sox, tmp_path)
    certain = round((spoken - 1.0) * _RATE)
    for mail in mails.values():
        recorded = read_wav(mail.attachment()[1])
        assert len(recorded) >= certain
        assert recorded.tobytes().find(expected[:certain].tobytes()) >= 0
        body = mail.message.get_body(("plain",))
        assert body is not None
        assert "interrupted" in body.get_content()
    counted = by_message(smtp_server.delivered)
    assert set(counted.values()) == {1}
    assert {address for _, address in counted} == RECIPIENTS


def test_the_server_away_then_451_then_refusing_one_recipient(
    agent: StartAgent, smtp_server: SmtpServer, caller: Callable[..., Caller], tmp_path: Path
) -> None:
    """Every recipient gets every message exactly once, under one Message-ID."""
    smtp_server.go()
    started = agent(smtp=smtp_server, mailboxes=mailboxes(tmp_path))
    leave_message(caller(started.address), tmp_path)
    wait_for(lambda: bool(started.messages("queue")), 10, "the message in the queue")
    started.wait_log(lambda line: "refused" in line.lower() or "Errno" in line, 20)

    refused: list[str] = []
    answers = iter(["451 4.3.0 later"])
    smtp_server.on_data = lambda recipients: next(answers, "250 OK")

    def recipient(address: str) -> str:
        if address == "jan@sipmail.test" and len(refused) < 2:
            refused.append(address)
            return "450 4.2.0 not now"
        return "250 OK"

    smtp_server.on_recipient = recipient
    smtp_server.come()
    for _ in range(8):
        retry(started)
        if {address for mail in smtp_server.delivered for address in mail.recipients} == RECIPIENTS:
            break
    smtp_server.wait_until(
        lambda: {a for mail in smtp_server.delivered for a in mail.recipients} == RECIPIENTS, 30
    )
    counted = by_message(smtp_server.delivered)
    assert set(counted.values()) == {1}
    assert len({str(mail.message["Message-ID"]) for mail in smtp_server.delivered}) == 1
    wait_for(lambda: bool(started.messages("done")), 10, "the message in done/")
    assert started.messages("queue") == []


@pytest.mark.parametrize("module", [MEDIA, COURIER])
def test_a_child_killed_alone_is_back_within_two_seconds(
    agent: StartAgent,
    smtp_server: SmtpServer,
    caller: Callable[..., Caller],
    tmp_path: Path,
    module: str,
) -> None:
    started = agent(smtp=smtp_server, mailboxes=mailboxes(tmp_path))
    phone = caller(started.address)
    (call,) = talking(phone, 1, speech(12.0, PCMU, require_program("sox"), tmp_path))
    begun = time.monotonic()
    wait_for(lambda: time.monotonic() - begun >= 3.0, 5, "three seconds of speech")
    first = started.child(module)
    os.kill(first, signal.SIGKILL)

    def back() -> bool:
        try:
            return started.child(module) != first
        except LookupError:
            return False

    wait_for(back, 2.0, f"a new {module}")
    if module == MEDIA:
        call.wait_bye(10)
    else:
        call.hang_up()
    (mail,) = smtp_server.wait(1, 40)
    assert len(read_wav(mail.attachment()[1])) >= 2.0 * _RATE
    leave_message(phone, tmp_path)
    smtp_server.wait(2, 40)


def test_no_child_outlives_a_killed_parent_and_a_start_right_after_works(
    agent: StartAgent, smtp_server: SmtpServer, caller: Callable[..., Caller], tmp_path: Path
) -> None:
    started = agent(smtp=smtp_server, mailboxes=mailboxes(tmp_path))
    assert len(started.processes()) >= 3
    started.kill9_parent()
    started.start()
    old = started.sessions[0]
    wait_for(lambda: all(os.getsid(pid) != old for pid in started.processes()), 2.0, "their end")
    leave_message(caller(started.address), tmp_path)
    smtp_server.wait(1)


def leave_message(phone: Caller, tmp_path: Path) -> None:
    call = phone.call()
    call.wait_quiet()
    call.send(schedule(speech(3.0, PCMU, require_program("sox"), tmp_path), PCMU))
    call.hang_up()


def retry(started: Agent) -> None:
    """`sipmail queue retry all`, which a person would not have to do: time would, in minutes."""
    ran = subprocess.run(
        [sys.executable, "-m", "sipmail", "queue", "retry", "all", "-c", str(started.file)],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert ran.returncode in (0, 1), ran.stderr
    threading.Event().wait(1.0)
