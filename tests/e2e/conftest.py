"""The office: one running agent with many mailboxes, shared by the tests that leave it as it was.

Each test calls from a number of its own, by which it finds its e-mails.
"""

from __future__ import annotations

import itertools
import json
import os
import wave
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.e2e.telephone import opening, until, wait_recording
from tests.support.agent import Agent, configuration
from tests.support.caller import Call, Caller
from tests.support.patience import PATIENCE
from tests.support.rtp import PCMU
from tests.support.smtp import Delivered, SmtpServer

_NUMBERS = itertools.count(os.getpid() % 10_000 * 1000)

RTP_TIMEOUT = 3.0
SHORT = 0.3
LONG = 4.0
PLAIN = {"trim": False, "normalize": False, "silence": "0s", "min": "200ms"}


def own_number() -> str:
    """A caller that nobody else is."""
    return f"+4860{next(_NUMBERS) % 10_000_000:07d}"


def write_greeting(path: Path, seconds: float, pitch: float = 350.0) -> Path:
    """A tone as a WAV file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    times = np.arange(round(seconds * 8000)) / 8000
    tone = np.round(9000 * np.sin(2 * np.pi * pitch * times)).astype("<i2")
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 8000, 0, "NONE", ""))
        file.writeframes(tone.tobytes())
    return path


def short_sections(folder: Path, **sections: Any) -> dict[str, Any]:
    """Sections for an agent whose mailbox `sales` has the short greeting."""
    greeting = write_greeting(folder / "short.wav", SHORT)
    own: dict[str, Any] = {"mailboxes": {"sales": {"greeting": str(greeting), "record": {**PLAIN}}}}
    own.update(sections)
    return own


def mails_from(smtp: SmtpServer, number: str) -> list[Delivered]:
    """The e-mails about this caller so far."""
    return [mail for mail in list(smtp.delivered) if mail.message["X-Sipmail-Caller"] == number]


def wait_mail(smtp: SmtpServer, number: str, timeout: float = PATIENCE) -> Delivered:
    """The e-mail about this caller, of whom there must be one call; AssertionError in time."""
    smtp.wait_until(lambda: bool(mails_from(smtp, number)), timeout, f"a mail about {number}")
    (mail,) = mails_from(smtp, number)
    return mail


def facts(agent: Agent, call_id: str) -> dict[str, tuple[str, dict[str, Any]]]:
    """The messages of this call, by their ID: the state (folder) and message.json."""
    found = {}
    for state in ("recording", "queue", "done", "failed"):
        for folder in agent.messages(state):
            try:
                known = json.loads((folder / "message.json").read_text(encoding="utf-8"))
            except FileNotFoundError:
                continue  # it has just moved on
            if known["call_id"] == call_id:
                found[folder.name] = (state, known)
    return found


def wait_settled(agent: Agent, call_id: str, state: str = "done") -> dict[str, Any]:
    """message.json of this call, once it is in that state."""
    until(
        lambda: [where for where, _ in facts(agent, call_id).values()] == [state],
        f"{call_id} in {state}/",
    )
    ((_, known),) = facts(agent, call_id).values()
    return known


@dataclass
class Office:
    """The shared agent and its mail server."""

    agent: Agent
    smtp: SmtpServer

    def mail(self, number: str) -> Delivered:
        return wait_mail(self.smtp, number)

    def dial(
        self, phone: Caller, number: str = "201", payload_type: int = PCMU, **options: Any
    ) -> Call:
        """A call that is being recorded: what is sent now is the message."""
        call = phone.call(number, codecs=(payload_type,), **options)
        call.send(opening(payload_type))
        wait_recording(self.agent, call)
        return call


@pytest.fixture(scope="session")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    """One agent for the whole of a test process: see the module."""
    folder = tmp_path_factory.mktemp("office")
    short = str(write_greeting(folder / "short.wav", SHORT))
    long = str(write_greeting(folder / "long.wav", LONG))
    common: dict[str, Any] = {
        "users": ["anna"],
        "attachment": "wav",
        "after": "nothing",
        "greeting": short,
    }
    smtp = SmtpServer().start()
    settings = configuration(
        folder,
        smtp,
        calls=200,
        rtp={"timeout": f"{RTP_TIMEOUT:g}s"},
        mailboxes={
            "sales": {"numbers": ["201"], "greeting": short, "record": {**PLAIN}},
            "ringing": {**common, "name": "Ringing", "numbers": ["202"], "answer_after": "60s"},
            "patient": {**common, "name": "Patient", "numbers": ["207"], "answer_after": "1s"},
            "silence": {
                **common,
                "name": "Silence",
                "numbers": ["203"],
                "record": {**PLAIN, "silence": "1s"},
            },
            "short": {
                **common,
                "name": "Short",
                "numbers": ["204"],
                "record": {**PLAIN, "max": "1s"},
            },
            "discreet": {
                **common,
                "name": "Discreet",
                "numbers": ["205"],
                "greeting": long,
                "missed_calls": False,
            },
            "talkative": {
                **common,
                "name": "Talkative",
                "numbers": ["206"],
                "greeting": long,
                "record": {**PLAIN},
            },
            "beepless": {
                **common,
                "name": "Beepless",
                "numbers": ["208"],
                "greeting": long,
                "record": {**PLAIN, "beep": False},
            },
        },
    )
    agent = Agent(folder, settings).start()
    try:
        yield Office(agent, smtp)
    finally:
        agent.close()
        smtp.stop()


@pytest.fixture
def phone(office: Office) -> Iterator[Caller]:
    """A telephone with a number of its own, for the office."""
    with Caller(office.agent.address, user=own_number()) as caller:
        yield caller


@pytest.fixture
def phones(office: Office) -> Iterator[Callable[..., Caller]]:
    """`phones(**options)`: more of them."""
    made: list[Caller] = []

    def make(**options: Any) -> Caller:
        made.append(Caller(office.agent.address, **{"user": own_number(), **options}))
        return made[-1]

    yield make
    for caller in made:
        caller.close()


@pytest.fixture(autouse=True)
def _log_of_the_office(request: pytest.FixtureRequest) -> Iterator[None]:
    """What the shared agent logged during the test, shown with its failure."""
    if "office" not in request.fixturenames:
        yield
        return
    agent: Agent = request.getfixturevalue("office").agent
    before = len(agent.lines)
    yield
    print("--- log of the office\n" + "\n".join(agent.lines[before:]))
