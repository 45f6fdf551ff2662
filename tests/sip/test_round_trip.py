"""Whatever can be written is read back as it was (generated values)."""

from __future__ import annotations

import string

from hypothesis import given, settings
from hypothesis import strategies as st

from sipmail.sip.digest import Challenge, authorization, parse_parameters
from sipmail.sip.grammar import quote, split_commas, unquote
from sipmail.sip.headers import Headers
from sipmail.sip.message import Request, Response, parse
from sipmail.sip.nameaddr import NameAddr
from sipmail.sip.parameters import Parameters
from sipmail.sip.reason import Reason
from sipmail.sip.sdp import Connection, MediaDescription, Origin, SessionDescription
from sipmail.sip.uri import SipUri, TelUri, parse_uri
from sipmail.sip.via import Via

# The same values in every run, however slow the machine is.
steadily = settings(deadline=None, derandomize=True, max_examples=100)

TOKEN = string.ascii_letters + string.digits + "-.!%*_+`'~"

tokens = st.text(TOKEN, min_size=1, max_size=12)
# Header text as the parser can hold it: anything but line breaks, undecodable bytes included.
texts = st.binary(max_size=20).map(
    lambda data: data.replace(b"\r", b"").replace(b"\n", b"").decode("utf-8", "surrogateescape")
)
hosts = st.one_of(
    st.from_regex(r"[a-z0-9]([a-z0-9\-]{0,10}[a-z0-9])?(\.[a-z]{2,5}){0,2}", fullmatch=True),
    st.ip_addresses(v=4).map(str),
    st.ip_addresses(v=6).map(str),
)
ports = st.none() | st.integers(1, 65535)
escaped = st.lists(
    st.sampled_from(
        [*(string.ascii_letters + string.digits + "-_.!~*'()&=+$,;/"), "%41", "%c5%bb"]
    ),
    min_size=1,
    max_size=12,
).map("".join)
uri_params = st.dictionaries(
    st.text(string.ascii_lowercase + "-", min_size=1, max_size=8),
    st.none() | st.text(string.ascii_letters + string.digits + "[]/:&+$-_.!~*'()", max_size=8),
    max_size=3,
).map(lambda pairs: Parameters(pairs.items()))
header_params = st.dictionaries(
    st.text(string.ascii_lowercase + "-", min_size=1, max_size=8), st.none() | texts, max_size=3
).map(lambda pairs: Parameters(pairs.items()))
sip_uris = st.builds(
    SipUri,
    st.sampled_from(["sip", "sips"]),
    escaped,
    hosts,
    ports,
    uri_params,
    st.none() | st.from_regex(r"[a-z]{1,5}=[a-z%20]{0,0}[a-z]{0,5}", fullmatch=True),
    st.none() | st.text(string.ascii_letters + "&=+$,", max_size=6),
)
addresses = st.builds(NameAddr, texts, sip_uris.map(str), header_params)


@steadily
@given(sip_uris)
def test_sip_uris(uri: SipUri) -> None:
    again = parse_uri(str(uri))
    assert again == uri
    assert str(again) == str(uri)
    assert uri.equivalent(again)


@steadily
@given(st.from_regex(r"\+?[0-9().\-]*[0-9][0-9().\-]*", fullmatch=True), uri_params)
def test_tel_uris(number: str, params: Parameters) -> None:
    assert parse_uri(str(TelUri(number, params))) == TelUri(number, params)


@steadily
@given(addresses)
def test_addresses(address: NameAddr) -> None:
    again = NameAddr.parse(str(address))
    assert again == address
    assert str(again) == str(address)


@steadily
@given(st.lists(addresses, max_size=4))
def test_lists_of_addresses(several: list[NameAddr]) -> None:
    line = ", ".join(map(str, several))
    assert [NameAddr.parse(value) for value in split_commas(line)] == several


@steadily
@given(st.builds(Via, tokens.map(str.upper), hosts, ports, header_params))
def test_vias(via: Via) -> None:
    again = Via.parse(str(via))
    assert again == via
    assert str(again) == str(via)


@steadily
@given(st.builds(Reason, tokens, st.none() | st.integers(0, 9999), st.none() | texts))
def test_reasons(reason: Reason) -> None:
    assert Reason.parse(str(reason)) == reason


@steadily
@given(texts)
def test_quoted_strings(text: str) -> None:
    assert unquote(quote(text)) == text


@steadily
@given(texts, texts, tokens, texts)
def test_digest_credentials(realm: str, username: str, nonce: str, opaque: str) -> None:
    challenge = Challenge(realm, nonce, "SHA-256", ("auth",), opaque, explicit_algorithm=True)
    value = authorization(
        challenge,
        method="INVITE",
        uri="sip:a",
        username=username,
        password="secret",
        nc=1,
        cnonce="c",
    )
    scheme, parameters = parse_parameters(value)
    assert scheme == "Digest"
    assert (parameters["realm"], parameters["username"]) == (realm, username)
    assert (parameters["nonce"], parameters["opaque"]) == (nonce, opaque)


names = tokens.filter(lambda name: name.lower() not in ("l", "content-length"))
values = texts.map(lambda text: text.strip(" \t"))
header_lists = st.lists(st.tuples(names, values), max_size=8).map(Headers)


@steadily
@given(tokens, sip_uris.map(str), header_lists, st.binary(max_size=50))
def test_requests(method: str, uri: str, headers: Headers, body: bytes) -> None:
    request = Request(method, uri, headers, body)
    again = parse(bytes(request))
    assert again == Request(method, uri, headers.add("Content-Length", str(len(body))), body)
    assert bytes(again) == bytes(request)


@steadily
@given(st.integers(100, 699), texts, header_lists, st.binary(max_size=50))
def test_responses(status: int, reason: str, headers: Headers, body: bytes) -> None:
    response = Response(status, reason, headers, body)
    again = parse(bytes(response))
    headers = headers.add("Content-Length", str(len(body)))
    assert again == Response(status, reason, headers, body)
    assert bytes(again) == bytes(response)


words = st.text(string.ascii_letters + string.digits + "-./", min_size=1, max_size=10)
attributes = st.lists(
    st.tuples(st.text(string.ascii_letters + "-", min_size=1, max_size=10), st.none() | words),
    max_size=4,
).map(tuple)
connections = st.none() | st.one_of(
    st.ip_addresses(v=4).map(lambda address: Connection("IP4", str(address))),
    st.ip_addresses(v=6).map(lambda address: Connection("IP6", str(address))),
)
descriptions = st.builds(
    SessionDescription,
    st.none() | st.builds(Origin, words, words, words, st.just("IP4"), words),
    texts,
    connections,
    st.lists(st.sampled_from(["0 0", "3724394400 3724398000"]), min_size=1, max_size=2).map(tuple),
    attributes,
    st.lists(
        st.builds(
            MediaDescription,
            st.sampled_from(["audio", "video", "application"]),
            st.integers(0, 65535),
            st.sampled_from(["RTP/AVP", "RTP/SAVP", "udptl"]),
            st.lists(words, max_size=5).map(tuple),
            st.integers(1, 9),
            connections,
            attributes,
            st.lists(st.tuples(st.just("b"), words), max_size=2).map(tuple),
        ),
        max_size=3,
    ).map(tuple),
    st.lists(st.tuples(st.just("b"), words), max_size=2).map(tuple),
)


@steadily
@given(descriptions)
def test_session_descriptions(description: SessionDescription) -> None:
    again = SessionDescription.parse(bytes(description))
    assert again == description
    assert bytes(again) == bytes(description)
