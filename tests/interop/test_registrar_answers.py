"""What a registrar may say to a REGISTER, said by SIPp as the registrar.

It is too busy for a second (RFC 3261, 20.33), wants a longer registration (423, section 10.2.8),
redirects (302, which is followed at once), is not there for a second (480), breaks down (500),
refuses for all (600), and takes it at last.
What it gets must be one registration: Call-ID and Contact stay, CSeq goes up, and the last word is
the un-REGISTER.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.conftest import StartAgent
from tests.interop.scenario import Sipp
from tests.interop.steps import answer, expect_request
from tests.support.patience import PATIENCE

pytestmark = pytest.mark.interop

_SOON = ["Retry-After: 1"]
TAKEN = answer(headers=["[last_Contact:]", "Expires: 120"])
STEPS = (
    expect_request("REGISTER", has=["Expires: 60", "Contact: <sip:"]),
    answer("503 Service Unavailable", _SOON),
    expect_request("REGISTER", has=["Expires: 60"]),
    answer("423 Interval Too Brief", ["Min-Expires: 120"]),
    expect_request("REGISTER", has=["Expires: 120"]),
    answer("302 Moved Temporarily", ["Contact: <sip:127.0.0.1:[local_port];transport=udp>"]),
    expect_request("REGISTER", has=["Expires: 120"]),
    answer("480 Temporarily Unavailable", _SOON),
    expect_request("REGISTER", has=["Expires: 120"]),
    answer("500 Server Internal Error", _SOON),
    expect_request("REGISTER", has=["Expires: 120"]),
    answer("600 Busy Everywhere", _SOON),
    expect_request("REGISTER", has=["Expires: 120"]),
    TAKEN,
    expect_request("REGISTER", has=["Expires: 0"]),
    answer(),
)


def test_a_registrar_that_refuses_in_every_way_before_it_agrees(
    agent: StartAgent, sipp: str, tmp_path: Path
) -> None:
    with Sipp(
        sipp, tmp_path / "sipp", "registrar", steps=STEPS, seconds=PATIENCE, patience=PATIENCE
    ) as registrar:
        trunk = {
            "registrar": f"sip:127.0.0.1:{registrar.port}",
            "username": "200",
            "password": "secret",
            "expires": 60,
        }
        running = agent(sip={"trunks": {"pbx": trunk}})
        running.wait_log(lambda line: "pbx" in line and "registered" in line.split())
        assert running.stop() == 0
        sent = registrar.finish()

    assert len(set(re.findall(r"^Call-ID: (\S+)", sent, re.MULTILINE))) == 1
    assert len(set(re.findall(r"^Contact: (<sip:[^>]*@[^>]*>)", sent, re.M))) == 1
    numbers = [int(one) for one in re.findall(r"^CSeq: (\d+) REGISTER", sent, re.MULTILINE)]
    assert sorted(set(numbers)) == list(range(min(numbers), min(numbers) + 8))
    log = running.log()
    for status in (503, 480, 500, 600):
        assert f"{status} " in log, log
