"""What would happen to an INVITE, and why: the answer of `sipmail explain`, as lines of text.

Everything is asked of the rooms that decide in earnest (`routing`, `caller`, `greeting`), so that
the explanation cannot drift from what a call does. Only the trunk is a guess: the address that a
call comes from decides it, and a file holds no more than the traces of one.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from sipmail.config.model import Config, Mailbox, Trunk
from sipmail.errors import ProtocolError, SipmailError
from sipmail.sip.message import Request, parse
from sipmail.sip.nameaddr import NameAddr
from sipmail.sip.privacy import identity_withheld
from sipmail.sip.uri import SipUri, parse_uri
from sipmail.spool.message import Caller
from sipmail.voicemail.caller import decide, identities
from sipmail.voicemail.display import clean
from sipmail.voicemail.greeting import Choice, choose
from sipmail.voicemail.plan import offers_operator
from sipmail.voicemail.routing import Directory, Match, Rule, candidates

_LABEL = 10


@dataclass(frozen=True, slots=True)
class Guess:
    """Which trunk would take a call, as far as one can tell; `why` names the trace."""

    trunk: Trunk | None
    why: str


def explain(
    request: Request, config: Config, when: datetime, source: str | None = None
) -> tuple[str, ...]:
    """What would become of `request` at `when`, line by line.

    A time without an offset is that of the mailbox. `source` is the address that it came from,
    where that is known better than from its Via.
    """
    guess = guess_trunk(request, config, source)
    lines = [_row("Trunk", f"{guess.trunk.name if guess.trunk else 'none'}: {guess.why}")]
    lines += _caller(request, config)
    directory = Directory(config)
    if (line := directory.greeting_line(request)) is not None:
        text = f"{line.key}: its greeting_number, which asks for the PIN and records a greeting"
        return (*lines, _row("Mailbox", text))
    match = directory.find(request, guess.trunk)
    lines += _mailbox(request, config, guess.trunk, match)
    if match is None:
        return tuple(lines)
    mailbox = match.mailbox
    zone = mailbox.timezone
    local = when.astimezone(zone) if when.tzinfo is not None else when.replace(tzinfo=zone)
    greeting = choose(mailbox, match.reason, local, config.country)
    lines += [
        _row("Called", f"{match.called or 'unknown'} {match.called_name}".rstrip()),
        _row("Reason", match.reason.value),
        _row("Greeting", f"{greeting.path}"),
        _more(f"{greeting.case}: {greeting.why}"),
        *_script(mailbox),
        *_operator(mailbox, greeting, guess.trunk),
        _row("Answer", _patience(mailbox.answer_after)),
    ]
    return tuple(lines)


def read_invite(data: bytes) -> Request:
    """The INVITE in `data`, whose line ends and length may have suffered on the way from a log.

    Raises SipmailError for anything else.
    """
    data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n").lstrip(b"\n").replace(b"\n", b"\r\n")
    if b"\r\n\r\n" not in data:
        data = data.rstrip(b"\r\n") + b"\r\n\r\n"
    try:
        found: object = parse(data)
    except ProtocolError as error:
        if error.request is None:
            raise SipmailError(f"this is no SIP request: {error.text}") from None
        found = error.request
    if not isinstance(found, Request) or found.method != "INVITE":
        raise SipmailError("this is SIP, but no INVITE")
    return found


def guess_trunk(request: Request, config: Config, source: str | None = None) -> Guess:
    """The trunk whose addresses or registrar the request, or the given source, comes from."""
    address, where = (source, "--source") if source else _sent_by(request)
    trunks = config.sip.trunks.values()
    for trunk in trunks:
        network = _accepting(trunk, address)
        if network is not None:
            return Guess(trunk, f"{address} ({where}) is in its accept_from {network}")
    for trunk in trunks:
        if address and address.lower() in _servers(trunk):
            return Guess(trunk, f"{address} ({where}) is its registrar")
    if not source:
        for name, host in _hosts(request):
            for trunk in trunks:
                if host in _servers(trunk):
                    return Guess(trunk, f"probably; {name} names its registrar {host}")
    return Guess(
        None, f"{address or 'nothing'} ({where}) belongs to none; {_hint(config, address)}"
    )


def _hint(config: Config, address: str) -> str:
    """What an administrator can do about a call that belongs to no trunk."""
    if not _is_ip(address):
        return "--source ADDRESS says where it came from"
    names = sorted(host for trunk in config.sip.trunks.values() for host in _servers(trunk))
    unless = f", unless it is an address of {' or '.join(names)}" if names else ""
    return f"it gets no answer{unless}; accept_from: [{address}] under a trunk would accept it"


def _patience(seconds: float) -> str:
    return f"after ringing for {seconds:g} s" if seconds > 0 else "at once"


def _script(mailbox: Mailbox) -> Iterator[str]:
    """What else than a greeting and a recording callers meet."""
    if mailbox.choice is not None:
        keys = "; ".join(f"{key}: {target}" for key, target in mailbox.choice.keys.items())
        yield _row("Choice", f"before the greeting, {keys}")
    if mailbox.announcement:
        yield _row("Records", "nothing: an announcement")


def _operator(mailbox: Mailbox, greeting: Choice, trunk: Trunk | None) -> Iterator[str]:
    """Where the key 0 leads, and how callers know of it."""
    if mailbox.operator is None:
        return
    where = "" if ":" in mailbox.operator else f" at {trunk.name if trunk else 'the trunk'}"
    yield _row("Key 0", f"to the operator {mailbox.operator}{where}, by REFER")
    if offers_operator(mailbox, greeting):
        yield _more("a spoken line after the built-in greeting says so")
    elif greeting.built_in:
        yield _more("the built-in greeting for closed hours does not offer it")
    else:
        yield _more("the greeting is your own: let it say so")


def _caller(request: Request, config: Config) -> Iterator[str]:
    found = tuple(identities(request, config.country))
    private = identity_withheld(request.headers)
    yield _row("Caller", _said(decide(found, private)))
    if private:
        yield _more("Privacy asks to withhold it")
    for one in found:
        said = "anonymous" if one.withheld else f"{one.number} {one.name}".strip() or "says nothing"
        yield _more(f"{one.header}: {said}")


def _said(caller: Caller) -> str:
    if caller.withheld:
        return "withheld"
    return f"{caller.number or 'number unknown'} {caller.name or ''}".rstrip()


def _mailbox(
    request: Request, config: Config, trunk: Trunk | None, match: Match | None
) -> Iterator[str]:
    if match is None:
        yield _row("Mailbox", 'none: 404; nothing names one, and no mailbox has the number "*"')
    else:
        yield _row("Mailbox", f"{match.mailbox.key} ({clean(match.mailbox.name)})")
    directory = Directory(config)
    order = tuple(Rule(source) for source in config.routing)
    found = candidates(request, config.country, order)
    for rule in order:
        named = [candidate for candidate in found if candidate.rule is rule]
        if rule is Rule.TRUNK and trunk is not None and trunk.mailbox:
            yield _more(f"{rule}: {trunk.mailbox}")
        elif not named:
            yield _more(f"{rule}: names none")
        for candidate in named:
            mailbox = directory.mailbox_of(candidate)
            said = f"mailbox {mailbox.key}" if mailbox else "no mailbox has this number"
            yield _more(f"{rule}: {candidate.number}: {said}")
        if match is not None and match.rule is rule:
            return
    if match is not None:
        yield _more("*: this mailbox takes the rest")


def _sent_by(request: Request) -> tuple[str, str]:
    """The address in the topmost Via, and where it was found."""
    try:
        via = request.via
    except ProtocolError:
        return "", "there is no Via"
    if via.received:
        return via.received, "received in Via"
    return via.host, "topmost Via"


def _hosts(request: Request) -> Iterator[tuple[str, str]]:
    """The hosts that a request names, those that say most about its sender first."""
    for name in ("Via", "Contact", "From", "To"):
        if name == "Via":
            try:
                yield from (("Via", via.host.lower()) for via in request.vias)
            except ProtocolError:
                continue
            continue
        for value in request.headers.values(name):
            try:
                uri = NameAddr.parse(value).parsed_uri
            except ProtocolError:
                continue
            if isinstance(uri, SipUri):
                yield name, uri.host.lower()


def _servers(trunk: Trunk) -> frozenset[str]:
    """The hosts that a trunk registers with or through."""
    hosts = set()
    for text in (trunk.registrar, trunk.outbound_proxy):
        uri = parse_uri(text) if text else None
        if isinstance(uri, SipUri):
            hosts.add(uri.host.lower())
    return frozenset(hosts)


def _accepting(trunk: Trunk, address: str) -> str | None:
    if not _is_ip(address):
        return None
    ip = ipaddress.ip_address(address)
    return next((str(network) for network in trunk.accept_from if ip in network), None)


def _is_ip(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _row(label: str, text: str) -> str:
    return f"{label + ':':<{_LABEL}}{text}"


def _more(text: str) -> str:
    return " " * _LABEL + text
