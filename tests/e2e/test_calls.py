"""How calls go on and end: keys, limits, hold, late offers, cancelled calls."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.e2e.conftest import (
    LONG,
    RTP_TIMEOUT,
    Office,
    facts,
    mails_from,
    own_number,
    wait_settled,
)
from tests.e2e.telephone import (
    PTIME,
    STEP,
    body,
    decoded,
    message,
    new_socket,
    noise,
    opening,
    recording,
    same,
    wait_recording,
)
from tests.support.caller import Call, Caller, CallFailed
from tests.support.rtp import PCMU, RATE, SILENCE, digit

pytestmark = pytest.mark.e2e

HASH = 11
_ELSEWHERE = ("Reason", 'SIP;cause=200;text="Call completed elsewhere"')


def missed(office: Office, phone: Caller) -> None:
    """The call left a missed call's e-mail: without a recording."""
    mail = office.mail(phone.user)
    assert str(mail.message["Subject"]).startswith("Missed call: ")
    with pytest.raises(LookupError):
        mail.attachment()


# --- keys ------------------------------------------------------------------------------------


def test_a_key_ends_the_recording(office: Office, phone: Caller) -> None:
    said = noise(1.0, 21)
    call = office.dial(phone)
    packets = message(said)
    call.send(packets)
    call.send(digit(HASH, replace(packets[-1], due=0.0)))
    call.wait_bye()
    recorded = recording(office.mail(phone.user))
    same(recorded[: len(said)], decoded(said))
    # What follows is at most the time that the key was held down.
    assert len(recorded) <= len(said) + round(0.16 * RATE)
    assert wait_settled(office.agent, call.call_id)["ending"] == "key"


def test_a_key_by_info_ends_the_recording(office: Office, phone: Caller) -> None:
    said = noise(1.0, 22)
    call = office.dial(phone)
    call.send(message(said))
    info(call, "#")
    call.wait_bye()
    same(recording(office.mail(phone.user)), decoded(said))
    assert wait_settled(office.agent, call.call_id)["ending"] == "key"


def info(call: Call, key: str) -> None:
    """A key as INFO, the way most phones send it."""
    call.send_request(
        "INFO",
        headers=[("Content-Type", "application/dtmf-relay")],
        body=f"Signal={key}\r\nDuration=160\r\n",
    )
    assert call.wait_response("INFO").status == 200


@pytest.mark.parametrize("way", ["rtp", "info"])
def test_a_key_skips_the_greeting(office: Office, phone: Caller, way: str) -> None:
    call = phone.call("206")
    call.send(opening())
    call.wait_heard(20)
    pressed = time.monotonic()
    if way == "rtp":
        call.send(digit(HASH, opening()[0]))
    else:
        info(call, "#")
    wait_recording(office.agent, call)
    # The worker looks at keys twice a second, then comes the beep.
    assert time.monotonic() - pressed < LONG - 1.0
    said = noise(0.5, 23)
    call.send(message(said, since=0.5))
    call.hang_up()
    same(recording(office.mail(phone.user)), decoded(said))


def test_another_key_does_not_end_the_recording(office: Office, phone: Caller) -> None:
    said = noise(0.5, 24)
    call = office.dial(phone)
    info(call, "5")
    call.send(digit(5, opening()[0]))
    call.send(message(said, since=0.3))
    call.hang_up()
    recorded = recording(office.mail(phone.user))
    same(recorded[-len(said) :], decoded(said))


# --- limits ----------------------------------------------------------------------------------


def test_silence_ends_the_recording(office: Office, phone: Caller) -> None:
    said = noise(0.5, 25)
    call = office.dial(phone, "203")
    call.send(message(said + b"\xff" * RATE * 3)[:150])
    call.wait_bye()
    recorded = recording(office.mail(phone.user))
    same(recorded[: len(said)], decoded(said))
    assert 1.0 <= (len(recorded) - len(said)) / RATE <= 2.5
    assert wait_settled(office.agent, call.call_id)["ending"] == "silence"


def test_the_longest_recording(office: Office, phone: Caller) -> None:
    said = noise(3.0, 26)
    call = office.dial(phone, "204")
    call.send(message(said))
    call.wait_bye()
    mail = office.mail(phone.user)
    recorded = recording(mail)
    assert 0.8 * RATE <= len(recorded) <= 1.5 * RATE
    same(recorded, decoded(said)[: len(recorded)])
    assert "longest time allowed" in body(mail)
    assert wait_settled(office.agent, call.call_id)["ending"] == "max"


def test_a_call_without_packets_ends_and_is_kept(office: Office, phone: Caller) -> None:
    said = noise(0.5, 27)
    call = office.dial(phone)
    call.send(message(said))
    fell_silent = time.monotonic()
    call.wait_bye()
    assert time.monotonic() - fell_silent >= RTP_TIMEOUT - 0.5
    mail = office.mail(phone.user)
    same(recording(mail), decoded(said))
    assert "broke off" in body(mail)
    assert wait_settled(office.agent, call.call_id)["ending"] == "timeout"


# --- the session changes ---------------------------------------------------------------------


def test_hold_rests_the_timeout_and_the_call_goes_on(office: Office, phone: Caller) -> None:
    first, second = noise(0.5, 28), noise(0.5, 29)
    call = office.dial(phone)
    call.send(message(first))
    held = call.reinvite(call.offer(direction="sendonly"))
    assert held.status == 200
    assert "a=recvonly" in held.body or "a=inactive" in held.body
    on_hold = RTP_TIMEOUT + 0.6
    assert not call.wait(lambda: call.bye is not None, on_hold), "hung up while on hold"
    resumed = call.reinvite(call.offer())
    assert resumed.status == 200
    assert "a=sendrecv" in resumed.body or "a=recvonly" not in resumed.body
    call.send(message(second, since=0.5 + on_hold))
    call.hang_up()
    recorded = recording(office.mail(phone.user))
    same(recorded[: len(first)], decoded(first))
    same(recorded[-len(second) :], decoded(second))
    assert abs(len(recorded) / RATE - (1.0 + on_hold)) <= 0.020


def test_a_late_offer_is_answered_in_the_ack(office: Office, phone: Caller) -> None:
    said = noise(0.5, 30)
    call = phone.invite("201", offer=False, acknowledge=False)
    answer = call.wait_answer()
    assert "m=audio" in answer.body
    call.acknowledge(call.offer())
    call.send(opening())
    wait_recording(office.agent, call)
    assert call.heard, "nothing was heard at the address in the ACK"
    call.send(message(said))
    call.hang_up()
    same(recording(office.mail(phone.user)), decoded(said))


def test_a_new_media_address_is_followed(office: Office, phone: Caller) -> None:
    first, second = noise(0.5, 31), noise(0.5, 32)
    call = office.dial(phone)
    call.send(message(first))
    with new_socket() as moved:
        offer = call.offer().replace(
            f"m=audio {call.rtp.getsockname()[1]} ", f"m=audio {moved.getsockname()[1]} "
        )
        assert call.reinvite(offer).status == 200
        # The media worker hears of it a moment after the 200 has left, and says so by speaking.
        assert moved.recv(2048), "nothing is sent to the new address"
        call.send(message(second, since=0.5), moved)
        call.hang_up()
    same(recording(office.mail(phone.user)), decoded(first + second))


def test_a_call_rings_before_it_is_answered(office: Office, phone: Caller) -> None:
    begun = time.monotonic()
    call = phone.invite("207")
    assert call.wait(lambda: 180 in call.provisional)
    assert call.status is None
    call.wait_answer()
    assert time.monotonic() - begun >= 1.0
    call.hang_up()
    missed(office, phone)


# --- calls without a message -----------------------------------------------------------------


def test_a_cancelled_call_is_a_missed_call(office: Office, phone: Caller) -> None:
    call = phone.invite("202")
    assert call.wait(lambda: 180 in call.provisional)
    call.cancel()
    with pytest.raises(CallFailed, match="487"):
        call.wait_answer()
    missed(office, phone)


def test_a_call_that_was_answered_elsewhere_leaves_nothing(
    office: Office, phones: Callable[..., Caller]
) -> None:
    lucky, unlucky = phones(), phones()
    answered = lucky.invite("202")
    assert answered.wait(lambda: 180 in answered.provisional)
    answered.cancel([_ELSEWHERE])
    with pytest.raises(CallFailed, match="487"):
        answered.wait_answer()
    given_up = unlucky.invite("202")
    assert given_up.wait(lambda: 180 in given_up.provisional)
    given_up.cancel()
    missed(office, unlucky)  # what came later is mailed, so what came before would be
    assert facts(office.agent, answered.call_id) == {}
    assert mails_from(office.smtp, lucky.user) == []


def test_hanging_up_during_the_greeting_is_a_missed_call(office: Office, phone: Caller) -> None:
    call = phone.call("206")
    call.send(opening())
    call.wait_heard(20)
    call.hang_up()
    missed(office, phone)


def test_saying_nothing_after_the_beep_is_a_missed_call(office: Office, phone: Caller) -> None:
    call = office.dial(phone)
    call.send(message(SILENCE[PCMU] * RATE))
    call.hang_up()
    missed(office, phone)
    # The recording stays for a while all the same.
    wait_settled(office.agent, call.call_id)
    (name,) = facts(office.agent, call.call_id)
    assert (office.agent.spool / "done" / name / "audio.rtp").stat().st_size > RATE


def test_a_mailbox_may_do_without_missed_calls(office: Office, phone: Caller) -> None:
    call = phone.call("205")
    call.send(opening())
    call.wait_heard(5)
    call.hang_up()
    assert wait_settled(office.agent, call.call_id)["kind"] == "missed"
    assert mails_from(office.smtp, phone.user) == []


def test_a_withheld_caller_stays_withheld(office: Office, phones: Callable[..., Caller]) -> None:
    said, number = noise(0.5, 33), own_number()
    phone = phones(user="anonymous", display="Anonymous")
    asserted = ("P-Asserted-Identity", f'"Jan Nowak" <sip:{number}@127.0.0.1>')
    call = office.dial(phone, headers=[asserted, ("Privacy", "id")])
    call.send(message(said))
    call.hang_up()
    mail = office.mail("anonymous")
    same(recording(mail), decoded(said))
    for secret in (number.lstrip("+"), number[3:], "Nowak <sip"):
        assert secret.encode() not in mail.data
    assert "withheld" in str(mail.message["Subject"]).lower()
    assert "anonymous" in mail.attachment()[0]


# --- whatever comes -------------------------------------------------------------------------


def test_malformed_datagrams_harm_nobody(office: Office, phone: Caller) -> None:
    said = noise(0.5, 35)
    call = office.dial(phone)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        for junk in (b"", b"\0" * 100, b"INVITE", b"\xff" * 1400, b"SIP/2.0 200\r\n\r\n"):
            sock.sendto(junk, office.agent.address)
            assert call.remote is not None
            sock.sendto(junk, call.remote)
    call.send(message(said))
    call.hang_up()
    same(recording(office.mail(phone.user)), decoded(said))


def test_the_folder_of_a_finished_call_holds_its_packets(office: Office, phone: Caller) -> None:
    call = office.dial(phone)
    call.send(message(noise(0.3, 36)))
    call.hang_up()
    office.mail(phone.user)
    wait_settled(office.agent, call.call_id)
    (name,) = facts(office.agent, call.call_id)
    journal = (office.agent.spool / "done" / name / "audio.rtp").read_bytes()
    assert journal.startswith(b"#!rtpplay1.0 ")
    assert len(journal) >= round(0.3 / PTIME) * (8 + 12 + STEP)
