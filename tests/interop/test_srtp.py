"""Calls of baresip whose media is encrypted (SDES): taken, kept in the clear in the spool,
and refused where they may not be.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import StartAgent
from tests.interop import baresip
from tests.interop.conftest import Sound
from tests.net.certificates import Authority
from tests.support.ports import free_port
from tests.support.smtp import SmtpServer
from tests.support.sounds import read_wav

pytestmark = pytest.mark.interop

LISTEN = 3.0


@pytest.mark.parametrize("codec", ["PCMU", "PCMA"])
@pytest.mark.parametrize(
    ("srtp", "encryption", "transport"),
    [
        ("optional", "srtp", "udp"),
        ("required", "srtp-mand", "udp"),
        ("required", "srtp-mandf", "udp"),
        ("auto", "srtp-mand", "tls"),
    ],
)
def test_an_encrypted_message(
    agent: StartAgent,
    smtp_server: SmtpServer,
    sound: Callable[..., Sound],
    greeting: Path,
    program: Callable[[str], str],
    tmp_path: Path,
    srtp: str,
    encryption: str,
    transport: str,
    codec: str,
) -> None:
    authority = Authority(tmp_path / "ca")
    issued = authority.issue("127.0.0.1")
    port = free_port(socket.SOCK_DGRAM if transport == "udp" else socket.SOCK_STREAM)
    started = agent(
        smtp=smtp_server,
        sip={
            "listen": [f"{transport}://127.0.0.1:{port}"],
            "certificate": str(issued.certificate),
            "private_key": str(issued.key),
            "trunks": {"local": {"accept_from": ["127.0.0.1/32"], "srtp": srtp}},
        },
        rtp={"codecs": [codec]},
        mailboxes={"sales": {"greeting": str(greeting)}},
    )
    spoken = sound(codec, before=LISTEN)
    folder = tmp_path / "baresip"
    folder.mkdir()
    said = baresip.leave_message(
        program("baresip"),
        folder,
        started.address,
        "201",
        spoken.wav,
        codec=codec,
        user="+48600333444",
        display="Marek Lis",
        encryption=encryption,
        transport=transport,
    )
    assert "SRTP is Enabled" in said or "cryptosuite" in said
    (mail,) = smtp_server.wait(1)
    name, data = mail.attachment()
    assert name.endswith(".wav")
    assert spoken.held_by(read_wav(data)), "the recording does not hold what was sent"
    assert "inline:" not in started.log()
    assert "did not authenticate" not in started.log()


@pytest.mark.parametrize(
    ("srtp", "encryption"), [("off", "srtp-mand"), ("auto", "srtp-mand"), ("required", "")]
)
def test_what_may_not_be_is_refused(
    agent: StartAgent,
    sound: Callable[..., Sound],
    program: Callable[[str], str],
    tmp_path: Path,
    srtp: str,
    encryption: str,
) -> None:
    started = agent(sip={"trunks": {"local": {"accept_from": ["127.0.0.1/32"], "srtp": srtp}}})
    spoken = sound("PCMU")
    folder = tmp_path / "baresip"
    folder.mkdir()
    with pytest.raises(AssertionError, match="488"):
        baresip.leave_message(
            program("baresip"),
            folder,
            started.address,
            "201",
            spoken.wav,
            codec="PCMU",
            user="+48600333444",
            display="Marek Lis",
            encryption=encryption,
        )
    assert started.messages("recording") == []
