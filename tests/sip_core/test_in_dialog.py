"""Requests within a dialog: RFC 3261 12.2.2 and 14, RFC 3311, 5876, 6086."""

from __future__ import annotations

import re

import pytest

from sipmail.sip.actions import (
    Ended,
    Hop,
    Ignored,
    InfoDigit,
    MediaChanged,
    Renamed,
)
from tests.sip_core.scene import OFFER, SDP, STRANGER, Phone, Scene, established, say

HOLD = OFFER.replace("a=sendrecv", "a=sendonly")


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
