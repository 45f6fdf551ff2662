"""Asterisk as a registrar and as a server that goes away and returns."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from tests.interop.conftest import Sound
from tests.pbx.conftest import Office, check_sound, leave_message
from tests.support.patience import eventually
from tests.support.rtp import PCMU, RATE, SILENCE, schedule


@pytest.mark.parametrize("transport", ["udp", "tcp", "tls"])
def test_a_restart_in_the_middle_of_a_message(
    office: Callable[..., Office], sound: Callable[..., Sound], transport: str
) -> None:
    one = office(
        transport=transport,
        endpoint=["transport=transport-tls", "media_encryption=sdes"] if transport == "tls" else [],
        rtp={"codecs": ["PCMU"], "timeout": "5s"},
    )
    spoken = sound("PCMU")
    call = one.carrier.call("202", codecs=(PCMU,))
    call.wait_quiet()
    breath = SILENCE[PCMU] * (RATE // 2)
    call.send(schedule(spoken.raw.read_bytes() + breath, PCMU))
    one.pbx.kill()
    check_sound(one.mail(), spoken)
    since = len(one.agent.lines)
    (one.pbx.folder / "full").unlink()
    one.pbx.start()
    one.pbx.wait_registered()
    leave_message(one, "202", spoken)
    check_sound(one.mail(1), spoken)
    print("\n".join(one.agent.lines[since:]))


@pytest.mark.parametrize("algorithm", ["MD5", "SHA-256"])
def test_digest_algorithms(office: Callable[..., Office], algorithm: str) -> None:
    one = office(algorithms=f"supported_algorithms_uas={algorithm}")
    assert any(
        message.startswith("REGISTER") and f"algorithm={algorithm}" in message
        for message in one.pbx.messages("Received")
    )


def test_a_notify_about_waiting_messages(shared: Office) -> None:
    (shared.pbx.folder / "pjsip_notify.conf").write_text(
        "[mwi]\nEvent=>message-summary\nContent-type=>application/simple-message-summary\n"
        "Content=>Messages-Waiting: yes\n"
    )
    shared.pbx.cli("module load res_pjsip_notify.so")
    shared.pbx.cli("pjsip send notify mwi endpoint sipmail")

    def answered() -> bool:
        return any(
            re.match(r"SIP/2\.0 200", message) and re.search(r"CSeq: \d+ NOTIFY", message)
            for message in shared.pbx.messages("Received")
        )

    eventually(answered, "a 200 to the NOTIFY")


def test_rtcp_both_ways(shared: Office, sound: Callable[..., Sound]) -> None:
    shared.pbx.configure()
    shared.pbx.cli("rtcp set debug on")
    call = shared.carrier.call("202", codecs=(PCMU,))
    call.wait_quiet()
    call.send(schedule(b"\xff" * 8000 * 12, PCMU))
    call.hang_up()
    said = shared.pbx.log()
    sent = set(re.findall(r"Sent RTCP SR to 127\.0\.0\.1:(\d+)", said))
    came = set(re.findall(r"RTCP from 127\.0\.0\.1:(\d+)", said))
    assert sent & came


def test_sipmail_leaves(office: Callable[..., Office]) -> None:
    one = office()
    assert one.agent.stop() == 0
    one.pbx.wait_cli("pjsip show aor sipmail", r"(?s)^(?!.*Contact: +sipmail/)")
