"""What one value of the configuration asks of another; every check names the place to mend.

The checks see the sections that are right in themselves, so that one reading of the file finds as
much as it can.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from sipmail.config import tree
from sipmail.config.model import Limits, Mail, Mailbox, OAuth, Rtp, Sip, Smtp, Trunk
from sipmail.config.suggest import did_you_mean
from sipmail.config.values import Network, format_duration

_PORTS_A_CALL = 2
_SPARE_CALLS = 4
"""One more pair of ports for so many calls, which rests while they are all in use."""
_NAME = re.compile(r"[\w.-]+")
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


@dataclass
class Sections:
    """The sections that were read without a mistake of their own."""

    root: tree.Mapping
    sip: Sip | None = None
    trunks: dict[str, Trunk] = field(default_factory=dict)
    rtp: Rtp | None = None
    mail: Mail | None = None
    limits: Limits | None = None
    routing: tuple[str, ...] = ()
    mailboxes: dict[str, Mailbox] = field(default_factory=dict)


@dataclass(frozen=True)
class Finding:
    """Something wrong at `path` (its value, or its key: `at_key`).

    It is only a warning where the configuration can still be used.
    """

    path: tree.Path
    text: str
    warning: bool = False
    at_key: bool = False


def check(sections: Sections) -> Iterator[Finding]:
    """Everything that is wrong between values."""
    yield from _names(sections)
    yield from _ports(sections)
    yield from _listeners(sections)
    yield from _trunks(sections)
    yield from _mail(sections)
    yield from _mailboxes(sections)
    yield from _numbers(sections)
    lists: list[tuple[tree.Path, Sequence[str]]] = [
        (("rtp", "codecs"), sections.rtp.codecs if sections.rtp else ()),
        (("routing",), sections.routing),
    ]
    lists += [
        (("sip", "trunks", name, "digest"), one.digest) for name, one in sections.trunks.items()
    ]
    for path, words in lists:
        for word in sorted({word for word in words if words.count(word) > 1}):
            yield Finding(path, f"{word} stands twice: remove one")


def _names(sections: Sections) -> Iterator[Finding]:
    for pattern in (("users", "*"), ("sip", "trunks", "*"), ("mailboxes", "*")):
        for path, _ in tree.matches(sections.root, pattern):
            if not _NAME.fullmatch(str(path[-1])):
                text = f"{str(path[-1])!r} cannot be a name here: write letters, digits, - _ . only"
                yield Finding(path, text, at_key=True)


def _ports(sections: Sections) -> Iterator[Finding]:
    rtp, limits = sections.rtp, sections.limits
    if rtp is None or limits is None:
        return
    path = ("rtp", "ports")
    pairs, calls = len(rtp.ports.pairs), limits.calls
    wanted = calls + -(-calls // _SPARE_CALLS)
    if not pairs:
        yield Finding(path, f"{rtp.ports} has no even port with the odd one after it: add ports")
        return
    if pairs >= wanted or sections.root.get("limits", "calls") is None:
        return
    last = rtp.ports.pairs[0] + _PORTS_A_CALL * wanted - 1
    enough = f"ports up to {last}" if last <= 65535 else "a lower first port"
    cure = f"write {enough}, or limits.calls: {pairs * _SPARE_CALLS // (_SPARE_CALLS + 1)}"
    if pairs < calls:
        yield Finding(
            path,
            f"{rtp.ports} is too small for limits.calls: {calls} (a call takes two ports, and they"
            f" rest for some seconds after it): {cure}",
        )
    else:
        yield Finding(
            path,
            f"{rtp.ports} is just enough for limits.calls: {calls}, but ports rest for some seconds"
            f" after a call: one that comes when all were in use gets 503: {cure}",
            warning=True,
        )


def _listeners(sections: Sections) -> Iterator[Finding]:
    if sections.sip is None:
        return
    seen = set()
    for index, one in enumerate(sections.sip.listen):
        path = ("sip", "listen", index)
        if one.transport == "tls" and (one.certificate is None or one.private_key is None):
            yield Finding(path, "tls needs a certificate: write certificate: and private_key: too")
        if one.port and (one.transport, one.host, one.port) in seen:
            yield Finding(path, "this address stands twice: remove one")
        seen.add((one.transport, one.host, one.port))


def _trunks(sections: Sections) -> Iterator[Finding]:
    mailboxes = sections.root.names("mailboxes")
    callers: dict[Network, str] = {}
    for name, trunk in sections.trunks.items():
        path: tree.Path = ("sip", "trunks", name)
        if trunk.registrar is None and not trunk.accept_from:
            yield Finding(
                path,
                "no call can come from here: write registrar: sip:HOST to register there,"
                " or accept_from: [ADDRESS] for a trunk that does not register",
            )
        if trunk.registrar is not None and trunk.username is None:
            yield Finding(path, "a registrar needs an account: write username: too")
        if not trunk.verify:
            text = "anybody can pretend to be this registrar: better name its CA in sip.ca_file"
            yield Finding((*path, "verify"), text, warning=True)
        if trunk.mailbox is not None and trunk.mailbox not in mailboxes:
            hint = did_you_mean(trunk.mailbox, mailboxes) or ": add it under mailboxes:"
            text = f"there is no mailbox {trunk.mailbox!r}{hint}"
            yield Finding((*path, "mailbox"), text)
        for index, network in enumerate(trunk.accept_from):
            # Trunks that register are told apart by their Contact, whoever calls.
            other = callers.setdefault(network, name) if trunk.registrar is None else name
            if other != name:
                text = f"{network} stands in trunk {other} too, which gets its calls: remove one"
                yield Finding((*path, "accept_from", index), text)
            if network.prefixlen == 0 and trunk.password is None:
                text = (
                    f"{network} lets anybody leave messages: write the provider's addresses,"
                    " or a password:"
                )
                yield Finding((*path, "accept_from", index), text, warning=True)


def _mail(sections: Sections) -> Iterator[Finding]:
    mail = sections.mail
    if mail is None:
        return
    smtp = mail.smtp
    if smtp is None:
        if mail.maildir is None:
            text = "the e-mails have nowhere to go: write smtp: {host: …}, or maildir: ./mail"
            yield Finding(("mail",), text)
        return
    path = ("mail", "smtp")
    oauth = smtp.oauth
    if oauth is not None:
        yield from _oauth(smtp, oauth)
        return
    if smtp.username is not None and smtp.password is None:
        yield Finding((*path, "username"), "a login needs both: write password: too")
    if smtp.password is not None and smtp.username is None:
        yield Finding((*path, "password"), "a login needs both: write username: too")
    if smtp.password is not None and smtp.security == "none" and smtp.host not in _LOOPBACK:
        text = "the password would cross the network in the clear: write starttls or tls"
        yield Finding((*path, "security"), text, warning=True)


def _oauth(smtp: Smtp, oauth: OAuth) -> Iterator[Finding]:
    path = ("mail", "smtp")
    if smtp.username is None:
        yield Finding((*path, "oauth"), "a login needs the account too: write username: in smtp")
    if smtp.password is not None:
        yield Finding((*path, "password"), "the login is by oauth: remove password:")
    if (oauth.tenant is None) == (oauth.token_url is None):
        text = "write either tenant: (Microsoft 365) or token_url: (others)"
        yield Finding((*path, "oauth"), text)
    where = urlsplit(oauth.endpoint)
    if where.scheme == "http" and where.hostname not in _LOOPBACK:
        text = "the secret would cross the network in the clear: write https"
        yield Finding((*path, "oauth", "token_url"), text, warning=True)
    if smtp.security == "none" and smtp.host not in _LOOPBACK:
        text = "the token would cross the network in the clear: write starttls or tls"
        yield Finding((*path, "security"), text, warning=True)


def _mailboxes(sections: Sections) -> Iterator[Finding]:
    led_to = {
        value.value
        for _, value in tree.matches(sections.root, ("sip", "trunks", "*", "mailbox"))
        if isinstance(value, tree.Scalar)
    }
    led_to |= {to for one in sections.mailboxes.values() if one.choice for to in _targets(one)}
    for name, mailbox in sections.mailboxes.items():
        path: tree.Path = ("mailboxes", name)
        silent = mailbox.announcement and not mailbox.missed_calls
        told = mailbox.webhook is not None or mailbox.command is not None
        if not mailbox.users and not mailbox.emails and not silent and not told:
            text = "nobody would get its messages: write users: [NAME] or emails: [ADDRESS]"
            yield Finding(path, text)
        if not mailbox.numbers and name not in led_to:
            text = 'no call leads here: write numbers: ["201"], or mailbox: in a trunk'
            yield Finding(path, text, warning=True)
        if (mailbox.greeting_number is None) != (mailbox.greeting_pin is None):
            here = "greeting_number" if mailbox.greeting_pin is None else "greeting_pin"
            other = "greeting_pin" if mailbox.greeting_pin is None else "greeting_number"
            text = f"recording a greeting by phone needs both: write {other}: too"
            yield Finding((*path, here), text)
        if mailbox.greeting_number == "*":
            yield Finding((*path, "greeting_number"), '"*" is no number of its own: write one')
        if mailbox.operator is not None:
            yield from _operator(sections, path, mailbox.operator)
        yield from _choice(sections, name, mailbox)
        url = urlsplit(mailbox.webhook.url) if mailbox.webhook else None
        if url is not None and url.scheme == "http" and url.hostname not in _LOOPBACK:
            text = "what callers say would cross the network in the clear: write https"
            yield Finding((*path, "webhook", "url"), text, warning=True)
        record = mailbox.record
        if sections.limits and record.max > sections.limits.message:
            longest = format_duration(sections.limits.message)
            written = sections.root.get("mailboxes", name, "record", "max") is not None
            where = (*path, "record", "max") if written else ("limits", "message")
            yield Finding(
                where,
                f"record.max {format_duration(record.max)} is more than limits.message {longest}:"
                f" write max: {longest} or less, or a larger limit",
            )
        if record.min >= record.max:
            text = f"{format_duration(record.min)} is not less than record.max: write 1s"
            yield Finding((*path, "record", "min"), text)


def _targets(mailbox: Mailbox) -> tuple[str, ...]:
    return tuple(mailbox.choice.keys.values()) if mailbox.choice else ()


def _operator(sections: Sections, path: tree.Path, to: str) -> Iterator[Finding]:
    for name, mailbox in sections.mailboxes.items():
        if to in mailbox.numbers:
            text = f"{to} is a number of mailbox {name}: the call would come back here"
            yield Finding((*path, "operator"), text, warning=True)


def _choice(sections: Sections, name: str, mailbox: Mailbox) -> Iterator[Finding]:
    if mailbox.choice is None:
        return
    mailboxes = sections.root.names("mailboxes")
    path: tree.Path = ("mailboxes", name, "choice")
    for key, target in mailbox.choice.keys.items():
        if target not in mailboxes:
            hint = did_you_mean(target, mailboxes) or ": add it under mailboxes:"
            yield Finding((*path, "keys", key), f"there is no mailbox {target!r}{hint}")
    if mailbox.choice.prompt is None and set(mailbox.choice.keys) != {"1", "2", "3"}:
        text = (
            "the built-in prompt names the keys 1, 2 and 3: write prompt: with your own recording"
        )
        yield Finding(path, text, warning=True)


def _numbers(sections: Sections) -> Iterator[Finding]:
    taken: dict[str, str] = {}
    for name, mailbox in sections.mailboxes.items():
        for index, number in enumerate(mailbox.numbers):
            path = ("mailboxes", name, "numbers", index)
            if number not in taken:
                taken[number] = name
                continue
            other = "twice here" if taken[number] == name else f"in mailbox {taken[number]} too"
            yield Finding(path, f"the number {number} stands {other}: leave it in one place")
    for name, mailbox in sections.mailboxes.items():
        own = mailbox.greeting_number
        if own is None or own == "*":
            continue
        if own in taken:
            text = f"the number {own} stands in mailbox {taken[own]} too: leave it in one place"
            yield Finding(("mailboxes", name, "greeting_number"), text)
        taken[own] = name
