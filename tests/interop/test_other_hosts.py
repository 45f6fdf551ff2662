"""Calls for an account that come from other hosts than its registrar, as carriers send them.

SIPp is the registrar at 127.0.0.1, and calls from there, from 127.0.0.2, which `accept_from` names,
and from 127.0.0.3, which nobody does.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.interop.scenario import Sipp, call_id_of
from tests.interop.steps import (
    OFFER,
    answer,
    expect,
    expect_request,
    goodbye,
    maybe,
    pause,
    send,
)
from tests.support import sounds
from tests.support.agent import Agent, configuration
from tests.support.patience import eventually

pytestmark = pytest.mark.interop

ACCOUNTS = {"first": "200", "second": "300"}
NUMBER = "sip:+48221234567@[remote_ip]:[remote_port]"
REGISTRAR = (
    expect_request("REGISTER", has=["Expires: 300"]),
    answer(headers=["[last_Contact:]", "Expires: 300"]),
    expect_request("REGISTER", has=["Expires: 0"]),
    answer(),
)


@dataclass(frozen=True)
class Carrier:
    """An agent with two accounts, and the Contact of each at the registrar."""

    agent: Agent
    contacts: dict[str, str]


@pytest.fixture(scope="module")
def carrier(sipp: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Carrier]:
    """Both accounts are registered, and have a mailbox each; the rest goes to a third."""
    folder = tmp_path_factory.mktemp("carrier")
    with ExitStack() as stack:
        registrars = {
            name: stack.enter_context(
                Sipp(sipp, folder / name, name, steps=REGISTRAR, seconds=120, patience=120)
            )
            for name in ACCOUNTS
        }
        trunks = {
            name: {
                "registrar": f"sip:127.0.0.1:{registrar.port}",
                "username": ACCOUNTS[name],
                "accept_from": ["127.0.0.2/32"],
                "mailbox": name,
            }
            for name, registrar in registrars.items()
        }
        base = configuration(folder, sip={"trunks": {"local": None, **trunks}})
        common = {
            **base["mailboxes"]["sales"],
            "greeting": str(sounds.greeting(folder / "greeting.wav")),
            "missed_calls": False,
        }
        base["mailboxes"] = {name: {**common, "numbers": [ACCOUNTS[name]]} for name in ACCOUNTS}
        agent = Agent(folder, base).start()
        stack.callback(agent.close)
        contact = re.compile(r"^Contact: <(sip:[^>]*)>", re.MULTILINE)
        found = {
            name: eventually(lambda one=registrar: contact.search(one.trace), "a Contact")[1]  # type: ignore[misc]
            for name, registrar in registrars.items()
        }
        for name in ACCOUNTS:
            agent.wait_log(f"trunk {name}: registered")
        yield Carrier(agent, found)
        assert agent.stop() == 0
        for registrar in registrars.values():
            registrar.finish()
        print(agent.log())


def a_call(uri: str) -> tuple[str, ...]:
    return (
        send("INVITE", body=OFFER, uri=uri),
        maybe(100),
        expect(200, has=["m=audio [1-9]"]),
        send("ACK"),
        *goodbye(2),
    )


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2"])
@pytest.mark.parametrize("account", ACCOUNTS)
def test_a_call_to_the_contact_of_an_account(
    account: str, host: str, carrier: Carrier, sipp: str, tmp_path: Path
) -> None:
    steps, address = a_call(carrier.contacts[account]), carrier.agent.address
    call_id = call_id_of(Sipp(sipp, tmp_path, "call", address, host=host, steps=steps).finish())
    carrier.agent.wait_log(f"{call_id}: for {account} from +48600111222")


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2"])
def test_a_call_to_a_number_behind_the_account(
    host: str, carrier: Carrier, sipp: str, tmp_path: Path
) -> None:
    steps, address = a_call(NUMBER), carrier.agent.address
    call_id = call_id_of(Sipp(sipp, tmp_path, "call", address, host=host, steps=steps).finish())
    line = carrier.agent.wait_log(f"{call_id}: for ")
    assert line.endswith("by trunk first")


def test_a_stranger_gets_no_answer_and_the_log_says_what_would_let_it_in(
    carrier: Carrier, sipp: str, tmp_path: Path
) -> None:
    steps = (send("INVITE", body=OFFER, uri=carrier.contacts["second"]), pause(2500))
    trace = Sipp(
        sipp, tmp_path, "stranger", carrier.agent.address, host="127.0.0.3", steps=steps
    ).finish()
    assert "message received" not in trace
    line = carrier.agent.wait_log("no answer to INVITE from 127.0.0.3:")
    assert line.endswith("sip.trunks.second.accept_from: [127.0.0.3] would accept it")
