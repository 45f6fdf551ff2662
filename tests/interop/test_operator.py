"""The key 0 and the operator: SIPp is the PBX that gets the REFER, the rest is the real program.

Mailbox 201 has an operator, and mailbox 202 a menu too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import StartAgent
from tests.interop.conftest import Sound
from tests.interop.kamailio import PASSWORD, VOICEMAIL, Kamailio
from tests.interop.office import Office
from tests.interop.scenario import Sipp, call_id_of
from tests.interop.steps import (
    OFFER,
    answer,
    expect,
    expect_request,
    goodbye,
    key,
    maybe,
    pause,
    send,
)
from tests.support import sounds
from tests.support.agent import Agent, configuration
from tests.support.smtp import SmtpServer

pytestmark = pytest.mark.interop

GREETING = 4.0
TALK = send("INVITE", body=OFFER.replace("[media_port]", "[rtpstream_audio_port]"))
ANSWERED = (TALK, maybe(100, 180), expect(200, has=["m=audio [1-9]"]), send("ACK"))
SPEAK = '<nop><action><exec rtp_stream="message.ulaw,1,0,PCMU/8000"/></action></nop>'
REFER = expect_request(
    "REFER",
    has=[
        "Refer-To: <sip:100@127.0.0.1:[0-9]*>",
        "Referred-By: <sip:20[12]@127.0.0.1:[0-9]*>",
        "CSeq: 1 REFER",
        "Contact: <sip:",
    ],
)


def notify(number: int, line: str, state: str = "active;expires=60") -> tuple[str, ...]:
    return (
        send(
            "NOTIFY",
            number,
            headers=["Event: refer", f"Subscription-State: {state}"],
            body=f"SIP/2.0 {line}\n",
            kind="message/sipfrag;version=2.0",
        ),
        expect(200),
    )


ZERO_IN_THE_GREETING = (*ANSWERED, pause(2000), *key(2, "0"), REFER)
ACCEPTED = (answer("202 Accepted"), *notify(3, "100 Trying"), *notify(4, "180 Ringing"))
TAKEN = (
    *notify(5, "200 OK", "terminated;reason=noresource"),
    expect_request("BYE", has=["CSeq: 2 BYE"]),
    answer(),
)
# The prompt that says that nobody can be had takes three seconds, the beep less than half of one.
LEFT = (pause(4500), SPEAK, pause(2600))


@dataclass(frozen=True)
class Desk(Office):
    """An office that SIPp calls."""

    sipp: str

    def play(
        self, folder: Path, steps: tuple[str, ...], mailbox: str = "201", sound: Path | None = None
    ) -> str:
        """Plays a call; returns its Call-ID."""
        trace = Sipp(
            *(self.sipp, folder, "operator", self.agent.address),
            service=mailbox,
            steps=steps,
            sound=sound,
        ).finish()
        return call_id_of(trace)


@pytest.fixture(scope="module")
def desk(sipp: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """One agent for all of these calls."""
    folder = tmp_path_factory.mktemp("desk")
    smtp = SmtpServer().start()
    base = configuration(folder, smtp)
    common = {**base["mailboxes"]["sales"], "operator": "100"}
    common["record"] = {**common["record"], "min": "0s"}  # noise is no speech
    long = str(sounds.greeting(folder / "long.wav", GREETING))
    short = str(sounds.greeting(folder / "short.wav"))
    base["mailboxes"] = {
        "sales": {**common, "numbers": ["201"], "greeting": long},
        "menu": {**common, "numbers": ["202"], "greeting": short, "after": "menu"},
    }
    agent = Agent(folder, base).start()
    yield Desk(agent, smtp, sipp)
    agent.close()
    smtp.stop()
    print(agent.log())


@pytest.mark.parametrize(
    "outcome",
    [
        (*ACCEPTED, *TAKEN),
        (answer("202 Accepted"), *goodbye(3)),
        (answer("202 Accepted"), *notify(3, "100 Trying"), *goodbye(4)),
    ],
    ids=["told", "BYE without a NOTIFY", "BYE without a result"],
)
def test_the_operator_takes_the_call(outcome: tuple[str, ...], desk: Desk, tmp_path: Path) -> None:
    call_id = desk.play(tmp_path, (*ZERO_IN_THE_GREETING, *outcome))
    desk.agent.wait_log(f"{call_id}: the operator has taken it")
    assert desk.agent.stop() == 0
    # Nothing was recorded, and somebody has spoken to the caller: there is nothing to tell.
    kept = [desk.agent.messages(state) for state in ("recording", "queue", "done", "failed")]
    assert kept == [[], [], [], []]
    desk.agent.start()


def test_a_caller_who_hangs_up_while_it_rings_has_called(desk: Desk, tmp_path: Path) -> None:
    mail = desk.mail(desk.play(tmp_path, (*ZERO_IN_THE_GREETING, *ACCEPTED, *goodbye(5))))
    assert str(mail.message["Subject"]).startswith("Missed call")


@pytest.mark.parametrize(
    ("outcome", "after"),
    [
        ((answer("603 Decline"),), 3),
        ((*ACCEPTED, *notify(5, "486 Busy Here", "terminated;reason=noresource")), 6),
    ],
    ids=["refused", "busy"],
)
def test_without_an_operator_the_message_is_left(
    outcome: tuple[str, ...],
    after: int,
    desk: Desk,
    sound: Callable[..., Sound],
    tmp_path: Path,
) -> None:
    said = sound("PCMU")
    steps = (*ZERO_IN_THE_GREETING, *outcome, *LEFT, *goodbye(after))
    mail = desk.mail(desk.play(tmp_path, steps, sound=said.raw))
    name, data = mail.attachment()
    assert name.endswith(".wav")
    assert said.held_by(sounds.read_wav(data))


def test_an_operator_after_the_message_leaves_the_message(
    desk: Desk, sound: Callable[..., Sound], tmp_path: Path
) -> None:
    said = sound("PCMU")
    steps = (
        *(*ANSWERED, pause(3000), SPEAK, pause(2600)),
        *(*key(2, "#"), pause(1500), *key(3, "0")),
        *(REFER, answer("202 Accepted"), *notify(4, "100 Trying")),
        *TAKEN,
    )
    mail = desk.mail(desk.play(tmp_path, steps, "202", said.raw))
    assert said.held_by(sounds.read_wav(mail.attachment()[1]))


def test_through_a_proxy_at_which_it_is_registered(
    agent: StartAgent, pbx: Callable[..., Kamailio], sipp: str, tmp_path: Path
) -> None:
    server = pbx()
    trunk = {
        "registrar": f"sip:127.0.0.1:{server.port}",
        "username": VOICEMAIL,
        "password": PASSWORD,
        "realm": "pbx.sipmail.test",
    }
    started = agent(
        sip={"trunks": {"local": None, "pbx": trunk}},
        mailboxes={
            "sales": {
                "operator": "100",
                "greeting": str(sounds.greeting(tmp_path / "long.wav", GREETING)),
            }
        },
    )
    started.wait_log(lambda line: "registered" in line.lower() and "pbx" in line)
    refer = expect_request(
        "REFER",
        has=[
            f"Refer-To: <sip:100@127.0.0.1:{server.port}>",
            "^REFER sip:.48600111222@127.0.0.1:",
            f"Via: SIP/2.0/UDP 127.0.0.1:{server.port};",
        ],
    )
    steps = (*ANSWERED, pause(2000), *key(2, "0"), refer, *ACCEPTED, *TAKEN)
    Sipp(sipp, tmp_path, "proxy", server.address, steps=steps).finish()
    started.wait_log("the operator has taken it")
