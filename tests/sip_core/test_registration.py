"""REGISTER, its answers, and back-off, on the moved clock: RFC 3261 section 10, RFC 5626 4.5."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sipmail.sip.actions import (
    Registered,
    RegistrationFailed,
    Resolve,
    Unregistered,
)
from sipmail.sip.registration import RegistrationPhase
from sipmail.sip.timers import Timers
from tests.sip_core.registrar import (
    FIRST,
    PBX,
    SECOND,
    Registrar,
    challenge,
    phase,
    registered,
)
from tests.sip_core.scene import Scene


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
    assert "path" in register.get("Supported").split(", ")
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


def test_423_without_end() -> None:
    scene = Scene(PBX)
    registrar = Registrar(scene)
    registrar.start()
    for least in range(301, 400):
        registrar.respond(423, ("Min-Expires", str(least)))
        if scene.told(RegistrationFailed):
            break
    assert scene.told(RegistrationFailed)[0].status == 423
    assert len(scene.sent) == 6


def test_a_registrar_that_grants_more_than_was_asked_hears_of_us_when_we_meant() -> None:
    """It may be restarted long before: `expires` says how soon that is to be found out."""
    scene = Scene(PBX)
    registrar = Registrar(scene)
    registrar.start()
    registrar.accept(86_400)
    assert scene.told(Registered)[-1].expires == 300
    scene.advance(270.1)
    assert registrar.resolve().get("CSeq") == "2 REGISTER"


def test_403_is_backed_off_at_once() -> None:
    scene = Scene(PBX)
    registrar = Registrar(scene, FIRST, SECOND)
    registrar.start()
    assert registrar.respond(403) == []
    assert scene.told(RegistrationFailed)[0].status == 403


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
