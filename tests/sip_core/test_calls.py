"""Calls from INVITE to their last word: RFC 3261 sections 9, 13, 15, 17.2, RFC 6026, RFC 3262."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_network

import pytest

from sipmail.sip.actions import (
    Action,
    Cancelled,
    Ended,
    Established,
    Hop,
    HungUp,
    Incoming,
    MediaChanged,
)
from sipmail.sip.timers import Timers
from sipmail.sip.trunk import Trunk
from tests.sip_core.scene import MEDIA, OFFER, PHONE, Phone, Scene, established


def news(scene: Scene) -> list[str]:
    """What the application was told, by name."""
    kinds: tuple[type[Action], ...] = (
        Incoming,
        Established,
        MediaChanged,
        Cancelled,
        HungUp,
        Ended,
    )
    return [type(action).__name__ for action in scene.actions if isinstance(action, kinds)]


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


def test_the_route_set_and_a_loose_router() -> None:
    scene, phone = Scene(), Phone()
    routes = [("Record-Route", "<sip:10.0.0.2;lr>, <sip:10.0.0.1:5070;lr>")]
    scene.receive(phone.invite(routes))
    [ok] = scene.answer()
    assert ok.all("Record-Route") == ["<sip:10.0.0.2;lr>, <sip:10.0.0.1:5070;lr>"]
    phone.learn(ok)
    scene.receive(phone.ack())
    [bye] = scene.hang_up()
    assert bye.uri == "sip:phone@198.51.100.7:5062"
    assert bye.all("Route") == ["<sip:10.0.0.2;lr>", "<sip:10.0.0.1:5070;lr>"]
    assert scene.sent[-1].to == Hop("udp", "10.0.0.2", 5060)


def test_a_strict_router_gets_the_request_uri() -> None:
    scene, phone = Scene(), Phone()
    routes = [("Record-Route", "<sip:strict@10.0.0.2>"), ("Record-Route", "<sip:10.0.0.1;lr>")]
    phone = established(scene, phone, headers=routes)
    [bye] = scene.hang_up()
    # RFC 3261 12.2.1.1
    assert bye.uri == "sip:strict@10.0.0.2"
    assert bye.all("Route") == ["<sip:10.0.0.1;lr>", "<sip:phone@198.51.100.7:5062>"]
    assert scene.sent[-1].to == Hop("udp", "10.0.0.2", 5060)


def test_a_phone_behind_nat_is_reached_where_it_came_from() -> None:
    public = Hop("udp", "8.8.4.4", 1024)
    scene = Scene(Trunk("net", accept_from=(ip_network("8.8.4.4"),)))
    phone = Phone(public, contact="<sip:phone@192.168.1.5:5060>")
    established(scene, phone)
    [bye] = scene.hang_up()
    assert bye.uri == "sip:phone@192.168.1.5:5060"
    assert scene.sent[-1].to == public


def test_a_bye_uses_the_connection_and_then_the_contact() -> None:
    scene = Scene()
    hop = Hop("tcp", PHONE.host, 40001)
    phone = Phone(hop, transport="TCP", contact="<sip:phone@198.51.100.7:5062;transport=tcp>")
    scene.receive(phone.invite(), hop, Hop("tcp", "192.0.2.1", 5060))
    phone.learn(scene.answer()[0])
    scene.receive(phone.ack(), hop)
    scene.hang_up()
    assert scene.sent[-1].to == hop
    scene.note(scene.endpoint.transport_failed(hop, scene.now))
    assert scene.sent[-1].to == Hop("tcp", PHONE.host, 5062)
    scene.receive(phone.respond(scene.sent[-1].message, 200), hop)
    assert len(scene.told(Ended)) == 1
    assert scene.settled()


def test_responses_go_to_the_source_port_with_rport_and_else_to_the_port_of_the_via() -> None:
    scene = Scene()
    source = Hop("udp", PHONE.host, 61000)
    [trying] = scene.receive(Phone().invite(), source)
    assert scene.sent[-1].to == source
    # RFC 3581 section 4: rport gets the source port, and received always goes with it.
    assert ";rport=61000" in trying.get("Via")
    assert ";received=198.51.100.7" in trying.get("Via")
    [trying] = scene.receive(Phone().invite(rport=False), source)
    assert scene.sent[-1].to == PHONE
    assert "received" not in trying.get("Via")
    other = Hop("udp", "198.51.100.9", 61000)
    [trying] = scene.receive(Phone().invite(rport=False), other)
    assert scene.sent[-1].to == Hop("udp", "198.51.100.9", 5062)
    assert ";received=198.51.100.9" in trying.get("Via")


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


def test_a_lost_connection_sends_responses_to_the_via() -> None:
    scene = Scene()
    listening = Hop("tcp", PHONE.host, 5062)
    hop = Hop("tcp", PHONE.host, 40001)
    scene.receive(Phone(listening, transport="TCP").invite(), hop)
    scene.reject(486)
    scene.note(scene.endpoint.transport_failed(hop, scene.now))
    # RFC 3261 18.2.2: received, and the port of sent-by.
    assert [sent.to for sent in scene.sent if sent.message.status == 486] == [hop, listening]


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


def test_a_challenge_to_our_bye_is_not_answered_without_credentials() -> None:
    scene = Scene()
    phone = established(scene)
    [bye] = scene.hang_up()
    challenge = [("Proxy-Authenticate", 'Digest realm="x", nonce="n", algorithm=MD5')]
    scene.receive(phone.respond(bye, 407, challenge))
    assert len(scene.told(Ended)) == 1
