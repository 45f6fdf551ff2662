"""What becomes of a message after its e-mail: kept, shown, played, sent again, told, deleted.

All of it through the running program and its commands; the clock on the wall is moved.
"""

from __future__ import annotations

import hashlib
import hmac
import io
import json
import socket
import subprocess
import sys
import urllib.request
import wave
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import StartAgent, require_program
from tests.e2e.conftest import mails_from, own_number, short_sections, wait_mail, wait_settled
from tests.e2e.telephone import (
    decoded,
    message,
    noise,
    opening,
    same,
    until,
    wait_recording,
)
from tests.mail.test_hooks import Listener
from tests.support.agent import ROOT, Agent, configuration
from tests.support.caller import Caller
from tests.support.clock import WallClock
from tests.support.patience import PATIENCE
from tests.support.ports import free_port
from tests.support.smtp import OK, SmtpServer

pytestmark = pytest.mark.e2e

ANNA, JAN, OFFICE = "anna@sipmail.test", "jan@sipmail.test", "office@sipmail.test"
SAID = noise(0.8, 66)
SECRET = "s3cret"


@pytest.fixture
def listener() -> Iterator[Listener]:
    made = Listener()
    yield made
    made.stop()


def leave(agent: Agent, number: str = "201") -> tuple[str, str]:
    """A message from a new caller without a name: the caller's number and the Call-ID."""
    with Caller(agent.address, user=own_number(), display="") as phone:
        call = phone.call(number)
        call.send(opening())
        wait_recording(agent, call)
        call.send(message(SAID))
        call.hang_up()
        return phone.user, call.call_id


def sipmail(agent: Agent, *arguments: str) -> bytes:
    """What a command for this agent prints; AssertionError when it fails."""
    ran = subprocess.run(
        [sys.executable, "-m", "sipmail", *arguments, "-c", str(agent.file)],
        cwd=ROOT,
        capture_output=True,
        timeout=PATIENCE,
        check=False,
    )
    assert ran.returncode == 0, ran
    return ran.stdout


def test_a_kept_message_is_listed_shown_played_and_sent_again(
    agent: StartAgent, smtp_server: SmtpServer, tmp_path: Path
) -> None:
    running = agent(smtp=smtp_server, keep="2h", **short_sections(tmp_path))
    number, call_id = leave(running)
    known = wait_settled(running, call_id)
    (listed,) = json.loads(sipmail(running, "messages", "--json"))
    assert (listed["id"], listed["caller"]) == (known["id"], number)
    assert listed["duration"] == pytest.approx(0.8, abs=0.05)
    assert set(listed["recipients"]) == {ANNA, JAN, OFFICE}
    table = sipmail(running, "messages").decode()
    assert known["id"] in table
    shown = sipmail(running, "messages", "show", known["id"]).decode()
    assert number in shown
    assert "Anna" not in shown
    assert f"{ANNA} delivered" in shown
    played = sipmail(running, "messages", "play", known["id"], "--to", "-")
    with wave.open(io.BytesIO(played)) as file:
        same(np.frombuffer(file.readframes(file.getnframes()), "<i2"), decoded(SAID))
    first = wait_mail(smtp_server, number)
    said = sipmail(running, "messages", "resend", known["id"], "--to", JAN).decode()
    assert said == f"message {known['id']} will be sent to {JAN} again, now\n"
    smtp_server.wait_until(lambda: len(mails_from(smtp_server, number)) == 2, what="it again")
    second = mails_from(smtp_server, number)[1]
    assert second.recipients == (JAN,)
    assert second.attachment() == first.attachment()
    assert second.message["Message-ID"] != first.message["Message-ID"]


def test_what_was_kept_long_enough_is_deleted(smtp_server: SmtpServer, tmp_path: Path) -> None:
    clock = WallClock(require_program("cc"), tmp_path)
    settings = configuration(tmp_path, smtp_server, keep="2d", **short_sections(tmp_path))
    running = Agent(tmp_path, settings).start(**clock.environment)

    def later(time: timedelta) -> str:
        """A call after this time, in which sipmail did not run: a clock that leaps is doubted."""
        assert running.stop() == 0
        clock.pass_by(time)
        running.start(**clock.environment)
        return leave(running)[1]

    try:
        _, call_id = leave(running)
        wait_settled(running, call_id)
        (old,) = running.messages("done")
        assert (old / "audio.rtp").exists()
        wait_settled(running, later(timedelta(days=1, hours=23)))
        assert old in running.messages("done")
        call_id = later(timedelta(hours=2))
        until(lambda: not old.exists(), "the end of what was kept for two days")
        wait_settled(running, call_id)
        everything = b"".join(
            path.read_bytes() for path in running.spool.rglob("*") if path.is_file()
        )
        assert old.name.encode() not in everything
    finally:
        running.close()
        print(running.log())


def test_a_webhook_that_is_away_is_told_later_by_the_same_queue(
    agent: StartAgent, smtp_server: SmtpServer, listener: Listener, tmp_path: Path
) -> None:
    sections = short_sections(tmp_path)
    sections["mailboxes"]["sales"]["webhook"] = {"url": listener.url, "secret": SECRET}
    running = agent(smtp=smtp_server, **sections)
    listener.answers = [503, 500]
    number, call_id = leave(running)
    wait_mail(smtp_server, number)
    until(lambda: len(listener.taken) == 1, "the first attempt")
    wait_settled(running, call_id, "queue")
    (waiting,) = running.messages("queue")
    table = sipmail(running, "queue").decode()
    assert "webhook" in table
    for attempt in (2, 3):
        until(
            lambda: b"will be tried" in sipmail(running, "queue", "retry", waiting.name), "a retry"
        )
        until(lambda count=attempt: len(listener.taken) == count, "the next attempt")  # type: ignore[misc]
    wait_settled(running, call_id)
    marks, bodies = set(), set()
    for headers, posted in listener.taken:
        stamp = headers["x-sipmail-timestamp"]
        signed = hmac.new(SECRET.encode(), f"{stamp}.".encode() + posted, hashlib.sha256)
        assert headers["x-sipmail-signature"] == f"sha256={signed.hexdigest()}"
        marks.add(json.loads(posted)["id"])
        bodies.add(posted)
    assert (marks, len(bodies)) == ({waiting.name}, 1)
    assert len(mails_from(smtp_server, number)) == 1  # nobody gets the e-mail again


def page(running: Agent, path: str = "/") -> str:
    with urllib.request.urlopen(f"http://{running.settings['http']}{path}") as answer:
        assert answer.status == 200
        return str(answer.read().decode())


def test_the_page_shows_trunks_calls_queue_and_the_last_messages(
    agent: StartAgent, smtp_server: SmtpServer, tmp_path: Path
) -> None:
    http = f"127.0.0.1:{free_port(socket.SOCK_STREAM)}"
    running = agent(smtp=smtp_server, http=http, **short_sections(tmp_path))
    number, call_id = leave(running)
    wait_settled(running, call_id)
    smtp_server.on_recipient = lambda address: "451 later"
    waiting, call_id = leave(running)
    wait_settled(running, call_id, "queue")
    with Caller(running.address, user=own_number()) as phone:
        call = phone.call()
        call.send(opening())
        wait_recording(running, call)
        shown = page(running)
        rows = [row.replace("\n", "") for row in shown.split("<tr>")]
        assert any("local" in row and "by address" in row for row in rows)
        assert any(phone.user in row and "sales" in row for row in rows)
        assert any(number in row and "0:01" in row and "waiting" not in row for row in rows)
        assert any(waiting in row and "waiting" in row for row in rows)
        until(lambda: ">1</td>" in page(running).split("Waiting for delivery")[1][:60], "the queue")
        call.hang_up()
    assert "viewport" in shown
    assert not any(word in shown for word in ("<script", "<audio", "src=", "http://", "https://"))
    metrics = page(running, "/metrics")
    assert "sipmail_" in metrics
    smtp_server.on_recipient = lambda address: OK
