"""Requests in and out of dialogs: RFC 3261 8.2, 11, 12.2.2 and 14, RFC 3311, 3891, 6086."""

from __future__ import annotations

import re

import pytest

from sipmail.sip.actions import (
    Ended,
    Hop,
    Ignored,
    Incoming,
    InfoDigit,
    MediaChanged,
    Renamed,
    Replaced,
)
from tests.sip_core.scene import OFFER, PHONE, STRANGER, Phone, Scene, established

HOLD = OFFER.replace("a=sendrecv", "a=sendonly")
SDP = [("Content-Type", "application/sdp")]


def say(scene: Scene, data: str, source: Hop = PHONE) -> int | None:
    """The status of the one answer to this."""
    [answer] = scene.receive(data, source)
    return answer.status


# --- outside a dialog ---------------------------------------------------------------------------


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
        ("Contact: <sip:phone@198.51.100.7:5062>\r\n", "", 400),
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


# --- who gets an answer -------------------------------------------------------------------------


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


def test_requests_in_a_dialog_belong_to_it_wherever_they_come_from() -> None:
    scene = Scene()
    phone = established(scene)
    assert say(scene, phone.request("INFO"), STRANGER) == 200
    assert say(scene, phone.request("BYE"), STRANGER) == 200
    assert len(scene.told(Ended)) == 1
    assert scene.told(Ignored) == []


def test_a_wrong_from_tag_is_another_dialog() -> None:
    scene = Scene()
    phone = established(scene)
    phone.tag = "wrong"
    assert say(scene, phone.request("BYE")) == 481
    assert scene.told(Ended) == []


# --- in a dialog --------------------------------------------------------------------------------


def test_hold_and_resume() -> None:
    scene = Scene()
    phone = established(scene)
    [ok] = scene.receive(phone.invite(body=HOLD))
    assert ok.status == 200
    assert "a=recvonly" in ok.body
    held = scene.told(MediaChanged)[-1].media
    assert (held.send, held.receive) == (False, True)
    scene.receive(phone.ack())
    [ok] = scene.receive(phone.invite())
    assert "a=sendrecv" in ok.body
    media = scene.told(MediaChanged)[-1].media
    assert (media.send, media.receive) == (True, True)
    scene.receive(phone.ack())
    versions = [
        re.search(r"o=sipmail \d+ (\d+)", sent.message.body)[1]  # type: ignore[index]
        for sent in scene.sent
        if sent.message.body
    ]
    assert versions == ["1", "2", "3"]
    assert scene.advance(40) == []


def test_a_re_invite_that_changes_nothing_keeps_the_version() -> None:
    scene = Scene()
    phone = established(scene)
    first = scene.sent[-1].message.body
    [ok] = scene.receive(phone.invite())
    assert ok.body == first
    assert len(scene.told(MediaChanged)) == 1


def test_the_200_to_a_re_invite_is_repeated_and_without_an_ack_the_call_ends() -> None:
    scene = Scene()
    phone = established(scene)
    invite = phone.invite()
    [ok] = scene.receive(invite)
    assert scene.receive(invite) == [ok]
    said = scene.advance(32)
    assert said[-1].method == "BYE"
    assert [action.cause for action in scene.told(Ended)] == ["no ACK came"]
    scene.receive(phone.respond(said[-1], 200))
    assert scene.settled()


def test_a_re_invite_without_an_offer_gets_one_and_its_answer_counts() -> None:
    scene = Scene()
    phone = established(scene)
    [ok] = scene.receive(phone.invite(body=""))
    assert "m=audio 20000" in ok.body
    cseq = phone.cseq
    assert say(scene, phone.invite(body=OFFER)) == 491
    assert say(scene, phone.request("UPDATE", SDP, OFFER)) == 491
    scene.receive(phone.ack(cseq, body=OFFER.replace("40000", "40010")))
    assert scene.told(MediaChanged)[-1].media.remote_port == 40010


@pytest.mark.parametrize("method", ["INVITE", "UPDATE"])
def test_t38_is_refused_and_the_call_goes_on(method: str) -> None:
    scene = Scene()
    phone = established(scene)
    fax = (
        "v=0\r\no=phone 7 8 IN IP4 198.51.100.7\r\ns=-\r\nc=IN IP4 198.51.100.7\r\nt=0 0\r\n"
        "m=audio 0 RTP/AVP 0\r\nm=image 40002 udptl t38\r\n"
    )
    [refused] = scene.receive(phone.request(method, SDP, fax))
    assert refused.status == 488
    assert refused.get("Warning").startswith("304 ")
    if method == "INVITE":
        scene.receive(phone.ack(branch=phone.branch))
    assert say(scene, phone.request("INFO")) == 200
    assert len(scene.told(MediaChanged)) == 1
    assert scene.told(Ended) == []


def test_update_changes_media_and_target() -> None:
    scene = Scene()
    phone = established(scene)
    phone.contact = "<sip:moved@198.51.100.9:5099>"
    [ok] = scene.receive(phone.request("UPDATE", SDP, OFFER.replace("40000", "40020")))
    assert ok.status == 200
    assert "m=audio 20000" in ok.body
    assert scene.told(MediaChanged)[-1].media.remote_port == 40020
    [bye] = scene.hang_up()
    assert bye.uri == "sip:moved@198.51.100.9:5099"
    assert scene.sent[-1].to == Hop("udp", "198.51.100.9", 5099)


def test_a_refused_re_invite_does_not_move_the_target() -> None:
    scene = Scene()
    phone = established(scene)
    phone.contact = "<sip:moved@198.51.100.9:5099>"
    assert say(scene, phone.invite(body=OFFER.replace("0 8 101", "18"))) == 488
    [bye] = scene.hang_up()
    assert bye.uri == "sip:phone@198.51.100.7:5062"


def test_update_and_re_invite_before_the_answer() -> None:
    scene, phone = Scene(), Phone()
    scene.receive(phone.invite())
    phone.learn(scene.ring()[0])
    assert say(scene, phone.request("UPDATE")) == 200
    [refused] = scene.receive(phone.request("UPDATE", SDP, OFFER))
    # RFC 3311 section 5.2 and RFC 3261 section 14.2
    assert refused.status == 500
    assert 0 <= int(refused.get("Retry-After")) <= 10
    [refused] = scene.receive(phone.invite())
    assert refused.status == 500
    assert 0 <= int(refused.get("Retry-After")) <= 10


def test_a_lower_cseq_gets_500() -> None:
    scene = Scene()
    phone = established(scene)
    assert say(scene, phone.request("INFO", cseq=10)) == 200
    [refused] = scene.receive(phone.request("INFO", cseq=9))
    assert refused.status == 500
    assert refused.get("Retry-After")
    assert say(scene, phone.request("INFO", cseq=2**31 - 1)) == 200


@pytest.mark.parametrize(
    ("kind", "body", "digit"),
    [
        ("application/dtmf-relay", "Signal=5\r\nDuration=160\r\n", "5"),
        ("application/dtmf-relay", "Signal= #\nDuration= 160", "#"),
        ("Application/DTMF-Relay", "Duration=100\r\nsignal=*\r\n", "*"),
        ("application/dtmf-relay", "Signal=11\r\nDuration=160\r\n", "#"),
        ("application/dtmf-relay", "Signal=10\r\n", "*"),
        ("application/dtmf-relay", "Signal=d\r\n", "D"),
        ("application/dtmf", "7", "7"),
        ("application/dtmf", " # \r\n", "#"),
        ("application/dtmf", "11", "#"),
        ("application/dtmf-relay", "Signal=16\r\n", None),
        ("application/dtmf-relay", "Signal=!\r\n", None),
        ("application/dtmf-relay", "nothing", None),
        ("application/dtmf", "\xa0", None),
    ],
)
def test_info_keys(kind: str, body: str, digit: str | None) -> None:
    scene = Scene()
    phone = established(scene)
    data = phone.request("INFO", [("Content-Type", kind)], body).encode("latin-1")
    [ok] = scene.receive(data)
    assert ok.status == 200
    assert [action.digit for action in scene.told(InfoDigit)] == ([digit] if digit else [])
    scene.receive(data)
    assert len(scene.told(InfoDigit)) == (1 if digit else 0)


def test_other_infos() -> None:
    scene = Scene()
    phone = established(scene)
    [refused] = scene.receive(phone.request("INFO", [("Content-Type", "text/plain")], "x"))
    assert refused.status == 415
    assert "application/dtmf-relay" in refused.get("Accept")
    assert say(scene, phone.request("INFO", [("Info-Package", "foo")])) == 469
    assert say(scene, phone.request("INFO")) == 200
    assert say(scene, phone.request("INFO", (), "no type")) == 400


@pytest.mark.parametrize(
    ("method", "status"),
    [
        ("OPTIONS", 200),
        ("NOTIFY", 200),
        ("MESSAGE", 405),
        ("REFER", 603),
        ("SUBSCRIBE", 489),
        ("PUBLISH", 489),
        ("PRACK", 481),
        ("REGISTER", 405),
    ],
)
def test_other_methods_in_a_dialog(method: str, status: int) -> None:
    scene = Scene()
    phone = established(scene)
    assert say(scene, phone.request(method)) == status
    assert say(scene, phone.request("UPDATE", [("Require", "foo")])) == 420
    assert scene.told(Ended) == []


def test_requests_while_we_are_hanging_up() -> None:
    scene = Scene()
    phone = established(scene)
    scene.hang_up()
    assert say(scene, phone.invite()) == 481
    scene.receive(phone.ack(branch=phone.branch))
    assert say(scene, phone.request("INFO")) == 481
    assert say(scene, phone.request("UPDATE")) == 481


@pytest.mark.parametrize("method", ["INVITE", "UPDATE"])
def test_a_new_identity_renames_the_caller(method: str) -> None:
    scene = Scene()
    phone = established(scene, headers=[("P-Asserted-Identity", "<sip:1@x>")])
    same, other = ("P-Asserted-Identity", "<sip:1@x>"), ("P-Asserted-Identity", "<sip:2@x>")
    for header in (same, other, other):
        scene.receive(phone.request(method, [header, *SDP], OFFER))
        if method == "INVITE":
            scene.receive(phone.ack())
    scene.receive(phone.request("UPDATE"))
    [renamed] = scene.told(Renamed)
    assert renamed.request.headers.get("P-Asserted-Identity") == "<sip:2@x>"


# --- Replaces -----------------------------------------------------------------------------------


def replaces(phone: Phone, extra: str = "") -> tuple[str, str]:
    return "Replaces", f"{phone.call_id};to-tag={phone.to_tag};from-tag={phone.tag}{extra}"


def test_replaces_takes_the_place_of_a_call() -> None:
    scene = Scene()
    first = established(scene)
    old, second = scene.call, Phone()
    scene.receive(second.invite([("Require", "replaces"), replaces(first)]))
    assert scene.told(Ended) == []
    assert [action.replaces for action in scene.told(Incoming)] == [None, old]
    said = scene.answer()
    assert [message.status or message.method for message in said] == [200, "BYE"]
    assert [action.call for action in scene.told(Replaced)] == [old]
    assert [action.call for action in scene.told(Ended)] == [old]
    assert said[1].get("Call-ID") == first.call_id


def test_replaces_that_fits_nothing() -> None:
    scene = Scene()
    first = established(scene)
    first.to_tag = "wrong"
    assert say(scene, Phone().invite([replaces(first)])) == 481


def test_replaces_of_an_established_call_that_should_be_early() -> None:
    scene = Scene()
    first = established(scene)
    assert say(scene, Phone().invite([replaces(first, ";early-only")])) == 486


def test_replaces_of_a_call_that_we_have_not_answered() -> None:
    scene, first = Scene(), Phone()
    scene.receive(first.invite())
    first.learn(scene.ring()[0])
    assert say(scene, Phone().invite([replaces(first)])) == 481


def test_replaces_of_a_call_that_is_ending() -> None:
    scene = Scene()
    first = established(scene)
    scene.hang_up()
    assert say(scene, Phone().invite([replaces(first)])) == 603


@pytest.mark.parametrize("value", ["", ";x", "id", "id;to-tag=1", "id;from-tag=2"])
def test_malformed_replaces(value: str) -> None:
    scene = Scene()
    assert say(scene, Phone().invite([("Replaces", value)])) == 400


def test_two_replaces() -> None:
    scene = Scene()
    first = established(scene)
    assert say(scene, Phone().invite([replaces(first), replaces(first)])) == 400
