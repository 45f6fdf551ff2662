"""Session timers: RFC 4028, refreshed by the peer and by us (RFC 3311, RFC 3261 section 14.1)."""

from __future__ import annotations

import re

import pytest

from sipmail.sip.actions import Ended, Hop, MediaChanged
from tests.sip_core.scene import OFFER, PHONE, Phone, Scene, established
from tests.support.siptext import Message

SUPPORTED = ("Supported", "timer")
ALLOW_UPDATE = ("Allow", "INVITE, ACK, BYE, UPDATE")


def timed(scene: Scene, expires: str, *more: tuple[str, str]) -> tuple[Phone, Message]:
    phone = Phone()
    scene.receive(phone.invite([("Session-Expires", expires), *more]))
    [ok] = scene.answer()
    phone.learn(ok)
    scene.receive(phone.ack())
    return phone, ok


def test_without_a_wish_there_is_no_timer() -> None:
    scene = Scene()
    established(scene)
    assert scene.sent[-1].message.get("Session-Expires") == ""
    assert scene.advance(100_000) == []


@pytest.mark.parametrize(
    ("expires", "headers", "answered", "required"),
    [
        # RFC 4028 section 9, table 2
        ("1800", [SUPPORTED], "1800;refresher=uac", "timer"),
        ("1800;refresher=uac", [SUPPORTED], "1800;refresher=uac", "timer"),
        ("1800;refresher=uas", [SUPPORTED], "1800;refresher=uas", "timer"),
        ("1800", [], "1800;refresher=uas", ""),
        ("90 ; refresher=UAC", [SUPPORTED], "90;refresher=uac", "timer"),
        ("50", [], "90;refresher=uas", ""),
        ("200", [("Min-SE", "120"), SUPPORTED], "200;refresher=uac", "timer"),
    ],
)
def test_who_refreshes_and_how_often(
    expires: str, headers: list[tuple[str, str]], answered: str, required: str
) -> None:
    _, ok = timed(Scene(), expires, *headers)
    assert ok.get("Session-Expires") == answered
    assert ok.get("Require") == required


def test_an_interval_that_is_too_small() -> None:
    scene, phone = Scene(), Phone()
    [refused] = scene.receive(phone.invite([("Session-Expires", "60"), SUPPORTED]))
    assert refused.status == 422
    assert refused.get("Min-SE") == "90"


def test_malformed_session_expires() -> None:
    scene = Scene()
    [refused] = scene.receive(Phone().invite([("Session-Expires", "soon"), SUPPORTED]))
    assert refused.status == 400


def test_a_peer_that_does_not_refresh_gets_a_bye() -> None:
    scene = Scene()
    phone, _ = timed(scene, "90;refresher=uac", SUPPORTED)
    # RFC 4028 section 10: a third of the interval before its end, at most 32 s.
    assert scene.advance(59.9) == []
    [bye] = scene.advance(0.2)
    assert bye.method == "BYE"
    assert [action.cause for action in scene.told(Ended)] == ["the session expired"]
    scene.receive(phone.respond(bye, 200))
    assert scene.settled()


def test_a_long_interval_ends_32_seconds_early() -> None:
    scene = Scene()
    timed(scene, "1800;refresher=uac", SUPPORTED)
    assert scene.advance(1767.9) == []
    assert [message.method for message in scene.advance(0.2)] == ["BYE"]


@pytest.mark.parametrize("method", ["UPDATE", "INVITE"])
def test_a_refresh_of_the_peer_begins_the_interval_again(method: str) -> None:
    scene = Scene()
    phone, _ = timed(scene, "90;refresher=uac", SUPPORTED)
    for _ in range(3):
        scene.advance(45)
        headers = [("Session-Expires", "90;refresher=uac"), SUPPORTED]
        body = OFFER if method == "INVITE" else ""
        if body:
            headers.append(("Content-Type", "application/sdp"))
        [ok] = scene.receive(phone.request(method, headers, body))
        assert ok.get("Session-Expires") == "90;refresher=uac"
        if method == "INVITE":
            scene.receive(phone.ack())
    assert scene.told(Ended) == []
    assert len(scene.told(MediaChanged)) == 1
    scene.advance(59)
    assert scene.told(Ended) == []
    scene.advance(2)
    assert len(scene.told(Ended)) == 1


def test_a_later_re_invite_without_the_header_keeps_the_timer() -> None:
    scene = Scene()
    phone, _ = timed(scene, "90;refresher=uac", SUPPORTED)
    [ok] = scene.receive(phone.invite())
    assert ok.get("Session-Expires") == "90;refresher=uas"
    scene.receive(phone.ack())
    assert [message.method for message in scene.advance(45.1)] == ["INVITE"]


def test_our_refresh_by_update() -> None:
    scene = Scene()
    phone, _ = timed(scene, "100;refresher=uas", SUPPORTED, ALLOW_UPDATE)
    assert scene.advance(49.9) == []
    [update] = scene.advance(0.2)
    assert (update.method, update.body) == ("UPDATE", "")
    assert update.get("Session-Expires") == "100;refresher=uac"
    assert "timer" in update.get("Supported")
    assert update.get("Contact")
    ok = [("Session-Expires", "100;refresher=uac"), ("Require", "timer")]
    scene.receive(phone.respond(update, 200, ok))
    [second] = scene.advance(50.1)
    assert second.get("CSeq") == "2 UPDATE"
    scene.receive(phone.respond(second, 200, [("Session-Expires", "100;refresher=uas")]))
    # From here on the peer refreshes: it doesn't, and the call ends.
    assert [message.method for message in scene.advance(68.1)] == ["BYE"]


def test_our_refresh_by_re_invite() -> None:
    scene = Scene()
    phone, ok = timed(scene, "100;refresher=uas", SUPPORTED)
    [invite] = scene.advance(50)
    assert invite.method == "INVITE"
    assert invite.body == ok.body
    scene.receive(phone.respond(invite, 100))
    assert scene.advance(5) == []
    # RFC 3261 14.1 and 14.2: INVITEs that cross.
    [glare] = scene.receive(phone.invite())
    assert glare.status == 491
    sdp = [("Content-Type", "application/sdp"), ("Session-Expires", "100;refresher=uac")]
    answer = phone.respond(invite, 200, sdp, OFFER.replace("40000", "40004"))
    [ack] = scene.receive(answer)
    assert (ack.method, ack.get("CSeq")) == ("ACK", "1 ACK")
    assert scene.receive(answer) == [ack]
    assert scene.told(MediaChanged)[-1].media.remote_port == 40004
    assert scene.told(Ended) == []
    scene.hang_up()
    scene.receive(phone.respond(scene.sent[-1].message, 200))
    assert scene.settled()


def test_update_that_is_not_allowed_after_all() -> None:
    scene = Scene()
    phone, _ = timed(scene, "100;refresher=uas", SUPPORTED, ALLOW_UPDATE)
    [update] = scene.advance(50)
    [invite] = scene.receive(phone.respond(update, 405))
    assert invite.method == "INVITE"


def test_a_refresh_that_crosses_a_re_invite_is_tried_again() -> None:
    scene = Scene(jitter=0.5)
    phone, _ = timed(scene, "100;refresher=uas", SUPPORTED)
    [invite] = scene.advance(50)
    [ack] = scene.receive(phone.respond(invite, 491))
    assert ack.method == "ACK"
    assert ack.get("Via") == invite.get("Via")
    assert scene.advance(0.9) == []
    [again] = scene.advance(0.2)  # 0 to 2 s, half of it here
    assert (again.method, again.get("CSeq")) == ("INVITE", "2 INVITE")
    assert again.body == invite.body


def test_a_refresh_waits_for_the_ack_of_the_peers_re_invite() -> None:
    scene = Scene()
    phone, _ = timed(scene, "100;refresher=uas", SUPPORTED)
    scene.advance(49.9)
    scene.receive(phone.invite([("Session-Expires", "100;refresher=uas"), SUPPORTED]))
    scene.receive(phone.ack())
    scene.advance(49.9)
    scene.receive(phone.invite(body=OFFER.replace("40000", "40002")))
    said = scene.advance(0.4)
    assert all(message.status == 200 for message in said)


def test_a_refresh_that_is_too_often_for_the_peer() -> None:
    scene = Scene()
    phone, _ = timed(scene, "100;refresher=uas", SUPPORTED, ALLOW_UPDATE)
    [update] = scene.advance(50)
    [again] = scene.receive(phone.respond(update, 422, [("Min-SE", "300")]))
    assert again.get("Session-Expires") == "300;refresher=uac"
    assert again.get("Min-SE") == "300"
    assert len(scene.receive(phone.respond(again, 422, [("Min-SE", "300")]))) == 0


@pytest.mark.parametrize("status", [408, 481, None])
def test_a_refresh_that_says_that_the_call_is_gone(status: int | None) -> None:
    scene = Scene()
    phone, _ = timed(scene, "1000;refresher=uas", SUPPORTED, ALLOW_UPDATE)
    [update] = scene.advance(500)
    if status is None:
        scene.advance(32.1)
    else:
        scene.receive(phone.respond(update, status))
    assert scene.sent[-1].message.method == "BYE"
    assert [action.cause for action in scene.told(Ended)] == ["the session could not be refreshed"]
    assert scene.settled()


def test_a_refused_refresh_is_tried_again_until_the_end() -> None:
    scene = Scene()
    phone, _ = timed(scene, "1000;refresher=uas", SUPPORTED, ALLOW_UPDATE)
    [update] = scene.advance(500)
    scene.receive(phone.respond(update, 500))
    [again] = scene.advance(125.1)
    assert again.method == "UPDATE"
    scene.receive(phone.respond(again, 500))
    scene.advance(125.1)
    assert scene.told(Ended) == []


def test_an_unusable_answer_to_our_re_invite_ends_the_call() -> None:
    scene = Scene()
    phone, _ = timed(scene, "100;refresher=uas", SUPPORTED)
    [invite] = scene.advance(50)
    said = scene.receive(phone.respond(invite, 200))
    assert [message.method for message in said] == ["ACK", "BYE"]
    assert len(scene.told(Ended)) == 1


def test_a_bye_during_our_refresh() -> None:
    scene = Scene()
    phone, _ = timed(scene, "100;refresher=uas", SUPPORTED)
    scene.advance(50)
    scene.receive(phone.request("BYE"))
    assert len(scene.told(Ended)) == 1
    assert scene.settled()


def test_over_tcp_a_refresh_that_finds_no_connection_uses_the_contact() -> None:
    scene = Scene()
    hop = Hop("tcp", PHONE.host, 40001)
    phone = Phone(hop, transport="TCP", contact="<sip:phone@198.51.100.7:5062;transport=tcp>")
    headers = [("Session-Expires", "100;refresher=uas"), SUPPORTED, ALLOW_UPDATE]
    scene.receive(phone.invite(headers), hop)
    phone.learn(scene.answer()[0])
    scene.receive(phone.ack(), hop)
    scene.advance(50)
    assert scene.sent[-1].to == hop
    scene.note(scene.endpoint.transport_failed(hop, scene.now))
    assert scene.sent[-1].to == Hop("tcp", PHONE.host, 5062)
    assert scene.sent[-1].message.method == "UPDATE"
    assert re.match(r"SIP/2\.0/TCP 192\.0\.2\.1", scene.sent[-1].message.get("Via"))
