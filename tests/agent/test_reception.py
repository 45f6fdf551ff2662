"""Whether a call is taken, and as what."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from sipmail.agent.reception import Admission, Reception, Refusal
from sipmail.config.loader import load
from sipmail.config.model import Config
from sipmail.errors import SpoolError
from sipmail.sip.actions import Hop, Incoming
from sipmail.sip.message import Request, parse
from sipmail.voicemail.plan import sources

SETTINGS = """
country: PL
timezone: Europe/Warsaw
sip: {trunks: {pbx: {accept_from: [192.0.2.0/24]}}}
rtp: {codecs: [PCMU, PCMA]}
mail: {from: Voicemail <voicemail@example.com>, maildir: mail}
spool: spool
limits: {calls: 2, calls_per_source: 1, free_disk: 1000}
users: {anna: Anna <anna@example.com>}
mailboxes:
  sales: {numbers: ["201"], users: [anna], answer_after: 5s, hours: "Mo-Fr 08:00-16:00; PH off"}
"""
NOON = datetime(2026, 11, 24, 11, 0, tzinfo=UTC)
INDEPENDENCE_DAY = datetime(2026, 11, 11, 11, 0, tzinfo=UTC)


@pytest.fixture
def config(tmp_path: Path) -> Config:
    file = tmp_path / "sipmail.yaml"
    file.write_text(SETTINGS)
    return load(file)


def reception(config: Config, *, free: int = 10_000, now: datetime = NOON) -> Reception:
    prompts = {path: path.stem for box in config.mailboxes.values() for path in sources(box)}
    return Reception(config, prompts, lambda: free, lambda: now)


def no_spool() -> int:
    raise SpoolError("cannot look at the disk of /gone")


def invite(user: str = "201", diversion: str = "<sip:100@pbx>;reason=user-busy") -> Incoming:
    request = parse(
        (
            f"INVITE sip:{user}@192.0.2.1 SIP/2.0\r\n"
            "Via: SIP/2.0/UDP 192.0.2.7;branch=z9hG4bK1\r\n"
            'From: "Jan Kowalski" <sip:600123456@192.0.2.7>;tag=1\r\n'
            f"To: <sip:{user}@192.0.2.1>\r\n"
            "Call-ID: call-1\r\nCSeq: 1 INVITE\r\nMax-Forwards: 70\r\n"
            f"Diversion: {diversion}\r\nContent-Length: 0\r\n\r\n"
        ).encode()
    )
    assert isinstance(request, Request)
    return Incoming("key", request, "pbx", Hop("udp", "192.0.2.7", 5060))


def test_a_call_is_taken_with_all_that_is_known_of_it(config: Config) -> None:
    decision = reception(config).receive(invite(), 0, 0)
    assert isinstance(decision, Admission)
    message = decision.message
    assert (message.mailbox, message.called, message.reason) == ("sales", "201", "busy")
    assert (message.caller.number, message.caller.name) == ("+48600123456", "Jan Kowalski")
    assert (message.trunk, message.call_id) == ("pbx", "call-1")
    assert message.received.isoformat() == "2026-11-24T12:00:00+01:00"
    assert decision.codecs == ("PCMU", "PCMA")
    assert decision.plan.ring == 5.0
    assert decision.plan.greeting == "busy"


def test_a_public_holiday_is_closed(config: Config) -> None:
    decision = reception(config, now=INDEPENDENCE_DAY).receive(invite(), 0, 0)
    assert isinstance(decision, Admission)
    assert decision.plan.greeting == "closed"


def test_opening_hours_are_those_of_the_mailboxs_own_clock(config: Config) -> None:
    """12:00 in Warsaw is 20:00 in Tokyo."""
    box = config.mailboxes["sales"].model_copy(update={"timezone": ZoneInfo("Asia/Tokyo")})
    there = config.model_copy(update={"mailboxes": {"sales": box}})
    decision = reception(there).receive(invite(), 0, 0)
    assert isinstance(decision, Admission)
    assert decision.plan.greeting == "closed"


@pytest.mark.parametrize(
    ("calls", "from_source", "free", "user", "status", "why"),
    [
        (2, 0, 10_000, "201", 503, "limits.calls"),
        (1, 1, 10_000, "201", 486, "limits.calls_per_source"),
        (0, 0, 999, "201", 503, "limits.free_disk"),
        (0, 0, 10_000, "999", 404, "no mailbox"),
    ],
)
def test_a_call_is_refused_with_the_key_that_says_so(
    config: Config, calls: int, from_source: int, free: int, user: str, status: int, why: str
) -> None:
    decision = reception(config, free=free).receive(
        invite(user, "<sip:998@pbx>;reason=no-answer"), calls, from_source
    )
    assert isinstance(decision, Refusal)
    assert decision.status == status
    assert why in str(decision)


def test_a_call_is_refused_while_the_spool_is_gone(config: Config) -> None:
    decision = Reception(config, {}, no_spool, lambda: NOON).receive(invite(), 0, 0)
    assert isinstance(decision, Refusal)
    assert str(decision) == "503 (cannot look at the disk of /gone)"
