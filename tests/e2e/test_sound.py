"""The recording that is mailed is what the caller said, over good and bad lines."""

from __future__ import annotations

import itertools
import signal
import socket
import threading

import numpy as np
import pytest

from tests.e2e.conftest import Office
from tests.e2e.telephone import (
    PTIME,
    STEP,
    by_sox,
    decoded,
    message,
    new_socket,
    noise,
    opening,
    payload_of,
    recording,
    same,
    say,
    wait_recording,
)
from tests.support.caller import Caller
from tests.support.rtp import (
    PCMA,
    PCMU,
    RATE,
    SILENCE,
    Packet,
    dropped,
    paused,
    reordered,
    repeated,
    schedule,
)

pytestmark = pytest.mark.e2e

_NAMES = {PCMU: "PCMU", PCMA: "PCMA"}
_LAWS = pytest.mark.parametrize("payload_type", [PCMU, PCMA], ids=_NAMES.get)


@_LAWS
def test_the_recording_is_sample_for_sample_what_sox_decodes(
    office: Office, phone: Caller, payload_type: int
) -> None:
    said = noise(1.5, 11 + payload_type)
    call = office.dial(phone, payload_type=payload_type)
    call.send(message(said, payload_type))
    call.hang_up()
    mail = office.mail(phone.user)
    same(recording(mail), by_sox(said, payload_type))
    assert mail.message["X-Sipmail-Mailbox"] == "sales"
    assert set(mail.recipients) == {
        "anna@sipmail.test",
        "jan@sipmail.test",
        "office@sipmail.test",
    }


@_LAWS
def test_one_who_speaks_from_the_answer_on_is_recorded_from_the_beep_on(
    office: Office, phone: Caller, payload_type: int
) -> None:
    call = phone.call("201", codecs=(payload_type,))
    packets = schedule(noise(2.5, 12 + payload_type), payload_type)
    seen = threading.Event()

    def look() -> None:
        wait_recording(office.agent, call)
        seen.set()

    watcher = threading.Thread(target=look)
    watcher.start()
    spoken = say((call, packets))[call]
    watcher.join()
    assert seen.is_set()
    call.hang_up()
    recorded = recording(office.mail(phone.user))
    whole = by_sox(payload_of(packets), payload_type)
    # It goes to the last packet, so it can only begin in one place: that of a packet.
    assert 0 < len(recorded) < len(whole)
    same(recorded, whole[-len(recorded) :])
    assert len(recorded) % STEP == 0
    first = len(packets) - len(recorded) // STEP
    # Where the beep was over, as heard here, within what two busy cores need to react.
    beep = max(when for when, heard in list(call.heard) if set(heard.payload) - _quiet())
    begin = spoken[first][0]
    assert -0.1 < begin - beep < 0.5


def test_the_first_words_are_recorded_though_the_agent_is_late(
    office: Office, phone: Caller
) -> None:
    said = noise(1.0, 17)
    call = phone.call("208")
    call.send(opening(packets=100))
    office.agent.signal(signal.SIGSTOP)  # it cannot say that the recording begins
    try:
        call.wait_quiet()
        call.send(message(said, since=99 * PTIME))
    finally:
        office.agent.signal(signal.SIGCONT)
    wait_recording(office.agent, call)
    call.hang_up()
    same(recording(office.mail(phone.user)), decoded(said))


def _quiet() -> set[int]:
    return {0xFF, 0x7F, 0xFE, 0x7E, 0xD5, 0x55, 0xD4, 0x54}


@_LAWS
def test_a_bad_line_costs_no_time(office: Office, phone: Caller, payload_type: int) -> None:
    seconds, gap = 4.0, 2.0
    quiet = SILENCE[payload_type] * round(0.3 * RATE)
    said = (quiet + noise(seconds / 2 - 0.6, 13) + quiet) * 2
    whole = paused(message(said, payload_type), seconds / 2, gap)
    packets = reordered(repeated(dropped(whole, 0.05), 0.03), 0.05)
    lost = len(whole) - len({packet.sequence for packet in packets})
    assert lost == 10
    assert len(packets) == len(whole) - lost + 6
    call = office.dial(phone, payload_type=payload_type)
    call.send(packets)
    call.hang_up()
    recorded = recording(office.mail(phone.user))
    assert abs(len(recorded) / RATE - (seconds + gap)) <= 0.020
    # What arrived stands where it belongs.
    placed = {
        packet.sequence: (packet.timestamp - whole[0].timestamp, packet.payload)
        for packet in packets
    }
    for at, payload in placed.values():
        np.testing.assert_array_equal(
            recorded[at : at + STEP], decoded(payload, payload_type), f"packet at {at}"
        )
    # The pause sounds like the quiet around it.
    pause = recorded[round(seconds / 2 * RATE) : round((seconds / 2 + gap) * RATE)]
    assert abs(pause.astype(float)).max() < 100


def test_a_caller_behind_a_symmetric_nat_is_heard_and_hears(office: Office, phone: Caller) -> None:
    said = noise(1.0, 14)
    call = phone.call("201")
    with new_socket() as nat:
        call.send(opening(packets=8), nat)
        heard = nat.recv(2048)  # the greeting comes to where the caller really is
        assert Packet.parse(heard).payload_type == PCMU
        wait_recording(office.agent, call)
        call.send(message(said, since=7 * PTIME), nat)
        call.hang_up()
    same(recording(office.mail(phone.user)), decoded(said))


def test_a_stranger_cannot_speak_into_a_call(office: Office, phone: Caller) -> None:
    said = noise(1.0, 15)
    call = office.dial(phone)
    with new_socket("127.0.0.7") as stranger:
        other = schedule(noise(1.0, 16), ssrc=99)
        mine = message(said)
        for own, foreign in zip(mine, other, strict=True):
            call.send([own])
            assert call.remote is not None
            _send(stranger, foreign, call.remote)
    call.hang_up()
    same(recording(office.mail(phone.user)), decoded(said))


def _send(sock: socket.socket, packet: Packet, to: tuple[str, int]) -> None:
    try:
        sock.sendto(bytes(packet), to)
    except ConnectionRefusedError:
        return  # the call's socket takes packets from its caller only


def test_the_negotiated_greeting_and_beep_are_heard(office: Office, phone: Caller) -> None:
    call = office.dial(phone)
    heard = call.heard_payload(PCMU)
    call.hang_up()
    tone = decoded(heard).astype(float)
    loud = np.flatnonzero(abs(tone) > 500)
    # 300 ms of quiet, the greeting of 300 ms and the beep.
    assert loud[0] >= 0.28 * RATE
    assert (loud[-1] - loud[0]) / RATE >= 0.3
    sequences = [packet.sequence for _, packet in list(call.heard)]
    assert all((b - a) & 0xFFFF == 1 for a, b in itertools.pairwise(sequences))
    assert SILENCE[PCMU] * STEP in heard
