"""kill -9 at any moment: nothing recorded is lost, no process stays, a start works at once."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import StartAgent
from tests.e2e.conftest import mails_from, own_number, short_sections, wait_mail
from tests.e2e.telephone import (
    STEP,
    Samples,
    body,
    decoded,
    message,
    noise,
    opening,
    payload_of,
    recording,
    same,
    say,
    until,
    wait_recording,
)
from tests.support.agent import ROOT, Agent
from tests.support.caller import Call, Caller
from tests.support.rtp import Packet
from tests.support.smtp import SmtpServer

pytestmark = pytest.mark.e2e

CALLS = 20
KEPT_SECONDS = 1.0
MEDIA = "sipmail.media.worker"
BACK_SECONDS = 10.0  # on a busy machine; there is no pause before


class Party:
    """Callers who all speak at once, each from a number of its own, until `hush`."""

    def __init__(self, agent: Agent, size: int, seconds: float) -> None:
        self.phones = [Caller(agent.address, user=own_number()) for _ in range(size)]
        self.calls: list[Call] = []
        self.said = [message(noise(seconds, seed), ssrc=seed) for seed in range(1, size + 1)]
        self.spoken: dict[Call, list[tuple[float, Packet]]] = {}
        self._over = threading.Event()
        self._speaking = threading.Thread(target=self._speak)
        self._agent = agent

    def __enter__(self) -> Party:
        pending = [phone.invite() for phone in self.phones]
        for call in pending:
            call.wait_answer()
            call.send(opening())
        self.calls = pending
        wait_recording(self._agent, *pending)
        self._speaking.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.hush()
        for phone in self.phones:
            phone.close()

    def _speak(self) -> None:
        turns = zip(self.calls, self.said, strict=True)
        self.spoken = say(*turns, stop=self._over.is_set)

    def hush(self) -> None:
        self._over.set()
        if self._speaking.ident is not None:
            self._speaking.join()

    def abandoned(self) -> None:
        """Nobody is there any more to say BYE to."""
        for call in self.calls:
            call.status = None

    def check(self, index: int, recorded: Samples, killed: float) -> None:
        """`recorded` holds all that the caller said until a second before `killed`, and nothing
        that was not said."""
        spoken = self.spoken[self.calls[index]]
        whole = decoded(payload_of([packet for _, packet in spoken]))
        least = sum(when <= killed - KEPT_SECONDS for when, _ in spoken) * STEP
        assert least > 0, "the test spoke too little"
        assert len(recorded) >= least
        same(recorded, whole[: len(recorded)])


def test_killed_in_the_middle_of_twenty_recordings(
    agent: StartAgent, smtp_server: SmtpServer, tmp_path: Path
) -> None:
    running = agent(fresh=True, smtp=smtp_server, calls=CALLS + 5, **short_sections(tmp_path))
    with Party(running, CALLS, 10.0) as party:
        begun = time.monotonic()
        until(lambda: time.monotonic() - begun > 2.5, "two and a half seconds of speech")
        killed = time.monotonic()
        running.kill9()
        party.hush()
        party.abandoned()
        assert running.processes() == {}
        assert smtp_server.delivered == []
        running.start()
        smtp_server.wait(CALLS, 60)
        for index, phone in enumerate(party.phones):
            mail = wait_mail(smtp_server, phone.user)
            party.check(index, recording(mail), killed)
            assert "interrupted" in body(mail)
    until(lambda: len(running.messages("done")) == CALLS, "all messages in done/")
    counted = Counter(
        (str(mail.message["X-Sipmail-ID"]), address)
        for mail in smtp_server.delivered
        for address in mail.recipients
    )
    assert len(counted) == CALLS * 3
    assert set(counted.values()) == {1}


def test_the_media_worker_killed_alone(
    agent: StartAgent, smtp_server: SmtpServer, tmp_path: Path
) -> None:
    running = agent(fresh=True, smtp=smtp_server, **short_sections(tmp_path))
    with Party(running, 3, 10.0) as party:
        begun = time.monotonic()
        until(lambda: time.monotonic() - begun > 1.5, "one and a half seconds of speech")
        before = running.child(MEDIA)
        killed = time.monotonic()
        os.kill(before, signal.SIGKILL)
        number, said = own_number(), noise(0.5, 61)
        with Caller(running.address, user=number) as phone:
            call = answered_again(phone)
            assert time.monotonic() - killed < BACK_SECONDS
            running.wait_log("the media worker died, starting it again in 0 s")
            assert running.child(MEDIA) != before
            call.send(opening())
            wait_recording(running, call)
            call.send(message(said))
            call.hang_up()
        same(recording(wait_mail(smtp_server, number)), decoded(said))
        for ended in party.calls:
            ended.wait_bye()
        party.hush()
        for index, one in enumerate(party.phones):
            mail = wait_mail(smtp_server, one.user)
            party.check(index, recording(mail), killed)
            assert "interrupted by a failure" in body(mail)
            assert len(mails_from(smtp_server, one.user)) == 1


def test_one_of_two_media_workers_killed_leaves_the_calls_of_the_other(
    agent: StartAgent, smtp_server: SmtpServer, tmp_path: Path
) -> None:
    running = agent(fresh=True, smtp=smtp_server, **short_sections(tmp_path, rtp={"workers": 2}))
    with Party(running, 4, 10.0) as party:
        begun = time.monotonic()
        until(lambda: time.monotonic() - begun > 1.5, "one and a half seconds of speech")
        killed = time.monotonic()
        os.kill(running.child(MEDIA), signal.SIGKILL)
        until(lambda: sum(call.bye is not None for call in party.calls) >= 2, "the BYE of two")
        until(lambda: time.monotonic() - killed > 1.0, "another second of speech")
        ended = [call.bye is not None for call in party.calls]
        assert sum(ended) == 2
        party.hush()
        for call, is_over in zip(party.calls, ended, strict=True):
            if not is_over:
                call.hang_up()
        for index, one in enumerate(party.phones):
            recorded = recording(wait_mail(smtp_server, one.user))
            party.check(index, recorded, killed)
            if not ended[index]:
                assert len(recorded) == len(party.spoken[party.calls[index]]) * STEP


def answered_again(phone: Caller) -> Call:
    """The first call that is answered: one that comes while the worker starts may get a 503."""
    found: list[Call] = []

    def answered() -> bool:
        call = phone.invite()
        call.wait(lambda: call.status is not None)
        if call.status == 200:
            found.append(call)
        return call.status == 200

    until(answered, "an answered call")
    return found[0]


def test_nothing_outlives_a_killed_parent_and_the_next_start_works_at_once(
    agent: StartAgent, smtp_server: SmtpServer, tmp_path: Path
) -> None:
    running = agent(fresh=True, smtp=smtp_server, **short_sections(tmp_path))
    with Party(running, 2, 10.0) as party:
        begun = time.monotonic()
        until(lambda: time.monotonic() - begun > 1.5, "one and a half seconds of speech")
        children = set(running.processes()) - {running.pid}
        assert len(children) >= 2
        killed = time.monotonic()
        running.kill9_parent()
        running.start()
        assert not children & set(running.processes()), "a child outlived its parent"
        party.hush()
        party.abandoned()
        number, said = own_number(), noise(0.5, 62)
        with Caller(running.address, user=number) as phone:
            call = phone.call()
            call.send(opening())
            wait_recording(running, call)
            call.send(message(said))
            call.hang_up()
        same(recording(wait_mail(smtp_server, number)), decoded(said))
        for index, one in enumerate(party.phones):
            mail = wait_mail(smtp_server, one.user)
            party.check(index, recording(mail), killed)
            assert "interrupted" in body(mail)


def test_killed_during_the_greeting_a_call_is_a_missed_call(
    agent: StartAgent, smtp_server: SmtpServer, caller: Callable[..., Caller], tmp_path: Path
) -> None:
    running = agent(fresh=True, smtp=smtp_server)
    phone = caller(running.address, user=own_number())
    call = phone.call()
    call.send(opening())
    call.wait_heard(5)
    running.kill9()
    call.status = None
    running.start()
    mail = wait_mail(smtp_server, phone.user)
    assert str(mail.message["Subject"]).startswith("Missed call")


def test_a_second_agent_on_the_same_spool_says_so_and_ends(agent: StartAgent) -> None:
    running = agent(fresh=True)
    ran = subprocess.run(
        [sys.executable, "-m", "sipmail", "run", "-c", str(running.file)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert ran.returncode == 1
    assert "Traceback" not in ran.stderr
    assert re.search(rf"\b{running.pid}\b|another sipmail|in use", ran.stderr), ran.stderr
    assert str(running.spool.name) in ran.stderr
    assert running.running()
