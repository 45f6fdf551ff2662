"""`sipmail trace` and `sipmail run --trace` against a running agent."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.cli.conftest import Sipmail
from tests.conftest import StartAgent
from tests.support.caller import Caller


def options(phone: Caller, agent_port: int) -> None:
    phone.request(
        "OPTIONS",
        f"sip:127.0.0.1:{agent_port}",
        [("Authorization", 'Digest username="a", response="0123456789abcdef"')],
    )


def test_the_trace_goes_on_and_off_while_calls_come(
    agent: StartAgent, caller: Callable[..., Caller], sipmail: Sipmail
) -> None:
    started = agent()
    phone = caller(started.address)
    options(phone, started.address[1])
    assert not any("OPTIONS" in line for line in started.lines)
    on = sipmail("trace", "on", "local", "-c", started.file)
    assert (on.status, on.out) == (0, "the SIP messages of local are logged\n")
    options(phone, started.address[1])
    started.wait_log("< OPTIONS sip:")
    started.wait_log("> SIP/2.0 200 OK")
    assert "0123456789abcdef" not in started.log()
    off = sipmail("trace", "off", "-c", started.file)
    assert (off.status, off.out) == (0, "no SIP message is logged\n")
    since = len(started.lines)
    options(phone, started.address[1])
    assert not any("OPTIONS" in line for line in started.lines[since:])


def test_an_unknown_trunk_is_named(agent: StartAgent, sipmail: Sipmail) -> None:
    started = agent()
    result = sipmail("trace", "on", "nowhere", "-c", started.file)
    assert result.status == 1
    assert "there is no trunk nowhere" in result.err


def test_without_an_agent(agent: StartAgent, sipmail: Sipmail) -> None:
    result = sipmail("trace", "on", "-c", agent(start=False).file)
    assert result.status == 1
    assert "no sipmail is running" in result.err


def test_a_wrong_switch_is_wrong_use(sipmail: Sipmail, tmp_path: Path) -> None:
    assert sipmail("trace", "maybe").status == 2
