"""Calls that FreeSWITCH bridges to sipmail when nobody takes them."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from tests.interop.conftest import Sound
from tests.pbx.conftest import Office, check_sound, leave_message, text_of
from tests.support.caller import Call
from tests.support.rtp import PCMU, RATE, SILENCE, digit, schedule
from tests.support.smtp import Delivered
from tests.support.sounds import read_wav

FRAME = 160
"""Samples in 20 ms."""
WHY = {
    "201": "nobody answered",
    "202": "the line was busy",
    "203": "could not be reached",
    "204": "nobody answered",  # FreeSWITCH has many words for a 480
    "205": "the line was busy",
}


def check_frames(mail: Delivered, spoken: Sound) -> None:
    """The recording holds what was said, but for what FreeSWITCH itself leaves out: its timer drops
    a packet now and then. Where it leaves media alone, `check_sound` holds.
    """
    recording = read_wav(mail.attachment()[1]).tobytes()
    frames = [spoken.samples[at : at + FRAME] for at in range(0, len(spoken.samples), FRAME)]
    missing = [n for n, frame in enumerate(frames) if frame.tobytes() not in recording]
    assert len(missing) <= len(frames) // 20, missing


@pytest.mark.parametrize("codec", ["PCMU", "PCMA"])
def test_why_a_call_came(
    fs_office: Callable[..., Office], sound: Callable[..., Sound], codec: str
) -> None:
    one = fs_office(rtp={"codecs": [codec]})
    spoken = sound(codec)
    for count, (number, why) in enumerate(WHY.items()):
        leave_message(one, number, spoken, codec)
        mail = one.mail(count)
        text = text_of(mail)
        assert why in text, number
        assert number in text
        assert str(mail.message["X-Sipmail-Caller"]) == "+48600111222"
        assert "Zofia" in text
        check_frames(mail, spoken)


UNTOUCHED = ("bypass_media=true", "proxy_media=true")


@pytest.mark.parametrize(
    ("transport", "dialplan", "answer_after"),
    [
        ("tcp", "", "0s"),
        ("tls", "", "1s"),
        ("tls", "rtp_secure_media=mandatory", "0s"),
        ("udp", "rtp_secure_media=optional", "0s"),
        ("udp", "sip_cid_type=pid", "0s"),
        ("udp", "sip_cid_type=rpid", "1s"),
        ("udp", "sip_cid_type=none", "0s"),
        ("udp", "bypass_media=true", "0s"),
        ("udp", "proxy_media=true", "0s"),
        ("udp", "absolute_codec_string=PCMU@30i", "0s"),
    ],
)
def test_the_ways_of_a_call(
    fs_office: Callable[..., Office],
    sound: Callable[..., Sound],
    transport: str,
    dialplan: str,
    answer_after: str,
) -> None:
    one = fs_office(
        transport=transport,
        dialplan=exported(dialplan) if dialplan else "",
        trunk={"srtp": "optional"} if "optional" in dialplan else {},
        rtp={"codecs": ["PCMU"]},
        mailboxes={"sales": {"answer_after": answer_after}},
    )
    spoken = sound("PCMU")
    leave_message(one, "202", spoken)
    mail = one.mail()
    assert "the line was busy" in text_of(mail)
    assert str(mail.message["X-Sipmail-Caller"]) == "+48600111222"
    if "secure" in dialplan:
        assert re.search(r"o=sipmail .{0,400}?a=crypto:\d+ A", one.pbx.log(), re.S)
    if "@30i" in dialplan:
        assert "a=ptime:30" in one.pbx.log()
    if dialplan in UNTOUCHED:
        check_sound(mail, spoken)
    else:
        check_frames(mail, spoken)


def exported(*variables: str) -> str:
    """An extension that sets variables for the calls that the others place, and lets them go on."""
    actions = "".join(f'<action application="export" data="{one}"/>' for one in variables)
    condition = f'<condition field="destination_number" expression="^2">{actions}</condition>'
    return f'<extension name="variables" continue="true">{condition}</extension>'


def test_a_key_ends_the_message(
    fs_office: Callable[..., Office], sound: Callable[..., Sound]
) -> None:
    one = fs_office(rtp={"codecs": ["PCMU"]})
    spoken = sound("PCMU")
    call = one.carrier.call("202", codecs=(PCMU,))
    call.wait_quiet()
    breath = SILENCE[PCMU] * (RATE // 2)
    speech = schedule(breath + spoken.raw.read_bytes() + breath, PCMU)
    call.send([*speech, *digit(11, speech[-1], seconds=0.2)])
    call.wait_bye()
    check_frames(one.mail(), spoken)


def test_a_withheld_number(fs_office: Callable[..., Office]) -> None:
    one = fs_office(dialplan=exported("origination_privacy=hide_name:hide_number"))
    call = one.carrier.call("202")
    call.hang_up()
    one.agent.wait_log("for sales")
    caller = one.newest_message()["caller"]
    assert (caller["number"], caller["name"]) == (None, None)
    assert "600111222" not in one.agent.log()


def test_hold_and_resume(fs_office: Callable[..., Office], sound: Callable[..., Sound]) -> None:
    one = fs_office(rtp={"codecs": ["PCMU"]})
    spoken = sound("PCMU")
    call = one.carrier.call("202", codecs=(PCMU,))
    call.wait_quiet()
    assert call.reinvite(call.offer(direction="sendonly")).status == 200
    assert call.reinvite(call.offer()).status == 200
    breath = SILENCE[PCMU] * (RATE // 2)
    call.send(schedule(breath + spoken.raw.read_bytes() + breath, PCMU))
    call.hang_up()
    check_frames(one.mail(), spoken)


def test_session_timers(fs_office: Callable[..., Office]) -> None:
    """The shortest interval that there is: the session is refreshed in this call."""
    one = fs_office(
        profile='<param name="enable-timer" value="true"/>'
        '<param name="session-timeout" value="90"/>'
        '<param name="minimum-session-expires" value="90"/>',
        rtp={"timeout": "3m"},
        mailboxes={"sales": {"record": {"max": "5m"}}},
    )
    call = one.carrier.call("202")
    assert not call.wait(lambda: call.bye is not None, 110), "the call ended"
    call.hang_up()
    one.mail()
    assert "Session-Expires: 90;refresher=" in one.pbx.log()


OPERATOR = (
    '<extension name="operator"><condition field="destination_number" expression="^600$">'
    '<action application="bridge" data="sofia/internal/206@127.0.0.1:@PHONES_PORT@"/>'
    "</condition></extension>"
)


def press_zero(one: Office) -> Call:
    """The carrier calls 202, whose greeting is long enough for the key 0."""
    call = one.carrier.call("202", codecs=(PCMU,))
    call.wait_heard(10)
    quiet = schedule(SILENCE[PCMU] * 1600, PCMU)
    call.send([*quiet, *digit(0, quiet[-1], seconds=0.2)])
    return call


def test_the_operator_takes_the_call(
    fs_office: Callable[..., Office], sound: Callable[..., Sound]
) -> None:
    one = fs_office(
        dialplan=OPERATOR, rtp={"codecs": ["PCMU"]}, mailboxes={"sales": {"operator": "600"}}
    )
    spoken = sound("PCMU")
    call = press_zero(one)
    one.phone.answered()
    one.agent.wait_log("the operator has taken it")
    said = spoken.raw.read_bytes()
    one.phone.send(schedule(SILENCE[PCMU] * RATE + said, PCMU))
    frames = [said[at : at + FRAME] for at in range(0, len(said), FRAME)]
    heard = call.heard_payload(PCMU)
    assert sum(frame in heard for frame in frames) > 0.9 * len(frames)
    call.hang_up()


def test_an_operator_whose_extension_leads_back_to_voicemail(
    fs_office: Callable[..., Office], sound: Callable[..., Sound]
) -> None:
    one = fs_office(rtp={"codecs": ["PCMU"]}, mailboxes={"sales": {"operator": "205"}})
    spoken = sound("PCMU")
    call = press_zero(one)
    one.agent.wait_log("the operator has taken it")
    call.wait_heard(len(call.heard) + 40)  # the greeting once more
    call.wait_quiet()
    breath = SILENCE[PCMU] * (RATE // 2)
    call.send(
        schedule(breath + spoken.raw.read_bytes() + breath, PCMU, sequence=100, timestamp=90_000)
    )
    call.hang_up()
    mail = one.mail()
    assert "205" in text_of(mail)
    check_frames(mail, spoken)
