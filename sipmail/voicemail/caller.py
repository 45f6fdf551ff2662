"""Who calls.

Rules:
- The number is that of the first of `P-Asserted-Identity` (RFC 3325; whoever may call us is
  trusted to assert it), `Remote-Party-ID` (of the calling party) and From that holds one.
- The name comes from the same places in the same order, so that a carrier's bare number does not
  hide the name that the PBX wrote in From.
- `Privacy: id`, `user` or `header` (RFC 3323, 3325), a Remote-Party-ID with `privacy=full` or `uri`
  and an anonymous From make the caller withheld: then neither number nor name is kept.
- Names like "Anonymous", or that repeat the number, are no names.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

from sipmail.errors import ProtocolError
from sipmail.sip.identity import asserted_identities, remote_parties
from sipmail.sip.message import Request
from sipmail.sip.nameaddr import NameAddr
from sipmail.sip.privacy import identity_withheld
from sipmail.sip.uri import OtherUri, SipUri
from sipmail.spool.message import Caller
from sipmail.voicemail.display import clean
from sipmail.voicemail.number import is_number, number, number_of

_ANONYMOUS = frozenset({"anonymous", "restricted", "private", "withheld", "blocked"})
_NAMELESS = _ANONYMOUS | {
    "unknown",
    "unavailable",
    "no name",
    "anonim",
    "nieznany",
    "zastrzeżony",
    "numer zastrzeżony",
    "numer prywatny",
    "anonymous caller",
    "private number",
    "unknown caller",
    "name unavailable",
    "asterisk",
}
_UNKNOWN_HOSTS = frozenset({"unknown.invalid"})
_ANONYMOUS_HOSTS = frozenset({"anonymous.invalid"})


@dataclass(frozen=True, slots=True)
class Identity:
    """What one header says of the caller; `withheld` where it says that nobody may know."""

    header: str
    number: str
    name: str
    withheld: bool = False


def caller(request: Request, country: str | None) -> Caller:
    """Who sent this INVITE; `country` (ISO 3166) says how national numbers are read."""
    return decide(tuple(identities(request, country)), identity_withheld(request.headers))


def renamed(request: Request, country: str | None) -> Caller | None:
    """Who is on the line after a re-INVITE or UPDATE (an attended transfer), None where it does
    not say. From is not asked: within a dialog it still names whoever called first."""
    found = tuple(one for one in identities(request, country) if one.header != "From")
    if not found:
        return None
    return decide(found, identity_withheld(request.headers))


def decide(found: tuple[Identity, ...], private: bool) -> Caller:
    """The caller that the identities make, the most trusted first."""
    if private or any(identity.withheld for identity in found):
        return Caller(withheld=True)
    number = next((identity.number for identity in found if identity.number), None)
    name = next((identity.name for identity in found if identity.name), None)
    return Caller(number, name)


def identities(request: Request, country: str | None) -> Iterator[Identity]:
    """Every identity of the caller, the most trusted first; malformed ones are left out."""
    for address in asserted_identities(request.headers):
        yield _identity("P-Asserted-Identity", address, country)
    for party in remote_parties(request.headers):
        if party.party == "calling":
            yield _identity("Remote-Party-ID", party.address, country, party.privacy)
    with suppress(ProtocolError):
        yield _identity("From", request.from_, country)


def _identity(header: str, address: NameAddr, country: str | None, privacy: str = "") -> Identity:
    name = clean(address.display)
    try:
        uri = address.parsed_uri
    except ProtocolError:
        return Identity(header, "", name)
    user = clean(uri.user_text).lower()
    host = uri.host.lower() if isinstance(uri, SipUri) else ""
    if user in _ANONYMOUS or host in _ANONYMOUS_HOSTS or privacy.startswith(("full", "uri")):
        return Identity(header, "", "", withheld=True)
    if user in _NAMELESS or host in _UNKNOWN_HOSTS:
        return Identity(header, "", "")
    called_from = _reachable(uri, number_of(uri, country))
    if not called_from and name.lower() in _ANONYMOUS:
        return Identity(header, "", "", withheld=True)
    if privacy.startswith("name") or _says_nothing(name, called_from, country):
        name = ""
    return Identity(header, called_from, name)


def _reachable(uri: object, found: str) -> str:
    """What would be dialled to call back: a number, or a name with the domain that knows it."""
    if isinstance(uri, OtherUri) or not found:
        return ""
    if is_number(found) or not isinstance(uri, SipUri) or not _is_domain(uri.host):
        return found
    return f"{found}@{uri.host.lower()}"


def _is_domain(host: str) -> bool:
    return ":" not in host and not host.rpartition(".")[2].isdigit() and "." in host


def _says_nothing(name: str, called_from: str, country: str | None) -> bool:
    return name.lower() in _NAMELESS or (
        bool(name) and called_from in (name, number(name, country))
    )
