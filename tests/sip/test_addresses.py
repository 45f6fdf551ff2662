"""URIs, name-addr, Via, CSeq and Headers: reading, writing, comparing."""

from __future__ import annotations

import pytest

from sipmail.errors import ProtocolError
from sipmail.sip.cseq import CSeq
from sipmail.sip.grammar import quote, readable, split_commas, unquote
from sipmail.sip.headers import Headers
from sipmail.sip.nameaddr import NameAddr
from sipmail.sip.parameters import Parameters
from sipmail.sip.uri import OtherUri, SipUri, TelUri, parse_uri
from sipmail.sip.via import Via

# URIs


@pytest.mark.parametrize(
    ("text", "uri"),
    [
        ("sip:example.com", SipUri("sip", None, "example.com")),
        ("SIPS:alice@Example.COM:5061", SipUri("sips", "alice", "Example.COM", 5061)),
        (
            "sip:alice:secretword@atlanta.com;transport=tcp",
            SipUri(
                "sip",
                "alice",
                "atlanta.com",
                params=Parameters([("transport", "tcp")]),
                password="secretword",
            ),
        ),
        (
            "sip:alice@atlanta.com;maddr=239.255.255.1;ttl=15;lr?subject=a%20b&priority=urgent",
            SipUri(
                "sip",
                "alice",
                "atlanta.com",
                params=Parameters([("maddr", "239.255.255.1"), ("ttl", "15"), ("lr", None)]),
                headers="subject=a%20b&priority=urgent",
            ),
        ),
        ("sip:*98#@pbx_1.local", SipUri("sip", "*98#", "pbx_1.local")),
        ("sip:+1;ext=2@[2001:db8::1]:5060", SipUri("sip", "+1;ext=2", "2001:db8::1", 5060)),
        ("tel:+48-22-123;ext=5", TelUri("+48-22-123", Parameters([("ext", "5")]))),
        ("urn:service:sos", OtherUri("urn", "service:sos")),
    ],
)
def test_uris_are_read(text: str, uri: object) -> None:
    assert parse_uri(text) == uri


@pytest.mark.parametrize(
    "text",
    [
        "",
        "sip:",
        "sip:@example.com",
        "sip:a@",
        "sip:a b@example.com",
        "sip:a@example.com:",
        "sip:a@example.com:0",
        "sip:a@example.com:65536",
        "sip:a@example.com:٥٠٦٠",
        "sip:a@example.com;;lr",
        "sip:a@example.com;",
        "sip:a@example.com; lr",
        "sip:a@b@c",
        "sip:a@[2001:db8::1",
        "sip:a@2001:db8::1",
        "sip:a@[::g]",
        "sip:a@[1.2.3.4]",
        "sip:a@[::1::2]",
        "sip:%4@example.com",
        "sip:a@exa%6Dple.com",
        "sip:a@example.com?a=b?c",
        "sip:\x00@example.com",
        "<sip:a@example.com>",
        "tel:",
        "tel:+48 22",
        "tel:xyz",
        "nothing",
        ":a",
        "1a:b",
    ],
)
def test_malformed_uris(text: str) -> None:
    with pytest.raises(ProtocolError) as error:
        parse_uri(text)
    assert error.value.status == 400


@pytest.mark.parametrize(
    ("one", "other"),
    [  # RFC 3261 section 19.1.4
        ("sip:%61lice@atlanta.com;transport=TCP", "sip:alice@AtLanTa.CoM;Transport=tcp"),
        ("sip:carol@chicago.com", "sip:carol@chicago.com;newparam=5"),
        ("sip:carol@chicago.com", "sip:carol@chicago.com;security=on"),
        ("sip:carol@chicago.com;newparam=5", "sip:carol@chicago.com;security=on"),
        (
            "sip:biloxi.com;transport=tcp;method=REGISTER?to=sip:bob%40biloxi.com",
            "sip:biloxi.com;method=REGISTER;transport=tcp?to=sip:bob%40biloxi.com",
        ),
        (
            "sip:alice@atlanta.com?subject=project%20x&priority=urgent",
            "sip:alice@atlanta.com?priority=urgent&subject=project%20x",
        ),
        ("tel:+1-201-555-0123", "tel:+1(201)555.0123"),
        ("urn:a:b", "urn:a:b"),
    ],
)
def test_equivalent_uris(one: str, other: str) -> None:
    assert parse_uri(one).equivalent(parse_uri(other))
    assert parse_uri(other).equivalent(parse_uri(one))


@pytest.mark.parametrize(
    ("one", "other"),
    [  # RFC 3261 section 19.1.4
        ("SIP:ALICE@AtLanTa.CoM;Transport=udp", "sip:alice@AtLanTa.CoM;Transport=UDP"),
        ("sip:bob@biloxi.com", "sip:bob@biloxi.com:5060"),
        ("sip:bob@biloxi.com", "sip:bob@biloxi.com;transport=udp"),
        ("sip:bob@biloxi.com", "sip:bob@biloxi.com:6000;transport=tcp"),
        ("sip:carol@chicago.com", "sip:carol@chicago.com?Subject=next%20meeting"),
        ("sip:bob@phone21.boxesbybob.com", "sip:bob@192.0.2.4"),
        ("sip:bob@biloxi.com", "sips:bob@biloxi.com"),
        ("sip:bob:a@biloxi.com", "sip:bob:b@biloxi.com"),
        ("sip:bob:a@biloxi.com", "sip:bob@biloxi.com"),
        ("sip:biloxi.com", "sip:bob@biloxi.com"),
        ("sip:carol@chicago.com;security=off", "sip:carol@chicago.com;security=on"),
        ("sip:carol@chicago.com;user=phone", "sip:carol@chicago.com"),
        ("tel:+1-201-555-0123", "tel:+1-201-555-0124"),
        ("tel:123;phone-context=a", "tel:123;phone-context=b"),
        ("tel:+12015550123", "sip:+12015550123@example.com"),
        ("sip:+12015550123@example.com", "tel:+12015550123"),
        ("urn:a:b", "urn:a:c"),
    ],
)
def test_different_uris(one: str, other: str) -> None:
    assert not parse_uri(one).equivalent(parse_uri(other))
    assert not parse_uri(other).equivalent(parse_uri(one))


def test_users_for_people() -> None:
    assert parse_uri("sip:%C5%BBaneta%20N@example.com").user_text == "Żaneta N"
    assert parse_uri("sip:example.com").user_text == ""
    assert parse_uri("tel:+48-(22)-123.45").user_text == "+482212345"
    assert parse_uri("urn:a:b").user_text == ""


# name-addr


@pytest.mark.parametrize(
    ("text", "display", "uri", "params"),
    [
        ("sip:a@b", "", "sip:a@b", {}),
        ("sip:a@b;tag=1", "", "sip:a@b", {"tag": "1"}),
        ("<sip:a@b;lr>;tag=1;x", "", "sip:a@b;lr", {"tag": "1", "x": None}),
        ('"A. Bell" <sip:a@b>', "A. Bell", "sip:a@b", {}),
        ("A Bell<sip:a@b>", "A Bell", "sip:a@b", {}),
        ('"Watson, Thomas; \\"T\\\\" <sip:a@b>', 'Watson, Thomas; "T\\', "sip:a@b", {}),
        ('""<sip:a@b>', "", "sip:a@b", {}),
        ("Gęślą (biuro) 2.0 <sip:a@b>", "Gęślą (biuro) 2.0", "sip:a@b", {}),
        ('<sip:a@b> ; Tag = x ;y="a;b,<c>"', "", "sip:a@b", {"Tag": "x", "y": "a;b,<c>"}),
        ("<sip:a@b?Reason=SIP%3Bcause%3D302>;index=1", "", "sip:a@b?Reason=SIP%3Bcause%3D302",
         {"index": "1"}),
        ('<sip:a@b>;+sip.instance="<urn:uuid:1>"', "", "sip:a@b",
         {"+sip.instance": "<urn:uuid:1>"}),
    ],
)  # fmt: skip
def test_addresses_are_read(
    text: str, display: str, uri: str, params: dict[str, str | None]
) -> None:
    address = NameAddr.parse(text)
    assert (address.display, address.uri, dict(address.params)) == (display, uri, params)
    assert NameAddr.parse(str(address)) == address


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "<>",
        "<sip:a@b",
        "sip:a@b>",
        '"A <sip:a@b>',
        '"A" "B" <sip:a@b>',
        "Bell, Alexander <sip:a@b>",
        "< sip:a@b >",
        "<sip:a@b> x",
        "<sip:a@b>;",
        "<sip:a@b>;;tag=1",
        "<sip:a@b>;=1",
        '<sip:a@b>;x="1',
        "sip:a@b?Route=c",
        "sip:a@b,sip:c@d",
        "A sip:a@b",
    ],
)
def test_malformed_addresses(text: str) -> None:
    with pytest.raises(ProtocolError) as error:
        NameAddr.parse(text)
    assert error.value.status == 400


def test_tags() -> None:
    address = NameAddr.parse("<sip:a@b>;x=1")
    assert address.tag is None
    assert str(address.with_tag("t")) == "<sip:a@b>;x=1;tag=t"
    assert address.with_tag("t").with_tag("u").tag == "u"
    assert NameAddr.parse("<sip:a@b>;tag=").tag is None


def test_display_names_are_quoted_when_written() -> None:
    assert str(NameAddr('a "b" \\', "sip:a@b")) == '"a \\"b\\" \\\\" <sip:a@b>'


# Parameters


def test_parameters_are_a_case_insensitive_mapping() -> None:
    params = Parameters.parse(';A=1;b;c="x y";a=2')
    assert dict(params) == {"A": "1", "b": None, "c": "x y"}
    assert "B" in params
    assert params["C"] == "x y"
    assert str(params) == ';A=1;b;c="x y"'
    assert params == Parameters([("C", "x y"), ("a", "1"), ("B", None)])
    assert hash(params) == hash(Parameters([("C", "x y"), ("a", "1"), ("B", None)]))
    assert params != Parameters.parse(";A=1")
    assert params != {"A": "1"}
    assert str(params.without("b", "C")) == ";A=1"
    assert str(params.with_("B", "2")) == ';A=1;B=2;c="x y"'
    assert repr(Parameters.parse(";a=1")) == "Parameters([('a', '1')])"


# Via


def test_vias_are_read_and_written() -> None:
    via = Via.parse("SIP / 2.0 / udp  [2001:db8::9:1] : 5070 ; branch = z9hG4bK1 ;ttl=1; rport")
    assert (via.transport, via.host, via.port) == ("UDP", "2001:db8::9:1", 5070)
    assert (via.branch, via.rport, via.wants_rport, via.received) == ("z9hG4bK1", None, True, None)
    assert str(via) == "SIP/2.0/UDP [2001:db8::9:1]:5070;branch=z9hG4bK1;ttl=1;rport"


@pytest.mark.parametrize(
    ("text", "rport"), [("5060", 5060), ("65536", None), ("x", None), ("-1", None), ("٥", None)]
)
def test_rport(text: str, rport: int | None) -> None:
    assert Via.parse(f"SIP/2.0/UDP a;rport={text}").rport == rport


@pytest.mark.parametrize(
    "text",
    [
        "",
        "SIP/2.0/UDP",
        "SIP/2.0 a",
        "SIP/3.0/UDP a",
        "SIP/2.0/UDP a:b",
        "SIP/2.0/UDP a:0",
        "SIP/2.0/UDP [::1",
        "SIP/2.0/UDP [x]",
        "SIP/2.0/UDP a;;branch=1",
        "SIP/2.0/UDP a b",
        "SIP/2.0/UDP ;branch=1",
    ],
)
def test_malformed_vias(text: str) -> None:
    with pytest.raises(ProtocolError) as error:
        Via.parse(text)
    assert error.value.status == 400


# CSeq


@pytest.mark.parametrize("number", [0, 1, 2**31 - 1])
def test_cseq(number: int) -> None:
    assert CSeq.parse(f"{number}  INVITE") == CSeq(number, "INVITE")
    assert str(CSeq(number, "INVITE")) == f"{number} INVITE"
    assert CSeq.parse(f"{'0' * 500}{number} INVITE") == CSeq(number, "INVITE")


@pytest.mark.parametrize(
    "text", ["", "1", "INVITE", "-1 INVITE", "2147483648 INVITE", "9" * 5000 + " X", "1 A B", "٣ X"]
)
def test_malformed_cseq(text: str) -> None:
    with pytest.raises(ProtocolError):
        CSeq.parse(text)


# Headers


def test_headers_are_found_in_any_case_and_form() -> None:
    headers = Headers([("v", "1"), ("VIA", "2, 3"), ("X-Own", ""), ("via", "4")])
    assert headers.get("Via") == "1"
    assert headers.all("V") == ("1", "2, 3", "4")
    assert headers.values("viA") == ("1", "2", "3", "4")
    assert headers.get("x-own") == ""
    assert headers.get("To") is None
    assert headers.get("To", "-") == "-"
    assert headers.all("To") == headers.values("To") == ()
    assert "v" in headers
    assert "To" not in headers
    assert 5 not in headers
    assert len(headers) == 4


def test_headers_are_changed_as_copies() -> None:
    headers = Headers([("a1", "1"), ("Via", "2"), ("a2", "3"), ("v", "4")])
    assert list(headers.with_("VIA", "5", "6")) == [
        ("a1", "1"), ("VIA", "5"), ("VIA", "6"), ("a2", "3"),
    ]  # fmt: skip
    assert list(headers.with_("To", "5")) == [*headers, ("To", "5")]
    assert list(headers.with_("Via")) == [("a1", "1"), ("a2", "3")]
    assert list(headers.add("Via", "5")) == [*headers, ("Via", "5")]
    assert list(headers.prepend("Via", "5")) == [("Via", "5"), *headers]
    assert list(headers.without("via", "A1")) == [("a2", "3")]
    assert len(headers) == 4
    assert headers == Headers(list(headers))
    assert hash(headers) == hash(Headers(list(headers)))
    assert headers != Headers()
    assert headers != 5
    assert repr(Headers([("a", "1")])) == "Headers([('a', '1')])"


@pytest.mark.parametrize(
    ("text", "elements"),
    [
        ("", ()),
        (" , ,", ()),
        ("a", ("a",)),
        ("a , b,c", ("a", "b", "c")),
        ('"a,b" <sip:a,b>, <sip:c;x="d,e">', ('"a,b" <sip:a,b>', '<sip:c;x="d,e">')),
        ('"a\\",b", c', ('"a\\",b"', "c")),
        ('a, "b, c', ("a", '"b, c')),
        ("a, <b, c", ("a", "<b, c")),
        ("a>, b", ("a>", "b")),
    ],
)
def test_lists_are_split_at_commas_outside_quotes_and_brackets(
    text: str, elements: tuple[str, ...]
) -> None:
    assert split_commas(text) == elements


def test_lists_are_split_in_linear_time() -> None:
    for evil in ('"\\' * 30000, "<" * 60000, '"<' * 30000, ",<" * 30000, "a" * 60000 + '"'):
        split_commas(evil)


def test_quoted_strings() -> None:
    assert unquote('"a\\"b\\\\c\\d"') == 'a"b\\cd'
    assert unquote("a") == "a"
    assert unquote('"') == '"'
    assert quote('a"b\\c') == '"a\\"b\\\\c"'


def test_text_for_people_has_no_surrogates() -> None:
    text = b"J\xfcrgen \xc5\xbb".decode("utf-8", "surrogateescape")
    assert readable(text) == "Jürgen Ż"
    assert readable("Żaneta") == "Żaneta"
    assert readable("\ud800") == "?"
