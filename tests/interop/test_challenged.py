"""Calls of a trunk with a password and no registrar: SIPp and baresip answer our challenges."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import StartAgent
from tests.interop import baresip
from tests.interop.conftest import Sound
from tests.interop.scenario import Sipp
from tests.interop.steps import OFFER, expect, goodbye, maybe, send
from tests.support.smtp import SmtpServer

pytestmark = pytest.mark.interop

USER, PASSWORD = "+48600333444", "correct-horse"
TRUNK = {"accept_from": ["127.0.0.1/32"], "username": USER, "password": PASSWORD}
ASKED = (
    send("INVITE", body=OFFER, branch="z9hG4bK[call_id]a"),
    expect(401, has=["WWW-Authenticate: Digest .*algorithm=MD5", "algorithm=SHA-256"]).replace(
        "<recv ", '<recv auth="true" '
    ),
    send("ACK", inside=False, branch="z9hG4bK[call_id]a"),
)


def answered(password: str) -> str:
    """The INVITE again, with credentials."""
    credentials = f"[authentication username={USER} password={password}]"
    return send("INVITE", 2, [credentials], OFFER, inside=False, branch="z9hG4bK[call_id]b")


def test_who_knows_the_password_may_call(agent: StartAgent, sipp: str, tmp_path: Path) -> None:
    started = agent(sip={"trunks": {"local": TRUNK}})
    steps = (
        *(*ASKED, answered(PASSWORD), maybe(100)),
        *(expect(200, has=["m=audio [1-9]"]), send("ACK", 2), *goodbye(3)),
    )
    Sipp(sipp, tmp_path, "right", started.address, steps=steps).finish()


def test_who_does_not_is_asked_again(agent: StartAgent, sipp: str, tmp_path: Path) -> None:
    started = agent(sip={"trunks": {"local": TRUNK}})
    steps = (
        *(*ASKED, answered("wrong"), maybe(100)),
        expect(401, lacks=["stale=true"]),
        send("ACK", 2, inside=False, branch="z9hG4bK[call_id]b"),
    )
    Sipp(sipp, tmp_path, "wrong", started.address, steps=steps).finish()
    assert started.messages("recording") == []


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_a_telephone_that_knows_it(
    transport: str,
    agent: StartAgent,
    smtp_server: SmtpServer,
    sound: Callable[..., Sound],
    greeting: Path,
    program: Callable[[str], str],
    tmp_path: Path,
) -> None:
    base = agent(
        start=False,
        smtp=smtp_server,
        # This baresip fails where there is more than MD5.
        sip={"trunks": {"local": {**TRUNK, "digest": ["MD5"]}}},
        mailboxes={"sales": {"greeting": str(greeting)}},
    )
    settings = base.settings
    listen = settings["sip"]["listen"][0].replace("udp:", f"{transport}:")
    base.write({**settings, "sip": {**settings["sip"], "listen": [listen]}})
    base.start()
    spoken = sound("PCMU", before=3.0)
    folder = tmp_path / "baresip"
    folder.mkdir()
    baresip.leave_message(
        program("baresip"),
        folder,
        base.address,
        "201",
        spoken.wav,
        codec="PCMU",
        user=USER,
        display="Marek Lis",
        transport=transport,
        password=PASSWORD,
    )
    (mail,) = smtp_server.wait(1)
    assert mail.message["X-Sipmail-Caller"] == USER
