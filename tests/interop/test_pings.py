"""Keep-alives in the middle of a call: no PBX's pings disturb it (RFC 5626 section 3.5.1)."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.interop.scenario import Sipp
from tests.interop.steps import ANSWERED, goodbye, reinvite, sdp
from tests.interop.wire import PINGS, Wire
from tests.support.agent import Agent

pytestmark = pytest.mark.interop

STEPS = (*ANSWERED, *reinvite(2, sdp(version=2, direction="sendonly"), "a=recvonly"), *goodbye(3))
MESSAGES = 3
"""INVITE, ACK with re-INVITE, ACK with BYE: how many times SIPp sends at the least."""


def test_over_udp_they_get_no_answer(exchange: Agent, sipp: str, tmp_path: Path) -> None:
    with Wire("udp", exchange.address) as wire:
        direct = [step.replace("[next_url]", "sip:x@[remote_ip]:[remote_port]") for step in STEPS]
        Sipp(sipp, tmp_path, "pings", wire.address, steps=direct).finish()
        assert wire.answers == []
    assert wire.pings >= len(PINGS) * MESSAGES
    assert not any("WARNING" in line or "Traceback" in line for line in exchange.lines)


def test_over_tcp_each_gets_its_pong(exchange: Agent, sipp: str, tmp_path: Path) -> None:
    with Wire("tcp", exchange.address) as wire:
        Sipp(sipp, tmp_path, "pings", wire.address, transport="tcp", steps=STEPS).finish()
        assert wire.wrong == []
    assert wire.pings >= MESSAGES
    assert not any("WARNING" in line or "Traceback" in line for line in exchange.lines)
