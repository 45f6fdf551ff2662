"""Real phones leave messages, through a real PBX and directly; the e-mails say what happened.

Every recording has to hold, sample for sample, what sox decodes from the G.711 that was sent.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import getaddresses, parsedate_to_datetime
from pathlib import Path

import pytest

from sipmail.cli.call import order_for, place
from tests.conftest import StartAgent
from tests.interop import baresip, sipp
from tests.interop.conftest import Sound
from tests.interop.kamailio import PASSWORD, VOICEMAIL, Kamailio
from tests.support.agent import Agent
from tests.support.smtp import Delivered, SmtpServer
from tests.support.sounds import read_wav

pytestmark = pytest.mark.interop

RECIPIENTS = {"anna@sipmail.test", "jan@sipmail.test", "office@sipmail.test"}
PAYLOAD_TYPES = {"PCMU": 0, "PCMA": 8}
WHY = {"201": "nobody answered", "202": "the line was busy"}
# Quiet, the short greeting and the beep, generously: by then the recording runs.
LISTEN = 3.0


def registered(
    agent: StartAgent, pbx: Kamailio, smtp: SmtpServer, greeting: Path, codec: str
) -> Agent:
    """An agent that is registered at the PBX as its voicemail."""
    trunk = {
        "registrar": f"sip:127.0.0.1:{pbx.port}",
        "username": VOICEMAIL,
        "password": PASSWORD,
        "realm": "pbx.sipmail.test",
    }
    started = agent(
        smtp=smtp,
        sip={"trunks": {"local": None, "pbx": trunk}},
        rtp={"codecs": [codec]},
        mailboxes={"sales": {"numbers": ["201", "202", "*"], "greeting": str(greeting)}},
    )
    started.wait_log(lambda line: "registered" in line.lower() and "pbx" in line)
    return started


def check_mail(mail: Delivered, began: datetime, *, who: str, name: str, called: str) -> str:
    """What every e-mail has to say; returns its text."""
    message = mail.message
    assert set(mail.recipients) == RECIPIENTS
    assert {address for _, address in getaddresses([str(message["To"])])} == RECIPIENTS
    assert who in str(message["Subject"]) or name in str(message["Subject"])
    body = message.get_body(("plain",))
    assert body is not None
    text = body.get_content()
    assert who in text.replace(" ", "").replace("\u00a0", "")
    assert name in text
    assert called in text
    said = parsedate_to_datetime(str(message["Date"]))
    assert began - timedelta(seconds=2) <= said <= datetime.now(UTC) + timedelta(seconds=2)
    assert message["X-Sipmail-Caller"] is not None
    return str(text)


def check_sound(mail: Delivered, sound: Sound) -> None:
    name, data = mail.attachment()
    assert name.endswith(".wav")
    assert sound.held_by(read_wav(data)), "the recording does not hold what was sent"


@pytest.mark.parametrize(
    ("codec", "called", "algorithm"), [("PCMU", "201", "MD5"), ("PCMA", "202", "SHA-256")]
)
def test_sipp_leaves_a_message_through_kamailio(
    agent: StartAgent,
    pbx: Callable[..., Kamailio],
    smtp_server: SmtpServer,
    sound: Callable[..., Sound],
    greeting: Path,
    program: Callable[[str], str],
    tmp_path: Path,
    codec: str,
    called: str,
    algorithm: str,
) -> None:
    tool = program("sipp")
    server = pbx(algorithm)
    registered(agent, server, smtp_server, greeting, codec)
    spoken = sound(codec)
    began = datetime.now(UTC)
    sipp.leave_message(
        tool,
        tmp_path,
        server.address,
        called,
        spoken.raw,
        payload_type=PAYLOAD_TYPES[codec],
        user="+48600111222",
        display="Zofia Żak",
        listen=LISTEN,
    )
    (mail,) = smtp_server.wait(1)
    text = check_mail(mail, began, who="+48600111222", name="Zofia Żak", called=called)
    assert WHY[called] in text
    check_sound(mail, spoken)


@pytest.mark.parametrize(
    ("codec", "called", "algorithm"), [("PCMU", "202", "SHA-256"), ("PCMA", "201", "MD5")]
)
def test_baresip_leaves_a_message_through_kamailio(
    agent: StartAgent,
    pbx: Callable[..., Kamailio],
    smtp_server: SmtpServer,
    sound: Callable[..., Sound],
    greeting: Path,
    program: Callable[[str], str],
    tmp_path: Path,
    codec: str,
    called: str,
    algorithm: str,
) -> None:
    tool = program("baresip")
    server = pbx(algorithm)
    registered(agent, server, smtp_server, greeting, codec)
    spoken = sound(codec, before=LISTEN)
    folder = tmp_path / "baresip"
    folder.mkdir()
    began = datetime.now(UTC)
    baresip.leave_message(
        tool,
        folder,
        server.address,
        called,
        spoken.wav,
        codec=codec,
        user="+48600333444",
        display="Marek Lis",
    )
    (mail,) = smtp_server.wait(1)
    text = check_mail(mail, began, who="+48600333444", name="Marek Lis", called=called)
    assert WHY[called] in text
    check_sound(mail, spoken)


@pytest.mark.parametrize("codec", ["PCMU", "PCMA"])
def test_pyvoip_calls_directly_and_leaves_a_message(
    agent: StartAgent,
    smtp_server: SmtpServer,
    sound: Callable[..., Sound],
    greeting: Path,
    tmp_path: Path,
    codec: str,
) -> None:
    started = agent(smtp=smtp_server, mailboxes={"sales": {"greeting": str(greeting)}})
    spoken = sound(codec)
    host, port = started.address
    began = datetime.now(UTC)
    order = replace(
        order_for(f"sip:201@{host}:{port}"),
        username="+48600555666",
        say=str(spoken.wav),
        save=str(tmp_path / "heard.wav"),
        codecs=(PAYLOAD_TYPES[codec],),
        linger=0.5,
    )
    events: list[str] = []
    place(order, lambda event, details: events.append(event))
    assert events == ["calling", "answered", "turn", "speaking", "ended", "saved"]
    (mail,) = smtp_server.wait(1)
    check_mail(mail, began, who="+48600555666", name="+48", called="201")
    check_sound(mail, spoken)
    assert len(read_wav((tmp_path / "heard.wav").read_bytes())) > 0.5 * 8000


def test_pyvoip_calls_through_a_pbx_that_stays_in_the_way(
    agent: StartAgent,
    pbx: Callable[..., Kamailio],
    smtp_server: SmtpServer,
    sound: Callable[..., Sound],
    greeting: Path,
) -> None:
    """Its ACK and BYE take the recorded route: without the ACK, the call would be heard no more."""
    server = pbx()
    started = registered(agent, server, smtp_server, greeting, "PCMU")
    spoken = sound("PCMU")
    host, port = server.address
    order = replace(
        order_for(f"sip:202@{host}:{port}"),
        username="+48600555666",
        say=str(spoken.wav),
        codecs=(PAYLOAD_TYPES["PCMU"],),
        linger=0.5,
    )
    place(order, lambda event, details: None)
    (mail,) = smtp_server.wait(1)
    body = mail.message.get_body(("plain",))
    assert body is not None
    assert WHY["202"] in body.get_content()
    check_sound(mail, spoken)
    assert started.stop() == 0


def test_pyvoip_ends_its_message_with_a_key(
    agent: StartAgent, smtp_server: SmtpServer, sound: Callable[..., Sound], greeting: Path
) -> None:
    started = agent(smtp=smtp_server, mailboxes={"sales": {"greeting": str(greeting)}})
    spoken = sound("PCMU")
    host, port = started.address
    order = replace(order_for(f"sip:201@{host}:{port}"), say=str(spoken.wav), keys="#", linger=10.0)
    endings: list[object] = []
    place(order, lambda event, details: endings.extend(details if event == "ended" else ()))
    assert endings == ["callee"], "the agent hangs up after #"
    (mail,) = smtp_server.wait(1)
    check_sound(mail, spoken)
