"""Calls from INVITE to the ACK: RFC 3261 sections 13 and 17.2, RFC 6026."""

from __future__ import annotations

import pytest

from sipmail.sip.actions import (
    Ended,
    Established,
    Hop,
    HungUp,
    Incoming,
)
from sipmail.sip.timers import Timers
from tests.sip_core.scene import PHONE, Phone, Scene, news


def statuses(scene: Scene) -> list[int | None]:
    return [sent.message.status for sent in scene.sent]


def test_a_whole_call() -> None:
    scene, phone = Scene(), Phone()
    [trying] = scene.receive(phone.invite())
    assert trying.status == 100
    assert "tag=" not in trying.get("To")
    incoming = scene.told(Incoming)[0]
    assert (incoming.trunk, incoming.source) == ("carrier", PHONE)

    [ringing] = scene.ring()
    assert ringing.status == 180
    assert ringing.get("Contact").startswith("<sip:tok")

    [ok] = scene.answer()
    phone.learn(ok)
    assert ok.status == 200
    assert phone.to_tag
    assert ringing.get("To") == ok.get("To")
    assert ok.get("CSeq") == "1 INVITE"
    assert "INVITE" in ok.get("Allow")
    assert ok.get("Content-Type") == "application/sdp"

    assert scene.receive(phone.ack()) == []
    [bye_ok] = scene.receive(phone.request("BYE", [("Reason", 'Q.850;cause=16;text="Bye"')]))
    assert bye_ok.status == 200
    assert news(scene) == ["Incoming", "MediaChanged", "Established", "HungUp", "Ended"]
    assert scene.told(HungUp)[0].reason == "Bye"
    assert scene.settled()
    assert news(scene).count("Ended") == 1


def test_a_repeated_invite_gets_the_last_response_again_and_is_one_call() -> None:
    scene, phone = Scene(), Phone()
    invite = phone.invite()
    scene.receive(invite)
    assert [message.status for message in scene.receive(invite)] == [100]
    scene.ring()
    assert [message.status for message in scene.receive(invite)] == [180]
    [ok] = scene.answer()
    assert scene.receive(invite) == [ok]
    phone.learn(ok)
    scene.receive(phone.ack())
    assert scene.receive(invite) == []
    assert len(scene.told(Incoming)) == 1
    scene.receive(phone.request("BYE"))
    assert scene.receive(invite) == []
    assert scene.settled()


def test_a_200_is_repeated_until_the_ack_and_then_a_bye_ends_the_call() -> None:
    scene, phone = Scene(), Phone()
    scene.receive(phone.invite())
    started = scene.now
    scene.answer()
    scene.advance(31.9)
    # RFC 3261 13.3.1.4: T1, doubling up to T2.
    times = [sent.at - started for sent in scene.sent if sent.message.status == 200]
    assert times == [0, 0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5]
    [bye] = scene.advance(0.2)
    assert bye.method == "BYE"
    assert [action.cause for action in scene.told(Ended)] == ["no ACK came"]
    assert scene.endpoint.calls == 1
    scene.receive(phone.respond(bye, 481))
    assert scene.endpoint.calls == 0
    assert scene.settled()
    assert len(scene.told(Ended)) == 1
    assert Established not in map(type, scene.actions)


def test_the_200_is_repeated_over_tcp_too() -> None:
    scene = Scene()
    hop = Hop("tcp", PHONE.host, 40001)
    phone = Phone(hop, transport="TCP")
    scene.receive(phone.invite(), hop, Hop("tcp", "192.0.2.1", 5060))
    [ok] = scene.answer()
    assert [sent.message.status for sent in scene.sent if sent.to == hop] == [100, 200]
    assert ";transport=tcp" in ok.get("Contact")
    assert [message.status for message in scene.advance(0.6)] == [200]


@pytest.mark.parametrize(
    "branch", [None, "same"], ids=["own branch", "the branch of the INVITE, as pyVoIP sends it"]
)
def test_an_ack_with_a_wrong_to_tag_is_taken_from_the_same_source(branch: str | None) -> None:
    scene, phone = Scene(), Phone()
    scene.receive(phone.invite())
    phone.to_tag = "nonsense"
    scene.answer()
    ack = phone.ack(branch=phone.branch if branch else None)
    scene.receive(ack, Hop("udp", "198.51.100.8", 5062))
    assert scene.told(Established) == []
    scene.receive(ack)
    assert len(scene.told(Established)) == 1
    scene.receive(ack)
    assert len(scene.told(Established)) == 1
    assert scene.advance(40) == []


def test_an_ack_that_is_malformed_elsewhere_is_taken_too() -> None:
    scene, phone = Scene(), Phone()
    scene.receive(phone.invite())
    phone.learn(scene.answer()[0])
    broken = phone.ack().replace("ACK sip:201@192.0.2.1 ", 'ACK "Mail" <sip:201@192.0.2.1 ')
    assert scene.receive(broken) == []
    assert len(scene.told(Established)) == 1


def test_an_ack_of_another_cseq_is_not_taken() -> None:
    scene, phone = Scene(), Phone()
    scene.receive(phone.invite())
    phone.learn(scene.answer()[0])
    scene.receive(phone.ack(cseq=7))
    assert scene.told(Established) == []


def test_an_unanswered_call_is_ended_and_180_is_repeated_every_minute() -> None:
    scene, phone = Scene(timers=Timers(response=180)), Phone()
    scene.receive(phone.invite())
    scene.ring()
    said = scene.advance(181)
    assert [message.status for message in said[:3]] == [180, 180, 487]
    assert news(scene) == ["Incoming", "Cancelled", "Ended"]
    assert scene.settled()


def test_an_invite_that_expires_is_ended_with_487() -> None:
    scene, phone = Scene(), Phone()
    scene.receive(phone.invite([("Expires", "20")]))
    assert scene.advance(19.9) == []
    assert [message.status for message in scene.advance(0.2)] == [487]
