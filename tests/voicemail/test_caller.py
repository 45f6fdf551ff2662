"""Who calls: which header is believed, what withholds, what is a name."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sipmail.spool.message import Caller, Message
from sipmail.voicemail.caller import caller, renamed
from tests.voicemail.office import MONDAY_NOON, invite

PAI = 'P-Asserted-Identity: "Biuro" <sip:+48221110000@pbx.example.com>'
RPID = "Remote-Party-ID: <sip:602333444@pbx.example.com>;party=calling;privacy=off"
WITHHELD = Caller(withheld=True)


def who(*headers: str, sender: str = '"Anna" <sip:600123456@pbx.example.com>') -> Caller:
    return caller(invite(*headers, sender=sender), "PL")


def test_the_most_trusted_header_wins() -> None:
    assert who(PAI, RPID) == Caller("+48221110000", "Biuro")
    assert who(RPID) == Caller("+48602333444", "Anna")
    assert who() == Caller("+48600123456", "Anna")


def test_two_asserted_identities() -> None:
    both = 'P-Asserted-Identity: "Ewa" <sip:ewa@pbx.example.com>, <tel:+48602333444>'
    assert who(both) == Caller("ewa@pbx.example.com", "Ewa")


def test_the_called_party_is_not_the_caller() -> None:
    other = "Remote-Party-ID: <sip:201@pbx.example.com>;party=called"
    assert who(other) == Caller("+48600123456", "Anna")


@pytest.mark.parametrize(
    "headers",
    [
        ("Privacy: id",),
        ("Privacy: user;header",),
        ("Privacy: critical;ID",),
        (RPID.replace("off", "full"),),
        (RPID.replace("off", "uri"),),
        ("P-Asserted-Identity: <sip:anonymous@anonymous.invalid>",),
    ],
)
def test_withheld(headers: tuple[str, ...]) -> None:
    assert who(*headers) == WITHHELD


@pytest.mark.parametrize(
    "sender",
    [
        '"Anonymous" <sip:anonymous@anonymous.invalid>',
        "<sip:Anonymous@pbx.example.com>",
        "<sip:restricted@pbx.example.com>",
        "<sip:600123456@anonymous.invalid>",
        '"Anonymous" <sip:pbx.example.com>',
    ],
)
def test_an_anonymous_from_withholds(sender: str) -> None:
    assert who(PAI, sender=sender) == WITHHELD


@pytest.mark.parametrize(
    "headers", [("Privacy: none",), ("Privacy: session",), ("Privacy: critical",)]
)
def test_other_privacy_does_not_withhold(headers: tuple[str, ...]) -> None:
    assert who(*headers) == Caller("+48600123456", "Anna")


def test_a_hidden_name_leaves_the_number() -> None:
    hidden = RPID.replace("<sip", '"Ewa" <sip').replace("off", "name")
    assert who(hidden, sender="<sip:602333444@pbx.example.com>") == Caller("+48602333444")


@pytest.mark.parametrize(
    "sender",
    [
        "<sip:unavailable@unknown.invalid>",
        "<sip:unknown@pbx.example.com>",
        "<sip:pbx.example.com>",
        "<mailto:anna@example.com>",
    ],
)
def test_unknown_is_not_withheld(sender: str) -> None:
    assert who(sender=sender) == Caller()


@pytest.mark.parametrize(
    "name", ["Anonymous", "600123456", "+48 600 123 456", "unknown", "asterisk"]
)
def test_what_is_no_name(name: str) -> None:
    assert who(sender=f'"{name}" <sip:600123456@pbx.example.com>') == Caller("+48600123456")


@pytest.mark.parametrize(
    ("sender", "number"),
    [
        ("<tel:+48-600-123-456>", "+48600123456"),
        ("<tel:600123456;phone-context=+48>", "+48600123456"),
        ("<sip:600123456;phone-context=+48@carrier.example.com;user=phone>", "+48600123456"),
        ("<sip:0048600123456@pbx.example.com>", "+48600123456"),
        ("<sip:48600123456@pbx.example.com>", "+48600123456"),
        ("<sip:491701234567@pbx.example.com>", "+491701234567"),
        ("<sip:+48600123456;npdi=yes;rn=+48790000@pbx.example.com>", "+48600123456"),
        ("<sip:%2B48600123456@pbx.example.com>", "+48600123456"),
        ("<sip:205@pbx.example.com>", "205"),
        ("<sip:*97@pbx.example.com>", "*97"),
        ("<sip:zofia@example.org>", "zofia@example.org"),
        ("<sip:zofia@192.0.2.1>", "zofia"),
        ("<sip:zofia@[2001:db8::1]>", "zofia"),
        ("sip:600123456@pbx.example.com", "+48600123456"),
    ],
)
def test_the_number(sender: str, number: str) -> None:
    assert who(sender=sender).number == number


def test_a_malformed_header_is_passed_over() -> None:
    assert who("P-Asserted-Identity: <<<>") == Caller("+48600123456", "Anna")


def test_after_a_transfer_only_the_asserted_identity_counts() -> None:
    new = "P-Asserted-Identity: <sip:+48602333444@pbx.example.com>"
    assert renamed(invite(new), "PL") == Caller("+48602333444")
    assert renamed(invite(new, "Privacy: id"), "PL") == WITHHELD
    assert renamed(invite(RPID), "PL") == Caller("+48602333444")
    assert renamed(invite(), "PL") is None


@given(st.binary(max_size=1100))
@settings(max_examples=200, deadline=None)
def test_whatever_a_caller_writes_can_be_stored_and_shown(name: bytes) -> None:
    text = name.decode("utf-8", "surrogateescape").translate(
        {34: None, 92: None, 13: None, 10: None}
    )
    found = who(sender=f'"{text}" <sip:600123456@pbx.example.com>')
    assert found.number == "+48600123456"
    assert len(found.name or "") <= 120
    assert (
        (found.name or "").isprintable()
        or "\u200d" in (found.name or "")
        or "\u200c" in (found.name or "")
    )
    Message(id="1", mailbox="a", called="201", received=MONDAY_NOON, caller=found).dumps()
