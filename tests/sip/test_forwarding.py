"""Why a call came here and who calls: Diversion, History-Info, Reason, Privacy, identities."""

from __future__ import annotations

import pytest

from sipmail.errors import ProtocolError
from sipmail.sip.diversion import Diversion, diversions
from sipmail.sip.extensions import supports, unsupported
from sipmail.sip.headers import Headers
from sipmail.sip.history_info import HistoryEntry, history
from sipmail.sip.identity import asserted_identities, remote_parties
from sipmail.sip.message import Request, parse
from sipmail.sip.privacy import identity_withheld, privacy
from sipmail.sip.reason import Reason, completed_elsewhere, reasons
from sipmail.sip.uri import OtherUri, SipUri, TelUri
from tests.sip.messages import NORMAL


def headers(name: str, *values: str) -> Headers:
    return Headers((name, value) for value in values)


# Diversion


def test_a_diversion_is_read() -> None:
    (one,) = diversions(parse(NORMAL["invite-asterisk"]).headers)
    assert one.address.parsed_uri.user_text == "+48221234567"
    assert one.address.display == "Biuro"
    assert (one.reason, one.counter, one.privacy, one.withheld) == ("no-answer", 1, "off", False)


def test_diversions_are_listed_from_the_last_to_the_first() -> None:
    found = diversions(
        headers(
            "Diversion",
            '"B, C" <sip:b@h>;reason="User-Busy";counter=2;privacy=FULL, <tel:+1>',
            "<sip:a@h;cause=302>;reason=unconditional;screen=yes;limit=5",
        )
    )
    assert [str(one.address.parsed_uri) for one in found] == [
        "sip:b@h", "tel:+1", "sip:a@h;cause=302",
    ]  # fmt: skip
    assert [one.reason for one in found] == ["user-busy", "unknown", "unconditional"]
    assert [one.counter for one in found] == [2, 1, 1]
    assert [one.withheld for one in found] == [True, False, False]


def test_malformed_diversions_are_left_out() -> None:
    values = ("<sip:a@h>;counter=x", "<sip:>", "<<", "<sip:b@h>;reason=user-busy")
    assert [one.reason for one in diversions(headers("Diversion", *values))] == ["user-busy"]
    for value in values[:3]:
        with pytest.raises(ProtocolError):
            Diversion.parse(value)


# History-Info

# RFC 7044 section 6 and RFC 4458: from Bob, who doesn't answer, to his voicemail.
HISTORY = (
    "<sip:bob@example.com>;index=1,"
    "<sip:bob@192.0.2.4?Reason=SIP%3Bcause%3D408&Privacy=history>;index=1.1;rc=1,"
    "<sip:vm@192.0.2.5;target=sip:bob%40example.com;cause=408>;index=1.2;mp=1"
)


def test_history_is_read() -> None:
    first, second, third = history(headers("History-Info", HISTORY))
    assert first.uri == SipUri("sip", "bob", "example.com")
    assert (first.index, first.reasons, first.cause) == ((1,), (), None)
    assert second.uri == SipUri("sip", "bob", "192.0.2.4")
    assert second.reasons == (Reason("SIP", 408),)
    assert second.privacy == {"history"}
    assert (second.contact_of, second.mapped_from, second.unchanged_from) == ("1", None, None)
    assert (third.index, third.cause, third.mapped_from) == ((1, 2), 408, "1")
    assert third.reasons == ()


def test_history_is_sorted_by_its_indices() -> None:
    found = history(
        headers(
            "History-Info",
            "<sip:d@h>;index=1.10",
            "<sip:c@h>;index=1.2, <tel:+48>;index=1",
            "<urn:x:y>;index=1.2.1;np=1.2",
        )
    )
    assert [entry.index for entry in found] == [(1,), (1, 2), (1, 2, 1), (1, 10)]
    assert found[0].uri == TelUri("+48")
    assert found[2].uri == OtherUri("urn", "x:y")
    assert (found[2].cause, found[2].unchanged_from) == (None, "1.2")


def test_malformed_history_is_left_out() -> None:
    values = ("<sip:a@h>", "<sip:a@h>;index=x", "<sip:a@h>;index=1..2", "<sip:>;index=1", "<")
    assert history(headers("History-Info", *values)) == ()
    for value in values:
        with pytest.raises(ProtocolError):
            HistoryEntry.parse(value)


def test_a_malformed_embedded_reason_is_left_out() -> None:
    entry = HistoryEntry.parse("<sip:a@h?Reason=%3B%3B&reason=SIP%3Bcause%3D486>;index=1")
    assert entry.reasons == (Reason("SIP", 486),)


# Reason


def test_reasons_are_read() -> None:
    assert reasons(parse(NORMAL["bye"]).headers) == (
        Reason("Q.850", 16, "Normal call clearing"),
        Reason("SIP", 200, "Call completed elsewhere"),
    )


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('SIP ;cause=200 ;text="Call completed elsewhere"',
         Reason("SIP", 200, "Call completed elsewhere")),
        ('Q.850 ;cause=16 ;text="Terminated"', Reason("Q.850", 16, "Terminated")),
        ("SIP", Reason("SIP")),
        ('preemption;text="a \\"b\\""', Reason("preemption", None, 'a "b"')),
    ],
)  # fmt: skip
def test_reasons_are_written(text: str, reason: Reason) -> None:
    assert Reason.parse(text) == reason
    assert Reason.parse(str(reason)) == reason


@pytest.mark.parametrize("text", ["", ";cause=1", "SIP;cause=x", "SIP;cause=99999", "SIP;;"])
def test_malformed_reasons(text: str) -> None:
    with pytest.raises(ProtocolError):
        Reason.parse(text)
    assert reasons(headers("Reason", text)) == ()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('SIP;cause=200;text="Call completed elsewhere"', True),
        ("Q.850;cause=16, sip;cause=200", True),
        ("SIP;cause=487", False),
        ("Q.850;cause=200", False),
    ],
)
def test_completed_elsewhere(text: str, expected: bool) -> None:
    assert completed_elsewhere(headers("Reason", text)) is expected


# Privacy and identities


@pytest.mark.parametrize(
    ("values", "withheld"),
    [
        ((), False),
        (("none",), False),
        (("id",), True),
        (("Header; USER;critical",), True),
        (("user, id",), True),
        (("session",), False),
        (("history",), False),
        (("id; none",), False),
        (("session", "id"), True),
    ],
)
def test_privacy(values: tuple[str, ...], withheld: bool) -> None:
    assert identity_withheld(headers("Privacy", *values)) is withheld


def test_privacy_values_are_in_lower_case() -> None:
    assert privacy(headers("Privacy", "Header;User ; id")) == {"header", "user", "id"}


def test_asserted_identities() -> None:
    found = asserted_identities(
        headers(
            "P-Asserted-Identity",
            '"Cullen Jennings" <sip:fluffy@cisco.com>, <tel:+14085264000>',
            "<sip:>",
            "<<",
        )
    )
    assert [(one.display, one.parsed_uri.user_text) for one in found] == [
        ("Cullen Jennings", "fluffy"),
        ("", "+14085264000"),
    ]


def test_remote_parties() -> None:
    one, other = remote_parties(
        headers(
            "Remote-Party-ID",
            '"Jan" <sip:+48600@h>;party=Calling;screen=yes;privacy=Full',
            "<sip:2@h>",
        )
    )
    assert (one.address.display, one.party, one.privacy) == ("Jan", "calling", "full")
    assert (one.screened, one.withheld) == (True, True)
    assert (other.party, other.screened, other.withheld) == ("calling", False, False)


# Option tags


def test_option_tags() -> None:
    required = Request("INVITE", "sip:a", Headers([("Require", "100rel, X-new"), ("k", "Timer")]))
    assert unsupported(required, {"100rel", "timer"}) == ("X-new",)
    assert unsupported(Request("ACK", "sip:a", required.headers), ()) == ()
    assert supports(required.headers, "timer")
    assert supports(required.headers, "100rel")
    assert not supports(required.headers, "replaces")
