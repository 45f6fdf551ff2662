"""Where requests within a call go: route sets, next hops, and the peer's Contact (RFC 3261
sections 12 and 16.12), played by SIPp to the running program over UDP and TCP.
"""

from __future__ import annotations

import pytest

from tests.interop.conftest import Play
from tests.interop.steps import (
    OFFER,
    Case,
    answer,
    answered_with,
    expect,
    expect_request,
    finished,
    goodbye,
    maybe,
    reinvite,
    sdp,
    send,
)

pytestmark = pytest.mark.interop

HERE = "<sip:[local_ip]:[local_port];transport=[transport]"
ELSEWHERE = "<sip:192.0.2.9:5099;lr>"
AWAY = "<sip:+48600111222@192.0.2.77:5099>"
MOVED = "<sip:moved@[local_ip]:[local_port];transport=[transport]>"


def recorded(*routes: str) -> tuple[str, ...]:
    """A call whose INVITE came through proxies, from a phone that none could reach directly."""
    return (
        send("INVITE", headers=[f"Record-Route: {', '.join(routes)}"], body=OFFER, contact=AWAY),
        maybe(100),
        expect(200, has=["Record-Route: <sip:127.0.0.1:"]),
        send("ACK"),
    )


CALLS: dict[str, Case] = {
    "a loose route": (
        "201",
        (
            *recorded(f"{HERE};lr>"),
            *finished(2),
            expect_request(
                "BYE", has=["^BYE sip:.48600111222@192.0.2.77:5099 SIP", "Route: <sip:.*;lr>"]
            ),
            answer(),
        ),
    ),
    "a strict route": (
        "201",
        (
            *recorded(f"{HERE}>"),
            *finished(2),
            expect_request(
                "BYE", has=["^BYE sip:127.0.0.1:", "Route: <sip:.48600111222@192.0.2.77:5099>"]
            ),
            answer(),
        ),
    ),
    "two proxies, in their order": (
        "201",
        (
            *recorded(f"{HERE};lr>", ELSEWHERE),
            *finished(2),
            expect_request(
                "BYE",
                has=[
                    "^BYE sip:.48600111222@192.0.2.77:5099 SIP",
                    "Route: <sip:127.0.0.1:[^>]*;lr>[,[:space:]]*(Route: )?<sip:192.0.2.9:5099;lr>",
                ],
            ),
            answer(),
        ),
    ),
    "a strict route before a loose one": (
        "201",
        (
            *recorded(f"{HERE}>", ELSEWHERE),
            *finished(2),
            expect_request(
                "BYE",
                has=[
                    "^BYE sip:127.0.0.1:",
                    "Route: <sip:192.0.2.9:5099;lr>[,[:space:]]*(Route: )?"
                    "<sip:.48600111222@192.0.2.77:5099>",
                ],
            ),
            answer(),
        ),
    ),
    "a re-INVITE changes the Contact": (
        "201",
        (
            *answered_with(),
            *reinvite(2, sdp(version=2), contact=MOVED),
            *finished(3),
            expect_request("BYE", has=["^BYE sip:moved@127.0.0.1:"], lacks=["Route: "]),
            answer(),
        ),
    ),
    "a re-INVITE does not change the route": (
        "201",
        (
            *recorded(f"{HERE};lr>"),
            send("INVITE", 2, [f"Record-Route: {ELSEWHERE}"], sdp(version=2), contact=AWAY),
            maybe(100),
            expect(200),
            send("ACK", 2),
            *finished(3),
            expect_request("BYE", has=["Route: <sip:127.0.0.1:"], lacks=["192.0.2.9"]),
            answer(),
        ),
    ),
    "a call that may go no further": (
        "201",
        (
            *(send("INVITE", body=OFFER, hops=0), maybe(100), expect(200), send("ACK", hops=0)),
            *goodbye(2),
        ),
    ),
}


@pytest.mark.parametrize("transport", ["udp", "tcp"])
@pytest.mark.parametrize("name", CALLS)
def test_over(name: str, transport: str, play: Play) -> None:
    play(CALLS[name], transport)
