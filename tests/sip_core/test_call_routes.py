"""Where requests and responses of a call go: RFC 3261 sections 12.2.1.1 and 18.2.2, RFC 3581."""

from __future__ import annotations

import re
from ipaddress import ip_network

import pytest

from sipmail.sip.actions import (
    Ended,
    Hop,
)
from sipmail.sip.trunk import Trunk
from tests.sip_core.scene import PHONE, Phone, Scene, established


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


PROXIES = (
    "Via: SIP/2.0/UDP 198.51.100.7:5062;branch=z9hG4bKp;rport\r\n"
    "Via: SIP/2.0/UDP ua.example.com;branch=z9hG4bKq;received=203.0.113.8;rport=1024\r\n"
)


@pytest.mark.parametrize(("vias", "to"), [("", PHONE), (PROXIES, Hop("udp", "203.0.113.8", 1024))])
def test_a_caller_without_contact_is_where_the_invite_came_from(vias: str, to: Hop) -> None:
    """As RFC 2543 allowed it (RFC 4475 section 3.4.1), without tag and branch, too."""
    scene, phone = Scene(), Phone()
    invite = phone.invite().replace(f"Contact: {phone.contact}\r\n", "")
    invite = invite.replace(f";tag={phone.tag}", "").replace(f";branch={phone.branch}", "")
    if vias:
        invite = re.sub("Via: .*\r\n", vias, invite)
    scene.receive(invite)
    ok = phone.learn(scene.answer()[0])
    assert ok.status == 200
    scene.receive(phone.ack().replace(f";tag={phone.tag}", ""))
    [bye] = scene.hang_up()
    assert bye.uri == f"sip:phone@{to.host}:{to.port}"
    assert scene.sent[-1].to == to
    scene.receive(phone.respond(bye, 200), to)
    assert scene.advance(120) == []
    assert scene.settled()


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


def test_a_lost_connection_sends_responses_to_the_via() -> None:
    scene = Scene()
    listening = Hop("tcp", PHONE.host, 5062)
    hop = Hop("tcp", PHONE.host, 40001)
    scene.receive(Phone(listening, transport="TCP").invite(), hop)
    scene.reject(486)
    scene.note(scene.endpoint.transport_failed(hop, scene.now))
    # RFC 3261 18.2.2: received, and the port of sent-by.
    assert [sent.to for sent in scene.sent if sent.message.status == 486] == [hop, listening]
