"""Whether a call is taken, and as what: the limits, the mailbox, the greeting, the first facts.

One `Reception` belongs to one configuration; a reload makes a new one. It decides without I/O,
but for the time of day and the free disk, which it is given.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from sipmail.config.model import Config, Mailbox
from sipmail.errors import SpoolError
from sipmail.sip.actions import Hop, Incoming
from sipmail.sip.message import Request, parse
from sipmail.spool.message import Caller, Message, new_id
from sipmail.voicemail.caller import caller, renamed
from sipmail.voicemail.greeting import choose
from sipmail.voicemail.greeting_line import GreetingPlan
from sipmail.voicemail.plan import Plan, make, make_greeting_line
from sipmail.voicemail.reason import Reason
from sipmail.voicemail.routing import Directory, Match, Rule

_RETRY_AFTER = ("Retry-After", "30")
_REHEARSAL = b"""INVITE sip:+48221234567@192.0.2.2 SIP/2.0\r
Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKrehearsal\r
From: <sip:+442071234567@192.0.2.1>;tag=1\r
To: <sip:201@192.0.2.2>\r
Diversion: <sip:201@192.0.2.2>;reason=no-answer\r
Call-ID: rehearsal\r
CSeq: 1 INVITE\r
Content-Length: 0\r
\r
"""


@dataclass(frozen=True, slots=True)
class Admission:
    """The call is taken: what its script will do, and its message so far."""

    plan: Plan | GreetingPlan
    message: Message
    codecs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Refusal:
    """The call is not taken: the status that says so, and for the log why."""

    status: int
    why: str
    headers: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        return f"{self.status} ({self.why})"


class Reception:
    """Takes or refuses calls under one configuration; `prompts` has the prepared sound files."""

    def __init__(
        self,
        config: Config,
        prompts: Mapping[Path, str],
        free_disk: Callable[[], int],
        now: Callable[[], datetime],
    ) -> None:
        self.config = config
        self.prompts = prompts
        self._free_disk = free_disk
        self._now = now
        self._directory = Directory(config)
        self._zone = ZoneInfo(str(config.timezone))

    def receive(
        self, incoming: Incoming, calls: int, from_source: int, replaced: Message | None = None
    ) -> Admission | Refusal:
        """Decides about an INVITE while `calls` are in progress, `from_source` of its source.

        `replaced` is the message of the call whose place it takes (RFC 3891): who transfers a
        caller to voicemail means the mailbox that was called before.
        """
        limits = self.config.limits
        if calls >= limits.calls:
            return Refusal(503, f"limits.calls is {limits.calls}", (_RETRY_AFTER,))
        if from_source >= limits.calls_per_source:
            return Refusal(486, f"limits.calls_per_source is {limits.calls_per_source}")
        try:
            free = self._free_disk()
        except SpoolError as error:
            return Refusal(503, str(error), (_RETRY_AFTER,))
        if free < limits.free_disk:
            return Refusal(503, "the spool's disk is full (limits.free_disk)", (_RETRY_AFTER,))
        request = incoming.request
        trunk = self.config.sip.trunks.get(incoming.trunk)
        if (mailbox := self._directory.greeting_line(request)) is not None:
            return self._greeting_line(incoming, mailbox)
        match = self._match_of(replaced) or self._directory.find(request, trunk)
        if match is None:
            return Refusal(404, f"no mailbox for {request.uri}; see `sipmail explain`")
        now = self._now().astimezone(self._zone)
        message = Message(
            id=new_id(now),
            mailbox=match.mailbox.key,
            called=match.called,
            called_name=match.called_name or None,
            caller=caller(request, self.config.country),
            reason=match.reason.value,
            trunk=incoming.trunk,
            call_id=request.call_id,
            received=now,
            urgent=match.mailbox.urgent,
        )
        choices = {
            key: self._plan(self.config.mailboxes[target], match.reason, now, {})
            for key, target in (match.mailbox.choice.keys if match.mailbox.choice else {}).items()
        }
        plan = self._plan(match.mailbox, match.reason, now, choices)
        return Admission(plan, message, self.config.rtp.codecs)

    def _match_of(self, replaced: Message | None) -> Match | None:
        """The mailbox of a call that is replaced, while there is one."""
        mailbox = None if replaced is None else self.config.mailboxes.get(replaced.mailbox)
        if replaced is None or mailbox is None:
            return None
        called, name = replaced.called, replaced.called_name or ""
        return Match(mailbox, Rule.REQUEST_URI, called, name, Reason(replaced.reason))

    def _greeting_line(self, incoming: Incoming, mailbox: Mailbox) -> Admission:
        now = self._now().astimezone(self._zone)
        message = Message(
            id=new_id(now),
            mailbox=mailbox.key,
            called=mailbox.greeting_number or "",
            caller=caller(incoming.request, self.config.country),
            trunk=incoming.trunk,
            call_id=incoming.request.call_id,
            received=now,
        )
        plan = make_greeting_line(mailbox, self.prompts.__getitem__)
        return Admission(plan, message, self.config.rtp.codecs)

    def _plan(
        self, mailbox: Mailbox, reason: Reason, now: datetime, choices: Mapping[str, Plan]
    ) -> Plan:
        local = now.astimezone(mailbox.timezone)
        greeting = choose(mailbox, reason, local, self.config.country)
        return make(mailbox, greeting, self.prompts.__getitem__, choices)

    def warm_up(self) -> None:
        """Loads what the first decision would otherwise load while a caller waits: the metadata
        of the world's telephone numbers, holidays, time zones."""
        request = parse(_REHEARSAL)
        assert isinstance(request, Request)
        nobody = Hop("udp", "192.0.2.1", 5060)
        self.receive(Incoming("", request, "", nobody), 0, 0)
        caller(request, self.config.country)
        now = self._now().astimezone(self._zone)
        for mailbox in self.config.mailboxes.values():
            self._plan(mailbox, Reason.UNKNOWN, now, {})

    def renamed(self, request: Request) -> Caller | None:
        """Who speaks from now on, where a re-INVITE or UPDATE says so (an attended transfer)."""
        return renamed(request, self.config.country)
