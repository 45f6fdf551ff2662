"""Registration on the moved clock: RFC 3261 sections 10 and 22, RFC 3581, RFC 5626 3.5 and 4.5."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from dataclasses import replace
from ipaddress import ip_network

import pytest

from sipmail.sip.actions import (
    Hop,
    Ignored,
    Incoming,
    Registered,
    RegistrationFailed,
    Resolve,
    Send,
    Unregistered,
    Way,
)
from sipmail.sip.registration import RegistrationPhase
from sipmail.sip.timers import Timers
from sipmail.sip.trunk import Trunk
from tests.sip_core.scene import STRANGER, US, Phone, Scene
from tests.support.siptext import Message

PBX = Trunk("pbx", registrar="sip:pbx.example.com", username="200", password="secret", keepalive=0)
FIRST = Hop("udp", "198.51.100.20", 5060)
SECOND = Hop("udp", "198.51.100.21", 5060)


class Registrar:
    """Answers REGISTERs, as the test says, in place of the network."""

    def __init__(self, scene: Scene, *hops: Hop, local: Hop = US) -> None:
        self.scene = scene
        self.hops = hops or (FIRST,)
        self.local = local

    def start(self) -> Message:
        self.scene.note(self.scene.endpoint.start(self.scene.now))
        return self.resolve()

    def resolve(self, name: str = "pbx") -> Message:
        """Answers the look-up; the REGISTER that follows."""
        assert isinstance(self.scene.actions[-1], Resolve)
        endpoint = self.scene.endpoint
        self.scene.note(endpoint.resolved(name, self.ways, self.scene.now))
        return self.last

    @property
    def ways(self) -> list[Way]:
        return [Way(hop, replace(self.local, transport=hop.transport)) for hop in self.hops]

    @property
    def last(self) -> Message:
        message = self.scene.sent[-1].message
        assert message.method == "REGISTER"
        return message

    def respond(self, status: int, *headers: tuple[str, str], via: str = "") -> list[Message]:
        request = self.last
        lines = [f"SIP/2.0 {status} Answer", f"Via: {request.get('Via')}{via}"]
        lines += [f"From: {request.get('From')}", f"To: {request.get('To')};tag=r"]
        lines += [f"Call-ID: {request.get('Call-ID')}", f"CSeq: {request.get('CSeq')}"]
        lines += [f"{name}: {value}" for name, value in headers]
        text = "\r\n".join([*lines, "Content-Length: 0", "", ""])
        return self.scene.receive(text, self.scene.sent[-1].to)

    def accept(self, expires: int = 300) -> None:
        contact = self.last.all("Contact")[0].partition(";expires")[0]
        self.respond(200, ("Contact", f"{contact};expires={expires}"))


def challenge(nonce: str = "n1", *, stale: bool = False, algorithm: str = "MD5") -> str:
    return f'Digest realm="pbx", nonce="{nonce}", qop="auth", algorithm={algorithm}' + (
        ", stale=true" if stale else ""
    )


def check_digest(
    request: Message, name: str, hash_: Callable[[str], str], *, nc: str = "00000001"
) -> None:
    """Computes the response of RFC 7616 section 3.4.1 by itself."""
    fields = dict(re.findall(r'(\w+)="?([^",]*)"?', request.get(name)))
    secret = hash_("200:pbx:secret")
    asked = hash_(f"REGISTER:{fields['uri']}")
    middle = f"{fields['nonce']}:{nc}:{fields['cnonce']}:auth"
    assert fields["nc"] == nc
    assert fields["username"] == "200"
    assert fields["response"] == hash_(f"{secret}:{middle}:{asked}")


def md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def registered(trunk: Trunk = PBX, *hops: Hop, **options: object) -> tuple[Scene, Registrar]:
    scene = Scene(trunk, **options)  # type: ignore[arg-type]
    registrar = Registrar(scene, *hops)
    registrar.start()
    registrar.accept()
    return scene, registrar


def phase(scene: Scene) -> RegistrationPhase:
    return scene.endpoint.registrations["pbx"].phase


def test_a_register() -> None:
    scene = Scene(replace(PBX, display="Mail"))
    registrar = Registrar(scene)
    scene.note(scene.endpoint.start(scene.now))
    assert scene.told(Resolve) == [Resolve("pbx", "sip:pbx.example.com")]
    register = registrar.resolve()
    assert register.uri == "sip:pbx.example.com"
    assert register.get("To") == '"Mail" <sip:200@pbx.example.com>'
    assert register.get("From").startswith('"Mail" <sip:200@pbx.example.com>;tag=')
    assert register.get("CSeq") == "1 REGISTER"
    assert register.get("Contact").startswith("<sip:tok")
    assert register.get("Contact").endswith("@192.0.2.1:5060>;expires=300")
    assert register.get("Via").startswith("SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK")
    assert register.get("Via").endswith(";rport")
    assert scene.sent[-1].to == FIRST
    registrar.accept()
    assert scene.told(Registered) == [Registered("pbx", 300.0)]
    assert phase(scene) is RegistrationPhase.REGISTERED
    assert scene.endpoint.registrations["pbx"].expires_at == scene.now + 300


def test_unanswered_it_is_repeated_and_then_backed_off() -> None:
    scene = Scene(PBX)
    registrar = Registrar(scene)
    registrar.start()
    started = scene.now
    scene.advance(32)
    # RFC 3261 17.1.2.2
    assert [sent.at - started for sent in scene.sent] == [
        0, 0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5,
    ]  # fmt: skip
    [failed] = scene.told(RegistrationFailed)
    assert (failed.status, failed.reason) == (None, "no answer")
    # RFC 5626 4.5: 50 to 100 % of min(max, base * 2^1), the base 1 s for who is silent; the
    # jitter is 0.5 here.
    assert failed.retry_in == 1.5
    assert phase(scene) is RegistrationPhase.WAITING
    scene.advance(1.4)
    assert len(scene.told(Resolve)) == 1
    scene.advance(0.2)
    assert len(scene.told(Resolve)) == 2
    registrar.resolve()
    registrar.accept()
    assert phase(scene) is RegistrationPhase.REGISTERED


def test_a_registrar_that_restarts_is_tried_again_soon_and_then_less_often() -> None:
    scene = Scene(PBX, jitter=1 - 1e-9)
    registrar = Registrar(scene)
    registrar.start()
    for _ in range(10):
        scene.note(scene.endpoint.transport_failed(FIRST, scene.now))
        scene.advance(scene.told(RegistrationFailed)[-1].retry_in + 0.01)
        registrar.resolve()
    waits = [round(action.retry_in) for action in scene.told(RegistrationFailed)]
    assert waits == [2, 4, 8, 16, 32, 64, 128, 256, 300, 300]


def test_the_back_off_doubles_up_to_its_longest_and_begins_again_after_a_success() -> None:
    scene = Scene(PBX, timers=Timers(backoff=30, backoff_max=1800), jitter=1 - 1e-9)
    registrar = Registrar(scene)
    registrar.start()
    for _ in range(8):
        registrar.respond(500)
        scene.advance(scene.told(RegistrationFailed)[-1].retry_in + 0.01)
        registrar.resolve()
    # RFC 5626 4.5 with all flows failed: 60, 120, 240, 480, 960, 1800 at most.
    waits = [round(action.retry_in) for action in scene.told(RegistrationFailed)]
    assert waits == [60, 120, 240, 480, 960, 1800, 1800, 1800]
    registrar.accept()
    scene.advance(275)
    registrar.resolve()
    registrar.respond(500)
    assert round(scene.told(RegistrationFailed)[-1].retry_in) == 60


@pytest.mark.parametrize(
    ("status", "asks", "answers", "algorithm", "hash_"),
    [
        (401, "WWW-Authenticate", "Authorization", "MD5", md5),
        (407, "Proxy-Authenticate", "Proxy-Authorization", "MD5", md5),
        (401, "WWW-Authenticate", "Authorization", "SHA-256", sha256),
    ],
)
def test_digest(
    status: int, asks: str, answers: str, algorithm: str, hash_: Callable[[str], str]
) -> None:
    scene = Scene(PBX)
    registrar = Registrar(scene)
    first = registrar.start()
    assert first.get(answers) == ""
    [second] = registrar.respond(status, (asks, challenge(algorithm=algorithm)))
    check_digest(second, answers, hash_)
    assert second.get("CSeq") == "2 REGISTER"
    assert second.get("Call-ID") == first.get("Call-ID")
    registrar.accept()
    # The refresh uses the nonce again, counting on.
    scene.advance(271)
    third = registrar.resolve()
    check_digest(third, answers, hash_, nc="00000002")
    # Until it is stale.
    [fourth] = registrar.respond(status, (asks, challenge("n2", stale=True, algorithm=algorithm)))
    check_digest(fourth, answers, hash_)
    assert 'nonce="n2"' in fourth.get(answers)
    registrar.accept()
    assert len(scene.told(Registered)) == 2
    assert scene.told(RegistrationFailed) == []


def test_a_wrong_password_is_not_tried_over_and_over() -> None:
    scene = Scene(PBX)
    registrar = Registrar(scene)
    registrar.start()
    registrar.respond(401, ("WWW-Authenticate", challenge("n1")))
    assert registrar.respond(401, ("WWW-Authenticate", challenge("n2"))) == []
    [failed] = scene.told(RegistrationFailed)
    assert failed.status == 401
    assert failed.retry_in == 45


def test_stale_for_ever_ends_too() -> None:
    scene = Scene(PBX)
    registrar = Registrar(scene)
    registrar.start()
    for number in range(20):
        if not registrar.respond(401, ("WWW-Authenticate", challenge(f"n{number}", stale=True))):
            break
    assert scene.told(RegistrationFailed)[0].status == 401
    assert len(scene.sent) <= 10


def test_a_challenge_without_a_password() -> None:
    scene = Scene(replace(PBX, password=None))
    registrar = Registrar(scene)
    registrar.start()
    assert registrar.respond(401, ("WWW-Authenticate", challenge())) == []
    assert scene.told(RegistrationFailed)[0].status == 401


def test_refresh_before_expiry() -> None:
    scene, registrar = registered()
    scene.advance(269.9)
    assert len(scene.told(Resolve)) == 1
    scene.advance(0.2)
    again = registrar.resolve()
    assert again.get("CSeq") == "2 REGISTER"
    registrar.accept(60)
    scene.advance(29.9)
    assert len(scene.told(Resolve)) == 2
    scene.advance(0.2)
    assert len(scene.told(Resolve)) == 3


def test_what_is_granted() -> None:
    scene = Scene(PBX)
    registrar = Registrar(scene)
    contact = registrar.start().get("Contact").partition(";expires")[0]
    registrar.respond(
        200,
        ("Contact", "<sip:other@10.1.1.1>;expires=9999"),
        ("Contact", f"{contact};expires=120"),
        ("Expires", "7777"),
    )
    assert scene.told(Registered)[-1].expires == 120
    scene.advance(91)
    registrar.resolve()
    registrar.respond(200, ("Expires", "200"))
    assert scene.told(Registered)[-1].expires == 200
    scene.advance(171)
    registrar.resolve()
    registrar.respond(200)
    assert scene.told(Registered)[-1].expires == 300


def test_423() -> None:
    scene = Scene(PBX)
    registrar = Registrar(scene)
    registrar.start()
    [longer] = registrar.respond(423, ("Min-Expires", "3600"))
    assert longer.get("Contact").endswith(";expires=3600")
    registrar.accept(3600)
    scene.advance(3570.1)
    assert registrar.resolve().get("Contact").endswith(";expires=3600")


@pytest.mark.parametrize("least", ["", "10", "x", "9" * 400])
def test_423_that_helps_nothing(least: str) -> None:
    scene = Scene(PBX)
    registrar = Registrar(scene)
    registrar.start()
    assert registrar.respond(423, ("Min-Expires", least)) == []
    assert scene.told(RegistrationFailed)[0].status == 423


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


def test_403_is_backed_off_at_once() -> None:
    scene = Scene(PBX)
    registrar = Registrar(scene, FIRST, SECOND)
    registrar.start()
    assert registrar.respond(403) == []
    assert scene.told(RegistrationFailed)[0].status == 403


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


def test_redirections_in_a_circle() -> None:
    scene = Scene(PBX)
    registrar = Registrar(scene)
    registrar.start()
    for _ in range(20):
        registrar.respond(302, ("Contact", "<sip:pbx.example.com>"))
        if scene.told(RegistrationFailed):
            break
        registrar.resolve()
    assert scene.told(RegistrationFailed)[0].status == 302
    assert len(scene.sent) == 6


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


def test_unregister() -> None:
    scene, registrar = registered()
    contact = registrar.last.get("Contact").partition(";expires")[0]
    scene.note(scene.endpoint.unregister(scene.now))
    last = registrar.last
    assert last.all("Contact") == [f"{contact};expires=0"]
    assert last.get("Expires") == "0"
    assert scene.endpoint.busy
    [again] = registrar.respond(401, ("WWW-Authenticate", challenge()))
    assert again.get("Expires") == "0"
    registrar.respond(200)
    assert scene.told(Unregistered) == [Unregistered("pbx")]
    assert not scene.endpoint.busy
    assert scene.settled()
    assert scene.endpoint.deadline is None


def test_unregister_without_an_answer_does_not_take_long() -> None:
    scene, _ = registered()
    scene.note(scene.endpoint.unregister(scene.now))
    scene.advance(8.1)
    assert scene.told(Unregistered) == [Unregistered("pbx")]
    assert scene.settled()


def test_unregister_of_what_never_registered() -> None:
    scene = Scene(PBX)
    registrar = Registrar(scene)
    scene.note(scene.endpoint.start(scene.now))
    scene.note(scene.endpoint.unregister(scene.now))
    assert scene.told(Unregistered) == [Unregistered("pbx")]
    scene.note(scene.endpoint.resolved("pbx", registrar.ways, scene.now))
    assert scene.sent == []
    assert scene.endpoint.deadline is None


@pytest.mark.parametrize("status", [200, 401, 500])
def test_unregister_while_a_register_is_under_way(status: int) -> None:
    scene = Scene(PBX)
    registrar = Registrar(scene)
    registrar.start()
    scene.note(scene.endpoint.unregister(scene.now))
    assert len(scene.sent) == 1  # RFC 3261 10.2: not before the answer
    registrar.respond(status, ("WWW-Authenticate", challenge()))
    if status == 200:
        assert registrar.last.get("Expires") == "0"
        assert scene.told(Unregistered) == []
        registrar.respond(200)
    assert len(scene.told(Unregistered)) == 1
    assert scene.settled()


def test_unregister_while_a_refresh_is_under_way_takes_it_back() -> None:
    scene, registrar = registered()
    scene.advance(271)
    registrar.resolve()
    scene.note(scene.endpoint.unregister(scene.now))
    registrar.respond(200)
    assert registrar.last.get("Expires") == "0"
    registrar.respond(200)
    assert len(scene.told(Unregistered)) == 1


def test_an_outbound_proxy() -> None:
    scene = Scene(replace(PBX, outbound_proxy="sip:proxy.example.com:5080"))
    registrar = Registrar(scene)
    register = registrar.start()
    assert scene.told(Resolve)[0].uri == "sip:proxy.example.com:5080"
    assert register.uri == "sip:pbx.example.com"
    assert register.get("Route") == "<sip:proxy.example.com:5080;lr>"


def test_another_login_and_realm() -> None:
    scene = Scene(replace(PBX, auth_username="login", realm="pbx"))
    registrar = Registrar(scene)
    registrar.start()
    other = challenge().replace('realm="pbx"', 'realm="other"')
    [again] = registrar.respond(401, ("WWW-Authenticate", other), ("WWW-Authenticate", challenge()))
    assert 'username="login"' in again.get("Authorization")
    assert 'realm="pbx"' in again.get("Authorization")


# --- calls of registered trunks -----------------------------------------------------------------


def contact_user(register: Message) -> str:
    return register.get("Contact")[5:].partition("@")[0]


def test_calls_from_the_registrar_belong_to_its_trunk() -> None:
    scene, registrar = registered()
    user = contact_user(registrar.last)
    scene.receive(Phone(FIRST).invite(uri=f"sip:{user}@192.0.2.1"), FIRST)
    other_port = Hop("udp", FIRST.host, 5099)
    scene.receive(Phone(FIRST).invite(uri="sip:+48221234567@192.0.2.1"), other_port)
    assert [action.trunk for action in scene.told(Incoming)] == ["pbx", "pbx"]


def test_our_contact_alone_opens_no_door() -> None:
    scene, registrar = registered()
    user = contact_user(registrar.last)
    phone = Phone(STRANGER)
    assert scene.receive(phone.invite(uri=f"sip:{user}@192.0.2.1"), STRANGER) == []
    [ignored] = scene.told(Ignored)
    assert ignored.hint == "sip.trunks.pbx.accept_from: [203.0.113.66] would accept it"


def test_several_accounts_on_one_pbx_are_told_apart() -> None:
    trunks = [replace(PBX, name=f"t{number}", username=f"{number}") for number in (200, 201, 202)]
    scene = Scene(*trunks)
    scene.note(scene.endpoint.start(scene.now))
    users = {}
    for trunk in trunks:
        scene.note(scene.endpoint.resolved(trunk.name, [Way(FIRST, US)], scene.now))
        users[trunk.name] = contact_user(scene.sent[-1].message)

    def trunk_of(uri: str) -> str:
        scene.receive(Phone(FIRST).invite(uri=uri), FIRST)
        return scene.told(Incoming)[-1].trunk

    for name, user in users.items():
        assert trunk_of(f"sip:{user}@192.0.2.1") == name
    assert trunk_of("sip:202@192.0.2.1") == "t202"
    # The phone's To is 201.
    assert trunk_of("sip:+48221234567@192.0.2.1") == "t201"


def test_an_unclear_call_belongs_to_the_first_trunk() -> None:
    trunks = [replace(PBX, name=f"t{number}", username=f"{number}") for number in (300, 301)]
    scene = Scene(*trunks)
    scene.note(scene.endpoint.start(scene.now))
    for trunk in trunks:
        scene.note(scene.endpoint.resolved(trunk.name, [Way(FIRST, US)], scene.now))
    scene.receive(Phone(FIRST).invite(), FIRST)
    assert scene.told(Incoming)[-1].trunk == "t300"


def test_our_bye_answers_the_challenge_of_a_registrar() -> None:
    scene, _ = registered()
    phone = Phone(FIRST)
    scene.receive(phone.invite(), FIRST)
    phone.learn(scene.answer()[0])
    scene.receive(phone.ack(), FIRST)
    [bye] = scene.hang_up()
    asked = [("Proxy-Authenticate", challenge())]
    [again] = scene.receive(phone.respond(bye, 407, asked), FIRST)
    assert (again.method, again.get("CSeq")) == ("BYE", "2 BYE")
    assert 'realm="pbx"' in again.get("Proxy-Authorization")
    scene.receive(phone.respond(again, 200), FIRST)
    assert scene.endpoint.calls == 0


# --- a trunk with a password and no registrar ---------------------------------------------------


def test_inbound_calls_are_challenged() -> None:

    carrier = Trunk(
        "carrier", password="secret", username="200", accept_from=(ip_network("198.51.100.0/24"),)
    )
    scene, phone = Scene(carrier), Phone()
    [refused] = scene.receive(phone.invite())
    assert refused.status == 401
    assert scene.told(Incoming) == []
    lines = refused.all("WWW-Authenticate")
    assert [re.search(r"algorithm=([\w-]+)", line)[1] for line in lines] == [  # type: ignore[index]
        "MD5",
        "SHA-256",
    ]
    scene.receive(phone.ack(branch=phone.branch))
    fields = dict(re.findall(r'(\w+)="?([^",]*)"?', lines[1]))

    def authorized(password: str, nc: str) -> tuple[str, str]:
        uri = "sip:201@192.0.2.1"
        secret, asked = md5(f"200:{fields['realm']}:{password}"), md5(f"INVITE:{uri}")
        response = md5(f"{secret}:{fields['nonce']}:{nc}:abc:auth:{asked}")
        return (
            "Authorization",
            f'Digest username="200", realm="{fields["realm"]}", nonce="{fields["nonce"]}", '
            f'uri="{uri}", response="{response}", algorithm=MD5, cnonce="abc", qop=auth, nc={nc}',
        )

    assert scene.receive(phone.invite([authorized("wrong", "00000001")]))[0].status == 401
    assert scene.receive(phone.invite([authorized("secret", "00000001")]))[0].status == 100
    assert scene.told(Incoming)[0].trunk == "carrier"
    # The same credentials again are a replay.
    [stale] = scene.receive(Phone().invite([authorized("secret", "00000001")]))
    assert stale.status == 401
    assert "stale=true" in stale.get("WWW-Authenticate")
    assert scene.receive(Phone().request("OPTIONS"))[0].status == 200


# --- reconfiguration ----------------------------------------------------------------------------


def test_an_unchanged_trunk_keeps_its_registration() -> None:
    scene, _ = registered()
    sent = len(scene.sent)
    scene.note(scene.endpoint.reconfigure([replace(PBX, keepalive=10)], scene.now))
    assert len(scene.sent) == sent
    assert phase(scene) is RegistrationPhase.REGISTERED
    scene.advance(9.1)
    assert scene.told(Send)[-1].data == b"\r\n\r\n"


def test_a_removed_trunk_unregisters_and_its_calls_go_on() -> None:
    scene, registrar = registered()
    phone = Phone(FIRST)
    scene.receive(phone.invite(), FIRST)
    scene.note(scene.endpoint.reconfigure([], scene.now))
    assert registrar.last.get("Expires") == "0"
    registrar.respond(200)
    assert scene.told(Unregistered) == [Unregistered("pbx")]
    phone.learn(scene.answer()[0])
    scene.receive(phone.ack(), FIRST)
    assert scene.receive(phone.request("BYE"), FIRST)[0].status == 200
    assert scene.receive(Phone(FIRST).invite(), FIRST) == []
    assert scene.settled()


def test_a_changed_trunk_unregisters_first_and_then_registers_anew() -> None:
    scene, registrar = registered()
    before = registrar.last
    scene.note(scene.endpoint.reconfigure([replace(PBX, username="201")], scene.now))
    assert registrar.last.get("Expires") == "0"
    assert len(scene.told(Resolve)) == 1
    registrar.respond(200)
    after = registrar.resolve()
    assert after.get("To") == "<sip:201@pbx.example.com>"
    assert after.get("Call-ID") != before.get("Call-ID")
    assert contact_user(after) != contact_user(before)


def test_an_added_trunk_registers() -> None:
    scene = Scene(replace(PBX, name="other"))
    scene.note(scene.endpoint.start(scene.now))
    scene.note(scene.endpoint.reconfigure([replace(PBX, name="other"), PBX], scene.now))
    assert [action.trunk for action in scene.told(Resolve)] == ["other", "pbx"]


def test_accept_from_changes_at_once() -> None:

    scene = Scene(PBX)
    assert scene.receive(Phone(STRANGER).request("OPTIONS"), STRANGER) == []
    changed = replace(PBX, accept_from=(ip_network("203.0.113.66/32"),))
    scene.note(scene.endpoint.reconfigure([changed], scene.now))
    assert scene.receive(Phone(STRANGER).request("OPTIONS"), STRANGER)[0].status == 200
