"""Behind a NAT: the address that others see is in Contact and SDP.

It is the `public_address` of the configuration, or what the registrar saw us as (received and
rport, RFC 3581). SIPp is the registrar, and calls.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import StartAgent
from tests.interop.scenario import Sipp
from tests.interop.steps import (
    OFFER,
    answer,
    expect,
    expect_request,
    goodbye,
    maybe,
    reinvite,
    sdp,
    send,
)
from tests.support import sounds

pytestmark = pytest.mark.interop

PUBLIC = "192.0.2.9"
CONTACT, SDP = f"Contact: <sip:[^@]*@{PUBLIC}:[0-9]+>", f"c=IN IP4 {PUBLIC}"
CALL = (
    *(send("INVITE", body=OFFER), maybe(100)),
    *(expect(200, has=[CONTACT, SDP]), send("ACK")),
    *reinvite(2, sdp(version=2, direction="sendonly"), CONTACT, SDP, "a=recvonly"),
)
BRANCH = '<ereg regexp="branch=[^;]*" search_in="hdr" header="Via:" assign_to="branch"/>'
SEEN = f"Via: SIP/2.0/UDP 127.0.0.1;[$branch];received={PUBLIC};rport=40123"
TAKEN = answer(headers=["[last_Contact:]", "Expires: 120"])
REGISTRAR = (
    expect_request("REGISTER", has=["Contact: <sip:[^@]*@127.0.0.1:"]).replace(
        "</action>", f"{BRANCH}</action>"
    ),
    TAKEN.replace("[last_Via:]", SEEN),
    expect_request("REGISTER", has=[f"@{PUBLIC}:40123>;exp.*=[1-9]", "@127.0.0.1:.*>;exp.*=0"]),
    TAKEN,
    expect_request("REGISTER", has=["Expires: 0", f"@{PUBLIC}:40123>"]),
    answer(),
)


def test_the_public_address_of_the_configuration(
    agent: StartAgent, sipp: str, tmp_path: Path
) -> None:
    started = agent(sip={"public_address": PUBLIC})
    Sipp(sipp, tmp_path, "public", started.address, steps=(*CALL, *goodbye(3))).finish()


def test_the_address_that_the_registrar_saw(agent: StartAgent, sipp: str, tmp_path: Path) -> None:
    with Sipp(
        sipp, tmp_path / "registrar", "registrar", steps=REGISTRAR, seconds=60, patience=60
    ) as registrar:
        trunk = {"registrar": f"sip:127.0.0.1:{registrar.port}", "username": "200"}
        started = agent(
            sip={"trunks": {"local": None, "pbx": trunk}},
            mailboxes={"sales": {"greeting": str(sounds.greeting(tmp_path / "greeting.wav"))}},
        )
        started.wait_log(f"which reaches us at {PUBLIC}:40123")
        steps = (*CALL, *goodbye(3))
        Sipp(sipp, tmp_path / "call", "call", started.address, steps=steps).finish()
        assert started.stop() == 0
        registrar.finish()
