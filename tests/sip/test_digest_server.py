"""Digest authentication of those who call: challenges, replays, and the life of a nonce."""

from __future__ import annotations

import pytest

from sipmail.errors import ProtocolError
from sipmail.sip.digest import (
    Challenge,
    authorization,
)
from sipmail.sip.digest_server import DigestServer, Verdict

SERVER_ALGORITHMS = ("SHA-512-256", "SHA-256", "MD5")


def server(**options: float) -> DigestServer:
    return DigestServer("example.com", b"a secret key", **options)  # type: ignore[arg-type]


def credentials(
    challenge: str, *, nc: int = 1, password: str = "secret", username: str = "alice"
) -> str:
    return authorization(
        Challenge.parse(challenge),
        method="INVITE",
        uri="sip:100@example.com",
        username=username,
        password=password,
        nc=nc,
        cnonce="c",
    )


def verify(bell: DigestServer, value: str, now: float) -> Verdict:
    return bell.verify(value, method="INVITE", username="alice", password="secret", now=now)


@pytest.mark.parametrize("number", range(3))
def test_the_server_takes_what_the_client_answers(number: int) -> None:
    bell = server()
    offered = bell.challenges(1000.0, "t1")
    assert [Challenge.parse(one).algorithm for one in offered] == list(SERVER_ALGORITHMS)
    assert verify(bell, credentials(offered[number]), 1001.0) is Verdict.ACCEPTED


def test_a_replay_is_stale_and_the_next_nc_is_not() -> None:
    bell = server()
    challenge = bell.challenges(1000.0, "t1")[0]
    assert verify(bell, credentials(challenge, nc=1), 1001.0) is Verdict.ACCEPTED
    assert verify(bell, credentials(challenge, nc=1), 1001.0) is Verdict.STALE
    assert verify(bell, credentials(challenge, nc=3), 1002.0) is Verdict.ACCEPTED
    assert verify(bell, credentials(challenge, nc=2), 1003.0) is Verdict.STALE
    assert verify(bell, credentials(challenge, nc=0xFFFFFFFF), 1004.0) is Verdict.ACCEPTED


def test_nonces_expire() -> None:
    bell = server(lifetime=60.0)
    challenge = bell.challenges(1000.0, "t1")[0]
    assert verify(bell, credentials(challenge, nc=1), 1060.0) is Verdict.ACCEPTED
    assert verify(bell, credentials(challenge, nc=2), 1060.1) is Verdict.STALE
    (stale, *_) = bell.challenges(1060.1, "t2", stale=True)
    assert Challenge.parse(stale).stale
    assert verify(bell, credentials(stale), 1061.0) is Verdict.ACCEPTED


def test_invented_and_foreign_nonces_are_stale() -> None:
    bell = server()
    invented = 'Digest realm="example.com", nonce="f4240.t1.0123", qop="auth", algorithm=SHA-256'
    assert verify(bell, credentials(invented), 1000.0) is Verdict.STALE
    foreign = DigestServer("example.com", b"another key").challenges(1000.0, "t1")[0]
    assert verify(bell, credentials(foreign), 1000.0) is Verdict.STALE


@pytest.mark.parametrize("changes", [{"password": "wrong"}, {"username": "mallory"}])
def test_wrong_credentials_are_refused(changes: dict[str, str]) -> None:
    bell = server()
    challenge = bell.challenges(1000.0, "t1")[0]
    assert verify(bell, credentials(challenge, **changes), 1001.0) is Verdict.REFUSED  # type: ignore[arg-type]
    assert verify(bell, credentials(challenge), 1001.0) is Verdict.ACCEPTED


def test_algorithms_that_were_not_offered_are_refused() -> None:
    bell = DigestServer("example.com", b"key", algorithms=("SHA-256",))
    nonce = Challenge.parse(bell.challenges(1000.0, "t1")[0]).nonce
    weak = f'Digest realm="example.com", nonce="{nonce}", qop="auth", algorithm=MD5'
    assert verify(bell, credentials(weak), 1000.0) is Verdict.REFUSED
    assert verify(bell, "Basic YWxpY2U6c2VjcmV0", 1000.0) is Verdict.REFUSED


def test_without_qop_a_nonce_is_good_once() -> None:
    bell = DigestServer("example.com", b"key", algorithms=("MD5",))
    nonce = Challenge.parse(bell.challenges(1000.0, "t1")[0]).nonce
    old = f'Digest realm="example.com", nonce="{nonce}"'
    assert verify(bell, credentials(old), 1000.0) is Verdict.ACCEPTED
    assert verify(bell, credentials(old), 1000.0) is Verdict.STALE


@pytest.mark.parametrize(
    "value",
    [
        "Digest",
        'Digest username="alice"',
        'Digest username="alice", realm="example.com", nonce="n", uri="u", response="r", qop=auth',
        'Digest username="a", realm="e", nonce="n", uri="u", response="r", qop=auth, nc=00000g01',
    ],
)
def test_malformed_credentials(value: str) -> None:
    with pytest.raises(ProtocolError) as error:
        verify(server(), value, 1000.0)
    assert error.value.status == 400


def test_used_nonces_do_not_pile_up() -> None:
    bell = DigestServer("example.com", b"key", algorithms=("MD5",), lifetime=1.0)
    for number in range(3000):
        now = 1000.0 + number
        (challenge,) = bell.challenges(now, f"t{number}")
        assert verify(bell, credentials(challenge), now) is Verdict.ACCEPTED
    assert len(bell._used) < 1100
