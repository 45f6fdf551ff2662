"""The way to the registrar, and our end of it: RFC 3261 8.1.3.4, RFC 3263 4.3, 3581, 5626."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sipmail.sip.actions import (
    Hop,
    Registered,
    RegistrationFailed,
    Resolve,
    Send,
    Way,
)
from sipmail.sip.registration import RegistrationPhase
from tests.sip_core.registrar import (
    FIRST,
    PBX,
    SECOND,
    Registrar,
    challenge,
    check_digest,
    md5,
    phase,
    registered,
)
from tests.sip_core.scene import US, Phone, Scene


def test_the_next_hop_of_the_list() -> None:
    scene = Scene(PBX)
    registrar = Registrar(scene, FIRST, SECOND)
    registrar.start()
    scene.advance(32)
    assert scene.sent[-1].to == SECOND
    [again] = registrar.respond(401, ("WWW-Authenticate", challenge()))
    assert scene.sent[-1].to == SECOND
    check_digest(again, "Authorization", md5)
    registrar.accept()
    assert scene.told(RegistrationFailed) == []
    # What works is kept.
    while not isinstance(scene.actions[-1], Resolve):
        scene.advance(1)
    registrar.resolve()
    assert scene.sent[-1].to == SECOND


@pytest.mark.parametrize("status", [500, 503, 504, 408])
def test_a_hop_that_can_not_serve(status: int) -> None:
    scene = Scene(PBX)
    registrar = Registrar(scene, FIRST, SECOND)
    registrar.start()
    registrar.respond(status)
    assert scene.sent[-1].to == SECOND
    registrar.respond(503, ("Retry-After", "77 (maintenance);duration=3600"))
    assert scene.told(RegistrationFailed) == [RegistrationFailed("pbx", 503, "Answer", 77.0)]


def test_a_hop_that_can_not_be_reached() -> None:
    scene = Scene(PBX)
    registrar = Registrar(scene, FIRST, SECOND)
    registrar.start()
    scene.note(scene.endpoint.transport_failed(FIRST, scene.now))
    assert scene.sent[-1].to == SECOND
    scene.note(scene.endpoint.transport_failed(SECOND, scene.now))
    assert scene.told(RegistrationFailed)[0].reason == "the registrar can't be reached"
    assert scene.endpoint.machines == 0


def test_each_hop_gets_the_address_of_ours_that_it_sees() -> None:
    scene = Scene(PBX)
    six, ours = Hop("udp", "2001:db8::20", 5060), Hop("udp", "2001:db8::1", 5070)
    tcp, stream = replace(SECOND, transport="tcp"), Hop("tcp", "192.0.2.3", 5080)
    scene.note(scene.endpoint.start(scene.now))
    ways = [Way(six, ours), Way(FIRST, US), Way(tcp, stream)]
    scene.note(scene.endpoint.resolved("pbx", ways, scene.now))
    scene.advance(70)
    sent = {one.to: one.message for one in scene.sent}
    assert list(sent) == [six, FIRST, tcp]
    for way, contact in zip(
        ways,
        ("@[2001:db8::1]:5070>", "@192.0.2.1:5060>", "@192.0.2.3:5080;transport=tcp>"),
        strict=True,
    ):
        assert contact in sent[way.to].get("Contact")
        assert f"{way.local.host}" in sent[way.to].get("Via")


def test_a_name_that_does_not_resolve() -> None:
    scene = Scene(PBX)
    scene.note(scene.endpoint.start(scene.now))
    scene.note(scene.endpoint.resolved("pbx", [], scene.now))
    assert "does not resolve" in scene.told(RegistrationFailed)[0].reason
    scene.advance(46)
    registrar = Registrar(scene)
    registrar.resolve()
    registrar.accept()
    # Later the old addresses serve.
    scene.advance(271)
    scene.note(scene.endpoint.resolved("pbx", [], scene.now))
    assert scene.sent[-1].to == FIRST
    assert registrar.last.get("CSeq") == "2 REGISTER"


def test_a_look_up_that_never_ends() -> None:
    scene = Scene(PBX)
    scene.note(scene.endpoint.start(scene.now))
    scene.advance(33)
    assert len(scene.told(RegistrationFailed)) == 1


def test_a_redirection() -> None:
    scene = Scene(PBX)
    registrar = Registrar(scene, SECOND)
    registrar.start()
    registrar.respond(302, ("Contact", "<sip:other.example.com:5070>"))
    assert scene.actions[-1] == Resolve("pbx", "sip:other.example.com:5070")
    again = registrar.resolve()
    assert again.uri == "sip:other.example.com:5070"
    assert again.get("To") == "<sip:200@pbx.example.com>"
    registrar.accept()
    assert phase(scene) is RegistrationPhase.REGISTERED


def redirected(scene: Scene, registrar: Registrar, *contacts: str, status: int = 302) -> str | None:
    """Where a redirection to these leads: the Request-URI, None where it leads nowhere."""
    registrar.respond(status, *(("Contact", one) for one in contacts))
    return registrar.resolve().uri if isinstance(scene.actions[-1], Resolve) else None


def test_a_redirection_to_several_is_followed_until_one_fits() -> None:
    """RFC 3261 section 8.1.3.4: the highest q first; without one it is 1."""
    scene = Scene(PBX)
    registrar = Registrar(scene)
    registrar.start()
    ways = "<sip:low@c.example.com>;q=0.2, <mailto:x@example.com>, <sip:a.example.com>;q=0.7"
    assert redirected(scene, registrar, ways, "<sip:200@b.example.com>") == "sip:b.example.com"
    # One that redirects itself is taken at its word, then the others have their turn.
    assert redirected(scene, registrar, "<sip:d.example.com>;q=0.1") == "sip:d.example.com"
    assert redirected(scene, registrar, status=403) == "sip:a.example.com"
    scene.advance(32.1)  # no answer
    assert scene.actions[-1] == Resolve("pbx", "sip:c.example.com")
    assert scene.told(RegistrationFailed) == []
    scene.note(scene.endpoint.resolved("pbx", [], scene.now))
    [failed] = scene.told(RegistrationFailed)
    assert failed.reason == "the name of the registrar does not resolve"
    scene.advance(60)
    assert registrar.resolve().uri == "sip:pbx.example.com"


def test_a_target_that_fits_stays_and_all_may_come_again() -> None:
    scene = Scene(PBX)
    registrar = Registrar(scene)
    registrar.start()
    both = "<sip:a.example.com>, <sip:b.example.com>;q=0.5"
    assert redirected(scene, registrar, both) == "sip:a.example.com"
    registrar.accept()
    scene.advance(280)
    assert registrar.resolve().uri == "sip:a.example.com"
    assert redirected(scene, registrar, "<sip:b.example.com>") == "sip:b.example.com"
    registrar.accept()
    scene.advance(280)
    registrar.resolve()
    back = "<sip:b.example.com>, <sip:pbx.example.com>"
    assert redirected(scene, registrar, back) == "sip:pbx.example.com"


def test_a_global_failure_ends_a_redirection() -> None:
    scene = Scene(PBX)
    registrar = Registrar(scene)
    registrar.start()
    assert redirected(scene, registrar, "<sip:a.example.com>, <sip:b.example.com>") is not None
    assert redirected(scene, registrar, status=603) is None
    assert [one.status for one in scene.told(RegistrationFailed)] == [603]


def test_redirections_in_a_circle() -> None:
    scene = Scene(PBX)
    registrar = Registrar(scene)
    registrar.start()
    assert redirected(scene, registrar, "<sip:a.example.com>") == "sip:a.example.com"
    assert redirected(scene, registrar, "<sip:pbx.example.com>, <sip:a.example.com>") is None
    assert [one.status for one in scene.told(RegistrationFailed)] == [302]


def test_redirections_without_end() -> None:
    scene = Scene(PBX)
    registrar = Registrar(scene)
    registrar.start()
    for number in range(20):
        if redirected(scene, registrar, f"<sip:{number}.example.com>") is None:
            break
    assert scene.told(RegistrationFailed)[0].status == 302
    assert len(scene.sent) == 10


def test_a_proxy_may_send_us_to_the_registrar_itself() -> None:
    scene = Scene(replace(PBX, outbound_proxy="sip:proxy.example.com"))
    registrar = Registrar(scene)
    registrar.start()
    assert redirected(scene, registrar, "<sip:pbx.example.com>") == "sip:pbx.example.com"
    assert scene.told(Resolve)[-1] == Resolve("pbx", "sip:pbx.example.com")


@pytest.mark.parametrize(
    ("home", "proxy"),
    [
        ("sips:pbx.example.com", None),
        ("sip:pbx.example.com;transport=tls", None),
        ("sip:pbx.example.com", "sips:proxy.example.com"),
    ],
)
def test_a_redirection_leads_nobody_into_the_clear(home: str, proxy: str | None) -> None:
    scene = Scene(replace(PBX, registrar=home, outbound_proxy=proxy))
    registrar = Registrar(scene, Hop("tls", "198.51.100.20", 5061))
    registrar.start()
    assert redirected(scene, registrar, "<sip:a.example.com>, <sip:b.example.com>") is None
    scene.advance(60)
    registrar.resolve()
    ways = "<sip:a.example.com>, <sip:b.example.com;transport=TLS>;q=0.1"
    assert redirected(scene, registrar, ways) == "sip:b.example.com;transport=TLS"


def test_our_address_as_the_registrar_sees_it() -> None:
    scene = Scene(PBX)
    registrar = Registrar(scene)
    first = registrar.start()
    old = first.get("Contact").partition(";expires")[0]
    [moved] = registrar.respond(
        200, ("Contact", f"{old};expires=300"), via="=40555;received=203.0.113.9"
    )
    contacts = moved.all("Contact")
    assert contacts[0].endswith("@203.0.113.9:40555>;expires=300")
    assert contacts[1] == f"{old};expires=0"
    registrar.respond(200, ("Expires", "300"), via="=40555;received=203.0.113.9")
    assert len(scene.told(Registered)) == 1
    # The next refresh goes with the address that was learned.
    scene.advance(271)
    assert "@203.0.113.9:40555>" in registrar.resolve().get("Contact")
    # A NAT that changes its mind every time doesn't make us talk for ever.
    registrar.respond(200, ("Expires", "300"), via="=40556;received=203.0.113.9")
    registrar.respond(200, ("Expires", "300"), via="=40557;received=203.0.113.9")
    assert len(scene.told(Registered)) == 2
    # A call from there is told the same address.
    scene.receive(Phone(FIRST).invite(), FIRST)
    assert "@203.0.113.9:40556>" in scene.ring()[0].get("Contact")


def test_a_new_address_of_ours_replaces_the_old_contact() -> None:
    scene, registrar = registered()
    old = registrar.last.get("Contact").partition(";expires")[0]
    scene.advance(271)
    registrar.local = Hop("udp", "192.0.2.99", 5060)
    moved = registrar.resolve()
    assert moved.get("Via").startswith("SIP/2.0/UDP 192.0.2.99:5060")
    assert "@192.0.2.99:5060>" in moved.all("Contact")[0]
    assert moved.all("Contact")[1] == f"{old};expires=0"


def test_keep_alives() -> None:
    scene = Scene(replace(PBX, keepalive=25))
    registrar = Registrar(scene)
    registrar.start()
    scene.advance(5)
    assert [a for a in scene.told(Send) if a.data == b"\r\n\r\n"] == []
    registrar.accept(3600)
    scene.advance(90)
    pings = [action for action in scene.told(Send) if action.data == b"\r\n\r\n"]
    # RFC 5626 4.4.1: at 80 to 100 % of the interval, 22.5 s here.
    assert len(pings) == 4
    assert {ping.to for ping in pings} == {FIRST}


def test_over_tcp_a_broken_connection_registers_again() -> None:
    hop = Hop("tcp", "198.51.100.20", 5060)
    scene = Scene(replace(PBX, registrar="sip:pbx.example.com;transport=tcp"))
    registrar = Registrar(scene, hop, local=Hop("tcp", "192.0.2.1", 5060))
    assert ";transport=tcp>" in registrar.start().get("Contact")
    registrar.accept()
    scene.advance(20)
    scene.note(scene.endpoint.transport_failed(hop, scene.now))
    registrar.resolve()
    registrar.accept()
    assert len(scene.told(Registered)) == 2
    # One that breaks again at once has to wait.
    scene.note(scene.endpoint.transport_failed(hop, scene.now))
    assert len(scene.told(Resolve)) == 2
    scene.advance(10)
    assert len(scene.told(Resolve)) == 3


def test_a_registrar_that_restarts_is_tried_when_it_speaks() -> None:
    scene, registrar = registered()
    scene.advance(271)
    registrar.resolve()
    scene.advance(33)
    assert phase(scene) is RegistrationPhase.WAITING
    [ok] = scene.receive(Phone(FIRST).request("OPTIONS"), FIRST)[-1:]
    assert ok.status == 200

    assert len(scene.told(Resolve)) == 3
    assert phase(scene) is RegistrationPhase.RESOLVING


def test_an_outbound_proxy() -> None:
    scene = Scene(replace(PBX, outbound_proxy="sip:proxy.example.com:5080"))
    registrar = Registrar(scene)
    register = registrar.start()
    assert scene.told(Resolve)[0].uri == "sip:proxy.example.com:5080"
    assert register.uri == "sip:pbx.example.com"
    assert register.get("Route") == "<sip:proxy.example.com:5080;lr>"
