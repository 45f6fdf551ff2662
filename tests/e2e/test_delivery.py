"""The mail server away, unwilling or strict: everyone gets every message once, or we say so.

Retries are minutes apart, so `sipmail queue retry all` moves the time on, as a person would.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import StartAgent
from tests.e2e.conftest import mails_from, own_number, short_sections, wait_mail, wait_settled
from tests.e2e.telephone import (
    decoded,
    message,
    noise,
    opening,
    recording,
    same,
    until,
    wait_recording,
)
from tests.support.agent import ROOT, Agent
from tests.support.caller import Caller
from tests.support.smtp import OK, SmtpServer

pytestmark = pytest.mark.e2e

ANNA, JAN, OFFICE = "anna@sipmail.test", "jan@sipmail.test", "office@sipmail.test"
ADMIN = "admin@sipmail.test"
COURIER = "sipmail.mail.courier"
BACK_SECONDS = 2.0


def leave(agent: Agent, seed: int) -> tuple[str, str, bytes]:
    """A message from a new caller: the number, the Call-ID and what was said."""
    number, said = own_number(), noise(0.5, seed)
    with Caller(agent.address, user=number) as phone:
        call = phone.call()
        call.send(opening())
        wait_recording(agent, call)
        call.send(message(said))
        call.hang_up()
        return number, call.call_id, said


def sipmail(agent: Agent, *arguments: str) -> str:
    """What a `sipmail` command for this agent prints; AssertionError when it fails."""
    ran = subprocess.run(
        [sys.executable, "-m", "sipmail", *arguments, "-c", str(agent.file)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=30,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


def attempts(agent: Agent) -> dict[str, int]:
    """How often each message of the queue was tried."""
    found = {}
    for folder in agent.messages("queue"):
        text = (folder / "message.json").read_text(encoding="utf-8")
        found[folder.name] = int(text.partition('"attempts": ')[2].partition(",")[0])
    return found


def try_again(agent: Agent) -> None:
    """Has every waiting message tried, and returns when the server has said its word."""
    before = attempts(agent)
    sipmail(agent, "queue", "retry", "all")
    until(
        lambda: all(before[name] < now for name, now in attempts(agent).items() if name in before),
        "another attempt at every message",
    )


def received(smtp: SmtpServer, number: str) -> Counter[str]:
    """How often each recipient was sent the message of this caller."""
    return Counter(address for mail in mails_from(smtp, number) for address in mail.recipients)


def test_everyone_gets_each_message_once_however_the_server_behaves(
    agent: StartAgent, smtp_server: SmtpServer, tmp_path: Path
) -> None:
    running = agent(smtp=smtp_server, **short_sections(tmp_path))
    smtp_server.go()
    left = [leave(running, seed) for seed in (41, 42)]
    until(lambda: sorted(attempts(running).values()) == [1, 1], "the first attempts")
    listed = sipmail(running, "queue", "list", "--json")
    assert all(name in listed for name in attempts(running))
    assert "refused" in listed.lower()

    smtp_server.on_data = lambda recipients: "451 4.3.0 come back later"
    smtp_server.come()
    try_again(running)
    assert "451" in sipmail(running, "queue", "list", "--json")
    assert smtp_server.delivered == []

    smtp_server.on_data = lambda recipients: OK
    smtp_server.on_recipient = lambda address: "450 4.2.2 full" if address == JAN else OK
    try_again(running)
    try_again(running)
    for number, _, _ in left:
        assert received(smtp_server, number) == {ANNA: 1, OFFICE: 1}

    smtp_server.on_recipient = lambda address: OK
    sipmail(running, "queue", "retry", "all")
    for number, call_id, said in left:
        wait_settled(running, call_id)
        assert received(smtp_server, number) == {ANNA: 1, JAN: 1, OFFICE: 1}
        mails = mails_from(smtp_server, number)
        assert len({str(mail.message["Message-ID"]) for mail in mails}) == 1
        for mail in mails:
            same(recording(mail), decoded(said))
    assert running.messages("queue") == []


def test_a_refused_recipient_fails_at_once_and_the_administrator_is_told(
    agent: StartAgent, smtp_server: SmtpServer, tmp_path: Path
) -> None:
    running = agent(smtp=smtp_server, **short_sections(tmp_path, mail={"admin": ADMIN}))
    smtp_server.on_recipient = lambda address: "550 5.1.1 no such user" if address == JAN else OK
    number, call_id, said = leave(running, 43)
    wait_settled(running, call_id, "failed")
    assert received(smtp_server, number) == {ANNA: 1, OFFICE: 1}
    smtp_server.wait_until(lambda: bool(smtp_server.to(ADMIN)), 30, "the notice")
    (notice,) = smtp_server.to(ADMIN)
    text = notice.data.decode()
    assert JAN in text
    assert "550" in text
    assert any("FAILED" in line and JAN in line for line in running.lines)

    # Corrected at the mail server, it is sent to the one who lacks it.
    smtp_server.on_recipient = lambda address: OK
    (failed,) = running.messages("failed")
    sipmail(running, "queue", "retry", failed.name)
    wait_settled(running, call_id)
    assert received(smtp_server, number) == {ANNA: 1, JAN: 1, OFFICE: 1}
    assert len({str(m.message["Message-ID"]) for m in mails_from(smtp_server, number)}) == 1
    for mail in mails_from(smtp_server, number):
        same(recording(mail), decoded(said))


def killed(agent: Agent) -> int:
    """Kills the courier alone; returns the id that it had."""
    pid = agent.child(COURIER)
    os.kill(pid, signal.SIGKILL)
    return pid


def wait_back(agent: Agent, before: int, module: str, timeout: float) -> None:
    """Until another process runs `module`."""

    def back() -> bool:
        try:
            return agent.child(module) != before
        except LookupError:
            return False

    until(back, f"a new {module}", timeout)


def test_a_killed_courier_is_back_and_the_queue_with_it(
    agent: StartAgent, smtp_server: SmtpServer, tmp_path: Path
) -> None:
    running = agent(smtp=smtp_server, **short_sections(tmp_path))
    smtp_server.go()
    waiting = [leave(running, seed) for seed in (44, 45)]
    until(lambda: sorted(attempts(running).values()) == [1, 1], "the first attempts")
    before = killed(running)
    wait_back(running, before, COURIER, BACK_SECONDS)
    fresh = leave(running, 46)
    smtp_server.come()
    until(lambda: "will be tried" in sipmail(running, "queue", "retry", "all"), "an answer")
    for number, call_id, said in (*waiting, fresh):
        wait_settled(running, call_id)
        assert received(smtp_server, number) == {ANNA: 1, JAN: 1, OFFICE: 1}
        same(recording(wait_mail(smtp_server, number)), decoded(said))


@pytest.mark.parametrize(("moment", "most"), [("recipient", 1), ("data", 2)])
def test_a_courier_killed_while_it_speaks_to_the_server(
    agent: StartAgent, smtp_server: SmtpServer, tmp_path: Path, moment: str, most: int
) -> None:
    """Before the server took it, nobody has it twice; where the kill falls between its 250 and
    our note of it, twice at most and under one Message-ID."""
    running = agent(smtp=smtp_server, **short_sections(tmp_path))
    once: list[Callable[[], int]] = [lambda: killed(running)]

    def answer(_: object) -> str:
        if once:
            once.pop()()
        return OK

    if moment == "data":
        smtp_server.on_data = answer
    else:
        smtp_server.on_recipient = answer
    number, call_id, said = leave(running, 47)
    wait_settled(running, call_id)
    assert once == []
    counted = received(smtp_server, number)
    assert set(counted) == {ANNA, JAN, OFFICE}
    assert set(counted.values()) == {most}
    mails = mails_from(smtp_server, number)
    assert len({str(mail.message["Message-ID"]) for mail in mails}) == 1
    for mail in mails:
        same(recording(mail), decoded(said))
