"""Two hundred short calls leave nothing behind but their messages (`bench/soak.py` runs 20,000)."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.generator import Order
from bench.processes import cores
from bench.soak import census, place, settled
from tests.conftest import StartAgent
from tests.e2e.conftest import PLAIN, write_greeting
from tests.e2e.telephone import noise, until
from tests.support.smtp import SmtpServer

WARM_UP, CALLS, RATE = 20, 200, 25.0

pytestmark = [pytest.mark.e2e, pytest.mark.long, pytest.mark.timeout(180)]


def test_short_calls_leave_only_their_messages(
    agent: StartAgent, smtp_server: SmtpServer, tmp_path: Path
) -> None:
    greeting = write_greeting(tmp_path / "greeting.wav", 0.2)
    running = agent(
        fresh=True,
        smtp=smtp_server,
        calls=CALLS + WARM_UP + 20,
        rtp={"codecs": ["PCMU"]},
        mailboxes={
            "sales": {
                "users": ["anna"],
                "emails": [],
                "greeting": str(greeting),
                "record": {**PLAIN},
            }
        },
    )
    audio = tmp_path / "said.ulaw"
    audio.write_bytes(noise(20.0, 7))
    order = Order("127.0.0.1", running.address[1], WARM_UP, RATE, 1.5, 1.0, str(audio))
    _, load = cores()

    empty = census(running.pid, running.spool)
    assert place(order, tmp_path, load) == WARM_UP
    until(lambda: len(smtp_server.delivered) == WARM_UP, "the first e-mails", 60.0)
    before = settled(running.pid, running.spool, empty, WARM_UP)

    order = Order("127.0.0.1", running.address[1], CALLS, RATE, 1.5, 1.0, str(audio))
    assert place(order, tmp_path, load) == CALLS
    until(lambda: len(smtp_server.delivered) == CALLS + WARM_UP, "all e-mails", 90.0)
    after = settled(running.pid, running.spool, before, CALLS)

    assert after.left(before, CALLS) == []
    assert len(smtp_server.delivered) == CALLS + WARM_UP
