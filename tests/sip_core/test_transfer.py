"""Our REFER and what becomes of it (RFC 3515), on a moved clock."""

from __future__ import annotations

import re

import pytest

from sipmail.sip.actions import Ended, Hop, HungUp, TransferFailed, Transferred
from sipmail.sip.transfer import target_of
from tests.sip_core.registrar import FIRST, challenge, md5, registered
from tests.sip_core.scene import PHONE, Phone, Scene, established
from tests.support.siptext import Message

ACTIVE = ("Subscription-State", "active;expires=60")
OVER = ("Subscription-State", "terminated;reason=noresource")
FRAGMENT = ("Content-Type", "message/sipfrag;version=2.0")


def refer(scene: Scene, to: str = "100") -> Message:
    """The REFER that goes out."""
    before = len(scene.sent)
    scene.note(scene.endpoint.transfer(scene.call, to, scene.now))
    [sent] = scene.sent[before:]
    assert sent.message.method == "REFER"
    return sent.message


def notify(
    scene: Scene, phone: Phone, body: str, state: tuple[str, str] = ACTIVE, event: str = "refer"
) -> None:
    """A NOTIFY, which gets 200 whatever it says."""
    request = phone.request("NOTIFY", [("Event", event), state, FRAGMENT], body)
    [answer] = scene.receive(request, phone.hop)
    assert answer.status == 200


def results(scene: Scene) -> list[object]:
    return [one for one in scene.actions if isinstance(one, Transferred | TransferFailed)]


def test_a_transfer_that_is_answered() -> None:
    scene = Scene()
    phone = established(scene)
    request = refer(scene)
    assert request.uri == "sip:phone@198.51.100.7:5062"
    assert request.get("Refer-To") == "<sip:100@198.51.100.7:5062>"
    assert request.get("Referred-By") == "<sip:201@192.0.2.1>"
    assert request.get("CSeq") == "1 REFER"
    assert request.get("Contact").startswith("<sip:")
    scene.receive(phone.respond(request, 202))
    notify(scene, phone, "SIP/2.0 100 Trying\r\n")
    notify(scene, phone, "SIP/2.0 180 Ringing\r\n")
    assert results(scene) == []
    notify(scene, phone, "SIP/2.0 200 OK\r\n", OVER)
    assert results(scene) == [Transferred(scene.call)]
    assert scene.told(Ended) == []
    [bye] = scene.hang_up()
    assert (bye.method, bye.get("CSeq")) == ("BYE", "2 BYE")
    scene.receive(phone.respond(bye, 200))
    assert len(scene.told(Ended)) == 1
    assert scene.settled()


@pytest.mark.parametrize("status", [302, 404, 486, 603])
def test_whoever_is_wanted_cannot_be_had(status: int) -> None:
    scene = Scene()
    phone = established(scene)
    scene.receive(phone.respond(refer(scene), 202))
    notify(scene, phone, f"SIP/2.0 {status} No luck\r\n", OVER)
    assert results(scene) == [TransferFailed(scene.call, status, "No luck")]
    assert scene.told(Ended) == []


@pytest.mark.parametrize("status", [403, 405, 501, 603])
def test_a_refused_refer_leaves_the_call_as_it_was(status: int) -> None:
    scene = Scene()
    phone = established(scene)
    scene.receive(phone.respond(refer(scene), status))
    assert results(scene) == [TransferFailed(scene.call, status, "Answer")]
    assert scene.advance(120) == []
    assert scene.told(Ended) == []


def test_a_lost_refer_is_repeated_until_it_counts_as_unanswered() -> None:
    scene = Scene()
    established(scene)
    refer(scene)
    again = scene.advance(31.9)
    assert {one.method for one in again} == {"REFER"}
    assert len(again) == 10  # at 0.5, 1.5, 3.5, 7.5 and every 4 s (RFC 3261 table 4, timer E)
    assert results(scene) == []
    scene.advance(0.2)
    assert results(scene) == [TransferFailed(scene.call, None, "REFER was not answered")]
    assert scene.told(Ended) == []


def test_a_lost_answer_is_asked_for_again() -> None:
    scene = Scene()
    phone = established(scene)
    refer(scene)
    [again] = scene.advance(0.6)
    scene.receive(phone.respond(again, 202))
    assert scene.advance(20) == []
    notify(scene, phone, "SIP/2.0 200 OK\r\n", OVER)
    assert results(scene) == [Transferred(scene.call)]


def test_a_notify_that_overtakes_the_answer() -> None:
    scene = Scene()
    phone = established(scene)
    request = refer(scene)
    notify(scene, phone, "SIP/2.0 200 OK\r\n", OVER)
    assert results(scene) == [Transferred(scene.call)]
    assert scene.receive(phone.respond(request, 202)) == []
    assert scene.advance(40) == []
    assert len(results(scene)) == 1


def test_nobody_says_what_became_of_it() -> None:
    scene = Scene()
    phone = established(scene)
    scene.receive(phone.respond(refer(scene), 202))
    notify(scene, phone, "SIP/2.0 180 Ringing\r\n")
    scene.advance(59.9)
    assert results(scene) == []
    scene.advance(0.2)
    assert results(scene) == [TransferFailed(scene.call, None, "nobody answered in time")]
    # The other side's telephone went on ringing, and was answered in the end.
    notify(scene, phone, "SIP/2.0 200 OK\r\n", OVER)
    assert results(scene)[1:] == [Transferred(scene.call)]


def test_a_subscription_that_ends_without_a_result() -> None:
    scene = Scene()
    phone = established(scene)
    scene.receive(phone.respond(refer(scene), 202))
    notify(scene, phone, "", OVER)
    assert results(scene) == [TransferFailed(scene.call, None, "nobody says what became of it")]


@pytest.mark.parametrize("body", ["", "SIP/2.0", "200 OK", "SIP/2.0 999 What", "\0" * 500])
def test_what_is_no_status_says_nothing(body: str) -> None:
    scene = Scene()
    phone = established(scene)
    scene.receive(phone.respond(refer(scene), 202))
    notify(scene, phone, body)
    notify(scene, phone, "SIP/2.0 486 Busy Here\r\n", event="message-summary")
    assert results(scene) == []


def test_a_second_transfer_knows_the_words_about_the_first() -> None:
    scene = Scene()
    phone = established(scene)
    scene.receive(phone.respond(refer(scene), 202))
    notify(scene, phone, "SIP/2.0 486 Busy Here\r\n", OVER, "refer;id=1")
    scene.receive(phone.respond(refer(scene, "101"), 202))
    notify(scene, phone, "SIP/2.0 487 Request Terminated\r\n", OVER, "refer;id=1")
    assert len(results(scene)) == 1
    notify(scene, phone, "SIP/2.0 200 OK\r\n", OVER, "refer;id=2")
    assert results(scene)[1:] == [Transferred(scene.call)]


def test_a_challenge_that_the_trunk_has_no_password_for() -> None:
    scene = Scene()
    phone = established(scene)
    challenge = 'Digest realm="pbx", nonce="n1", algorithm=MD5'
    request = refer(scene)
    assert scene.receive(phone.respond(request, 401, [("WWW-Authenticate", challenge)])) == []
    assert results(scene) == [TransferFailed(scene.call, 401, "Answer")]


def test_a_phone_system_that_asks_for_the_password() -> None:
    scene, _ = registered()
    phone = established(scene, Phone(FIRST))
    request = refer(scene)
    assert request.get("Refer-To") == "<sip:100@pbx.example.com>"
    ask = [("Proxy-Authenticate", challenge())]
    [again] = scene.receive(phone.respond(request, 407, ask), FIRST)
    assert again.get("CSeq") == "2 REFER"
    assert again.get("Refer-To") == request.get("Refer-To")
    fields = dict(re.findall(r'(\w+)="?([^",]*)"?', again.get("Proxy-Authorization")))
    middle = ":".join(fields[name] for name in ("nonce", "nc", "cnonce", "qop"))
    asked = md5(f"REFER:{fields['uri']}")
    assert fields["response"] == md5(f"{md5('200:pbx:secret')}:{middle}:{asked}")
    scene.receive(phone.respond(again, 202), FIRST)
    # The subscription is that of the REFER that was taken.
    notify(scene, phone, "SIP/2.0 603 Decline\r\n", OVER, "refer;id=1")
    assert results(scene) == []
    notify(scene, phone, "SIP/2.0 200 OK\r\n", OVER, "refer;id=2")
    assert results(scene) == [Transferred(scene.call)]


def test_one_transfer_at_a_time() -> None:
    scene = Scene()
    established(scene)
    refer(scene)
    scene.note(scene.endpoint.transfer(scene.call, "100", scene.now))
    assert [one.message.method for one in scene.sent].count("REFER") == 1


def test_a_call_that_is_not_up_is_not_transferred() -> None:
    scene = Scene()
    scene.receive(Phone().invite())
    scene.note(scene.endpoint.transfer(scene.call, "100", scene.now))
    assert results(scene) == [TransferFailed(scene.call, None, "the call is not up")]
    assert scene.note(scene.endpoint.transfer("nobody's", "100", scene.now)) == []


def test_of_a_call_that_has_ended_nothing_more_is_told() -> None:
    scene = Scene()
    phone = established(scene)
    scene.receive(phone.respond(refer(scene), 481))
    assert len(scene.told(Ended)) == 1  # its BYE is still on the way
    scene.note(scene.endpoint.transfer(scene.call, "100", scene.now))
    assert results(scene) == []
    scene.advance(120)
    assert scene.settled()


def test_the_caller_hangs_up_before_the_refer_is_answered() -> None:
    scene = Scene()
    phone = established(scene)
    refer(scene)
    [answer] = scene.receive(phone.request("BYE"))
    assert answer.status == 200
    assert scene.advance(120) == []
    assert results(scene) == []
    assert len(scene.told(Ended)) == 1
    assert scene.settled()


ELSEWHERE = ("Reason", 'SIP;cause=200;text="Call completed elsewhere"')
FREESWITCH = ("Reason", 'internal;cause=600;text="BLIND_TRANSFER"')
NORMAL = ("Reason", "Q.850;cause=16")


@pytest.mark.parametrize(
    ("notified", "seconds", "reason", "handed_over"),
    [
        # At once, as by systems that follow a REFER without reporting on it.
        ((), 0.1, (), True),
        (("100 Trying",), 2.9, (NORMAL,), True),
        # Later it may have been the caller, whom nobody is to miss.
        ((), 3.1, (), False),
        (("100 Trying",), 20.0, (NORMAL,), False),
        (("100 Trying", "180 Ringing"), 0.1, (), False),
        (("183 Session Progress",), 5.0, (), False),
        # The BYE says it.
        (("180 Ringing",), 5.0, (ELSEWHERE,), True),
        ((), 20.0, (FREESWITCH,), True),
        (("100 Trying", "486 Busy Here"), 1.0, (), False),
    ],
)
def test_a_bye_that_comes_before_the_result(
    notified: tuple[str, ...],
    seconds: float,
    reason: tuple[tuple[str, str], ...],
    handed_over: bool,
) -> None:
    scene = Scene()
    phone = established(scene)
    scene.receive(phone.respond(refer(scene), 202))
    for line in notified:
        notify(scene, phone, f"SIP/2.0 {line}\r\n")
    scene.advance(seconds)
    [answer] = scene.receive(phone.request("BYE", list(reason)))
    assert answer.status == 200
    scene.advance(2.1)
    told = [one for one in results(scene) if isinstance(one, Transferred)]
    assert told == [Transferred(scene.call)] * handed_over
    assert len(scene.told(HungUp)) == len(scene.told(Ended)) == 1
    assert scene.advance(120) == []
    assert scene.settled()


@pytest.mark.parametrize(
    ("status", "handed_over"),
    [("200 OK", True), ("503 Service Unavailable", False), ("180 Ringing", False)],
)
def test_a_result_that_comes_just_after_the_bye(status: str, handed_over: bool) -> None:
    """RFC 5057: BYE ends the session, not the subscription that the REFER has made."""
    scene = Scene()
    phone = established(scene)
    scene.receive(phone.respond(refer(scene), 202))
    notify(scene, phone, "SIP/2.0 180 Ringing\r\n")
    scene.advance(8)
    [answer] = scene.receive(phone.request("BYE"))
    assert answer.status == 200
    assert scene.told(HungUp) == scene.told(Ended) == []
    [again] = scene.receive(phone.request("BYE"))
    assert again.status == 200
    [refused] = scene.receive(phone.request("INFO"))
    assert refused.status == 481
    notify(scene, phone, f"SIP/2.0 {status}\r\n", OVER)
    scene.advance(2.1)
    assert results(scene) == [Transferred(scene.call)] * handed_over
    assert len(scene.told(HungUp)) == len(scene.told(Ended)) == 1
    assert scene.advance(120) == []
    assert scene.settled()


@pytest.mark.parametrize("line", ["100 Trying", "180 Ringing"])
def test_a_subscription_that_ends_with_a_telephone_ringing_is_no_failure(line: str) -> None:
    """RFC 3515 section 2.4.5: a single NOTIFY with 100 is all that some say."""
    scene = Scene()
    phone = established(scene)
    scene.receive(phone.respond(refer(scene), 202))
    notify(scene, phone, f"SIP/2.0 {line}\r\n", OVER)
    scene.advance(59)
    assert results(scene) == []
    scene.receive(phone.request("BYE", [ELSEWHERE]))
    assert results(scene) == [Transferred(scene.call)]


def test_nor_does_it_last_for_ever() -> None:
    scene = Scene()
    phone = established(scene)
    scene.receive(phone.respond(refer(scene), 202))
    notify(scene, phone, "SIP/2.0 100 Trying\r\n", OVER)
    scene.advance(60.1)
    assert results(scene) == [TransferFailed(scene.call, None, "nobody answered in time")]


def test_a_notify_says_that_the_refer_was_taken() -> None:
    scene = Scene()
    phone = established(scene)
    refer(scene)
    notify(scene, phone, "SIP/2.0 100 Trying\r\n")
    scene.receive(phone.request("BYE"))
    scene.advance(2.1)
    assert results(scene) == [Transferred(scene.call)]
    assert scene.advance(120) == []
    assert scene.settled()


def test_a_peer_that_knows_no_such_call_ends_it() -> None:
    scene = Scene()
    phone = established(scene)
    scene.receive(phone.respond(refer(scene), 481))
    assert [one.cause for one in scene.told(Ended)] == ["the peer knows no such call any more"]


@pytest.mark.parametrize(
    ("to", "registrar", "source", "expected"),
    [
        ("100", None, PHONE, "sip:100@198.51.100.7:5062"),
        ("100", None, Hop("udp", "198.51.100.7", 5060), "sip:100@198.51.100.7"),
        ("100", None, Hop("tcp", "198.51.100.7", 51234), "sip:100@198.51.100.7;transport=tcp"),
        ("100", None, Hop("tls", "2001:db8::1", 51234), "sips:100@[2001:db8::1]"),
        ("*98#", None, Hop("udp", "198.51.100.7", 5060), "sip:*98%23@198.51.100.7"),
        (
            "+48221234567",
            "sip:pbx.example.com:5070;transport=tcp",
            PHONE,
            "sip:+48221234567@pbx.example.com:5070;transport=tcp",
        ),
        ("sips:desk@example.com", "sip:pbx.example.com", PHONE, "sips:desk@example.com"),
    ],
)
def test_where_the_other_one_is(to: str, registrar: str | None, source: Hop, expected: str) -> None:
    assert target_of(to, registrar, source) == expected
