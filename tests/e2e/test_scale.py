"""Many calls at once, by the bench's own caller: every e-mail is complete to the sample.

The suite runs a few dozen; `SIPMAIL_SCALE=300` runs as many as the measure asks for, with its
greeting of 7 s and its message of 10 s (`make bench` measures what they cost).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.generator import Order, stretch, write
from bench.verify import decode, holds
from tests.conftest import StartAgent
from tests.e2e.conftest import PLAIN, mails_from, write_greeting
from tests.e2e.telephone import noise, recording, until
from tests.support.agent import ROOT
from tests.support.smtp import SmtpServer

CALLS = int(os.environ.get("SIPMAIL_SCALE", "60"))
FULL = CALLS >= 300
GREETING, TALK = (7.0, 10.0) if FULL else (1.0, 3.0)
RATE = CALLS / 5.0 if FULL else 30.0
# Quiet, beep, and what busy cores need until the recording begins.
_BEFORE_TALK = 2.0

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]


def test_many_calls_at_once_are_all_complete(
    agent: StartAgent, smtp_server: SmtpServer, tmp_path: Path
) -> None:
    greeting = write_greeting(tmp_path / "greeting.wav", GREETING)
    running = agent(
        smtp=smtp_server,
        calls=CALLS + 20,
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
    audio.write_bytes(noise(TALK + 60.0, 101))
    order = Order(
        host="127.0.0.1",
        port=running.address[1],
        calls=CALLS,
        rate=RATE,
        listen=GREETING + _BEFORE_TALK,
        talk=TALK,
        audio=str(audio),
    )
    seen = place(order, tmp_path)
    assert seen["failures"] == []
    assert (seen["answered"], seen["done"]) == (CALLS, CALLS)
    assert seen["at_once"] == CALLS
    assert seen["greeting_lost"] == 0
    assert seen["packets_unsent"] == 0
    smtp_server.wait(CALLS, 120)
    until(lambda: len(running.messages("done")) == CALLS, "all messages in done/")
    assert len(smtp_server.delivered) == CALLS
    said = np.frombuffer(audio.read_bytes(), np.uint8)
    for number in seen["hung_up"]:
        (mail,) = mails_from(smtp_server, number)
        words = stretch(said, int(number[-7:]), round(TALK * 50)).reshape(-1)
        assert holds(recording(mail), decode(words, 0)), f"{number} is not complete"


def place(order: Order, folder: Path) -> dict[str, Any]:
    """Places all the calls from a process of their own; returns what the callers saw."""
    source, result = folder / "order.json", folder / "result.json"
    write(order, source)
    subprocess.run(
        [sys.executable, "-m", "bench.generator", str(source), str(result)],
        cwd=ROOT,
        check=True,
        timeout=200,
    )
    seen: dict[str, Any] = json.loads(result.read_text(encoding="utf-8"))
    return seen
