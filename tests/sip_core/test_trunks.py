"""Which trunk a call belongs to, what proves it, and trunks that change while we run."""

from __future__ import annotations

import re
from dataclasses import replace
from ipaddress import ip_network

from sipmail.sip.actions import (
    Hop,
    Ignored,
    Incoming,
    Resolve,
    Send,
    Unregistered,
    Way,
)
from sipmail.sip.registration import RegistrationPhase
from sipmail.sip.trunk import Trunk
from tests.sip_core.registrar import (
    FIRST,
    PBX,
    challenge,
    md5,
    phase,
    registered,
)
from tests.sip_core.scene import STRANGER, US, Phone, Scene
from tests.support.siptext import Message


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
