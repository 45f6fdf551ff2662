"""A network that loses, delays, repeats and reorders, with a random phone on its far side.

Everything follows from one seed. The phone is a client of its own: it repeats requests until they
are answered, acknowledges every final response to an INVITE, and cancels, hangs up, changes the
session or sends keys when its plan says so.
"""

from __future__ import annotations

import heapq
import itertools
import random
from collections.abc import Callable
from dataclasses import dataclass, field

from sipmail.sip.actions import (
    Action,
    Cancelled,
    Ended,
    Established,
    Hop,
    HungUp,
    Incoming,
    MediaChanged,
    RegistrationFailed,
    Resolve,
    Send,
    TransferFailed,
    Transferred,
    Unregistered,
    Way,
)
from sipmail.sip.endpoint import Endpoint
from sipmail.sip.trunk import Trunk
from tests.sip_core.scene import CARRIER, MEDIA, OFFER, PHONE, US

T1, T2 = 0.5, 4.0
GIVE_UP = 64 * T1
_NEWS = Established | MediaChanged | Cancelled | HungUp | Ended | Transferred | TransferFailed
HOLD = OFFER.replace("a=sendrecv", "a=sendonly")


@dataclass
class Network:
    """Time, and what is under way. `loss`, `repeat` are probabilities, `delay` seconds at most."""

    seed: int
    now: float = 0.0
    _events: list[tuple[float, int, Callable[[], None]]] = field(default_factory=list)
    _order: itertools.count[int] = field(default_factory=itertools.count)

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
        self.loss = self.random.choice((0.0, 0.05, 0.3, 0.6))
        self.repeat = self.random.choice((0.0, 0.2))
        self.delay = self.random.choice((0.01, 0.3, 3.0))

    def after(self, seconds: float, action: Callable[[], None]) -> None:
        heapq.heappush(self._events, (self.now + seconds, next(self._order), action))

    def carry(self, deliver: Callable[[], None]) -> None:
        """Delivers once, twice or never, after some time."""
        for _ in range(2 if self.random.random() < self.repeat else 1):
            if self.random.random() >= self.loss:
                self.after(self.random.random() * self.delay, deliver)

    def run(self, endpoint: Endpoint, take: Callable[[list[Action]], None]) -> None:
        """Until nothing happens any more."""
        while True:
            event = self._events[0][0] if self._events else None
            deadline = endpoint.deadline
            if event is None and deadline is None:
                return
            if deadline is not None and (event is None or deadline <= event):
                self.now = max(self.now, deadline)
                take(endpoint.timer(self.now))
            else:
                at, _, action = heapq.heappop(self._events)
                self.now = max(self.now, at)
                action()


class RandomPhone:
    """One call after a random plan."""

    def __init__(self, network: Network, number: int, send: Callable[[bytes], None]) -> None:
        self.network = network
        self.send = send
        self.number = number
        self.to_tag = ""
        self.cseq = 1
        self.open: set[str] = set()
        """Branches of requests that wait for a final response."""
        self.answered = False
        chance = network.random
        self.late_offer = chance.random() < 0.2
        self.deaf = chance.random() < 0.1  # never acknowledges
        self.headers = chance.choice(("", "", "Require: 100rel\r\n", "Supported: timer\r\n"))
        if chance.random() < 0.2:
            role = chance.choice(("uac", "uas"))
            self.headers += f"Session-Expires: 90;refresher={role}\r\n"
            self.headers += chance.choice(("", "Allow: UPDATE\r\n"))
        self.invite_branch = self.branch()
        self.begin()

    def branch(self) -> str:
        return f"z9hG4bK{self.number}.{next(self.network._order)}"

    def begin(self) -> None:
        chance, network = self.network.random, self.network
        body = "" if self.late_offer else OFFER
        self.request("INVITE", self.invite_branch, 1, body, self.headers, tagged=False)
        if chance.random() < 0.3:
            network.after(chance.random() * 8, self.cancel)
        for _ in range(chance.randrange(3)):
            network.after(chance.random() * 20, chance.choice((self.hold, self.key, self.update)))
        if chance.random() < 0.6:
            network.after(chance.random() * 40, self.hang_up)

    def request(
        self, method: str, branch: str, cseq: int, body: str, headers: str = "", tagged: bool = True
    ) -> None:
        to_tag = f";tag={self.to_tag}" if tagged and self.to_tag else ""
        typed = "Content-Type: application/sdp\r\n" if body.startswith("v=") else ""
        data = (
            f"{method} sip:201@192.0.2.1 SIP/2.0\r\n"
            f"Via: SIP/2.0/UDP 198.51.100.7:5062;branch={branch};rport\r\n"
            f"From: <sip:phone@198.51.100.7>;tag=p{self.number}\r\n"
            f"To: <sip:201@192.0.2.1>{to_tag}\r\nCall-ID: c{self.number}\r\n"
            f"CSeq: {cseq} {method}\r\nContact: <sip:phone@198.51.100.7:5062>\r\n"
            f"{typed}{headers}Content-Length: {len(body)}\r\n\r\n{body}"
        ).encode()
        if method != "ACK":
            self.open.add(branch + method)
            self.again(data, branch + method, T1, method != "INVITE", self.network.now)
        else:
            self.send(data)

    def again(self, data: bytes, key: str, pause: float, capped: bool, since: float) -> None:
        if key not in self.open or self.network.now - since >= GIVE_UP:
            return
        self.send(data)
        longer = min(2 * pause, T2) if capped else 2 * pause
        self.network.after(pause, lambda: self.again(data, key, longer, capped, since))

    def next_request(self, method: str, body: str = "", headers: str = "") -> None:
        self.cseq += 1
        self.request(method, self.branch(), self.cseq, body, headers)

    def cancel(self) -> None:
        if not self.answered:
            self.request("CANCEL", self.invite_branch, 1, "", tagged=False)

    def hold(self) -> None:
        if self.answered:
            self.next_request("INVITE", self.network.random.choice((HOLD, OFFER, "")))

    def update(self) -> None:
        if self.answered:
            self.next_request("UPDATE", self.network.random.choice((HOLD, "")))

    def key(self) -> None:
        if self.to_tag:
            body = "Signal=1\r\n"
            self.next_request("INFO", body, "Content-Type: application/dtmf-relay\r\n")

    def hang_up(self) -> None:
        if self.to_tag:
            self.next_request("BYE")

    def notify(self) -> None:
        """What becomes of a transfer, some time, in one order or another."""
        chance, wait = self.network.random, 0.0
        for status in chance.choice(((100, 200), (100, 180, 486), (200,), (180,), ())):
            wait += chance.choice((0.1, 5.0, 60.0)) * chance.random()
            over = "terminated" if status >= 200 else "active"
            headers = f"Event: refer\r\nSubscription-State: {over}\r\n"
            body = f"SIP/2.0 {status} Answer\r\n"
            self.network.after(
                wait,
                lambda body=body, headers=headers: self.next_request("NOTIFY", body, headers),  # type: ignore[misc]
            )

    def receive(self, data: bytes) -> None:
        head, _, body = data.decode().partition("\r\n\r\n")
        first, *lines = head.split("\r\n")
        fields = dict(line.split(": ", 1) for line in reversed(lines))
        if first.startswith("SIP/2.0 "):
            self.response(int(first[8:11]), fields, body)
        elif first.startswith("ACK "):
            return
        else:
            self.reply(first.split(" ")[0], fields)

    def response(self, status: int, fields: dict[str, str], body: str) -> None:
        branch = fields["Via"].partition(";branch=")[2].partition(";")[0]
        number, method = fields["CSeq"].split(" ")
        if status > 100 and ";tag=" in fields["To"] and not self.to_tag:
            self.to_tag = fields["To"].partition(";tag=")[2]
        if status < 200:
            if method == "INVITE":
                self.open.discard(branch + method)
            if "RSeq" in fields and self.network.random.random() < 0.8:
                self.next_request("PRACK", "", f"RAck: {fields['RSeq']} {number} {method}\r\n")
            return
        self.open.discard(branch + method)
        if method != "INVITE":
            return
        if status >= 300:
            self.request("ACK", branch, int(number), "", tagged=True)
        elif not self.deaf:
            self.answered = True
            offered = "a=rtpmap:13" in body
            self.request("ACK", self.branch(), int(number), OFFER if offered else "")

    def reply(self, method: str, fields: dict[str, str]) -> None:
        status = self.network.random.choice((200, 200, 200, 481, 500, 491, 405, 0))
        if status == 0 or (method == "BYE" and status not in (200, 481)):
            return
        if method == "REFER" and status == 200:
            self.notify()
        body = OFFER if method == "INVITE" and status == 200 else ""
        typed = "Content-Type: application/sdp\r\n" if body else ""
        echoed = "".join(
            f"{name}: {fields[name]}\r\n" for name in ("Via", "From", "To", "Call-ID", "CSeq")
        )
        head = f"SIP/2.0 {status} Answer\r\n{echoed}{typed}Content-Length: {len(body)}"
        self.send(f"{head}\r\n\r\n{body}".encode())


class Schedule:
    """One run: an endpoint, an application with whims, and phones beyond the network."""

    def __init__(self, seed: int, phones: int = 1) -> None:
        self.network = network = Network(seed)
        names = itertools.count()
        self.endpoint = Endpoint(
            [CARRIER], tokens=lambda: f"t{next(names)}", jitter=network.random.random
        )
        self.told: dict[str, list[str]] = {}
        self.phones = {
            f"c{number}": RandomPhone(network, number, self._to_endpoint)
            for number in range(phones)
        }

    def run(self) -> None:
        self.network.run(self.endpoint, self._take)

    def _to_endpoint(self, data: bytes) -> None:
        self.network.carry(
            lambda: self._take(self.endpoint.receive(data, PHONE, US, self.network.now))
        )

    def _take(self, actions: list[Action]) -> None:
        for action in actions:
            if isinstance(action, Send):
                call_id = action.data.partition(b"Call-ID: ")[2].partition(b"\r\n")[0].decode()
                phone, data = self.phones[call_id], action.data
                self.network.carry(lambda phone=phone, data=data: phone.receive(data))  # type: ignore[misc]
            elif isinstance(action, Incoming):
                self.told[action.call] = []
                self._serve(action.call)
            elif isinstance(action, _NEWS):
                self.told[action.call].append(type(action).__name__)
                if isinstance(action, Established) and self.network.random.random() < 0.8:
                    self.network.after(
                        self.network.random.random(),
                        lambda call=action.call: self._transfer(call),  # type: ignore[misc]
                    )

    def _transfer(self, call: str) -> None:
        if "Ended" not in self.told[call]:
            self.told[call].append("transfer")
        self._take(self.endpoint.transfer(call, "100", self.network.now))

    def _serve(self, call: str) -> None:
        """What the application will do with a call; it may come too late for everything."""
        chance, endpoint, network = self.network.random, self.endpoint, self.network
        if chance.random() < 0.05:
            return  # it forgets the call
        plans: list[Callable[[], list[Action]]] = []
        if chance.random() < 0.5:
            plans.append(lambda: endpoint.ring(call, network.now))
        if chance.random() < 0.15:
            plans.append(lambda: endpoint.reject(call, 486, network.now))
        else:
            plans.append(lambda: endpoint.answer(call, MEDIA, network.now))
            if chance.random() < 0.6:
                plans.append(lambda: endpoint.hang_up(call, network.now))
        wait = 0.0
        for plan in plans:
            wait += chance.choice((0.0, 1.0, 10.0)) * chance.random()
            network.after(wait, lambda plan=plan: self._take(plan()))  # type: ignore[misc]
        # No message lasts for ever.
        network.after(wait + 150, lambda: self._take(endpoint.hang_up(call, network.now)))


class RegistrarSchedule:
    """A registration over the network, for some minutes, and its end.

    The registrar challenges, restarts (forgetting everything) and goes away as it likes.
    """

    def __init__(self, seed: int) -> None:
        self.network = network = Network(seed)
        names = itertools.count()
        trunk = Trunk("pbx", registrar="sip:pbx", username="200", password="x", expires=60)
        self.endpoint = Endpoint(
            [trunk], tokens=lambda: f"t{next(names)}", jitter=network.random.random
        )
        self.story: list[str] = []
        self.bound: dict[str, float] = {}
        self.most_under_way = 0
        self.away = False
        self._nonce = ""
        self._newest = 0
        self._unanswered: set[str] = set()
        self._hop = Hop("udp", "198.51.100.20", 5060)

    def run(self) -> None:
        chance, network = self.network.random, self.network
        self._take(self.endpoint.start(0.0))
        end = 100 + chance.random() * 900
        for _ in range(chance.randrange(4)):
            network.after(chance.random() * end, self._restart)
        for _ in range(chance.randrange(2)):
            network.after(chance.random() * end, lambda: setattr(self, "away", True))
            network.after(end * 0.9, lambda: setattr(self, "away", False))
        network.after(end, lambda: self._take(self.endpoint.unregister(network.now)))
        network.run(self.endpoint, self._take)

    def _restart(self) -> None:
        self.bound.clear()
        self._nonce = ""

    def _take(self, actions: list[Action]) -> None:
        network = self.network
        for action in actions:
            if isinstance(action, Resolve):
                ways = [] if network.random.random() < 0.1 else [Way(self._hop, US)]
                wait = network.random.random()
                network.after(wait, lambda ways=ways: self._resolved(ways))  # type: ignore[misc]
            elif isinstance(action, Send):
                if action.data.strip():
                    self._note_request(action.data.decode())
                    network.carry(lambda data=action.data: self._receive(data))  # type: ignore[misc]
            else:
                self.story.append(type(action).__name__)
                if isinstance(action, RegistrationFailed | Unregistered):
                    self._unanswered.clear()

    def _resolved(self, ways: list[Way]) -> None:
        self._take(self.endpoint.resolved("pbx", ways, self.network.now))

    def _note_request(self, text: str) -> None:
        self._unanswered.add(text.partition("CSeq: ")[2].partition("\r\n")[0])
        self.most_under_way = max(self.most_under_way, len(self._unanswered))

    def _receive(self, data: bytes) -> None:
        if self.away:
            return
        head = data.decode().partition("\r\n\r\n")[0]
        fields = [line.split(": ", 1) for line in head.split("\r\n")[1:]]
        headers = dict(reversed([(name, value) for name, value in fields]))
        status, extra = 200, ""
        if not self._nonce or f'nonce="{self._nonce}"' not in headers.get("Authorization", ""):
            stale = ", stale=true" if "Authorization" in headers else ""
            self._nonce = self._nonce or f"n{next(self.network._order)}"
            status = 401
            extra = f'WWW-Authenticate: Digest realm="pbx", nonce="{self._nonce}"{stale}\r\n'
        elif (number := int(headers["CSeq"].split(" ")[0])) >= self._newest:  # RFC 3261 10.3
            self._newest = number
            self._bind([value for name, value in fields if name == "Contact"])
        echoed = "".join(
            f"{name}: {headers[name]}\r\n" for name in ("Via", "From", "To", "Call-ID", "CSeq")
        )
        answer = f"SIP/2.0 {status} Answer\r\n{echoed}{extra}Content-Length: 0\r\n\r\n".encode()
        cseq = headers["CSeq"]
        self.network.carry(lambda: self._answered(cseq, answer))

    def _bind(self, contacts: list[str]) -> None:
        for contact in contacts:
            uri, _, expires = contact.partition(";expires=")
            self.bound.pop(uri, None)
            if expires != "0":
                self.bound[uri] = self.network.now + float(expires)

    def _answered(self, cseq: str, answer: bytes) -> None:
        self._unanswered.discard(cseq)
        self._take(self.endpoint.receive(answer, self._hop, US, self.network.now))
