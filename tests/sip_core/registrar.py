"""A registrar on the moved clock, and what it asks for."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from dataclasses import replace

from sipmail.sip.actions import (
    Hop,
    Resolve,
    Way,
)
from sipmail.sip.registration import RegistrationPhase
from sipmail.sip.trunk import Trunk
from tests.sip_core.scene import US, Scene
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
