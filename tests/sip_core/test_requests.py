"""Requests outside of a dialog, and who gets an answer: RFC 3261 8.2 and 11."""

from __future__ import annotations

import re

import pytest

from sipmail.sip.actions import (
    Hop,
    Ignored,
    Incoming,
)
from tests.sip_core.scene import PHONE, STRANGER, Phone, Scene, established, say


def test_options_tells_what_we_can_do() -> None:
    scene = Scene()
    [ok] = scene.receive(Phone().request("OPTIONS"))
    assert ok.status == 200
    # RFC 3261 11.2
    for name in ("Allow", "Accept", "Accept-Encoding", "Supported", "Contact"):
        assert ok.get(name)
    assert set(re.split(", ", ok.get("Allow"))) >= {"INVITE", "ACK", "CANCEL", "BYE", "OPTIONS"}
    assert ";tag=" in ok.get("To")


def test_a_shutdown_refuses_calls_and_tells_dispatchers_to_look_elsewhere() -> None:
    scene = Scene()
    phone = established(scene)
    scene.endpoint.refuse_new(480)
    assert say(scene, Phone().invite()) == 480
    assert say(scene, Phone().request("OPTIONS")) == 503
    assert len(scene.told(Incoming)) == 1
    assert say(scene, phone.request("OPTIONS")) == 200
    scene.endpoint.refuse_new(None)
    assert say(scene, Phone().request("OPTIONS")) == 200


@pytest.mark.parametrize(
    ("method", "status"),
    [
        ("REGISTER", 405),
        ("MESSAGE", 405),
        ("FROBNICATE", 405),
        ("SUBSCRIBE", 489),
        ("PUBLISH", 489),
        ("REFER", 603),
        ("NOTIFY", 200),
        ("BYE", 481),
        ("INFO", 481),
        ("UPDATE", 481),
        ("PRACK", 481),
    ],
)
def test_other_methods_outside_a_dialog(method: str, status: int) -> None:
    scene = Scene()
    [answer] = scene.receive(Phone().request(method))
    assert answer.status == status
    assert (answer.get("Allow") != "") == (status == 405)
    assert scene.settled()


@pytest.mark.parametrize("method", ["INVITE", "BYE", "OPTIONS", "UPDATE"])
def test_a_request_for_an_unknown_dialog_gets_481(method: str) -> None:
    scene, phone = Scene(), Phone()
    phone.to_tag = "unknown"
    assert say(scene, phone.request(method)) == 481
    assert scene.settled()


def test_an_ack_for_nothing_gets_nothing() -> None:
    scene, phone = Scene(), Phone()
    phone.to_tag = "unknown"
    assert scene.receive(phone.ack(cseq=1)) == []
    assert scene.settled()


def test_unsupported_extensions_are_named() -> None:
    scene = Scene()
    [refused] = scene.receive(Phone().invite([("Require", "timer, precondition, foo")]))
    assert refused.status == 420
    assert refused.get("Unsupported") == "precondition, foo"
    assert say(scene, Phone().invite([("Proxy-Require", "foo")])) == 100


def test_other_bodies_are_refused_with_what_is_accepted() -> None:
    scene = Scene()
    invite = Phone().request("INVITE", [("Content-Type", "text/plain")], "hello")
    [refused] = scene.receive(invite)
    assert refused.status == 415
    assert refused.get("Accept") == "application/sdp"
    encoded = Phone().invite([("Content-Encoding", "gzip")])
    assert say(scene, encoded) == 415


def test_a_request_that_comes_by_two_ways_is_merged() -> None:
    scene, phone = Scene(), Phone()
    assert say(scene, phone.invite()) == 100
    again = phone.invite().replace("CSeq: 2", "CSeq: 1")
    assert say(scene, again) == 482
    assert len(scene.told(Incoming)) == 1
    scene.reject(486)
    assert scene.settled()


def test_max_forwards_0_is_no_obstacle_at_the_end_of_the_way() -> None:
    # RFC 4475 section 3.3.11: a user agent processes it as if the value were positive.
    scene = Scene()
    assert say(scene, Phone().invite().replace("Max-Forwards: 70", "Max-Forwards: 0")) == 100


@pytest.mark.parametrize(
    ("old", "new", "status"),
    [
        ("SIP/2.0\r\nVia", "SIP/7.0\r\nVia", 505),
        ("sip:201@192.0.2.1 SIP", "http:nonsense SIP", 416),
        ("CSeq: 1 INVITE", "CSeq: 1 BYE", 400),
        ("CSeq: 1", "CSeq: 99999999999", 400),
        ("Max-Forwards: 70", "Max-Forwards: many", 400),
        ("Contact: <sip:phone@198.51.100.7:5062>\r\n", "Contact: <tel:+1>\r\n", 400),
        ("v=0", "v=9", 400),
        ("m=audio", "m=video", 488),
        ("RTP/AVP 0 8 101", "RTP/AVP 18 101", 488),
        ("RTP/AVP", "RTP/SAVP", 488),
    ],
)
def test_malformed_requests_of_a_trunk_get_the_status_that_says_so(
    old: str, new: str, status: int
) -> None:
    scene = Scene()
    invite = Phone().invite()
    assert old in invite
    body = invite.replace(old, new)
    head, _, sdp = body.partition("\r\n\r\n")
    head = re.sub("Content-Length: .*", f"Content-Length: {len(sdp)}", head)
    assert say(scene, f"{head}\r\n\r\n{sdp}") == status
    assert scene.told(Incoming) == []
    assert scene.settled()


@pytest.mark.parametrize(
    "data",
    [
        Phone(STRANGER).invite(),
        Phone(STRANGER).request("OPTIONS"),
        Phone(STRANGER).request("REGISTER"),
        Phone(STRANGER).request("CANCEL"),
        Phone(STRANGER).invite().replace("CSeq: 1 ", "CSeq: x "),
        Phone(STRANGER).invite().replace("SIP/2.0\r\n", "SIP/3.0\r\n"),
        Phone(STRANGER).invite()[:-40],
    ],
)
def test_a_stranger_gets_no_answer_and_the_log_a_hint(data: str) -> None:
    scene = Scene()
    assert scene.receive(data, STRANGER) == []
    [ignored] = scene.told(Ignored)
    assert ignored.source == STRANGER
    assert ignored.method == data.split(" ")[0]
    assert "accept_from: [203.0.113.66]" in ignored.hint
    assert scene.endpoint.machines == 0


def test_a_stranger_with_a_to_tag_gets_no_answer_either() -> None:
    scene, phone = Scene(), Phone(STRANGER)
    phone.to_tag = "guess"
    for method in ("INVITE", "BYE", "INFO"):
        assert scene.receive(phone.request(method), STRANGER) == []
    assert scene.receive(phone.ack(), STRANGER) == []
    assert [action.method for action in scene.told(Ignored)] == ["INVITE", "BYE", "INFO"]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\r\n\r\n",
        b"\r\n",
        b"\0\0\0\0",
        b"\0\x01\0\0\x21\x12\xa4\x42" + bytes(12),
        b"\x80\x60",
        b"garbage",
        b"hello world\r\n\r\n",
        b"\xff\xfe\r\n\r\n",
        b"jaK",
    ],
)
@pytest.mark.parametrize("source", [PHONE, STRANGER])
def test_what_is_no_sip_gets_nothing(data: bytes, source: Hop) -> None:
    scene = Scene()
    assert scene.endpoint.receive(data, source, Hop("udp", "192.0.2.1", 5060), 1.0) == []


def test_a_ping_over_tcp_gets_its_pong() -> None:
    scene = Scene()
    hop = Hop("tcp", STRANGER.host, 40000)
    [pong] = scene.endpoint.receive(b"\r\n\r\n", hop, Hop("tcp", "192.0.2.1", 5060), 1.0)
    assert pong.data == b"\r\n"  # type: ignore[union-attr]
    assert scene.endpoint.receive(b"\r\n", hop, Hop("tcp", "192.0.2.1", 5060), 1.0) == []


def test_responses_to_nothing_are_dropped() -> None:
    scene, phone = Scene(), Phone()
    scene.receive(phone.invite())
    before = len(scene.sent)
    scene.receive(
        "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKx\r\nFrom: <sip:a@b>;tag=1\r\n"
        "To: <sip:a@b>;tag=2\r\nCall-ID: x\r\nCSeq: 1 BYE\r\nContent-Length: 0\r\n\r\n"
    )
    scene.receive("SIP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n")
    assert len(scene.sent) == before
