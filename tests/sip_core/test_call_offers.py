"""Reliable provisional responses and late offers: RFC 3262, RFC 3264."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sipmail.sip.actions import (
    Ended,
    Established,
    MediaChanged,
)
from tests.sip_core.scene import MEDIA, OFFER, Phone, Scene, news


def test_100rel_when_it_is_required() -> None:
    scene, phone = Scene(), Phone()
    scene.receive(phone.invite([("Require", "100rel")]))
    [ringing] = scene.ring()
    assert ringing.get("Require") == "100rel"
    number = ringing.get("RSeq")
    assert 1 <= int(number) < 2**31
    phone.learn(ringing)
    # RFC 3262 section 3: repeated after T1, then after twice as long each time.
    assert [message.status for message in scene.advance(3.6)] == [180, 180, 180]
    wrong = phone.request("PRACK", [("RAck", f"{int(number) + 1} 1 INVITE")])
    assert [message.status for message in scene.receive(wrong)] == [481]
    prack = phone.request("PRACK", [("RAck", f"{number} 1 INVITE")])
    assert [message.status for message in scene.receive(prack)] == [200]
    assert scene.advance(30) == []
    again = phone.request("PRACK", [("RAck", f"{number} 1 INVITE")])
    assert [message.status for message in scene.receive(again)] == [481]
    assert [message.status for message in scene.answer()] == [200]
    scene.receive(phone.ack(cseq=1))
    assert len(scene.told(Established)) == 1


def test_without_a_prack_the_invite_is_refused() -> None:
    scene, phone = Scene(), Phone()
    scene.receive(phone.invite([("Require", "100rel")]))
    scene.ring()
    said = scene.advance(33)
    assert next(message.status for message in said if message.status != 180) == 504
    assert len(scene.told(Ended)) == 1
    assert scene.settled()


def test_100rel_that_is_only_supported_is_not_used() -> None:
    scene = Scene()
    scene.receive(Phone().invite([("Supported", "100rel")]))
    assert scene.ring()[0].get("RSeq") == ""


def test_no_reliable_180_without_an_offer() -> None:
    scene = Scene()
    scene.receive(Phone().invite([("Require", "100rel")], body=""))
    assert scene.ring() == []


def test_a_late_offer() -> None:
    scene, phone = Scene(), Phone()
    scene.receive(phone.invite(body=""))
    [ok] = scene.answer()
    phone.learn(ok)
    assert "m=audio 20000 RTP/AVP 8 0 13 101" in ok.body
    assert scene.told(MediaChanged) == []
    scene.receive(phone.ack(body=OFFER))
    assert news(scene) == ["Incoming", "MediaChanged", "Established"]
    media = scene.told(MediaChanged)[0].media
    assert (media.remote_host, media.remote_port, media.codec) == ("198.51.100.7", 40000, "PCMU")


@pytest.mark.parametrize("body", ["", OFFER.replace("0 8 101", "18"), "nonsense"])
def test_a_late_offer_without_a_usable_answer_ends_with_a_bye(body: str) -> None:
    scene, phone = Scene(), Phone()
    scene.receive(phone.invite(body=""))
    phone.learn(scene.answer()[0])
    [bye] = scene.receive(phone.ack(body=body))
    assert bye.method == "BYE"
    assert len(scene.told(Ended)) == 1
    scene.receive(phone.respond(bye, 200))
    assert scene.settled()


def test_an_answer_that_the_codecs_do_not_allow_is_a_488_and_the_end() -> None:
    scene = Scene()
    scene.receive(Phone().invite(body=OFFER.replace("0 8 101", "0 101")))
    [refused] = scene.answer(replace(MEDIA, codecs=("PCMA",)))
    assert refused.status == 488
    assert refused.get("Warning").startswith("305 ")
    assert len(scene.told(Ended)) == 1
