"""Callers that are handed over: to sipmail by a phone, and from sipmail to the operator."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import pytest

from tests.interop.conftest import Sound
from tests.pbx.conftest import Office, check_sound, text_of
from tests.support.caller import Call, Caller
from tests.support.rtp import PCMU, digit, schedule

OPERATOR = """
exten => 600,1,Dial(PJSIP/206)
"""


@pytest.fixture
def secretary(shared: Office) -> Iterator[Caller]:
    """The phone 207, which places calls and transfers them."""
    with Caller(shared.pbx.address, host="127.0.0.3", user="207", display="Jan") as phone:
        yield phone


def refer(call: Call, to: str) -> None:
    """Asks Asterisk to connect whom this call is with to `to`."""
    own = f"<sip:207@{call.caller.host}:{call.caller.port}>"
    call.send_request("REFER", headers=[("Refer-To", f"<{to}>"), ("Referred-By", own)])
    assert call.wait_response("REFER").status == 202


def speak(one: Office, spoken: Sound) -> None:
    """The phone 206 says it, and nothing more."""
    one.phone.send(schedule(spoken.raw.read_bytes(), PCMU))


@pytest.mark.parametrize(
    "endpoint",
    [
        ("connected_line_method=invite",),
        ("connected_line_method=update",),
        ("connected_line_method=update", "send_pai=no", "send_rpid=yes"),
        ("direct_media=yes",),
        ("direct_media=yes", "direct_media_method=update"),
    ],
    ids=",".join,
)
def test_an_attended_transfer_renames_the_caller(
    shared: Office, secretary: Caller, sound: Callable[..., Sound], endpoint: tuple[str, ...]
) -> None:
    shared.pbx.configure(endpoint=endpoint, dialplan=OPERATOR)
    before = len(shared.smtp.delivered)
    spoken = sound("PCMU")
    first = secretary.call("600", codecs=(PCMU,))
    second = secretary.call("202", codecs=(PCMU,))
    second.wait_quiet()
    host, port = shared.pbx.address
    tag = re.search(r"tag=([^;\s]+)", second.answer.get("To") if second.answer else "")
    assert tag is not None
    call_id = second.call_id.replace("@", "%40")
    replaces = f"{call_id}%3Bto-tag%3D{tag[1]}%3Bfrom-tag%3D{second.tag}"
    since = len(shared.agent.lines)
    refer(first, f"sip:202@{host}:{port}?Replaces={replaces}")
    second.wait_bye()
    shared.agent.wait_log("206", since=since)
    speak(shared, spoken)
    shared.pbx.cli("channel request hangup all")
    mail = shared.mail(before)
    text = text_of(mail)
    assert str(mail.message["X-Sipmail-Caller"]) == "206"
    assert "Reception" in text
    assert "202" in text
    assert "the line was busy" in text
    check_sound(mail, spoken)


@pytest.mark.parametrize(
    ("to", "why"), [("202", "the line was busy"), ("*202", "calls are forwarded to voicemail")]
)
def test_a_blind_transfer(
    shared: Office, secretary: Caller, sound: Callable[..., Sound], to: str, why: str
) -> None:
    shared.pbx.configure(dialplan=OPERATOR)
    before = len(shared.smtp.delivered)
    spoken = sound("PCMU")
    call = secretary.call("600", codecs=(PCMU,))
    host, port = shared.pbx.address
    shared.phone.forget()
    refer(call, f"sip:{to}@{host}:{port}")
    shared.phone.wait_quiet()
    speak(shared, spoken)
    shared.pbx.cli("channel request hangup all")
    mail = shared.mail(before)
    text = text_of(mail)
    assert str(mail.message["X-Sipmail-Caller"]) == "206"
    assert why in text
    assert "202" in text
    check_sound(mail, spoken)


def press_zero(one: Office) -> Call:
    """The carrier calls 202, whose greeting is long enough for the key 0."""
    call = one.carrier.call("202", codecs=(PCMU,))
    call.wait_heard(10)
    quiet = schedule(b"\xff" * 1600, PCMU)
    call.send([*quiet, *digit(0, quiet[-1], seconds=0.2)])
    return call


def desk(office: Callable[..., Office], operator: str) -> Office:
    return office(
        endpoint=["context=extensions"],
        dialplan=OPERATOR,
        rtp={"codecs": ["PCMU"]},
        mailboxes={"sales": {"operator": operator}},
    )


def test_the_operator_takes_the_call(
    office: Callable[..., Office], sound: Callable[..., Sound]
) -> None:
    one = desk(office, "600")
    spoken = sound("PCMU")
    call = press_zero(one)
    one.agent.wait_log("the operator has taken it")
    said = spoken.raw.read_bytes()
    one.phone.send(schedule(said, PCMU))
    assert call.wait(lambda: said in call.heard_payload(PCMU), 10), "the caller does not hear them"
    call.hang_up()


def test_an_extension_that_asterisk_has_not_leaves_the_caller_here(
    office: Callable[..., Office], sound: Callable[..., Sound]
) -> None:
    one = desk(office, "699")
    spoken = sound("PCMU")
    call = press_zero(one)
    one.agent.wait_log("no operator: 404")
    call.wait_quiet(1.0)
    call.send(schedule(spoken.raw.read_bytes(), PCMU, sequence=100, timestamp=90_000))
    call.hang_up()
    check_sound(one.mail(), spoken)


def test_an_operator_whose_extension_leads_back_to_voicemail(
    office: Callable[..., Office], sound: Callable[..., Sound]
) -> None:
    """Asterisk takes the caller away with the REFER: only its dialplan can bring them back."""
    one = desk(office, "205")
    spoken = sound("PCMU")
    call = press_zero(one)
    one.agent.wait_log("the operator has taken it")
    call.wait_heard(len(call.heard) + 40)  # the greeting once more
    call.wait_quiet()
    call.send(schedule(spoken.raw.read_bytes(), PCMU, sequence=100, timestamp=90_000))
    call.hang_up()
    mail = one.mail()
    assert "205" in text_of(mail)
    check_sound(mail, spoken)
