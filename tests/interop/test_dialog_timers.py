"""Session timers (RFC 4028), INVITEs that cross, and an ACK that never comes, played by SIPp to the
running program. What takes its time takes it at the same time.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.interop.conftest import Play
from tests.interop.scenario import Sipp
from tests.interop.steps import (
    OFFER,
    Case,
    answer,
    answered_with,
    expect,
    expect_request,
    goodbye,
    maybe,
    pause,
    refused,
    reinvite,
    sdp,
    send,
    update,
)
from tests.interop.test_dialog_order import answers_to_the_invite
from tests.support.agent import Agent

pytestmark = pytest.mark.interop

TIMER = "Supported: timer"
BY_US, BY_THEM = "Session-Expires: 90;refresher=uas", "Session-Expires: 90;refresher=uac"
REINVITES, UPDATES = "Allow: INVITE, ACK", "Allow: INVITE, ACK, UPDATE"

CALLS: dict[str, Case] = {
    "an interval that is too small": (
        "201",
        refused(422, "Min-SE: 90", headers=(TIMER, "Session-Expires: 60")),
    ),
    "an interval that is too small, and then one that is not": (
        "201",
        (
            *refused(422, "Min-SE: 90", headers=(TIMER, "Session-Expires: 60")),
            send("INVITE", 2, [TIMER, "Session-Expires: 90", "Min-SE: 90"], OFFER, inside=False),
            maybe(100),
            expect(200, has=["Session-Expires: 90"]),
            send("ACK", 2),
            *goodbye(3),
        ),
    ),
    "an interval that becomes too small": (
        "201",
        (
            *answered_with("Session-Expires: 90", headers=(TIMER, BY_THEM)),
            send("UPDATE", 2, [TIMER, "Session-Expires: 30"]),
            expect(422, has=["Min-SE: 90"]),
            *goodbye(3),
        ),
    ),
    "the caller as refresher": (
        "201",
        (
            *answered_with(BY_THEM, "Require: timer", headers=(TIMER, BY_THEM)),
            *reinvite(2, OFFER, BY_THEM, "Require: timer", headers=(TIMER, BY_THEM)),
            *update(3, "", BY_THEM, "Require: timer", headers=(TIMER, BY_THEM)),
            *goodbye(4),
        ),
    ),
    "a caller that knows no timer": (
        "201",
        (
            *answered_with(
                "Session-Expires: 1800;refresher=uas", headers=("Session-Expires: 1800",)
            ),
            *goodbye(2),
        ),
    ),
}

# We are to refresh in half of the 90 seconds, by re-INVITE where the caller's Allow has no UPDATE.
GLARE = (
    *answered_with(BY_US, headers=(TIMER, BY_US, REINVITES)),
    expect_request("INVITE", has=["CSeq: 1 INVITE", "Session-Expires: 90"], kept=True),
    send("INVITE", 2, body=sdp(version=2), branch="z9hG4bK[call_id]g"),
    maybe(100),
    expect(491, has=["CSeq: 2 INVITE"]),
    send("ACK", 2, branch="z9hG4bK[call_id]g"),
    answer("491 Request Pending", kept=True),
    expect_request("ACK", has=["CSeq: 1 ACK"]),
    expect_request("INVITE", has=["CSeq: 2 INVITE", "Session-Expires: 90"]),
    answer(headers=["Require: timer", BY_THEM], body=sdp()),
    expect_request("ACK", has=["CSeq: 2 ACK"]),
    *reinvite(3, sdp(version=3, direction="sendonly"), "a=recvonly"),
    *goodbye(4),
)
UPDATED = (
    *answered_with(BY_US, headers=(TIMER, BY_US, UPDATES)),
    expect_request("UPDATE", has=["CSeq: 1 UPDATE", "Session-Expires: 90"], lacks=["m=audio"]),
    answer(headers=["Require: timer", BY_THEM]),
    *goodbye(2),
)
TOO_OFTEN = (
    *answered_with(BY_US, headers=(TIMER, BY_US, UPDATES)),
    expect_request("UPDATE", has=["CSeq: 1 UPDATE", "Session-Expires: 90"]),
    answer("422 Session Interval Too Small", ["Min-SE: 120"]),
    expect_request("UPDATE", has=["CSeq: 2 UPDATE", "Session-Expires: 120", "Min-SE: 120"]),
    answer(headers=["Require: timer", "Session-Expires: 120;refresher=uac"]),
    *goodbye(2),
)
# A third of the interval, but at most 32 seconds, before its end (RFC 4028 section 10).
NOT_REFRESHED = (
    *answered_with(BY_THEM, headers=(TIMER, BY_THEM)),
    pause(57_000),
    send("OPTIONS", 2),
    expect(200),
    *(expect_request("BYE", has=["CSeq: 1 BYE"]), answer()),
)
DEAF = (
    *(send("INVITE", body=OFFER), maybe(100), expect(200)),
    *(expect_request("BYE", has=["CSeq: 1 BYE"]), answer()),
)
LONG = {
    "glare": GLARE,
    "update": UPDATED,
    "too often": TOO_OFTEN,
    "not refreshed": NOT_REFRESHED,
    "deaf": DEAF,
}


@pytest.mark.parametrize("transport", ["udp", "tcp"])
@pytest.mark.parametrize("name", CALLS)
def test_over(name: str, transport: str, play: Play) -> None:
    play(CALLS[name], transport)


@pytest.mark.long
def test_what_takes_its_time(exchange: Agent, sipp: str, tmp_path: Path) -> None:
    """An ACK that never comes (32 s), our refreshes (45 s), and none of the caller's (60 s)."""
    with ThreadPoolExecutor() as together:
        traces = {
            name: together.submit(
                Sipp(
                    *(sipp, tmp_path / name, name, exchange.address),
                    steps=steps,
                    seconds=75,
                    patience=70,
                ).finish
            )
            for name, steps in LONG.items()
        }
        # At once, after 0.5, 1.5 and 3.5 seconds, and then every four until 64*T1 are over: the
        # last comes half a second before that, or on a busy machine too late.
        assert answers_to_the_invite(traces["deaf"].result()) in (10, 11)
        for trace in traces.values():
            trace.result()
    assert not any("Traceback" in line for line in exchange.lines), exchange.log()
