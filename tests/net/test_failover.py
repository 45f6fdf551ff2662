"""Two registrars behind one name: over to the second, and back, on a moved clock (RFC 3263 4.3)."""

from __future__ import annotations

from itertools import count

from sipmail.sip.actions import Action, Hop, Registered, RegistrationFailed, Resolve, Send, Way
from sipmail.sip.endpoint import Endpoint
from sipmail.sip.message import Request, parse, response_to
from sipmail.sip.trunk import Trunk

BEST = Hop("udp", "192.0.2.1", 5060)
NEXT = Hop("udp", "192.0.2.2", 5060)
US = Hop("udp", "192.0.2.50", 5060)
WAYS = [Way(BEST, US), Way(NEXT, US)]


class World:
    """Registrars that answer while they are in `up`; `now` moves from alarm to alarm."""

    def __init__(self, expires: float = 300.0) -> None:
        numbers = count(1)
        self.now = 0.0
        self.up = {BEST, NEXT}
        self.registered: list[tuple[float, Hop]] = []
        self.lapses: list[float] = []
        self._until = 0.0
        trunk = Trunk("pbx", "sip:example.com", "200", expires=expires, keepalive=0)
        self.endpoint = Endpoint([trunk], tokens=lambda: f"t{next(numbers)}", jitter=lambda: 0.5)
        self._carry_out(self.endpoint.start(self.now))

    def run(self, seconds: float) -> None:
        end = self.now + seconds
        while (deadline := self.endpoint.deadline) is not None and deadline <= end:
            self.now = deadline
            self._carry_out(self.endpoint.timer(self.now))
        self.now = end

    def _carry_out(self, actions: list[Action]) -> None:
        for action in actions:
            if isinstance(action, Resolve):
                self._carry_out(self.endpoint.resolved("pbx", WAYS, self.now))
            elif isinstance(action, Send) and action.to in self.up:
                request = parse(action.data)
                assert isinstance(request, Request)
                headers = [("Contact", one) for one in request.headers.all("Contact")]
                answer = bytes(response_to(request, 200, headers=headers, to_tag="r"))
                self._carry_out(self.endpoint.receive(answer, action.to, US, self.now))
            elif isinstance(action, Registered):
                hop = self.endpoint.registrations["pbx"].hop
                assert hop is not None
                self.registered.append((self.now, hop))
                if self.now > self._until > 0:
                    self.lapses.append(self.now)
                self._until = self.now + action.expires
            elif isinstance(action, RegistrationFailed):
                self.lapses.append(self.now)

    @property
    def where(self) -> Hop:
        return self.registered[-1][1]


def test_the_best_is_used_while_it_answers() -> None:
    world = World()
    world.run(3600)
    assert {hop for _, hop in world.registered} == {BEST}
    assert world.lapses == []


def test_over_to_the_next_at_a_refresh_and_back_once_the_best_has_returned() -> None:
    world = World()
    world.run(100)
    world.up = {NEXT}
    world.run(300)
    assert world.where == NEXT
    world.up = {BEST, NEXT}
    world.run(900)
    assert world.where == BEST


def test_a_best_that_stays_away_is_tried_again_without_a_gap_in_the_registration() -> None:
    world = World()
    world.run(100)
    world.up = {NEXT}
    world.run(400)
    world.lapses.clear()
    world.run(7200)
    assert world.where == NEXT
    assert world.lapses == []


def test_both_gone_and_one_back() -> None:
    world = World()
    world.run(100)
    world.up = set()
    world.run(900)
    assert world.lapses
    world.up = {NEXT}
    world.run(600)
    assert world.where == NEXT


def test_an_icmp_error_moves_at_once() -> None:
    world = World()
    world.run(100)
    world.up = {NEXT}
    world._carry_out(world.endpoint.transport_failed(BEST, world.now))
    world.run(40)
    assert world.where == NEXT


def test_a_registrar_that_does_not_know_the_nonce_of_another_one_is_answered_anew() -> None:
    numbers = count(1)
    trunk = Trunk("pbx", "sip:example.com", "200", password="secret", keepalive=0)
    endpoint = Endpoint([trunk], tokens=lambda: f"t{next(numbers)}", jitter=lambda: 0.5)
    sent: list[Request] = []

    def register(actions: list[Action]) -> None:
        for action in actions:
            if isinstance(action, Resolve):
                register(endpoint.resolved("pbx", WAYS[:1], 0.0))
            elif isinstance(action, Send):
                request = parse(action.data)
                assert isinstance(request, Request)
                sent.append(request)

    def respond(status: int, *headers: tuple[str, str]) -> list[Action]:
        answer = response_to(sent[-1], status, headers=headers, to_tag="r")
        return endpoint.receive(bytes(answer), BEST, US, 0.0)

    def challenge(nonce: str) -> tuple[str, str]:
        return "WWW-Authenticate", f'Digest realm="example.com", nonce="{nonce}", qop="auth"'

    register(endpoint.start(0.0))
    register(respond(401, challenge("of-the-first")))
    register(respond(200, ("Expires", "300")))
    deadline = endpoint.deadline
    assert deadline is not None
    endpoint.timer(deadline - 1)
    while len(sent) < 3:
        deadline = endpoint.deadline
        assert deadline is not None
        register(endpoint.timer(deadline))
    assert 'nonce="of-the-first"' in (sent[-1].headers.get("Authorization") or "")
    register(respond(401, challenge("of-the-second")))
    assert 'nonce="of-the-second"' in (sent[-1].headers.get("Authorization") or "")
    refused = respond(401, challenge("of-the-second-again"))
    assert any(isinstance(one, RegistrationFailed) and one.status == 401 for one in refused)
