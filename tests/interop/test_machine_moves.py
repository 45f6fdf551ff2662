"""The machine gets another address while sipmail runs: a Kamailio on another machine hears of it,
and calls arrive there.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import require_program
from tests.interop.kamailio import PASSWORD, REALM, VOICEMAIL
from tests.interop.networks import joined
from tests.interop.proxy import Proxy
from tests.interop.scenario import Sipp
from tests.interop.steps import OFFER, expect, goodbye, maybe, send
from tests.support import sounds
from tests.support.agent import Agent, configuration

pytestmark = pytest.mark.interop

BEFORE, AFTER, PBX = "192.0.2.1", "192.0.2.2", "192.0.2.50"


def a_call(address: str) -> tuple[str, ...]:
    contact = f"Contact: <sip:[^@]*@{address}:"
    return (
        *(send("INVITE", body=OFFER), maybe(100)),
        *(expect(200, has=[contact, f"c=IN IP4 {address}"]), send("ACK")),
        *goodbye(2),
    )


@pytest.mark.long
@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_calls_arrive_at_the_new_address(transport: str, sipp: str, tmp_path: Path) -> None:
    proxy = Proxy(require_program("kamailio"), PBX)
    trunk = {
        "registrar": f"sip:{PBX}:{proxy.ports[transport]};transport={transport}",
        "username": VOICEMAIL,
        "password": PASSWORD,
        "realm": REALM,
    }
    listen = [f"{one}://0.0.0.0:5060" for one in ("udp", "tcp")]
    settings = configuration(
        tmp_path,
        sip={"listen": listen, "trunks": {"local": None, "pbx": trunk}},
        mailboxes={"sales": {"greeting": str(sounds.greeting(tmp_path / "greeting.wav"))}},
    )
    agent = Agent(tmp_path, settings, fresh=True)  # in that network
    with joined(BEFORE, PBX) as (here, there):

        def call(address: str) -> None:
            options = {"host": PBX, "steps": a_call(address)}
            place = PBX, proxy.ports["udp"]
            there.on(lambda: Sipp(sipp, tmp_path / address, "call", place, **options)).finish()  # type: ignore[arg-type]

        try:
            there.on(proxy.start)
            here.on(agent.start)
            agent.wait_log(f"which reaches us at {BEFORE}:5060")
            call(BEFORE)
            since = len(agent.lines)
            here.move(AFTER)
            agent.wait_log(f"trunk pbx: our address is {AFTER} now (before: {BEFORE})")
            agent.wait_log("trunk pbx: registered", since=since)
            call(AFTER)
            assert agent.stop() == 0
        finally:
            agent.close()
            proxy.close()
            print(agent.log(), proxy.log(), sep="\n")
