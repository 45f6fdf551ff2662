"""Offers and answers, at the beginning of a call and within it (RFC 3264, RFC 3311), played by
SIPp to the running program over UDP and TCP.
"""

from __future__ import annotations

import pytest

from tests.interop.conftest import Play
from tests.interop.steps import (
    ANSWERED,
    OFFER,
    Case,
    answered_with,
    expect,
    goodbye,
    maybe,
    refused,
    reinvite,
    sdp,
    send,
    update,
)

pytestmark = pytest.mark.interop

SUITE = "AES_CM_128_HMAC_SHA1_80"
AUDIO = "m=audio [media_port] RTP/AVP 0"
PCMU = "a=rtpmap:0 PCMU/8000"
MIME = (
    "--b\nContent-Type: application/sdp\n\n" + OFFER + "--b\nContent-Type: text/plain\n\nx\n--b--\n"
)
T38 = sdp("m=image [media_port] udptl t38", "a=T38FaxVersion:0", "a=T38MaxBitRate:14400", version=2)
VIDEO = ("m=video 9000 RTP/AVP 96", "a=rtpmap:96 H264/90000")
PCMA_ONLY = sdp("m=audio [media_port] RTP/AVP 8", "a=rtpmap:8 PCMA/8000", version=2)


def hold(direction: str, ours: str, host: str = "[media_ip]") -> dict[str, Case]:
    """Hold and resume, by re-INVITE and by UPDATE; `ours` is what we then say."""
    held = sdp(version=2, direction=direction, host=host)
    resumed = sdp(version=3)
    by = {"re-INVITE": reinvite, "UPDATE": update}
    return {
        f"hold by {direction} to {host}, {name}": (
            "201",
            (
                *ANSWERED,
                *ask(2, held, ours, "o=sipmail [0-9]* 2 ", "m=audio [1-9]"),
                *ask(3, resumed, "a=sendrecv", "o=sipmail [0-9]* 3 ", "m=audio [1-9]"),
                *goodbye(4),
            ),
        )
        for name, ask in by.items()
    }


CALLS: dict[str, Case] = {
    "a call": ("201", (*ANSWERED, *goodbye(2))),
    **hold("sendonly", "a=recvonly"),
    **hold("inactive", "a=inactive"),
    **hold("sendonly", "a=recvonly", "0.0.0.0"),
    "hold by nothing but 0.0.0.0": (
        "201",
        (
            # That we send nothing meanwhile is in our SDP as it was before (RFC 3264 section 8.4).
            *answered_with("o=sipmail [0-9]* 1 "),
            *reinvite(2, sdp(version=2, host="0.0.0.0"), "o=sipmail [0-9]* 1 ", "m=audio [1-9]"),
            *update(3, sdp(version=3), "o=sipmail [0-9]* 1 ", "m=audio [1-9]"),
            *goodbye(4),
        ),
    ),
    "a refresh changes nothing": (
        "201",
        (
            *answered_with("o=sipmail [0-9]* 1 "),
            *reinvite(2, OFFER, "o=sipmail [0-9]* 1 "),
            *update(3, OFFER, "o=sipmail [0-9]* 1 "),
            *goodbye(4),
        ),
    ),
    "a re-INVITE without an offer gets one": (
        "201",
        (
            *ANSWERED,
            send("INVITE", 2),
            maybe(100),
            expect(200, has=["m=audio [1-9]", "PCMA/8000", "PCMU/8000"]),
            send("ACK", 2, body=sdp(AUDIO, PCMU, version=2)),
            *goodbye(3),
        ),
    ),
    "an UPDATE without an offer gets none": (
        "201",
        (*ANSWERED, *update(2, "", lacks=("m=audio",)), *goodbye(3)),
    ),
    "a new address for the sound": (
        "201",
        (
            *ANSWERED,
            *reinvite(2, sdp(version=2, host="127.0.0.2"), "m=audio [1-9]", "a=sendrecv"),
            *update(3, sdp(version=3, host="127.0.0.3"), "m=audio [1-9]", "a=sendrecv"),
            *goodbye(4),
        ),
    ),
    "a codec change": (
        "201",
        (
            *ANSWERED,
            *reinvite(2, PCMA_ONLY, "m=audio [0-9]* RTP/AVP 8", lacks=("PCMU",)),
            *update(3, sdp(AUDIO, PCMU, version=3), "m=audio [0-9]* RTP/AVP 0", lacks=("PCMA",)),
            *goodbye(4),
        ),
    ),
    "a late offer": (
        "201",
        (
            send("INVITE"),
            maybe(100),
            expect(200, has=["m=audio [1-9]", "PCMA/8000", "PCMU/8000"]),
            send("ACK", body=sdp(AUDIO, PCMU)),
            *goodbye(2),
        ),
    ),
    "video beside the sound": (
        "201",
        (
            *answered_with("m=audio [1-9][0-9]* ", "m=video 0 RTP/AVP", body=sdp(AUDIO, *VIDEO)),
            *goodbye(2),
        ),
    ),
    "a second stream of sound": (
        "201",
        (
            *answered_with(
                "m=audio [1-9][0-9]* .*m=audio 0 ", body=sdp(AUDIO, PCMU, "m=audio 9002 RTP/AVP 0")
            ),
            *goodbye(2),
        ),
    ),
    "video added later": (
        "201",
        (
            *ANSWERED,
            *reinvite(2, sdp(AUDIO, *VIDEO, version=2), "m=audio [1-9]", "m=video 0 RTP/AVP"),
            *goodbye(3),
        ),
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
            *reinvite(3, sdp(version=3, direction="sendonly"), "a=recvonly"),
            *goodbye(4),
        ),
    ),
}


@pytest.mark.parametrize("transport", ["udp", "tcp"])
@pytest.mark.parametrize("name", CALLS)
def test_over(name: str, transport: str, play: Play) -> None:
    play(CALLS[name], transport)
