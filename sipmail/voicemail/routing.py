"""Which mailbox a call is for, which number was called, and why the call came.

Rules:
- The places of an INVITE that may name a mailbox are asked in the order of `routing:`; the first
  that names a number of a mailbox wins. Nothing matches: the mailbox with `"*"`, else none (404).
- `Diversion` is read from the newest entry to the oldest, `History-Info` likewise: who sent the
  call here comes before whom the caller had dialled.
- The reason is that of the forwarding which named the mailbox. Where that one says nothing, it is
  the first that any place says: the Request-URI, then Diversion, then History-Info.

RFC 4458 (target, cause), RFC 5806 (Diversion), RFC 7044 and 4244 (History-Info), RFC 7315 section
4.2 (P-Called-Party-ID).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from sipmail.config.model import Config, Mailbox, Trunk
from sipmail.errors import ProtocolError
from sipmail.sip.diversion import diversions
from sipmail.sip.history_info import HistoryEntry, history
from sipmail.sip.message import Request
from sipmail.sip.nameaddr import NameAddr
from sipmail.sip.uri import OtherUri, SipUri, TelUri, parse_uri, unescape
from sipmail.voicemail.display import clean
from sipmail.voicemail.number import is_number, number_of
from sipmail.voicemail.reason import Reason, from_cause, from_diversion, from_status

_REST = "*"


class Rule(StrEnum):
    """The places that may name a mailbox; the values are those of `routing:`."""

    TRUNK = "trunk"
    TARGET = "target"
    REQUEST_URI = "request-uri"
    DIVERSION = "diversion"
    HISTORY_INFO = "history-info"
    CALLED_PARTY = "p-called-party-id"
    TO = "to"
    REST = "*"
    """No place named one; the mailbox that takes the rest."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A number that an INVITE names, in its normal form, with its display name and reason."""

    rule: Rule
    number: str
    name: str = ""
    reason: Reason = Reason.UNKNOWN


@dataclass(frozen=True, slots=True)
class Match:
    """The mailbox of a call, the rule that chose it, the number that was called, and why."""

    mailbox: Mailbox
    rule: Rule
    called: str
    called_name: str
    reason: Reason


class Directory:
    """The mailboxes of a configuration by their numbers; made once for each configuration."""

    def __init__(self, config: Config) -> None:
        self._country = config.country
        self._order = tuple(Rule(source) for source in config.routing)
        self._mailboxes = config.mailboxes
        self._by_number = {
            number: mailbox for mailbox in config.mailboxes.values() for number in mailbox.numbers
        }
        self._greeting_lines = {
            mailbox.greeting_number: mailbox
            for mailbox in config.mailboxes.values()
            if mailbox.greeting_number is not None and mailbox.greeting_pin is not None
        }

    def find(self, request: Request, trunk: Trunk | None) -> Match | None:
        """The mailbox for an INVITE that came over `trunk`; None is a 404."""
        found = candidates(request, self._country, self._order)
        match = self._match(found, trunk)
        if match is None:
            return None
        mailbox, rule, named = match
        reason = named.reason if named is not None else Reason.UNKNOWN
        if reason is Reason.UNKNOWN:
            reason = first_reason(request, found)
        called = named if named is not None else likely_called(found)
        return Match(mailbox, rule, called.number, called.name, reason)

    def greeting_line(self, request: Request) -> Mailbox | None:
        """The mailbox whose `greeting_number` an INVITE names anywhere."""
        if not self._greeting_lines:
            return None
        named = candidates(request, self._country, self._order)
        found = (self._greeting_lines.get(one.number) for one in named)
        return next((mailbox for mailbox in found if mailbox is not None), None)

    def mailbox_of(self, candidate: Candidate) -> Mailbox | None:
        """The mailbox that has this very number."""
        return self._by_number.get(candidate.number) if candidate.number != _REST else None

    def _match(
        self, found: Sequence[Candidate], trunk: Trunk | None
    ) -> tuple[Mailbox, Rule, Candidate | None] | None:
        for rule in self._order:
            if rule is Rule.TRUNK:
                mailbox = self._mailboxes.get(trunk.mailbox or "") if trunk is not None else None
                if mailbox is not None:
                    return mailbox, rule, None
                continue
            for candidate in found:
                if candidate.rule is rule and (mailbox := self.mailbox_of(candidate)) is not None:
                    return mailbox, rule, candidate
        rest = self._by_number.get(_REST)
        return None if rest is None else (rest, Rule.REST, None)


def candidates(
    request: Request, country: str | None, order: Sequence[Rule]
) -> tuple[Candidate, ...]:
    """Every number that an INVITE names, in the order in which the rules ask for them."""
    readers = {
        Rule.TARGET: _target,
        Rule.REQUEST_URI: _request_uri,
        Rule.DIVERSION: _diversions,
        Rule.HISTORY_INFO: _history,
        Rule.CALLED_PARTY: _called_party,
        Rule.TO: _to,
    }
    return tuple(
        candidate
        for rule in order
        if rule in readers
        for candidate in readers[rule](request, country)
        if candidate.number
    )


def first_reason(request: Request, found: Sequence[Candidate]) -> Reason:
    """The first reason that any place of the INVITE says."""
    uri = _parsed(request.uri)
    direct = Reason.UNKNOWN if isinstance(uri, OtherUri) else from_cause(_cause(uri))
    if direct is not Reason.UNKNOWN:
        return direct
    reasons = (candidate.reason for candidate in found)
    return next((reason for reason in reasons if reason is not Reason.UNKNOWN), Reason.UNKNOWN)


def likely_called(found: Sequence[Candidate]) -> Candidate:
    """Which number was called, where no rule says: the first that a telephone can dial.

    A registration's own Request-URI is not one: its user is a random text of ours.
    """
    dialled = (candidate for candidate in found if is_number(candidate.number))
    forwarded = sorted(dialled, key=lambda candidate: candidate.rule is Rule.REQUEST_URI)
    return next(iter(forwarded), Candidate(Rule.TO, ""))


def _target(request: Request, country: str | None) -> Iterator[Candidate]:
    uri = _parsed(request.uri)
    target = None if isinstance(uri, OtherUri) else uri.params.get("target")
    if target:
        text = unescape(target)
        if ":" not in text:
            text = f"sip:{text}" if "@" in text else f"sip:{text}@invalid"
        number = number_of(_parsed(text), country)
        yield Candidate(Rule.TARGET, number, reason=from_cause(_cause(uri)))


def _request_uri(request: Request, country: str | None) -> Iterator[Candidate]:
    uri = _parsed(request.uri)
    yield Candidate(Rule.REQUEST_URI, number_of(uri, country), reason=from_cause(_cause(uri)))


def _diversions(request: Request, country: str | None) -> Iterator[Candidate]:
    for diversion in diversions(request.headers):
        yield _named(
            Rule.DIVERSION, diversion.address, country, reason=from_diversion(diversion.reason)
        )


def _history(request: Request, country: str | None) -> Iterator[Candidate]:
    entries = history(request.headers)
    for position in range(len(entries) - 1, -1, -1):
        yield _named(
            Rule.HISTORY_INFO,
            entries[position].address,
            country,
            reason=_left_because(entries, position),
        )


def _left_because(entries: Sequence[HistoryEntry], position: int) -> Reason:
    """Why the call left an entry: its Reason, else the `cause` of the entry that it went to."""
    for one in entries[position].reasons:
        reason = from_status(one.protocol, one.cause)
        if reason is not Reason.UNKNOWN:
            return reason
    return (
        from_cause(entries[position + 1].cause) if position + 1 < len(entries) else Reason.UNKNOWN
    )


def _called_party(request: Request, country: str | None) -> Iterator[Candidate]:
    for value in request.headers.values("P-Called-Party-ID"):
        try:
            yield _named(Rule.CALLED_PARTY, NameAddr.parse(value), country)
        except ProtocolError:
            continue


def _to(request: Request, country: str | None) -> Iterator[Candidate]:
    try:
        yield _named(Rule.TO, request.to, country)
    except ProtocolError:
        return


def _named(
    rule: Rule, address: NameAddr, country: str | None, reason: Reason = Reason.UNKNOWN
) -> Candidate:
    name = clean(address.display)
    number = number_of(_parsed(address.uri), country)
    return Candidate(rule, number, "" if name == number else name, reason)


def _cause(uri: SipUri | TelUri | OtherUri) -> int | None:
    text = None if isinstance(uri, OtherUri) else uri.params.get("cause")
    return int(text) if text and text.isascii() and text.isdigit() and len(text) == 3 else None


def _parsed(text: str) -> SipUri | TelUri | OtherUri:
    """The URI, or one that names nothing where it cannot be read."""
    try:
        return parse_uri(text)
    except ProtocolError:
        return OtherUri("", text)
