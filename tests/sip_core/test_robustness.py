"""Whatever arrives, the endpoint raises nothing, strangers get nothing, and all calls still end."""

from __future__ import annotations

import random
from ipaddress import ip_network
from pathlib import Path

import pytest

from sipmail.sip.actions import Ended, Hop, Incoming, Send, Way
from sipmail.sip.trunk import Trunk
from tests.sip_core.scene import MEDIA, OFFER, PHONE, STRANGER, US, Phone, Scene, established

TORTURE = sorted((Path(__file__).parents[1] / "sip" / "data" / "torture").glob("*.dat"))
SEEDS = range(8)
MESSAGES = 1600

PIECES = (
    b"\r\n", b"\r\n\r\n", b";tag=", b";", b",", b"<", b">", b'"', b"\0", b"\xff", b"%", b"@", b":",
    b"Require: 100rel\r\n", b"Replaces: x;to-tag=1;from-tag=2\r\n", b"Session-Expires: 1\r\n",
    b"RAck: 1 1 INVITE\r\n", b"Record-Route: <sip:x>\r\n", b"Record-Route: <tel:1>\r\n",
    b"Contact: <tel:+1>\r\n", b"Contact: *\r\n", b"99999999999999999999", b"-1", b"v=0\r\n",
    b"a=ptime:0\r\n", b"m=audio 1 RTP/AVP 0\r\n", b"Expires: 0\r\n", b"Min-SE: 0\r\n",
    b"Authorization: Digest x\r\n", b"Reason: ;\r\n", b"Content-Type: multipart/mixed\r\n",
)  # fmt: skip


def test_the_torture_messages_are_there() -> None:
    assert len(TORTURE) >= 49  # RFC 4475


@pytest.mark.parametrize("path", TORTURE, ids=lambda path: path.stem)
def test_torture_messages(path: Path) -> None:
    data = path.read_bytes()
    scene = Scene()
    assert scene.receive(data, STRANGER) == []
    assert scene.endpoint.machines == 0
    for message in scene.receive(data):
        assert message.status is not None
    for action in scene.told(Incoming):
        scene.note(scene.endpoint.answer(action.call, MEDIA, scene.now))
    assert scene.settled()
    assert len(scene.told(Ended)) == len(scene.told(Incoming))


def damaged(text: str, chance: random.Random) -> bytes:
    data = text.encode("utf-8", "surrogateescape")
    for _ in range(chance.randrange(1, 4)):
        at = chance.randrange(len(data) + 1)
        kind = chance.randrange(4)
        if kind == 0:
            data = data[:at] + chance.choice(PIECES) + data[at:]
        elif kind == 1:
            data = data[:at] + data[at + chance.randrange(12) :]
        elif kind == 2:
            lines = data.split(b"\r\n")
            line = chance.randrange(len(lines))
            lines[line:line] = [chance.choice(lines), chance.choice(PIECES).strip()][: at % 3]
            data = b"\r\n".join(lines)
        else:
            data = data[:at] + bytes([chance.randrange(256)]) + data[at + 1 :]
    return data


@pytest.mark.parametrize("seed", SEEDS)
def test_damaged_messages_in_and_out_of_a_call(seed: int) -> None:
    chance = random.Random(seed)
    password = Trunk("locked", password="x", accept_from=(ip_network("198.51.100.0/24"),))
    scene = Scene(*((password,) if seed == 0 else ()))
    for _ in range(MESSAGES // 8):
        phone = Phone()
        scene.receive(damaged(phone.invite(), chance))
        if scene.told(Incoming) and chance.random() < 0.7:
            for answer in scene.answer():
                phone.learn(answer)
        for method in ("INFO", "UPDATE", "INVITE", "PRACK", "OPTIONS", "REFER", "BYE"):
            body = OFFER if method in ("UPDATE", "INVITE") else "Signal=1"
            headers = [("Content-Type", "application/sdp" if body is OFFER else "application/dtmf")]
            message = phone.request(method, headers, body)
            scene.receive(damaged(message, chance), chance.choice((PHONE, PHONE, STRANGER)))
            scene.advance(chance.random())
        scene.receive(damaged(phone.ack(), chance))
        scene.receive(damaged(phone.cancel(), chance))
        for sent in scene.sent[-2:]:
            if sent.message.method:
                scene.receive(damaged(phone.respond(sent.message, 200), chance))
    for call in list(scene.endpoint._calls):
        scene.note(scene.endpoint.hang_up(call, scene.now))
    assert scene.settled()
    ended = [action.call for action in scene.told(Ended)]
    assert sorted(ended) == sorted(action.call for action in scene.told(Incoming))


def test_damaged_answers_to_our_requests() -> None:
    chance = random.Random(11)
    pbx = Trunk("pbx", registrar="sip:pbx;transport=tcp", username="1", password="x", expires=60)
    scene, hop = Scene(pbx), Hop("udp", "198.51.100.20", 5060)
    scene.note(scene.endpoint.start(scene.now))
    headers = [
        ("WWW-Authenticate", 'Digest realm="a", nonce="b", qop="auth"'),
        ("Contact", "<sip:x@192.0.2.1>;expires=10"),
        ("Min-Expires", "9"),
        ("Retry-After", "5"),
        ("Expires", "70"),
    ]
    for _ in range(400):
        scene.note(scene.endpoint.resolved("pbx", [Way(hop, US)], scene.now))
        request = scene.sent[-1].message
        answer = Phone().respond(request, chance.choice((200, 302, 401, 423, 503)), headers)
        scene.receive(damaged(answer, chance), hop)
        scene.advance(chance.random() * 60)
    assert scene.endpoint.machines <= 1
    scene.note(scene.endpoint.unregister(scene.now))
    assert scene.settled()


def test_what_we_send_is_well_formed_even_where_the_peer_was_not() -> None:
    scene = Scene()
    headers = [
        ("P-Asserted-Identity", "\x7f<<>"),
        ("Reason", "\xff;;"),
        ("Subject", "\u017c\u00f3"),
    ]
    phone = established(scene, headers=headers)
    scene.hang_up()
    for action in scene.told(Send):
        head = action.data.partition(b"\r\n\r\n")[0]
        assert b"\r" not in head.replace(b"\r\n", b"")
    assert phone.to_tag
