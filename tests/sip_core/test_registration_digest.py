"""Registration with a password: RFC 3261 section 22, RFC 7616, RFC 8760."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from sipmail.sip.actions import (
    Registered,
    RegistrationFailed,
)
from tests.sip_core.registrar import (
    PBX,
    Registrar,
    challenge,
    check_digest,
    md5,
    sha256,
)
from tests.sip_core.scene import Scene


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


def test_another_login_and_realm() -> None:
    scene = Scene(replace(PBX, auth_username="login", realm="pbx"))
    registrar = Registrar(scene)
    registrar.start()
    other = challenge().replace('realm="pbx"', 'realm="other"')
    [again] = registrar.respond(401, ("WWW-Authenticate", other), ("WWW-Authenticate", challenge()))
    assert 'username="login"' in again.get("Authorization")
    assert 'realm="pbx"' in again.get("Authorization")
