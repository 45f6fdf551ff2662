"""What brings a call to voicemail, as PBXs and carriers say it: SIPp calls the running program,
directly and through a Kamailio that passes it on, and the e-mail must be the right one.

Whoever has the mailbox gets the e-mail, which says who was called and why the call came (RFC 5806,
4244, 7044, 4458, 7544, 7315). The callers hang up at once: that they called is what is told.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import require_program
from tests.interop.office import Office
from tests.interop.proxy import Proxy
from tests.interop.scenario import Sipp, call_id_of
from tests.interop.steps import OFFER, expect, goodbye, maybe, send
from tests.support import sounds
from tests.support.agent import Agent, configuration
from tests.support.smtp import SmtpServer

pytestmark = pytest.mark.interop

SAYS = {
    "no-answer": "nobody answered",
    "busy": "the line was busy",
    "unavailable": "the phone could not be reached",
    "unconditional": "calls are forwarded to voicemail",
}
PBX, VOICEMAIL = "pbx.example.com", "sip:200@[remote_ip]:[remote_port]"
TARGET = f"{VOICEMAIL};target=sip:302%40{PBX}"


@dataclass(frozen=True)
class Forwarded:
    """An INVITE to 200, which is nobody's number, and what is to become of it."""

    mailbox: str
    called: str
    reason: str
    headers: tuple[str, ...] = ()
    uri: str | None = None


def diversion(mailbox: str, called: str, reason: str, *values: str) -> Forwarded:
    return Forwarded(mailbox, called, reason, tuple(f"Diversion: {value}" for value in values))


def history(mailbox: str, called: str, reason: str, *values: str) -> Forwarded:
    return Forwarded(mailbox, called, reason, (f"History-Info: {', '.join(values)}",))


WAYS = {
    "Diversion, no answer": diversion(
        "anna", "301", "no-answer", f"<sip:301@{PBX}>;reason=no-answer;counter=1"
    ),
    "Diversion, busy, quoted": diversion(
        "jan", "302", "busy", f'"Nowak, Jan" <sip:302@{PBX}>;reason="user-busy";privacy="off"'
    ),
    "Diversion, unavailable, a national number": diversion(
        "jan", "+48221234567", "unavailable", f"<sip:221234567@{PBX}>;reason=unavailable"
    ),
    "Diversion, unconditional, a telephone's URI": diversion(
        "jan", "+48221234567", "unconditional", "<tel:+48-22-123-45-67>;reason=unconditional"
    ),
    "Diversion, several in a line, the newest first": diversion(
        "anna",
        "301",
        "busy",
        f"<sip:301@{PBX}>;reason=user-busy;counter=1, <sip:302@{PBX}>;reason=no-answer",
    ),
    "Diversion, several lines, the newest nobody's": diversion(
        "jan",
        "302",
        "no-answer",
        f"<sip:399@{PBX}>;reason=unavailable;counter=1",
        f"<sip:302@{PBX}>;reason=no-answer",
    ),
    "History-Info, old form, no answer": history(
        "anna",
        "301",
        "no-answer",
        f"<sip:301@{PBX}?Reason=SIP%3Bcause%3D408%3Btext%3D%22Request%20Timeout%22>;index=1",
        f"<sip:200@{PBX}>;index=1.1",
    ),
    "History-Info, old form, busy by Q.850": history(
        "jan",
        "302",
        "busy",
        f'"Jan, Nowak" <sip:302@{PBX};user=phone?Reason=Q.850%3Bcause%3D17>;index=1',
        f"<sip:200@{PBX}>;index=2",
    ),
    "History-Info, old form, unavailable": history(
        "jan",
        "+48221234567",
        "unavailable",
        f"<sip:+48221234567@{PBX}?Reason=SIP%3Bcause%3D480>;index=1",
        f"<sip:200@{PBX}>;index=1.1",
    ),
    "History-Info, RFC 7044, rc with a Reason": history(
        "jan",
        "302",
        "no-answer",
        f"<sip:302@{PBX}>;index=1",
        "<sip:302@192.0.2.4?Reason=SIP%3Bcause%3D408&Privacy=none>;index=1.1;rc=1",
        f"<sip:200@{PBX};target=sip:302%40{PBX};cause=408>;index=1.2;mp=1",
    ),
    "History-Info, RFC 7044, mp with a cause, busy": history(
        "anna",
        "301",
        "busy",
        f"<sip:301@{PBX}>;index=1",
        f"<sip:200@{PBX};cause=486>;index=1.1;mp=1",
    ),
    "History-Info, RFC 7044, mp with a cause, unavailable": history(
        "anna",
        "301",
        "unavailable",
        f"<sip:301@{PBX}>;index=1",
        f"<sip:200@{PBX};cause=503>;index=2;mp=1",
    ),
    "target and cause, no answer": Forwarded("jan", "302", "no-answer", uri=f"{TARGET};cause=408"),
    "target and cause, busy": Forwarded("jan", "302", "busy", uri=f"{TARGET};cause=486"),
    "target and cause, unavailable": Forwarded(
        "jan", "302", "unavailable", uri=f"{TARGET};cause=503"
    ),
    "a target counts more than who diverted": Forwarded(
        "jan",
        "302",
        "busy",
        (f"Diversion: <sip:301@{PBX}>;reason=no-answer",),
        f"{TARGET};cause=486",
    ),
    "a cause alone": Forwarded(
        "anna", "301", "no-answer", uri="sip:301@[remote_ip]:[remote_port];cause=408"
    ),
    "Diversion counts more than History-Info": Forwarded(
        "anna",
        "301",
        "unavailable",
        (
            f"History-Info: <sip:302@{PBX}?Reason=SIP%3Bcause%3D486>;index=1",
            f"Diversion: <sip:301@{PBX}>;reason=unavailable",
        ),
    ),
    "P-Called-Party-ID": Forwarded(
        "jan", "302", "unknown", (f'P-Called-Party-ID: "Jan" <sip:302@{PBX};user=phone>',)
    ),
    "P-Called-Party-ID, and a reason of somebody else": Forwarded(
        "jan",
        "302",
        "busy",
        (f"P-Called-Party-ID: <sip:302@{PBX}>", f"Diversion: <sip:399@{PBX}>;reason=user-busy"),
    ),
    "nothing at all": Forwarded("rest", "200", "unknown"),
}


Addresses = dict[str, tuple[str, int]]


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    """One agent for all of these calls."""
    folder = tmp_path_factory.mktemp("office")
    smtp = SmtpServer().start()
    # Ports rest between calls, and these calls are quick.
    base = configuration(folder, smtp, calls=2 * len(WAYS))
    short = str(sounds.greeting(folder / "greeting.wav"))
    common = {**base["mailboxes"]["sales"], "users": [], "greeting": short}
    base["mailboxes"] = {
        key: {**common, "name": key.title(), "numbers": numbers, "emails": [f"{key}@sipmail.test"]}
        for key, numbers in (
            ("anna", ["301"]),
            ("jan", ["302", "+48221234567"]),
            ("rest", ["*"]),
        )
    }
    agent = Agent(folder, base).start()
    yield Office(agent, smtp)
    agent.close()
    smtp.stop()
    print(agent.log())


@pytest.fixture(scope="module")
def addresses(office: Office) -> Iterator[Addresses]:
    """Where SIPp may call the office: itself, and a Kamailio before it."""
    proxy = Proxy(require_program("kamailio"), next_hop=office.agent.address).start()
    yield {"directly": office.agent.address, "through Kamailio": (proxy.host, proxy.ports["udp"])}
    proxy.close()
    print(proxy.log())


@pytest.mark.parametrize("way", ["directly", "through Kamailio"])
@pytest.mark.parametrize("name", WAYS)
def test_the_right_mailbox_and_reason(
    name: str, way: str, office: Office, addresses: Addresses, sipp: str, tmp_path: Path
) -> None:
    call = WAYS[name]
    # Everyone calls once: several missed calls of one caller would become one e-mail.
    number = f"+4860011{list(WAYS).index(name):03}{way == 'directly':d}"
    caller = f"P-Asserted-Identity: <sip:{number}@{PBX}>"
    trace = Sipp(
        *(sipp, tmp_path, "forwarded", addresses[way]),
        service="200",
        steps=(
            send("INVITE", headers=(*call.headers, caller), body=OFFER, uri=call.uri),
            maybe(100, 180),
            expect(200),
            send("ACK"),
            *goodbye(2),
        ),
    ).finish()
    call_id = call_id_of(trace)
    mail, facts = office.mail(call_id), office.facts(call_id)
    assert mail.message["X-Sipmail-Caller"] == number
    assert set(mail.recipients) == {f"{call.mailbox}@sipmail.test"}
    assert mail.message["X-Sipmail-Mailbox"] == call.mailbox
    assert (facts["mailbox"], facts["called"], facts["reason"]) == (
        call.mailbox,
        call.called,
        call.reason,
    )
    body = mail.message.get_body(("plain",))
    assert body is not None
    text = body.get_content()
    assert [reason for reason, words in SAYS.items() if words in text] == (
        [call.reason] if call.reason in SAYS else []
    )
