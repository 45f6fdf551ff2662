"""Races, repeats and what comes in the wrong order, played by SIPp to the running program: CANCEL
and BYE at any moment, merged requests, CSeq, INVITEs that cross, and a 2xx without its ACK.
"""

from __future__ import annotations

import pytest

from tests.interop.conftest import Play
from tests.interop.steps import (
    ANSWERED,
    OFFER,
    Case,
    expect,
    goodbye,
    maybe,
    pause,
    reinvite,
    sdp,
    send,
)

pytestmark = pytest.mark.interop

AUDIO = "m=audio [media_port] RTP/AVP 0"
BRANCH = "z9hG4bK[call_id]"
OTHER = "sip:201@[remote_ip]:[remote_port]"


def ringing(branch: str = BRANCH) -> tuple[str, ...]:
    """A call that rings for long."""
    return send("INVITE", body=OFFER, branch=branch), maybe(100), expect(180)


def cancelled(branch: str = BRANCH, headers: tuple[str, ...] = ()) -> tuple[str, ...]:
    """CANCEL, and what follows it."""
    return (
        send("CANCEL", headers=headers, inside=False, branch=branch),
        expect(200, has=["CSeq: 1 CANCEL"]),
        expect(487, has=["CSeq: 1 INVITE"]),
        send("ACK", branch=branch),
    )


CALLS: dict[str, Case] = {
    "an early cancel": ("203", (*ringing(), *cancelled())),
    "a cancel that comes too late": (
        "201",
        (
            *(send("INVITE", body=OFFER, branch=BRANCH), maybe(100), expect(200)),
            send("CANCEL", inside=False, branch=BRANCH),
            expect(200, has=["CSeq: 1 CANCEL"]),
            send("ACK"),
            send("OPTIONS", 2),
            expect(200, has=["CSeq: 2 OPTIONS"]),
            *goodbye(3),
        ),
    ),
    "a cancel of nothing": ("201", (send("CANCEL", inside=False), expect(481))),
    "a BYE while it rings": (
        "203",
        (
            *ringing(),
            send("BYE", 2),
            expect(200, has=["CSeq: 2 BYE"]),
            expect(487, has=["CSeq: 1 INVITE"]),
            send("ACK", branch=BRANCH),
        ),
    ),
    "a BYE that overtakes the ACK": (
        "201",
        (send("INVITE", body=OFFER), maybe(100), expect(200), *goodbye(2)),
    ),
    "a BYE for no call": (
        "201",
        (send("BYE", headers=[], uri="sip:x@[remote_ip]:[remote_port]", inside=False), expect(481)),
    ),
    "an INVITE that came by two ways": (
        "203",
        (
            *ringing(f"{BRANCH}1"),
            send("INVITE", body=OFFER, branch=f"{BRANCH}2"),
            expect(482),
            send("ACK", branch=f"{BRANCH}2"),
            *cancelled(f"{BRANCH}1"),
        ),
    ),
    "a fork to two numbers of ours": (
        "203",
        (
            *ringing(f"{BRANCH}1"),
            send(
                "INVITE", body=OFFER, branch=f"{BRANCH}2", uri="sip:201@[remote_ip]:[remote_port]"
            ),
            expect(482),
            send("ACK", branch=f"{BRANCH}2"),
            *cancelled(f"{BRANCH}1"),
        ),
    ),
    "a CSeq that goes back": (
        "201",
        (*ANSWERED, send("OPTIONS", 9), expect(200), send("OPTIONS", 5), expect(500), *goodbye(10)),
    ),
    "a re-INVITE before the one before is answered": (
        "203",
        (
            *ringing(),
            send("INVITE", 2, body=sdp(version=2), branch=f"{BRANCH}g"),
            maybe(100),
            expect(500, has=["CSeq: 2 INVITE", "Retry-After: [0-9]"]),
            send("ACK", 2, branch=f"{BRANCH}g"),
            *cancelled(),
        ),
    ),
    "a re-INVITE while the one before has no ACK": (
        "201",
        (
            *ANSWERED,
            send("INVITE", 2),
            maybe(100),
            expect(200, has=["m=audio [1-9]", "CSeq: 2 INVITE"]),
            send("INVITE", 3, body=sdp(version=2), branch=f"{BRANCH}g"),
            maybe(100),
            expect(491, has=["CSeq: 3 INVITE"]),
            send("ACK", 3, branch=f"{BRANCH}g"),
            send("ACK", 2, body=sdp(AUDIO, "a=rtpmap:0 PCMU/8000", version=2)),
            *reinvite(4, sdp(version=3, direction="sendonly"), "a=recvonly"),
            *goodbye(5),
        ),
    ),
}

NO_ACK = (
    *(send("INVITE", body=OFFER), maybe(100), expect(200)),
    *(pause(5500), send("ACK"), *goodbye(2)),
)


@pytest.mark.parametrize("transport", ["udp", "tcp"])
@pytest.mark.parametrize("name", CALLS)
def test_over(name: str, transport: str, play: Play) -> None:
    play(CALLS[name], transport)


def test_a_2xx_is_repeated_until_the_ack_comes(play: Play) -> None:
    # At once, after 0.5, 1.5 and 3.5 seconds (RFC 3261 section 13.3.1.4).
    assert answers_to_the_invite(play(("201", NO_ACK), "udp")) == 4


def answers_to_the_invite(trace: str) -> int:
    """How many times a 200 to the first INVITE came over UDP."""
    received = [part for part in trace.split("UDP message ") if part.startswith("received")]
    return sum("SIP/2.0 200" in part and "CSeq: 1 INVITE" in part for part in received)
