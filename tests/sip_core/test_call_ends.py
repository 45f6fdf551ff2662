"""How calls end: CANCEL, refusals, and BYE at any moment (RFC 3261 sections 9 and 15)."""

from __future__ import annotations

import pytest

from sipmail.sip.actions import (
    Cancelled,
    Ended,
    HungUp,
)
from tests.sip_core.scene import Phone, Scene, established, news


def test_our_bye_is_repeated_until_it_is_answered() -> None:
    scene = Scene()
    phone = established(scene)
    [bye] = scene.hang_up("SIP;cause=200")
    assert bye.method == "BYE"
    assert bye.uri == "sip:phone@198.51.100.7:5062"
    assert bye.get("CSeq") == "1 BYE"
    assert bye.get("Reason") == "SIP;cause=200"
    assert bye.get("To").endswith(f";tag={phone.tag}")
    assert bye.get("From").endswith(f";tag={phone.to_tag}")
    started = scene.now
    scene.advance(10)
    # RFC 3261 17.1.2.2: timer E doubles up to T2.
    times = [sent.at - started for sent in scene.sent if sent.message.method == "BYE"]
    assert times == [0.0, 0.5, 1.5, 3.5, 7.5]
    assert scene.told(Ended) == []
    scene.receive(phone.respond(bye, 200))
    assert len(scene.told(Ended)) == 1
    assert scene.endpoint.calls == 0
    assert scene.advance(64) == []
    assert scene.settled()


def test_a_bye_that_nobody_answers_is_given_up() -> None:
    scene = Scene()
    established(scene)
    started = scene.now
    scene.hang_up()
    scene.advance(40)
    times = [sent.at - started for sent in scene.sent if sent.message.method == "BYE"]
    assert times == [0, 0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5]
    assert [action.cause for action in scene.told(Ended)] == ["hung up, without an answer"]
    assert scene.settled()


def test_cancel() -> None:
    scene, phone = Scene(), Phone()
    scene.receive(phone.invite())
    [cancelled, terminated] = scene.receive(phone.cancel())
    assert (cancelled.status, cancelled.get("CSeq")) == (200, "1 CANCEL")
    assert (terminated.status, terminated.get("CSeq")) == (487, "1 INVITE")
    assert cancelled.get("To") == terminated.get("To")
    assert [action.elsewhere for action in scene.told(Cancelled)] == [False]
    assert news(scene) == ["Incoming", "Cancelled", "Ended"]
    # Timer G until the ACK, then nothing.
    assert [message.status for message in scene.advance(1.6)] == [487, 487]
    phone.learn(terminated)
    scene.receive(phone.ack(branch=phone.branch))
    assert scene.advance(40) == []
    assert scene.settled()


def test_a_repeated_cancel_gets_its_200_again() -> None:
    scene, phone = Scene(), Phone()
    scene.receive(phone.invite())
    cancel = phone.cancel()
    scene.receive(cancel)
    assert [message.get("CSeq") for message in scene.receive(cancel)] == ["1 CANCEL"]
    assert len(scene.told(Ended)) == 1


@pytest.mark.parametrize(
    ("reason", "elsewhere"),
    [
        ('SIP;cause=200;text="Call completed elsewhere"', True),
        ("SIP ;cause=200", True),
        ("Q.850;cause=200", False),
        ("SIP;cause=487", False),
        ('Q.850;cause=26, SIP;cause=200;text="x"', True),
    ],
)
def test_a_cancel_says_whether_somebody_else_took_the_call(reason: str, elsewhere: bool) -> None:
    scene, phone = Scene(), Phone()
    scene.receive(phone.invite())
    scene.receive(phone.cancel([("Reason", reason)]))
    assert [action.elsewhere for action in scene.told(Cancelled)] == [elsewhere]


def test_a_cancel_after_the_answer_changes_nothing() -> None:
    scene, phone = Scene(), Phone()
    scene.receive(phone.invite())
    branch = phone.branch
    phone.learn(scene.answer()[0])
    phone.to_tag, tag = "", phone.to_tag
    phone.branch = branch
    [ok] = scene.receive(phone.cancel())
    assert (ok.status, ok.get("CSeq")) == (200, "1 CANCEL")
    phone.to_tag = tag
    scene.receive(phone.ack())
    assert news(scene) == ["Incoming", "MediaChanged", "Established"]


def test_an_answer_after_the_cancel_changes_nothing() -> None:
    scene, phone = Scene(), Phone()
    scene.receive(phone.invite())
    scene.receive(phone.cancel())
    assert scene.answer() == []
    assert scene.ring() == []
    assert scene.reject(486) == []
    assert scene.hang_up() == []
    assert news(scene) == ["Incoming", "Cancelled", "Ended"]


def test_a_cancel_of_nothing_gets_481() -> None:
    scene, phone = Scene(), Phone()
    phone.cseq = 1
    phone.branch = "z9hG4bKnothing"
    assert [message.status for message in scene.receive(phone.cancel())] == [481]


def test_reject_with_reason_and_headers() -> None:
    scene, phone = Scene(), Phone()
    scene.receive(phone.invite())
    [busy] = scene.reject(486, reason="Busy", headers=[("Retry-After", "30")])
    assert (busy.status, busy.get("Retry-After")) == (486, "30")
    assert [action.cause for action in scene.told(Ended)] == ["refused with 486"]
    started = scene.now
    scene.advance(33)
    times = [sent.at - started for sent in scene.sent if sent.message.status == 486]
    # RFC 3261 17.2.1: timer G doubles up to T2, timer H ends it.
    assert times == [0, 0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5]
    assert scene.settled()


def test_a_hang_up_before_the_answer_is_a_480() -> None:
    scene, phone = Scene(), Phone()
    scene.receive(phone.invite())
    assert [message.status for message in scene.hang_up()] == [480]
    assert len(scene.told(Ended)) == 1


def test_a_hang_up_before_the_ack_waits_for_it() -> None:
    scene, phone = Scene(), Phone()
    scene.receive(phone.invite())
    phone.learn(scene.answer()[0])
    assert scene.hang_up() == []
    [bye] = scene.receive(phone.ack())
    assert bye.method == "BYE"
    scene.receive(phone.respond(bye, 200))
    assert len(scene.told(Ended)) == 1
    assert scene.settled()


def test_a_hang_up_before_an_ack_that_never_comes_says_bye_in_the_end() -> None:
    scene, phone = Scene(), Phone()
    scene.receive(phone.invite())
    scene.answer()
    scene.hang_up()
    said = scene.advance(32)
    assert said[-1].method == "BYE"
    assert scene.told(Ended) == []
    scene.receive(phone.respond(said[-1], 200))
    assert len(scene.told(Ended)) == 1
    assert scene.settled()


def test_a_bye_before_the_ack_ends_the_call_and_the_200s() -> None:
    scene, phone = Scene(), Phone()
    scene.receive(phone.invite())
    phone.learn(scene.answer()[0])
    assert [message.status for message in scene.receive(phone.request("BYE"))] == [200]
    assert news(scene) == ["Incoming", "MediaChanged", "HungUp", "Ended"]
    scene.receive(phone.ack(cseq=1))
    assert scene.advance(64) == []
    assert scene.settled()


def test_a_bye_while_it_rings_gets_200_and_the_invite_487() -> None:
    scene, phone = Scene(), Phone()
    scene.receive(phone.invite())
    phone.learn(scene.ring()[0])
    said = scene.receive(phone.request("BYE"))
    assert [(message.status, message.get("CSeq")) for message in said] == [
        (200, "2 BYE"),
        (487, "1 INVITE"),
    ]
    assert news(scene) == ["Incoming", "HungUp", "Ended"]
    assert scene.settled()


def test_a_repeated_bye_gets_its_200_again() -> None:
    scene = Scene()
    phone = established(scene)
    bye = phone.request("BYE")
    [ok] = scene.receive(bye)
    assert scene.receive(bye) == [ok]
    scene.advance(33)  # timer J
    assert [message.status for message in scene.receive(bye)] == [481]
    assert len(scene.told(Ended)) == 1


def test_byes_that_cross() -> None:
    scene = Scene()
    phone = established(scene)
    [ours] = scene.hang_up()
    assert [message.status for message in scene.receive(phone.request("BYE"))] == [200]
    assert scene.told(HungUp) == []
    assert len(scene.told(Ended)) == 1
    scene.receive(phone.respond(ours, 481))
    assert len(scene.told(Ended)) == 1
    assert scene.settled()


def test_a_challenge_to_our_bye_is_not_answered_without_credentials() -> None:
    scene = Scene()
    phone = established(scene)
    [bye] = scene.hang_up()
    challenge = [("Proxy-Authenticate", 'Digest realm="x", nonce="n", algorithm=MD5')]
    scene.receive(phone.respond(bye, 407, challenge))
    assert len(scene.told(Ended)) == 1
