"""What Asterisk does within a call: re-INVITEs, timers, keys, transfers, its end."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from tests.interop.conftest import Sound
from tests.pbx.conftest import Office, check_sound, leave_message
from tests.support.rtp import PCMU, digit, schedule

# What an option makes Asterisk say, and by that shows that it is in force.
SHOWS = {
    "media_encryption=sdes": "RTP/SAVP",
    "100rel=required": "Require: 100rel",
    "rtcp_mux=yes": "a=rtcp-mux",
    "ice_support=yes": "a=candidate:",
    "use_avpf=yes": "RTP/AVPF",
}


def to_sipmail(one: Office, method: str) -> list[str]:
    """The requests of this method that Asterisk sent to sipmail."""
    port = one.agent.address[1]
    place = rf"^{method} sip:[0-9a-f]{{20}}@\S+:{port}[; ]"
    return [message for message in one.pbx.messages() if re.search(place, message)]


@pytest.mark.parametrize(
    ("transport", "host", "endpoint"),
    [
        ("udp", "127.0.0.1", ()),
        ("tcp", "127.0.0.1", ()),
        ("tls", "127.0.0.1", ("transport=transport-tls", "media_encryption=sdes")),
        ("udp", "::1", ()),
        ("udp", "127.0.0.1", ("rtp_symmetric=yes", "force_rport=yes", "rewrite_contact=yes")),
        ("udp", "127.0.0.1", ("100rel=required",)),
        ("udp", "127.0.0.1", ("100rel=no",)),
        ("udp", "127.0.0.1", ("rtcp_mux=yes",)),
        ("udp", "127.0.0.1", ("ice_support=yes",)),
        ("udp", "127.0.0.1", ("use_avpf=yes",)),
        ("udp", "127.0.0.1", ("direct_media=yes",)),
    ],
    ids=lambda value: ",".join(value) if isinstance(value, tuple) else value,
)
@pytest.mark.parametrize("answer_after", ["0s", "1s"])
def test_the_ways_of_a_call(
    office: Callable[..., Office],
    sound: Callable[..., Sound],
    transport: str,
    host: str,
    endpoint: tuple[str, ...],
    answer_after: str,
) -> None:
    one = office(
        transport=transport,
        host=host,
        endpoint=endpoint,
        rtp={"codecs": ["PCMU"]},
        mailboxes={"sales": {"answer_after": answer_after}},
    )
    spoken = sound("PCMU")
    leave_message(one, "202", spoken)
    check_sound(one.mail(), spoken)
    invites = to_sipmail(one, "INVITE")
    for option in endpoint:
        assert SHOWS.get(option, "") in invites[0]
    assert (len(invites) > 1) == ("direct_media=yes" in endpoint)


@pytest.mark.parametrize("mode", ["rfc4733", "info", "inband", "auto", "auto_info"])
def test_a_key_ends_the_message(
    office: Callable[..., Office], sound: Callable[..., Sound], mode: str
) -> None:
    one = office(endpoint=[f"dtmf_mode={mode}"], rtp={"codecs": ["PCMU"]})
    spoken = sound("PCMU")
    call = one.carrier.call("202", codecs=(PCMU,))
    call.wait_quiet()
    speech = schedule(spoken.raw.read_bytes(), PCMU)
    call.send([*speech, *digit(11, speech[-1], seconds=0.2)])
    call.wait_bye()
    check_sound(one.mail(), spoken)
    assert bool(to_sipmail(one, "INFO")) == (mode == "info")


def test_only_a_codec_that_nobody_here_has(office: Callable[..., Office]) -> None:
    one = office(endpoint=["allow=!all,g722"])
    call = one.carrier.invite("202", codecs=(PCMU,))
    call.wait(lambda: call.status is not None, 20)
    assert call.status not in (None, 200)
    assert any("SIP/2.0 488" in message for message in one.pbx.messages("Received"))


def test_session_timers(office: Callable[..., Office]) -> None:
    """The shortest interval that there is: twice in this call the session is refreshed."""
    one = office(
        endpoint=["timers=always", "timers_min_se=90", "timers_sess_expires=90"],
        rtp={"timeout": "3m"},
        mailboxes={"sales": {"record": {"max": "5m"}}},
    )
    call = one.carrier.call("202", codecs=(PCMU,))
    assert not call.wait(lambda: call.bye is not None, 110), "the call ended"
    call.hang_up()
    one.mail()
    refreshes = [
        message
        for message in one.pbx.messages() + one.pbx.messages("Received")
        if message.startswith(("UPDATE", "INVITE")) and ";refresher=" in message
    ]
    assert len(refreshes) == 2


def test_hold_and_resume(office: Callable[..., Office], sound: Callable[..., Sound]) -> None:
    one = office(endpoint=["moh_passthrough=yes"], rtp={"codecs": ["PCMU"]})
    spoken = sound("PCMU")
    call = one.carrier.call("202", codecs=(PCMU,))
    call.wait_quiet()
    assert call.reinvite(call.offer(direction="sendonly")).status == 200
    assert call.reinvite(call.offer()).status == 200
    assert any("a=sendonly" in message for message in to_sipmail(one, "INVITE"))
    call.send(schedule(spoken.raw.read_bytes(), PCMU))
    call.hang_up()
    check_sound(one.mail(), spoken)


def test_t38_is_refused_and_the_call_goes_on(
    office: Callable[..., Office], sound: Callable[..., Sound]
) -> None:
    one = office(endpoint=["t38_udptl=yes"], rtp={"codecs": ["PCMU"]})
    spoken = sound("PCMU")
    call = one.carrier.call("202", codecs=(PCMU,))
    call.wait_quiet()
    fax = (
        "v=0\r\no=caller 1 2 IN IP4 127.0.0.2\r\ns=-\r\nc=IN IP4 127.0.0.2\r\nt=0 0\r\n"
        "m=image 40000 udptl t38\r\na=T38FaxVersion:0\r\na=T38MaxBitRate:14400\r\n"
        "a=T38FaxRateManagement:transferredTCF\r\na=T38FaxMaxBuffer:200\r\n"
        "a=T38FaxMaxDatagram:176\r\na=T38FaxUdpEC:t38UDPRedundancy\r\n"
    )
    answer = call.reinvite(fax)
    assert answer.status == 488
    call.send(schedule(spoken.raw.read_bytes(), PCMU))
    call.hang_up()
    check_sound(one.mail(), spoken)
    assert any("m=image" in message for message in one.pbx.messages())
