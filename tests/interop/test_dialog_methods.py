"""Methods, extensions and bodies, within a call and outside of one, played by SIPp to the running
program over UDP and TCP: taken, or refused as the RFCs say.
"""

from __future__ import annotations

import pytest

from tests.interop.conftest import Play
from tests.interop.steps import (
    ANSWERED,
    OFFER,
    Case,
    answer,
    answered_with,
    expect,
    expect_request,
    goodbye,
    key,
    maybe,
    pause,
    refused,
    send,
)

pytestmark = pytest.mark.interop

ALLOW = "Allow: INVITE, ACK"


def outside(
    status: int, method: str, *has: str, headers: tuple[str, ...] = (), **options: object
) -> Case:
    """A request outside of a call, and its answer."""
    sent = send(method, headers=headers, inside=False, **options)  # type: ignore[arg-type]
    return "201", (sent, expect(status, has=has))


CALLS: dict[str, Case] = {
    "provisional responses that must be acknowledged": (
        "202",
        (
            send("INVITE", headers=["Require: 100rel"], body=OFFER),
            maybe(100),
            expect(180, has=["Require: 100rel"], number="RSeq"),
            send("PRACK", 2, headers=["RAck: [$number] 1 INVITE"]),
            expect(200, has=["CSeq: 2 PRACK"]),
            expect(200, has=["CSeq: 1 INVITE", "m=audio [1-9]"]),
            send("ACK"),
            *goodbye(3),
        ),
    ),
    "a PRACK for nothing": (
        "201",
        (*ANSWERED, send("PRACK", 2, ["RAck: 1 1 INVITE"]), expect(481), *goodbye(3)),
    ),
    "an extension that nobody has": (
        "201",
        refused(420, "Unsupported: no-such-thing", headers=("Require: no-such-thing",)),
    ),
    "an extension that nobody has, within a call": (
        "201",
        (
            *ANSWERED,
            send("OPTIONS", 2, ["Require: no-such-thing"]),
            expect(420, has=["Unsupported: no-such-thing"]),
            *goodbye(3),
        ),
    ),
    "an extension that nobody has, in a proxy's words": (
        "201",
        (*answered_with(headers=("Proxy-Require: sec-agree",)), *goodbye(2)),
    ),
    "a body that is no offer": (
        "201",
        refused(415, "Accept: .*application/sdp", body="hello\n", kind="text/plain"),
    ),
    "a body that is packed": (
        "201",
        refused(415, "Accept-Encoding: ", headers=("Content-Encoding: gzip",)),
    ),
    "a scheme that nobody has": ("201", refused(416, uri="nobodyKnowsThisScheme:201")),
    "a digit as application/dtmf-relay": ("201", (*ANSWERED, *key(2, "5"), *goodbye(3))),
    "a finish key as application/dtmf-relay": (
        "201",
        (*ANSWERED, pause(3000), *key(2, "#"), expect_request("BYE"), answer()),
    ),
    "a finish key as application/dtmf": (
        "201",
        (
            *(*ANSWERED, pause(3000)),
            *(send("INFO", 2, body="#\n", kind="application/dtmf"), expect(200)),
            *(expect_request("BYE"), answer()),
        ),
    ),
    "an INFO without a body": ("201", (*ANSWERED, send("INFO", 2), expect(200), *goodbye(3))),
    "an INFO with a body that is no digit": (
        "201",
        (
            *ANSWERED,
            send("INFO", 2, body="<x/>\n", kind="application/media_control+xml"),
            expect(415, has=["Accept: application/dtmf"]),
            *goodbye(3),
        ),
    ),
    "REFER": (
        "201",
        (
            *ANSWERED,
            send("REFER", 2, headers=["Refer-To: <sip:9@192.0.2.1>"]),
            expect(603),
            *goodbye(3),
        ),
    ),
    "REFER outside of a call": outside(603, "REFER", headers=("Refer-To: <sip:9@192.0.2.1>",)),
    "SUBSCRIBE": (
        "201",
        (*ANSWERED, send("SUBSCRIBE", 2, ["Event: dialog"]), expect(489), *goodbye(3)),
    ),
    "SUBSCRIBE outside of a call": outside(
        489, "SUBSCRIBE", headers=("Event: message-summary", "Expires: 60")
    ),
    "NOTIFY of a transfer that nobody asked for": (
        "201",
        (
            *ANSWERED,
            send("NOTIFY", 2, ["Event: refer", "Subscription-State: active"]),
            expect(200),
            *goodbye(3),
        ),
    ),
    "message-summary outside of a call": outside(
        200,
        "NOTIFY",
        headers=("Event: message-summary", "Subscription-State: active"),
        body="Messages-Waiting: yes\n",
        kind="application/simple-message-summary",
    ),
    "methods that nobody has": (
        "201",
        (
            *ANSWERED,
            send("FROBNICATE", 2),
            expect(405, has=[ALLOW]),
            send("MESSAGE", 3, body="hello\n", kind="text/plain"),
            expect(405, has=[ALLOW]),
            *goodbye(4),
        ),
    ),
    "a method that nobody has, outside of a call": outside(405, "FROBNICATE", ALLOW),
    "a registration here": outside(405, "REGISTER", ALLOW),
    "OPTIONS": (
        "201",
        (*ANSWERED, send("OPTIONS", 2), expect(200, has=[ALLOW]), *goodbye(3)),
    ),
    "OPTIONS outside of a call": outside(
        200, "OPTIONS", ALLOW, "Accept: application/sdp", "Supported: "
    ),
    "OPTIONS that may go no further": outside(200, "OPTIONS", hops=0),
}


@pytest.mark.parametrize("transport", ["udp", "tcp"])
@pytest.mark.parametrize("name", CALLS)
def test_over(name: str, transport: str, play: Play) -> None:
    play(CALLS[name], transport)
