"""The menu after the message, and the choice before it, through the whole program."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import StartAgent
from tests.e2e.conftest import own_number, short_sections, wait_mail, wait_settled, write_greeting
from tests.e2e.telephone import decoded, message, noise, opening, recording, same, until
from tests.e2e.test_calls import info
from tests.support.agent import Agent
from tests.support.caller import Call, Caller
from tests.support.smtp import SmtpServer

pytestmark = pytest.mark.e2e

RECORD = {"trim": False, "normalize": False, "silence": "0s", "min": "0s", "beep": False}


@pytest.fixture(scope="module")
def sections(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("menu")
    keys = str(write_greeting(folder / "keys.wav", 0.3, 500.0))
    sections = short_sections(folder)
    sales = sections["mailboxes"]["sales"]
    sales.update(after="menu", record=RECORD)
    sections["mailboxes"]["reception"] = {
        **sales,
        "numbers": ["210"],
        "users": ["anna"],
        "attachment": "wav",
        "after": "nothing",
        "choice": {"prompt": keys, "keys": {"1": "urgent"}},
    }
    sections["mailboxes"]["urgent"] = {
        **sales,
        "name": "Emergencies",
        "users": ["jan"],
        "attachment": "wav",
        "after": "nothing",
        "urgent": True,
    }
    sections["mailboxes"]["news"] = {
        "numbers": ["211"],
        "greeting": sales["greeting"],
        "announcement": True,
        "missed_calls": False,
    }
    return sections


@pytest.fixture
def started(agent: StartAgent, smtp_server: SmtpServer, sections: dict[str, Any]) -> Agent:
    return agent(smtp=smtp_server, **sections)


@pytest.fixture
def phone(started: Agent) -> Iterator[Caller]:
    with Caller(started.address, user=own_number()) as caller:
        yield caller


def folder_of(agent: Agent, call: Call) -> Path:
    (folder,) = [
        one
        for one in agent.messages("recording")
        if json.loads((one / "message.json").read_text())["call_id"] == call.call_id
    ]
    return folder


def recorded(agent: Agent, call: Call, name: str = "audio.rtp") -> Path:
    """The folder of the call, once this journal is being written."""
    until(lambda: agent.messages("recording") != [], "a folder")
    folder = folder_of(agent, call)
    until((folder / name).exists, name)
    return folder


def wait_speech(call: Call) -> None:
    """Until a prompt is playing."""
    call.wait_heard(len(call.heard) + 25)


def test_record_again_and_mark_as_urgent(
    started: Agent, phone: Caller, smtp_server: SmtpServer
) -> None:
    first, second = noise(1.0, 41), noise(0.6, 42)
    call = phone.call("201")
    call.send(opening())
    folder = recorded(started, call)
    call.send(message(first))
    info(call, "#")
    wait_speech(call)
    info(call, "2")
    recorded(started, call, "further.rtp")
    assert (folder / "audio.rtp").stat().st_size > len(first)  # until there is a better one
    call.send(message(second, since=1.0))
    info(call, "#")
    wait_speech(call)
    info(call, "3")
    until(lambda: json.loads((folder / "message.json").read_text())["urgent"], "the mark")
    wait_speech(call)
    info(call, "#")
    call.wait_bye()
    mail = wait_mail(smtp_server, phone.user)
    same(recording(mail), decoded(second))
    assert mail.message["Importance"] == "high"
    assert str(mail.message["Subject"]).startswith("Urgent: ")
    known = wait_settled(started, call.call_id)
    assert known["ending"] == "key"
    assert not list((started.spool / "prompts").glob("review-*"))


def test_listening_and_hanging_up_before_recording_again(
    started: Agent, phone: Caller, smtp_server: SmtpServer
) -> None:
    said = noise(1.0, 43)
    call = phone.call("201")
    call.send(opening())
    recorded(started, call)
    call.send(message(said))
    info(call, "#")
    wait_speech(call)
    info(call, "1")
    wait_speech(call)
    info(call, "2")
    wait_speech(call)
    call.hang_up()
    same(recording(wait_mail(smtp_server, phone.user)), decoded(said))


def test_a_key_leads_to_another_mailbox(
    started: Agent, phone: Caller, smtp_server: SmtpServer
) -> None:
    said = noise(0.5, 44)
    call = phone.call("210")
    call.send(opening())
    wait_speech(call)
    info(call, "1")
    recorded(started, call)
    call.send(message(said))
    call.hang_up()
    mail = wait_mail(smtp_server, phone.user)
    same(recording(mail), decoded(said))
    assert mail.message["X-Sipmail-Mailbox"] == "urgent"
    assert mail.message["Importance"] == "high"
    assert mail.recipients == ("jan@sipmail.test",)


def test_an_announcement_records_nothing(started: Agent, phone: Caller) -> None:
    call = phone.call("211")
    call.send(opening())
    call.wait_bye()
    known = wait_settled(started, call.call_id)
    assert (known["kind"], known["recorded"], known["delivery"]["recipients"]) == (
        "missed",
        False,
        {},
    )
