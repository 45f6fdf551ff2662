"""Calls that others have a part in, and what the e-mails then say: attended transfers by a new
identity (RFC 3325, RFC 5876) and by Replaces (RFC 3891), calls that were answered elsewhere
(RFC 3326), and forks. SIPp plays the telephones, Kamailio forks.

Mailbox 201 answers at once, 202 rings for half a minute, 203 for a second; the rest is for 204.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import require_program
from tests.interop.office import Office
from tests.interop.proxy import Proxy
from tests.interop.scenario import Sipp, call_id_of
from tests.interop.steps import (
    ANSWERED,
    OFFER,
    answer,
    expect,
    expect_request,
    goodbye,
    maybe,
    pause,
    refused,
    reinvite,
    sdp,
    send,
    update,
)
from tests.support import sounds
from tests.support.agent import Agent, configuration
from tests.support.patience import eventually
from tests.support.smtp import SmtpServer

pytestmark = pytest.mark.interop

BRANCH = "z9hG4bK[call_id]"
ELSEWHERE = 'Reason: SIP;cause=200;text="Call completed elsewhere"'


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    """One agent for all of these calls."""
    folder = tmp_path_factory.mktemp("office")
    smtp = SmtpServer().start()
    base = configuration(folder, smtp)
    common = {**base["mailboxes"]["sales"], "greeting": str(sounds.greeting(folder / "hello.wav"))}
    base["mailboxes"] = {
        "sales": {**common, "numbers": ["201"]},
        "slow": {**common, "numbers": ["202"], "answer_after": "30s"},
        "soon": {**common, "numbers": ["203"], "answer_after": "1s"},
        "rest": {**common, "numbers": ["204", "*"]},
    }
    agent = Agent(folder, base).start()
    yield Office(agent, smtp)
    agent.close()
    smtp.stop()
    print(agent.log())


def asserted(number: str, name: str = "Marek Lis") -> str:
    return f'P-Asserted-Identity: "{name}" <sip:{number}@pbx.example.com>'


@pytest.mark.parametrize(
    ("change", "number"),
    [(reinvite, "+48600999010"), (update, "+48600999011")],
    ids=["re-INVITE", "UPDATE"],
)
def test_a_new_identity_renames_the_caller(
    change: Callable[..., tuple[str, ...]],
    number: str,
    office: Office,
    sipp: str,
    tmp_path: Path,
) -> None:
    steps = (
        *ANSWERED,
        *change(2, sdp(version=2, direction="sendonly"), "a=recvonly"),
        *change(3, sdp(version=3), "a=sendrecv", headers=(asserted(number),)),
        *goodbye(4),
    )
    trace = Sipp(sipp, tmp_path, "rename", office.agent.address, steps=steps).finish()
    mail = office.mail(call_id_of(trace))
    assert mail.message["X-Sipmail-Caller"] == number
    assert "Marek Lis" in str(mail.message["Subject"])


def test_a_call_that_replaces_another(office: Office, sipp: str, tmp_path: Path) -> None:
    """The secretary has called voicemail for 204 and refers her caller to this very call."""
    number = "+48600999020"
    with Sipp(
        *(sipp, tmp_path / "secretary", "secretary", office.agent.address),
        steps=(*ANSWERED, expect_request("BYE", has=["CSeq: 1 BYE"]), answer()),
        service="204",
    ) as secretary:
        acknowledged = re.compile(r"^ACK (sip:\S+) .*?^To: .*?;tag=(\S+)", re.M | re.S)
        found = eventually(lambda: acknowledged.search(secretary.trace), "an answered call")
        tag = re.search(r"^From: .*;tag=(\S+)", secretary.trace, re.MULTILINE)
        assert tag is not None
        replaces = f"Replaces: {call_id_of(secretary.trace)};to-tag={found[2]};from-tag={tag[1]}"
        steps = (
            send("INVITE", headers=[replaces, asserted(number)], body=OFFER, uri=found[1]),
            maybe(100),
            expect(200, has=["m=audio [1-9]"]),
            send("ACK"),
            pause(1000),
            *goodbye(2),
        )
        caller = Sipp(sipp, tmp_path / "caller", "caller", office.agent.address, steps=steps)
        trace = caller.finish()
        first = call_id_of(secretary.finish())
    mail = office.mail(call_id_of(trace))
    assert mail.message["X-Sipmail-Caller"] == number
    assert mail.message["X-Sipmail-Mailbox"] == "rest"
    assert office.facts(first) == {}, "the call that made way is none that was missed"


@pytest.mark.parametrize(
    ("status", "headers"),
    [
        (481, ("Replaces: nobody@nowhere;to-tag=a;from-tag=b",)),
        (400, ("Replaces: nobody@nowhere;to-tag=a",)),
        (400, ("Replaces: a@b;to-tag=a;from-tag=b", "Replaces: c@d;to-tag=a;from-tag=b")),
    ],
)
def test_a_call_that_can_replace_none(
    status: int, headers: tuple[str, ...], office: Office, sipp: str, tmp_path: Path
) -> None:
    steps = refused(status, headers=headers)
    Sipp(sipp, tmp_path, "none", office.agent.address, steps=steps).finish()


def test_only_who_was_answered_nowhere_has_called(
    office: Office, sipp: str, tmp_path: Path
) -> None:
    def cancelled(name: str, *reason: str) -> str:
        steps = (
            *(send("INVITE", headers=[asserted("+48600999030")], body=OFFER, branch=BRANCH),),
            *(maybe(100), expect(180)),
            send("CANCEL", headers=reason, inside=False, branch=BRANCH),
            expect(200, has=["CSeq: 1 CANCEL"]),
            expect(487, has=["CSeq: 1 INVITE"]),
            send("ACK", branch=BRANCH),
        )
        address = office.agent.address
        trace = Sipp(sipp, tmp_path / name, name, address, steps=steps, service="202").finish()
        return call_id_of(trace)

    elsewhere = cancelled("elsewhere", ELSEWHERE)
    nowhere = cancelled("nowhere")
    mail = office.mail(nowhere)
    assert str(mail.message["Subject"]).startswith("Missed call")
    assert office.facts(elsewhere) == {}
    told = [one for one in office.smtp.delivered if "999030" in one.message["X-Sipmail-Caller"]]
    assert told == [mail]


def phone(*outcome: str) -> tuple[str, ...]:
    """The other telephone that a fork rings."""
    return expect_request("INVITE", kept=True), answer("180 Ringing", tag="t"), *outcome


# What it says to a call that it takes, and to one that somebody else took.
TAKES = phone(
    answer(headers=["[last_Record-Route:]"], body=OFFER, tag="t"),
    *(expect_request("ACK"), expect_request("BYE"), answer()),
)
RINGS = phone(
    expect_request("CANCEL"),
    answer(),
    answer("487 Request Terminated", kept=True, tag="t"),
    expect_request("ACK"),
)


@pytest.mark.parametrize(
    ("mailbox", "other"), [("202", TAKES), ("203", RINGS)], ids=["the telephone", "we"]
)
def test_of_a_fork_one_answers(
    mailbox: str, other: tuple[str, ...], office: Office, sipp: str, tmp_path: Path
) -> None:
    ours = other is RINGS
    number = f"+4860099904{ours:d}"
    with Sipp(sipp, tmp_path / "phone", "phone", steps=other) as telephone:
        proxy = Proxy(
            require_program("kamailio"),
            next_hop=office.agent.address,
            fork=f"sip:phone@127.0.0.1:{telephone.port}",
        ).start()
        try:
            steps = (
                *(send("INVITE", headers=[asserted(number)], body=OFFER), maybe(100, 180)),
                *(expect(200, has=["o=sipmail " if ours else "o=sipp "]), send("ACK")),
                *(pause(300), *goodbye(2)),
            )
            address = proxy.host, proxy.ports["udp"]
            trace = Sipp(
                sipp, tmp_path / "caller", "caller", address, steps=steps, service=mailbox
            ).finish()
            telephone.finish()
        finally:
            proxy.close()
            print(proxy.log())
    call_id = call_id_of(trace)
    if ours:
        assert office.mail(call_id).message["X-Sipmail-Caller"] == number
    else:
        office.agent.wait_log(lambda line: call_id in line and "elsewhere" in line)
        assert office.facts(call_id) == {}
