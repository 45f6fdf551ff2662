"""A scene for tests: an endpoint, a clock that the test moves, and a phone that speaks raw SIP.

The phone writes text and reads what comes back with the tests' own reader, so nothing is proven by
the code that it tests.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import ip_network
from typing import TypeVar

from sipmail.sip.actions import (
    Action,
    Cancelled,
    Ended,
    Established,
    Hop,
    HungUp,
    Incoming,
    MediaChanged,
    Send,
)
from sipmail.sip.endpoint import Endpoint
from sipmail.sip.session import LocalMedia
from sipmail.sip.timers import Timers
from sipmail.sip.trunk import Trunk
from tests.support.siptext import Message, parse

US = Hop("udp", "192.0.2.1", 5060)
PHONE = Hop("udp", "198.51.100.7", 5062)
STRANGER = Hop("udp", "203.0.113.66", 5060)
MEDIA = LocalMedia("192.0.2.1", 20000, ("PCMA", "PCMU"))
CARRIER = Trunk("carrier", accept_from=(ip_network("198.51.100.0/24"),))

OFFER = (
    "v=0\r\no=phone 7 7 IN IP4 198.51.100.7\r\ns=-\r\nc=IN IP4 198.51.100.7\r\nt=0 0\r\n"
    "m=audio 40000 RTP/AVP 0 8 101\r\na=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-16\r\n"
    "a=ptime:20\r\na=sendrecv\r\n"
)
SDP = [("Content-Type", "application/sdp")]

A = TypeVar("A")


@dataclass(frozen=True)
class Sent:
    """A message of the endpoint, when it went and where to."""

    at: float
    message: Message
    to: Hop


class Scene:
    """One endpoint. `actions` are all of them so far, `sent` the messages among them."""

    def __init__(self, *trunks: Trunk, timers: Timers | None = None, jitter: float = 0.5) -> None:
        numbers = itertools.count(1)
        self.now = 1000.0
        self.endpoint = Endpoint(
            trunks or (CARRIER,),
            tokens=lambda: f"tok{next(numbers):05d}",
            jitter=lambda: jitter,
            timers=timers,
            user_agent="sipmail-test",
        )
        self.actions: list[Action] = []
        self.sent: list[Sent] = []

    def note(self, actions: list[Action]) -> list[Action]:
        self.actions += actions
        for action in actions:
            if isinstance(action, Send) and action.data.strip(b"\r\n"):
                text = action.data.decode("utf-8", "surrogateescape")
                message = parse(text, (action.to.host, action.to.port))
                self.sent.append(Sent(self.now, message, action.to))
        return actions

    def receive(self, data: str | bytes, source: Hop = PHONE, local: Hop = US) -> list[Message]:
        """What the endpoint says to this at once."""
        before = len(self.sent)
        raw = data.encode("utf-8", "surrogateescape") if isinstance(data, str) else data
        self.note(self.endpoint.receive(raw, source, local, self.now))
        return [sent.message for sent in self.sent[before:]]

    def advance(self, seconds: float) -> list[Message]:
        """Moves the clock, waking the endpoint at each of its deadlines; what it says meanwhile."""
        before, end = len(self.sent), self.now + seconds
        while (deadline := self.endpoint.deadline) is not None and deadline <= end:
            self.now = max(self.now, deadline)
            self.note(self.endpoint.timer(self.now))
        self.now = end
        return [sent.message for sent in self.sent[before:]]

    def told(self, kind: type[A]) -> list[A]:
        """The actions of one kind."""
        return [action for action in self.actions if isinstance(action, kind)]

    @property
    def call(self) -> str:
        """The newest call."""
        return self.told(Incoming)[-1].call

    def answer(self, media: LocalMedia = MEDIA) -> list[Message]:
        before = len(self.sent)
        self.note(self.endpoint.answer(self.call, media, self.now))
        return [sent.message for sent in self.sent[before:]]

    def ring(self) -> list[Message]:
        before = len(self.sent)
        self.note(self.endpoint.ring(self.call, self.now))
        return [sent.message for sent in self.sent[before:]]

    def hang_up(self, reason: str | None = None) -> list[Message]:
        before = len(self.sent)
        self.note(self.endpoint.hang_up(self.call, self.now, reason))
        return [sent.message for sent in self.sent[before:]]

    def reject(self, status: int, **options: object) -> list[Message]:
        before = len(self.sent)
        actions = self.endpoint.reject(self.call, status, self.now, **options)  # type: ignore[arg-type]
        self.note(actions)
        return [sent.message for sent in self.sent[before:]]

    def settled(self) -> bool:
        """Whether nothing is left once every timer has run out."""
        self.advance(600)
        return self.endpoint.machines == 0


class Phone:
    """One call of a phone: it remembers tags and counts CSeq."""

    _calls = itertools.count(1)

    def __init__(self, hop: Hop = PHONE, *, transport: str = "UDP", contact: str = "") -> None:
        number = next(self._calls)
        self.hop = hop
        self.transport = transport
        self.call_id = f"call-{number}@phone"
        self.tag = f"phone-{number}"
        self.to_tag = ""
        self.cseq = 0
        self.branches = 0
        self.contact = contact or f"<sip:phone@{hop.host}:{hop.port}>"
        self.branch = ""

    def invite(
        self,
        headers: Iterable[tuple[str, str]] = (),
        body: str = OFFER,
        uri: str = "sip:201@192.0.2.1",
        **options: object,
    ) -> str:
        typed = [("Content-Type", "application/sdp")] if body else []
        return self.request("INVITE", [*typed, *headers], body, uri, **options)  # type: ignore[arg-type]

    def request(
        self,
        method: str,
        headers: Iterable[tuple[str, str]] = (),
        body: str = "",
        uri: str = "sip:201@192.0.2.1",
        *,
        cseq: int | None = None,
        branch: str | None = None,
        rport: bool = True,
        contact: bool = True,
    ) -> str:
        if cseq is None:
            self.cseq += 1
            cseq = self.cseq
        if branch is None:
            self.branches += 1
            branch = f"z9hG4bK-{self.tag}-{self.branches}"
        self.branch = branch
        to_tag = f";tag={self.to_tag}" if self.to_tag else ""
        lines = [
            f"{method} {uri} SIP/2.0",
            f"Via: SIP/2.0/{self.transport} {self.hop.host}:{self.hop.port};branch={branch}"
            + (";rport" if rport else ""),
            "Max-Forwards: 70",
            f"From: Phone <sip:phone@{self.hop.host}>;tag={self.tag}",
            f"To: <sip:201@192.0.2.1>{to_tag}",
            f"Call-ID: {self.call_id}",
            f"CSeq: {cseq} {method}",
            *([f"Contact: {self.contact}"] if contact else []),
            *(f"{name}: {value}" for name, value in headers),
            f"Content-Length: {len(body)}",
        ]
        return "\r\n".join([*lines, "", body])

    def ack(self, cseq: int | None = None, branch: str | None = None, body: str = "") -> str:
        """The ACK to the last response: with `branch` that of a failure."""
        typed = [("Content-Type", "application/sdp")] if body else []
        return self.request(
            "ACK", typed, body, cseq=self.cseq if cseq is None else cseq, branch=branch
        )

    def cancel(self, headers: Iterable[tuple[str, str]] = ()) -> str:
        return self.request("CANCEL", headers, cseq=self.cseq, branch=self.branch)

    def learn(self, response: Message) -> Message:
        """Takes our tag from a response."""
        self.to_tag = response.get("To").partition(";tag=")[2]
        return response

    def respond(
        self, request: Message, status: int, headers: Iterable[tuple[str, str]] = (), body: str = ""
    ) -> str:
        echoed = [
            f"{name.title()}: {value}"
            for name, value in request.headers
            if name in ("via", "from", "to", "call-id", "cseq")
        ]
        lines = [f"SIP/2.0 {status} Answer", *echoed, *(f"{n}: {v}" for n, v in headers)]
        return "\r\n".join([*lines, f"Content-Length: {len(body)}", "", body])


def established(scene: Scene, phone: Phone | None = None, **options: object) -> Phone:
    """A call that was answered and acknowledged."""
    phone = phone or Phone()
    scene.receive(phone.invite(**options), phone.hop)  # type: ignore[arg-type]
    response = scene.answer()[-1]
    assert response.status == 200
    phone.learn(response)
    scene.receive(phone.ack(), phone.hop)
    return phone


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


def say(scene: Scene, data: str, source: Hop = PHONE) -> int | None:
    """The status of the one answer to this."""
    [answer] = scene.receive(data, source)
    return answer.status
