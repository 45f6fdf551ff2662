"""What PBXs do within and around calls, played by SIPp to the running program, over UDP and TCP.

Mailbox 201 answers at once, 202 rings for a second, 203 for half a minute.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.conftest import require_program
from tests.interop.scenario import run_scenario
from tests.interop.steps import (
    ANSWERED,
    OFFER,
    answer,
    expect,
    expect_request,
    goodbye,
    maybe,
    pause,
    sdp,
    send,
)
from tests.support import sounds
from tests.support.agent import Agent, configuration
from tests.support.ports import free_port

pytestmark = pytest.mark.interop

ALLOW = "Allow: INVITE, ACK"
SUITE = "AES_CM_128_HMAC_SHA1_80"
AUDIO = "m=audio [media_port] RTP/AVP 0"
HERE = "<sip:[local_ip]:[local_port];transport=[transport]"
AWAY = "<sip:+48600111222@192.0.2.77:5099>"
MIME = (
    "--b\nContent-Type: application/sdp\n\n" + OFFER + "--b\nContent-Type: text/plain\n\nx\n--b--\n"
)


def finished(number: int) -> tuple[str, ...]:
    """A finish key once the greeting and the beep are over; then the agent hangs up."""
    body = "Signal=#\nDuration=160\n"
    info = send("INFO", number, body=body, kind="application/dtmf-relay")
    return pause(3000), info, expect(200)


def refused(
    status: int, *has: str, headers: tuple[str, ...] = (), body: str = OFFER, **options: str
) -> tuple[str, ...]:
    """An INVITE that gets a failure, which the transaction acknowledges."""
    return (
        send("INVITE", headers=headers, body=body, branch="z9hG4bK[call_id]i", **options),
        maybe(100),
        expect(status, has=has),
        send("ACK", inside=True, uri="sip:x@[remote_ip]", branch="z9hG4bK[call_id]i"),
    )


def reinvite(number: int, body: str, *has: str, lacks: tuple[str, ...] = ()) -> tuple[str, ...]:
    return (
        send("INVITE", number, body=body),
        maybe(100),
        expect(200, has=has, lacks=lacks),
        send("ACK", number),
    )


def answered_with(*has: str, headers: tuple[str, ...] = (), body: str = OFFER) -> tuple[str, ...]:
    return send("INVITE", headers=headers, body=body), maybe(100), expect(200, has=has), send("ACK")


T38 = sdp("m=image [media_port] udptl t38", "a=T38FaxVersion:0", "a=T38MaxBitRate:14400", version=2)

ELSEWHERE = 'Reason: SIP;cause=200;text="Call completed elsewhere"'

# Name, mailbox, steps.
CALLS: dict[str, tuple[str, tuple[str, ...]]] = {
    "a call": ("201", (*ANSWERED, *goodbye(2))),
    "a call that may go no further": (
        "201",
        (
            *(send("INVITE", body=OFFER, hops=0), maybe(100), expect(200), send("ACK", hops=0)),
            *goodbye(2),
        ),
    ),
    "a loose route": (
        "201",
        (
            send("INVITE", headers=[f"Record-Route: {HERE};lr>"], body=OFFER, contact=AWAY),
            maybe(100),
            expect(200, has=["Record-Route: <sip:.*;lr>"]),
            send("ACK"),
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
            send("INVITE", headers=[f"Record-Route: {HERE}>"], body=OFFER, contact=AWAY),
            maybe(100),
            expect(200),
            send("ACK"),
            *finished(2),
            expect_request(
                "BYE", has=["^BYE sip:127.0.0.1:", "Route: <sip:.48600111222@192.0.2.77:5099>"]
            ),
            answer(),
        ),
    ),
    "hold and resume": (
        "201",
        (
            *ANSWERED,
            *reinvite(2, sdp(version=2, direction="sendonly"), "a=recvonly", "o=sipmail [0-9]* 2 "),
            *reinvite(3, sdp(version=3, direction="inactive"), "a=inactive", "o=sipmail [0-9]* 3 "),
            *reinvite(4, sdp(version=4), "a=sendrecv", "o=sipmail [0-9]* 4 "),
            *reinvite(5, sdp(version=5, host="0.0.0.0"), "m=audio [1-9]"),
            *goodbye(6),
        ),
    ),
    "a new address for the sound": (
        "201",
        (
            *ANSWERED,
            *reinvite(2, sdp(version=2, host="127.0.0.2"), "m=audio [1-9]", "a=sendrecv"),
            *goodbye(3),
        ),
    ),
    "a codec change": (
        "201",
        (
            *ANSWERED,
            *reinvite(
                2,
                sdp("m=audio [media_port] RTP/AVP 8", "a=rtpmap:8 PCMA/8000", version=2),
                "m=audio [0-9]* RTP/AVP 8",
                lacks=("PCMU",),
            ),
            *goodbye(3),
        ),
    ),
    "a re-INVITE while the one before has no ACK": (
        "201",
        (
            *ANSWERED,
            send("INVITE", 2),
            maybe(100),
            expect(200, has=["m=audio [1-9]", "CSeq: 2 INVITE"]),
            send("INVITE", 3, body=sdp(version=2), branch="z9hG4bK[call_id]g"),
            maybe(100),
            expect(491, has=["CSeq: 3 INVITE"]),
            send("ACK", 3, branch="z9hG4bK[call_id]g"),
            send("ACK", 2, body=sdp(AUDIO, "a=rtpmap:0 PCMU/8000", version=2)),
            *reinvite(4, sdp(version=3, direction="sendonly"), "a=recvonly"),
            *goodbye(5),
        ),
    ),
    "updates with and without an offer": (
        "201",
        (
            *ANSWERED,
            send("UPDATE", 2),
            expect(200, lacks=["m=audio"]),
            send("UPDATE", 3, body=sdp(version=2, direction="sendonly")),
            expect(200, has=["a=recvonly"]),
            *goodbye(4),
        ),
    ),
    "a session interval that is too small": (
        "201",
        refused(422, "Min-SE: 90", headers=("Supported: timer", "Session-Expires: 60")),
    ),
    "a session timer with the caller as refresher": (
        "201",
        (
            *answered_with(
                "Session-Expires: 1800;refresher=uac",
                "Require: timer",
                headers=("Supported: timer", "Session-Expires: 1800;refresher=uac"),
            ),
            *goodbye(2),
        ),
    ),
    "a session timer for a caller that knows none": (
        "201",
        (
            *answered_with(
                "Session-Expires: 1800;refresher=uas", headers=("Session-Expires: 1800",)
            ),
            *goodbye(2),
        ),
    ),
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
    "a late offer": (
        "201",
        (
            send("INVITE"),
            maybe(100),
            expect(200, has=["m=audio [1-9]", "PCMA/8000", "PCMU/8000"]),
            send("ACK", body=sdp(AUDIO, "a=rtpmap:0 PCMU/8000")),
            *goodbye(2),
        ),
    ),
    "an early cancel": (
        "203",
        (
            send("INVITE", body=OFFER, branch="z9hG4bK[call_id]c"),
            maybe(100),
            expect(180),
            send("CANCEL", inside=False, branch="z9hG4bK[call_id]c"),
            expect(200, has=["CSeq: 1 CANCEL"]),
            expect(487, has=["CSeq: 1 INVITE"]),
            send("ACK", branch="z9hG4bK[call_id]c"),
        ),
    ),
    "a cancel for a call that was answered elsewhere": (
        "203",
        (
            send("INVITE", body=OFFER, branch="z9hG4bK[call_id]e"),
            maybe(100),
            expect(180),
            send("CANCEL", headers=[ELSEWHERE], inside=False, branch="z9hG4bK[call_id]e"),
            expect(200, has=["CSeq: 1 CANCEL"]),
            expect(487, has=["CSeq: 1 INVITE"]),
            send("ACK", branch="z9hG4bK[call_id]e"),
        ),
    ),
    "a BYE that overtakes the ACK": (
        "201",
        (send("INVITE", body=OFFER), maybe(100), expect(200), *goodbye(2)),
    ),
    "an INVITE that came by two ways": (
        "203",
        (
            send("INVITE", body=OFFER, branch="z9hG4bK[call_id]1"),
            maybe(100),
            expect(180),
            send("INVITE", body=OFFER, branch="z9hG4bK[call_id]2"),
            expect(482),
            send("ACK", branch="z9hG4bK[call_id]2"),
            send("CANCEL", inside=False, branch="z9hG4bK[call_id]1"),
            expect(200),
            expect(487),
            send("ACK", branch="z9hG4bK[call_id]1"),
        ),
    ),
    "a CSeq that goes back": (
        "201",
        (*ANSWERED, send("OPTIONS", 9), expect(200), send("OPTIONS", 5), expect(500), *goodbye(10)),
    ),
    "an extension that nobody has": (
        "201",
        refused(420, "Unsupported: no-such-thing", headers=("Require: no-such-thing",)),
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
    "an offer in one part of several": (
        "201",
        (
            send("INVITE", body=MIME, kind="multipart/mixed;boundary=b"),
            maybe(100),
            expect(200, has=["m=audio [1-9]"]),
            send("ACK"),
            *goodbye(2),
        ),
    ),
    "a second stream": (
        "201",
        (
            *answered_with(
                "m=audio [1-9][0-9]* ",
                "m=video 0 RTP/AVP",
                body=sdp(AUDIO, "m=video 9000 RTP/AVP 96", "a=rtpmap:96 H264/90000"),
            ),
            *goodbye(2),
        ),
    ),
    "no codec in common": (
        "201",
        refused(
            488,
            "Warning: 305",
            body=sdp("m=audio [media_port] RTP/AVP 111", "a=rtpmap:111 opus/48000/2"),
        ),
    ),
    "encryption over UDP is refused": (
        "201",
        refused(
            488,
            body=sdp(
                "m=audio [media_port] RTP/SAVP 0",
                f"a=crypto:1 {SUITE} inline:PS1uQCVeeCFCanVmcjkpPywjNWhcYD0mXXtxaVBR",
            ),
        ),
    ),
    "a fax is refused and the call goes on": (
        "201",
        (
            *ANSWERED,
            send("INVITE", 2, body=T38, branch="z9hG4bK[call_id]f"),
            maybe(100),
            expect(488),
            send("ACK", 2, branch="z9hG4bK[call_id]f"),
            send("OPTIONS", 3),
            expect(200),
            *goodbye(4),
        ),
    ),
    "keys in both forms, and a body that is none": (
        "201",
        (
            *ANSWERED,
            send("INFO", 2, body="Signal=5\nDuration=100\n", kind="application/dtmf-relay"),
            expect(200),
            send("INFO", 3, body="5\n", kind="application/dtmf"),
            expect(200),
            send("INFO", 4),
            expect(200),
            send("INFO", 5, body="<x/>\n", kind="application/media_control+xml"),
            expect(415, has=["Accept: application/dtmf"]),
            *goodbye(6),
        ),
    ),
    "a finish key ends the call": (
        "201",
        (*ANSWERED, *finished(2), expect_request("BYE"), answer()),
    ),
    "transfers and subscriptions are refused, notifications taken": (
        "201",
        (
            *ANSWERED,
            send("REFER", 2, headers=["Refer-To: <sip:9@192.0.2.1>"]),
            expect(603),
            send("SUBSCRIBE", 3, headers=["Event: dialog"]),
            expect(489),
            send("NOTIFY", 4, headers=["Event: refer", "Subscription-State: active"]),
            expect(200),
            *goodbye(5),
        ),
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
    "OPTIONS outside of a call": (
        "201",
        (
            send("OPTIONS", inside=False),
            expect(200, has=[ALLOW, "Accept: application/sdp", "Supported: "]),
        ),
    ),
    "message-summary outside of a call": (
        "201",
        (
            send(
                "NOTIFY",
                headers=["Event: message-summary", "Subscription-State: active"],
                body="Messages-Waiting: yes\n",
                kind="application/simple-message-summary",
                inside=False,
            ),
            expect(200),
        ),
    ),
    "a BYE for no call": (
        "201",
        (send("BYE", headers=[], uri="sip:x@[remote_ip]:[remote_port]", inside=False), expect(481)),
    ),
    "a call that is to replace none": (
        "201",
        refused(481, headers=("Replaces: nobody@nowhere;to-tag=a;from-tag=b",)),
    ),
    "a scheme that nobody has": ("201", refused(416, uri="nobodyKnowsThisScheme:201")),
    "an attended transfer": (
        "201",
        (
            *ANSWERED,
            send(
                "INVITE",
                2,
                headers=['P-Asserted-Identity: "Marek" <sip:+48600999888@pbx.example.com>'],
                body=sdp(version=2),
            ),
            maybe(100),
            expect(200),
            send("ACK", 2),
            *goodbye(3),
        ),
    ),
}


# The agent is to refresh, by re-INVITE since the caller's Allow has no UPDATE, in 45 seconds.
GLARE = (
    *answered_with(
        "Session-Expires: 90;refresher=uas",
        headers=("Supported: timer", "Session-Expires: 90;refresher=uas", "Allow: INVITE, ACK"),
    ),
    expect_request("INVITE", has=["CSeq: 1 INVITE", "Session-Expires: 90"], kept=True),
    send("INVITE", 2, body=sdp(version=2), branch="z9hG4bK[call_id]g"),
    maybe(100),
    expect(491, has=["CSeq: 2 INVITE"]),
    send("ACK", 2, branch="z9hG4bK[call_id]g"),
    answer("491 Request Pending", kept=True),
    expect_request("ACK", has=["CSeq: 1 ACK"]),
    expect_request("INVITE", has=["CSeq: 2 INVITE", "Session-Expires: 90"]),
    answer(headers=["Require: timer", "Session-Expires: 90;refresher=uac"], body=sdp()),
    expect_request("ACK", has=["CSeq: 2 ACK"]),
    *reinvite(3, sdp(version=3, direction="sendonly"), "a=recvonly"),
    *goodbye(4),
)
DEAF = (
    *(send("INVITE", body=OFFER), maybe(100), expect(200)),
    *(expect_request("BYE", has=["CSeq: 1 BYE"]), answer()),
)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Agent]:
    """One agent for all, which listens on UDP and TCP at one port."""
    folder = tmp_path_factory.mktemp("agent")
    port = free_port()
    base = configuration(
        folder,
        sip={"listen": [f"{t}://127.0.0.1:{port}" for t in ("udp", "tcp")]},
        rtp={"timeout": "2m"},  # these callers say nothing
    )
    short = str(sounds.greeting(folder / "greeting.wav"))
    sales = {**base["mailboxes"]["sales"], "missed_calls": False, "greeting": short}
    base["mailboxes"] = {
        "sales": {**sales, "numbers": ["201"]},
        "slow": {**sales, "numbers": ["202"], "answer_after": "1s"},
        "slower": {**sales, "numbers": ["203"], "answer_after": "30s"},
    }
    agent = Agent(folder, base)
    agent.start()
    yield agent
    agent.close()
    print(agent.log())


@pytest.fixture(scope="module")
def sipp() -> str:
    return require_program("sipp")


def play(
    sipp: str, folder: Path, agent: Agent, transport: str, case: tuple[str, tuple[str, ...]]
) -> None:
    number, steps = case
    run_scenario(
        sipp, folder, "scenario", agent.address, transport=transport, service=number, steps=steps
    )
    assert not any("Traceback" in line for line in agent.lines), agent.log()


@pytest.mark.parametrize("transport", ["udp", "tcp"])
@pytest.mark.parametrize("name", CALLS)
def test_over(name: str, transport: str, running: Agent, sipp: str, tmp_path: Path) -> None:
    play(sipp, tmp_path, running, transport, CALLS[name])


def test_a_2xx_is_repeated_until_the_ack_comes(running: Agent, sipp: str, tmp_path: Path) -> None:
    steps = (
        *(send("INVITE", body=OFFER), maybe(100), expect(200)),
        *(pause(3700), send("ACK"), *goodbye(2)),
    )
    trace = run_scenario(sipp, tmp_path, "no ack", running.address, steps=steps)
    assert answers_to_the_invite(trace) == 4  # at once, after 0.5, 1.5 and 3.5 seconds


def test_what_takes_its_time(running: Agent, sipp: str, tmp_path: Path) -> None:
    """An ACK that never comes (32 seconds), and re-INVITEs that cross (45), at the same time."""
    with ThreadPoolExecutor() as both:
        deaf, glare = (
            both.submit(
                run_scenario,
                *(sipp, tmp_path / name, name, running.address),
                steps=steps,
                seconds=75,
                patience=60,
            )
            for name, steps in (("deaf", DEAF), ("glare", GLARE))
        )
        # At once, after 0.5, 1.5 and 3.5 seconds, and then every four until 64*T1 are over.
        assert answers_to_the_invite(deaf.result()) == 11
        glare.result()
    assert not any("Traceback" in line for line in running.lines), running.log()


def answers_to_the_invite(trace: str) -> int:
    """How many times a 200 to the first INVITE came over UDP."""
    received = [part for part in trace.split("UDP message ") if part.startswith("received")]
    return sum("SIP/2.0 200" in part and "CSeq: 1 INVITE" in part for part in received)
