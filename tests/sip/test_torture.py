"""Every message of RFC 4475 (torture tests) and RFC 5118 (their IPv6 siblings).

RFC 5118 counts the bodies of three messages wrongly; the files have the true Content-Length.
"""

from __future__ import annotations

import pytest

from sipmail.errors import ProtocolError
from sipmail.sip.body import sdp_body
from sipmail.sip.digest import parse_parameters
from sipmail.sip.extensions import unsupported
from sipmail.sip.message import Request, Response, check, parse, response_to
from sipmail.sip.nameaddr import NameAddr
from sipmail.sip.sdp import SessionDescription
from sipmail.sip.uri import OtherUri, SipUri
from tests.sip.messages import IPV6, TORTURE, request, response

UNDERSTOOD = "understood"
DROPPED = "no answer"

# What a user agent server makes of each message, and where RFC 4475 says so.
RFC_4475: dict[str, int | str] = {
    "wsinv": UNDERSTOOD,  # 3.1.1.1
    "intmeth": UNDERSTOOD,  # 3.1.1.2
    "esc01": UNDERSTOOD,  # 3.1.1.3
    "escnull": UNDERSTOOD,  # 3.1.1.4
    "esc02": UNDERSTOOD,  # 3.1.1.5, a method of its own: not REGISTER
    "lwsdisp": UNDERSTOOD,  # 3.1.1.6
    "longreq": UNDERSTOOD,  # 3.1.1.7
    "dblreq": UNDERSTOOD,  # 3.1.1.8, the trailing octets are ignored
    "semiuri": UNDERSTOOD,  # 3.1.1.9
    "transports": UNDERSTOOD,  # 3.1.1.10
    "mpart01": UNDERSTOOD,  # 3.1.1.11
    "unreason": UNDERSTOOD,  # 3.1.1.12
    "noreason": UNDERSTOOD,  # 3.1.1.13
    "badinv01": 400,  # 3.1.2.1
    "clerr": 400,  # 3.1.2.2
    "ncl": 400,  # 3.1.2.3
    "scalar02": 400,  # 3.1.2.4
    "scalarlg": DROPPED,  # 3.1.2.5
    "quotbal": 400,  # 3.1.2.6
    "ltgtruri": 400,  # 3.1.2.7
    "lwsruri": 400,  # 3.1.2.8
    "lwsstart": 400,  # 3.1.2.9
    "trws": 400,  # 3.1.2.10
    "escruri": 400,  # 3.1.2.11
    "baddate": UNDERSTOOD,  # 3.1.2.12: not to be rejected by one who doesn't use Date
    "regbadct": 400,  # 3.1.2.13
    "badaspec": 400,  # 3.1.2.14
    "baddn": 400,  # 3.1.2.15
    "badvers": 505,  # 3.1.2.16
    "mismatch01": 400,  # 3.1.2.17
    "mismatch02": 501,  # 3.1.2.18
    "bigcode": DROPPED,  # 3.1.2.19
    "badbranch": UNDERSTOOD,  # 3.2.1, without a usable transaction identifier
    "insuf": 400,  # 3.3.1
    "unkscm": 416,  # 3.3.2
    "novelsc": 416,  # 3.3.3
    "unksm2": UNDERSTOOD,  # 3.3.4
    "bext01": 420,  # 3.3.5
    "invut": 415,  # 3.3.6
    "regaut01": UNDERSTOOD,  # 3.3.7
    "multi01": 400,  # 3.3.8
    "mcl01": 400,  # 3.3.9
    "bcast": UNDERSTOOD,  # 3.3.10, the second Via makes it nobody's response
    "zeromf": UNDERSTOOD,  # 3.3.11, 483 is for those who forward
    "cparam01": UNDERSTOOD,  # 3.3.12
    "cparam02": UNDERSTOOD,  # 3.3.13
    "regescrt": UNDERSTOOD,  # 3.3.14
    "sdp01": UNDERSTOOD,  # 3.3.15, as a request; the Accept is for the 406
    "inv2543": UNDERSTOOD,  # 3.4.1
}

RFC_5118: dict[str, int | str] = {
    "ipv6-good": UNDERSTOOD,  # 4.1
    "ipv6-bad": 400,  # 4.2
    "port-ambiguous": UNDERSTOOD,  # 4.3
    "port-unambiguous": UNDERSTOOD,  # 4.4
    "via-received-param-with-delim": UNDERSTOOD,  # 4.5
    "via-received-param-no-delim": UNDERSTOOD,  # 4.5
    "ipv6-in-sdp": UNDERSTOOD,  # 4.6
    "mult-ip-in-header": UNDERSTOOD,  # 4.7
    "mult-ip-in-sdp": UNDERSTOOD,  # 4.8
    "ipv4-mapped-ipv6": UNDERSTOOD,  # 4.9
    "ipv6-bug-abnf-3-colons": UNDERSTOOD,  # 4.10
    "ipv6-correct-abnf-2-colons": UNDERSTOOD,  # 4.10
}


def outcome(data: bytes) -> int | str:
    """What a server that knows no extension makes of a datagram."""
    try:
        message = parse(data)
        if isinstance(message, Response):
            _ = message.vias, message.cseq, message.call_id, message.from_.tag, message.to.tag
            return UNDERSTOOD
        check(message)
        if unsupported(message, ()):
            return 420
        if message.method == "INVITE" and (description := sdp_body(message)) is not None:
            SessionDescription.parse(description)
    except ProtocolError as error:
        return answered_with(error)
    return UNDERSTOOD


def answered_with(error: ProtocolError) -> int | str:
    """The status of the response that goes out for an error, if one can."""
    if not isinstance(error.request, Request):
        return DROPPED
    answer = parse(bytes(response_to(error.request, error.status, to_tag="x")))
    assert isinstance(answer, Response)
    return answer.status


def test_the_tables_cover_every_message() -> None:
    assert RFC_4475.keys() == TORTURE.keys()
    assert RFC_5118.keys() == IPV6.keys()


@pytest.mark.parametrize("name", sorted(RFC_4475))
def test_rfc_4475(name: str) -> None:
    assert outcome(TORTURE[name]) == RFC_4475[name]


@pytest.mark.parametrize("name", sorted(RFC_5118))
def test_rfc_5118(name: str) -> None:
    assert outcome(IPV6[name]) == RFC_5118[name]


@pytest.mark.parametrize("name", sorted(TORTURE) + sorted(IPV6))
def test_understood_messages_are_written_as_they_were_read(name: str) -> None:
    data = TORTURE.get(name) or IPV6[name]
    try:
        message = parse(data)
    except ProtocolError:
        return
    written = bytes(message)
    assert data.startswith(written)
    assert len(written) == len(data) or name == "dblreq"


def test_wsinv_a_short_tortuous_invite() -> None:
    message = request(TORTURE["wsinv"])
    assert message.uri == "sip:vivekg@chair-dnrc.example.com;unknownparam"
    assert message.to == NameAddr.parse("<sip:vivekg@chair-dnrc.example.com>;tag=1918181833n")
    assert message.from_.display == 'J Rosenberg \\"'
    assert message.from_.tag == "98asjd8"
    assert message.headers.get("Max-Forwards") == "0068"
    assert message.call_id == "wsinv.ndaksdj@192.0.2.1"
    assert (message.cseq.number, message.cseq.method) == (9, "INVITE")
    assert [(via.transport, via.host, via.branch) for via in message.vias] == [
        ("UDP", "192.0.2.2", "390skdjuw"),
        ("TCP", "spindle.example.com", "z9hG4bK9ikj8"),
        ("UDP", "192.168.255.111", "z9hG4bK30239"),
    ]
    assert message.headers.get("Subject") == ""
    assert message.headers.get("NewFangledHeader") == (
        "newfangled value continued newfangled value"
    )
    assert message.headers.get("UnknownHeaderWithUnusualValue") == ";;,,;;,;"
    (route,) = message.headers.values("Route")
    assert NameAddr.parse(route).uri == (
        "sip:services.example.com;lr;unknownwith=value;unknown-no-value"
    )
    assert message.contact is not None
    assert message.contact.display == 'Quoted string ""'
    assert dict(message.contact.params) == {
        "newparam": "newvalue",
        "secondparam": None,
        "q": "0.33",
    }
    assert len(message.body) == 150
    assert SessionDescription.parse(message.body).media[0].formats == ("0", "12")


def test_intmeth_a_wide_range_of_characters() -> None:
    message = request(TORTURE["intmeth"])
    assert message.method == "!interesting-Method0123456789_*+`.%indeed'~"
    uri = message.parsed_uri
    assert isinstance(uri, SipUri)
    assert uri.user == "1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*"
    assert uri.password == "&it+has=1,weird!*pas$wo~d_too.(doesn't-it)"
    assert uri.host == "example.com"
    assert message.to.display == "BEL:\x07 NUL:\x00 DEL:\x7f"
    assert message.from_.display == "token1~` token2'+_ token3*%!.-"
    assert message.from_.params["fromParam''~+*_!.-%"] == "работающий"
    assert message.from_.tag == "_token~1'+`*%!-."
    assert message.call_id == "intmeth.word%ZK-!.*_+'@word`~)(><:\\/\"][?}{"
    assert message.cseq.number == 139122385
    assert message.headers.get("Max-Forwards") == "255"
    assert message.headers.get("extensionHeader-!.%*+_`'~") == "\ufeff大停電"


def test_esc01_escapes_in_uris() -> None:
    message = request(TORTURE["esc01"])
    uri = message.parsed_uri
    assert isinstance(uri, SipUri)
    assert uri.user_text == "sips:user@example.com"
    assert uri.host == "example.net"
    assert message.to.parsed_uri.user_text == "user"
    assert message.from_.parsed_uri.user_text == "I have spaces"
    assert message.contact is not None
    target = message.contact.parsed_uri
    assert target.equivalent(SipUri.parse("sip:caller@host5.example.net;lr;name=value%25%34%31"))
    assert target.equivalent(SipUri.parse("sip:caller@host5.example.net;lr;name=value%2541"))


def test_esc02_percent_signs_that_escape_nothing() -> None:
    message = request(TORTURE["esc02"])
    assert message.method == "RE%47IST%45R"
    assert message.to.display == "%Z%45"
    assert message.via.branch == "z9hG4bK209%fzsnel234"
    assert len(message.headers.all("Contact")) == 2
    assert message.headers.get("C%6Fntact") == "<sip:alias2@host2.example.com>"


def test_escnull_escaped_nulls() -> None:
    message = request(TORTURE["escnull"])
    assert message.from_.parsed_uri.user_text == "null-\x00-null"
    contacts = [NameAddr.parse(one).parsed_uri for one in message.headers.values("Contact")]
    assert [uri.user_text for uri in contacts] == ["\x00", "\x00\x00"]
    assert not contacts[0].equivalent(contacts[1])


def test_lwsdisp_no_space_between_display_name_and_bracket() -> None:
    assert request(TORTURE["lwsdisp"]).from_.display == "caller"


def test_longreq_long_values() -> None:
    message = request(TORTURE["longreq"])
    assert message.to.display == f"I have a user name of {'extreme' * 10} proportion"
    uri = message.to.parsed_uri
    assert isinstance(uri, SipUri)
    assert uri.port == 6000
    assert uri.params["unknownparam1"] == f"very{'long' * 20}value"
    assert message.from_.tag == f"12{'982' * 50}424"
    assert len(message.vias) == 34
    assert [via.host for via in message.vias[:3]] == [
        "sip33.example.com",
        "sip32.example.com",
        "sip31.example.com",
    ]
    assert message.vias[-1].received == "192.0.2.5"
    assert message.vias[-1].branch == f"very{'long' * 50}branchvalue"


def test_dblreq_the_datagram_ends_with_the_first_request() -> None:
    message = request(TORTURE["dblreq"])
    assert (message.method, message.body) == ("REGISTER", b"")
    assert message.call_id == "dblreq.0ha0isndaksdj99sdfafnl3lk233412"


def test_semiuri_semicolon_in_the_user() -> None:
    uri = request(TORTURE["semiuri"]).parsed_uri
    assert isinstance(uri, SipUri)
    assert uri.user == "user;par=u%40example.net"
    assert uri.user_text == "user;par=u@example.net"
    assert not uri.params
    assert request(TORTURE["semiuri"]).headers.values("Accept") == (
        "application/sdp",
        "application/pkcs7-mime",
        "multipart/mixed",
        "multipart/signed",
        "message/sip",
        "message/sipfrag",
    )


def test_transports_varied_and_unknown() -> None:
    assert [via.transport for via in request(TORTURE["transports"]).vias] == [
        "UDP",
        "SCTP",
        "TLS",
        "UNKNOWN",
        "TCP",
    ]


def test_mpart01_binary_multipart() -> None:
    message = request(TORTURE["mpart01"])
    assert len(message.body) == 553
    assert message.body.endswith(b"--7a9cbec02ceef655--\r\n")


def test_unreason_and_noreason() -> None:
    message = response(TORTURE["unreason"])
    assert message.status == 200
    assert message.reason == "= 2**3 * 5**2 но сто девяносто девять - простое"
    message = response(TORTURE["noreason"])
    assert (message.status, message.reason) == (100, "")


def test_badbranch_is_nothing_but_the_cookie() -> None:
    assert request(TORTURE["badbranch"]).via.branch == "z9hG4bK"


def test_unknown_schemes() -> None:
    message = request(TORTURE["unksm2"])
    assert message.to.parsed_uri == OtherUri("isbn", "2983792873")
    assert message.contact is not None
    assert message.contact.parsed_uri == OtherUri("name", "John_Smith")
    assert request(TORTURE["novelsc"]).parsed_uri == OtherUri("soap.beep", "//192.0.2.103:3002")


def test_bext01_names_what_is_not_supported() -> None:
    assert unsupported(request(TORTURE["bext01"]), ()) == (
        "nothingSupportsThis",
        "nothingSupportsThisEither",
    )


def test_regaut01_unknown_authorization_scheme() -> None:
    value = request(TORTURE["regaut01"]).headers.get("Authorization")
    assert value is not None
    assert parse_parameters(value) == ("NoOneKnowsThisScheme", {"opaque-data": "here"})


def test_insuf_is_answered_with_what_there_is() -> None:
    with pytest.raises(ProtocolError) as error:
        check(request(TORTURE["insuf"]))
    assert isinstance(error.value.request, Request)
    answer = response_to(error.value.request, 400, to_tag="x")
    assert [name for name, _ in answer.headers] == ["CSeq", "Via"]


def test_bcast_has_a_second_via() -> None:
    assert [via.host for via in response(TORTURE["bcast"]).vias] == [
        "192.0.2.198",
        "255.255.255.255",
    ]


def test_contact_parameters_with_and_without_brackets() -> None:
    contact = request(TORTURE["cparam01"]).contact
    assert contact is not None
    assert (contact.uri, dict(contact.params)) == (
        "sip:+19725552222@gw1.example.net",
        {"unknownparam": None},
    )
    contact = request(TORTURE["cparam02"]).contact
    assert contact is not None
    assert (contact.uri, dict(contact.params)) == (
        "sip:+19725552222@gw1.example.net;unknownparam",
        {},
    )


def test_regescrt_escaped_header_in_a_contact() -> None:
    contact = request(TORTURE["regescrt"]).contact
    assert contact is not None
    assert isinstance(contact.parsed_uri, SipUri)
    assert contact.parsed_uri.headers == "Route=%3Csip:sip.example.com%3E"


def test_inv2543_has_neither_branch_nor_tag() -> None:
    message = request(TORTURE["inv2543"])
    assert message.via.branch is None
    assert message.from_.tag is None
    assert message.to.params["user"] == "phone"
    assert message.body.startswith(b"v=0")  # no Content-Length: the rest of the datagram
