"""Why a call came: the three tables, each after its document."""

from __future__ import annotations

import pytest

from sipmail.voicemail.reason import Reason, from_cause, from_diversion, from_status


# RFC 5806 section 6: diversion-reason.
@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("unknown", Reason.UNKNOWN),
        ("user-busy", Reason.BUSY),
        ("no-answer", Reason.NO_ANSWER),
        ("unavailable", Reason.UNAVAILABLE),
        ("unconditional", Reason.UNCONDITIONAL),
        ("time-of-day", Reason.UNCONDITIONAL),
        ("do-not-disturb", Reason.UNAVAILABLE),
        ("deflection", Reason.BUSY),
        ("follow-me", Reason.UNCONDITIONAL),
        ("out-of-service", Reason.UNAVAILABLE),
        ("away", Reason.UNAVAILABLE),
        ("No-Answer", Reason.NO_ANSWER),
        ("whatever", Reason.UNKNOWN),
        (None, Reason.UNKNOWN),
    ],
)
def test_diversion(text: str | None, reason: Reason) -> None:
    assert from_diversion(text) is reason


# Asterisk 23: the words of its REDIRECTING(reason), and what it passes on without knowing it.
@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("send_to_vm", Reason.BUSY),
        ("cf_dte", Reason.UNAVAILABLE),
        ("cfnr", Reason.NO_ANSWER),
        ("cfb", Reason.BUSY),
        ("cfu", Reason.UNCONDITIONAL),
        ("no_answer", Reason.NO_ANSWER),
        ("do_not_disturb", Reason.UNAVAILABLE),
        ("dnd", Reason.UNAVAILABLE),
        ("out_of_order", Reason.UNAVAILABLE),
        ("NOANSWER", Reason.NO_ANSWER),
        ("BUSY", Reason.BUSY),
        ("CHANUNAVAIL", Reason.UNAVAILABLE),
        ("CONGESTION", Reason.UNAVAILABLE),
    ],
)
def test_the_words_of_asterisk(text: str, reason: Reason) -> None:
    assert from_diversion(text) is reason


# RFC 4458 section 9.3: the table of causes.
@pytest.mark.parametrize(
    ("cause", "reason"),
    [
        (404, Reason.UNKNOWN),
        (486, Reason.BUSY),
        (408, Reason.NO_ANSWER),
        (302, Reason.UNCONDITIONAL),
        (487, Reason.BUSY),
        (480, Reason.BUSY),
        (503, Reason.UNAVAILABLE),
        (999, Reason.UNKNOWN),
        (None, Reason.UNKNOWN),
    ],
)
def test_cause(cause: int | None, reason: Reason) -> None:
    assert from_cause(cause) is reason


# RFC 3261 section 21 and Q.850.
@pytest.mark.parametrize(
    ("protocol", "cause", "reason"),
    [
        ("SIP", 486, Reason.BUSY),
        ("sip", 600, Reason.BUSY),
        ("SIP", 408, Reason.NO_ANSWER),
        ("SIP", 480, Reason.UNAVAILABLE),
        ("SIP", 302, Reason.UNCONDITIONAL),
        ("Q.850", 17, Reason.BUSY),
        ("Q.850", 19, Reason.NO_ANSWER),
        ("q.850", 20, Reason.UNAVAILABLE),
        ("Q.850", 486, Reason.UNKNOWN),
        ("Redirection", 486, Reason.UNKNOWN),
        ("SIP", None, Reason.UNKNOWN),
    ],
)
def test_status(protocol: str, cause: int | None, reason: Reason) -> None:
    assert from_status(protocol, cause) is reason


def test_the_values_of_message_json() -> None:
    assert [str(reason) for reason in Reason] == [
        "no-answer",
        "busy",
        "unavailable",
        "unconditional",
        "unknown",
    ]
