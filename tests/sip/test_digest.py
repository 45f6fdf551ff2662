"""Digest authentication: the vectors of RFC 2617 and RFC 7616, and answers to challenges."""

from __future__ import annotations

import hashlib
import itertools

import pytest

from sipmail.errors import ProtocolError
from sipmail.sip.digest import (
    Challenge,
    DigestClient,
    authorization,
    challenges,
    choose,
    digest,
    parse_parameters,
)
from sipmail.sip.headers import Headers

RFC_7616_NONCE = "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v"
RFC_7616_CNONCE = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ"


def test_rfc_2617_section_3_5() -> None:
    assert (
        digest(
            algorithm="MD5",
            username="Mufasa",
            realm="testrealm@host.com",
            password="Circle Of Life",
            method="GET",
            uri="/dir/index.html",
            nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093",
            qop="auth",
            nc="00000001",
            cnonce="0a4f113b",
        )
        == "6629fae49393a05397450978507c4ef1"
    )


@pytest.mark.parametrize(
    ("algorithm", "response"),
    [
        ("MD5", "8ca523f5e9506fed4657c9700eebdbec"),
        ("SHA-256", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
    ],
)
def test_rfc_7616_section_3_9_1(algorithm: str, response: str) -> None:
    assert (
        digest(
            algorithm=algorithm,
            username="Mufasa",
            realm="http-auth@example.org",
            password="Circle of Life",
            method="GET",
            uri="/dir/index.html",
            nonce=RFC_7616_NONCE,
            qop="auth",
            nc="00000001",
            cnonce=RFC_7616_CNONCE,
        )
        == response
    )


def test_rfc_7616_section_3_9_2_sha_512_256() -> None:
    # The response printed in the RFC is not one of SHA-512/256; erratum 4897 gives the right one.
    assert (
        digest(
            algorithm="SHA-512-256",
            username="J\u00e4s\u00f8n Doe",
            realm="api@example.org",
            password="Secret, or not?",
            method="GET",
            uri="/doe.json",
            nonce="5TsQWLVdgBdmrQ0XsxbDODV+57QdFR34I9HAbC/RVvkK",
            qop="auth",
            nc="00000001",
            cnonce="NTg6RKcb9boFIAS3KrFK9BGeh+iDa/sm6jUMp2wds69v",
        )
        == "3798d4131c277846293534c3edc11bd8a5e4cdcbff78b05db9d95eeb1cec68a5"
    )


def test_without_qop() -> None:
    challenge = Challenge("testrealm@host.com", "dcd98b7102dd2f0e8b11d0f600bfb0c093")
    value = authorization(
        challenge,
        method="GET",
        uri="/dir/index.html",
        username="Mufasa",
        password="Circle Of Life",
        nc=1,
        cnonce="0a4f113b",
    )
    assert value == (
        'Digest username="Mufasa", realm="testrealm@host.com", '
        'nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093", uri="/dir/index.html", '
        'response="670fd8c2df070c60b045671b8b24ff02"'  # RFC 2069's formula, by md5sum(1)
    )


def test_session_variant_by_its_formula() -> None:
    def md5(text: str) -> str:
        return hashlib.md5(text.encode()).hexdigest()

    secret = md5(f"{md5('bob:biloxi.com:zanzibar')}:nonce:cnonce")
    expected = md5(f"{secret}:nonce:00000002:cnonce:auth:{md5('INVITE:sip:bob@biloxi.com')}")
    assert expected == digest(
        algorithm="MD5-sess",
        username="bob",
        realm="biloxi.com",
        password="zanzibar",
        method="INVITE",
        uri="sip:bob@biloxi.com",
        nonce="nonce",
        qop="auth",
        nc="00000002",
        cnonce="cnonce",
    )


def test_auth_int_hashes_the_body() -> None:
    def md5(data: bytes) -> str:
        return hashlib.md5(data).hexdigest()

    challenge = Challenge.parse('Digest realm="r", nonce="n", qop="auth-int"')
    value = authorization(
        challenge,
        method="INVITE",
        uri="sip:b",
        username="u",
        password="p",
        nc=1,
        cnonce="c",
        body=b"v=0",
    )
    request = md5(f"INVITE:sip:b:{md5(b'v=0')}".encode())
    expected = md5(f"{md5(b'u:r:p')}:n:00000001:c:auth-int:{request}".encode())
    assert parse_parameters(value)[1]["response"] == expected


def test_a_challenge_is_read() -> None:
    challenge = Challenge.parse(
        'Digest realm="atlanta.example.com", domain="sip:ss1.carrier.example.com", qop="auth, '
        'auth-int", nonce="f84f1cec\\"41", opaque="", stale=TRUE, algorithm=sha-256'
    )
    assert challenge == Challenge(
        realm="atlanta.example.com",
        nonce='f84f1cec"41',
        algorithm="SHA-256",
        qop=("auth", "auth-int"),
        opaque="",
        stale=True,
        explicit_algorithm=True,
    )


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Digest",
        'Digest realm="r"',
        'Digest nonce="n"',
        'Digest realm="r", nonce=""',
        'Digest realm="r" nonce="n"',
        'Digest realm="r, nonce="n"',
        'Digest realm, nonce="n"',
        'Basic realm="r"',
    ],
)
def test_malformed_challenges(text: str) -> None:
    with pytest.raises(ProtocolError) as error:
        Challenge.parse(text)
    assert error.value.status == 400
    assert challenges([text]) == ()


def test_the_topmost_supported_challenge_is_chosen() -> None:
    lines = (
        'Digest realm="a", nonce="1", algorithm=SHA-3',
        'Digest realm="a", nonce="2", algorithm=SHA-256, qop="auth"',
        'Digest realm="a", nonce="3", algorithm=MD5, qop="auth"',
    )
    chosen = choose(challenges(lines))
    assert chosen is not None
    assert chosen.nonce == "2"
    chosen = choose(challenges(reversed(lines)))
    assert chosen is not None
    assert chosen.nonce == "3"
    assert choose(challenges(lines[:1])) is None
    assert choose(challenges(['Digest realm="a", nonce="1", qop="future"'])) is None


def test_several_challenges_in_one_line() -> None:
    line = (
        'Basic realm="x", Digest realm="a, Digest b=", nonce="1", qop="auth,auth-int", '
        'Digest realm="b", nonce="2"'
    )
    assert [(one.realm, one.nonce) for one in challenges([line])] == [
        ("a, Digest b=", "1"),
        ("b", "2"),
    ]


def www(*values: str) -> Headers:
    return Headers(("WWW-Authenticate", value) for value in values)


def client(realm: str | None = None) -> DigestClient:
    numbers = itertools.count(1)
    return DigestClient("alice", "secret", tokens=lambda: f"c{next(numbers)}", realm=realm)


def test_nothing_is_answered_before_it_is_asked() -> None:
    assert client().authorization("REGISTER", "sip:example.com") == ()


def test_nc_counts_the_requests_of_a_nonce_and_cnonces_are_fresh() -> None:
    alice = client()
    assert alice.challenged(401, www('Digest realm="r", nonce="n", qop="auth"'), answered=False)
    seen = []
    for _ in range(3):
        ((name, value),) = alice.authorization("REGISTER", "sip:example.com")
        assert name == "Authorization"
        _, parameters = parse_parameters(value)
        seen.append((parameters["nonce"], parameters["nc"], parameters["cnonce"]))
    assert seen == [("n", "00000001", "c1"), ("n", "00000002", "c2"), ("n", "00000003", "c3")]


def test_opaque_comes_back_and_the_algorithm_as_it_was_written() -> None:
    alice = client()
    challenge = 'Digest realm="r", nonce="n", opaque="5ccc", algorithm=SHA-256-sess, qop="auth"'
    assert alice.challenged(401, www(challenge), answered=False)
    ((_, value),) = alice.authorization("REGISTER", "sip:example.com")
    assert 'opaque="5ccc"' in value
    assert "algorithm=SHA-256-sess" in value
    assert "qop=auth" in value  # unquoted, as RFC 7616 section 3.4 says


def test_a_refused_password_is_not_tried_again() -> None:
    alice = client()
    assert alice.challenged(401, www('Digest realm="r", nonce="1"'), answered=False)
    assert not alice.challenged(401, www('Digest realm="r", nonce="2"'), answered=True)
    assert alice.challenged(401, www('Digest realm="r", nonce="3", stale=true'), answered=True)
    ((_, value),) = alice.authorization("REGISTER", "sip:example.com")
    assert parse_parameters(value)[1]["nonce"] == "3"


def test_stale_starts_a_new_count() -> None:
    alice = client()
    alice.challenged(401, www('Digest realm="r", nonce="1", qop="auth"'), answered=False)
    alice.authorization("REGISTER", "sip:example.com")
    assert alice.challenged(
        401, www('Digest realm="r", nonce="2", qop="auth", stale=true'), answered=True
    )
    ((_, value),) = alice.authorization("REGISTER", "sip:example.com")
    assert parse_parameters(value)[1]["nc"] == "00000001"


def test_nextnonce_is_used_from_then_on() -> None:
    alice = client()
    alice.challenged(401, www('Digest realm="r", nonce="1", qop="auth"'), answered=False)
    alice.authorization("REGISTER", "sip:example.com")
    alice.authenticated(Headers([("Authentication-Info", 'nextnonce="2", qop=auth')]))
    ((_, value),) = alice.authorization("REGISTER", "sip:example.com")
    _, parameters = parse_parameters(value)
    assert (parameters["nonce"], parameters["nc"]) == ("2", "00000001")
    alice.authenticated(Headers([("Authentication-Info", "=;=")]))
    ((_, value),) = alice.authorization("REGISTER", "sip:example.com")
    assert parse_parameters(value)[1]["nonce"] == "2"


def test_proxies_and_registrars_are_answered_side_by_side() -> None:
    alice = client()
    proxy = Headers([("Proxy-Authenticate", 'Digest realm="proxy", nonce="p"')])
    assert alice.challenged(407, proxy, answered=False)
    assert alice.challenged(401, www('Digest realm="registrar", nonce="r"'), answered=False)
    answers = dict(alice.authorization("REGISTER", "sip:example.com"))
    assert answers.keys() == {"Proxy-Authorization", "Authorization"}
    assert 'realm="proxy"' in answers["Proxy-Authorization"]
    assert 'realm="registrar"' in answers["Authorization"]


def test_a_client_may_be_bound_to_a_realm() -> None:
    alice = client(realm="ours")
    assert not alice.challenged(401, www('Digest realm="theirs", nonce="1"'), answered=False)
    assert alice.challenged(
        401,
        www('Digest realm="theirs", nonce="1"', 'Digest realm="ours", nonce="2"'),
        answered=False,
    )


def test_no_challenge_no_answer() -> None:
    assert not client().challenged(401, Headers(), answered=False)
    assert not client().challenged(401, www('Basic realm="r"'), answered=False)
    assert not client().challenged(407, www('Digest realm="r", nonce="n"'), answered=False)
