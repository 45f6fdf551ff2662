"""Who the caller is, in the words of the network: P-Asserted-Identity and Remote-Party-ID.

RFC 3325 section 9.1; Remote-Party-ID never became more than a draft
(draft-ietf-sip-privacy-04), and PBXs still send it. Whether the one who asserts is to be trusted is
for the reader to say.
"""

from __future__ import annotations

from dataclasses import dataclass

from sipmail.errors import ProtocolError
from sipmail.sip.headers import Headers
from sipmail.sip.nameaddr import NameAddr


def asserted_identities(headers: Headers) -> tuple[NameAddr, ...]:
    """The identities of P-Asserted-Identity (a sip and a tel URI at most); malformed left out."""
    return _addresses(headers, "P-Asserted-Identity")


@dataclass(frozen=True)
class RemoteParty:
    """One Remote-Party-ID. `party` is calling, called …; `privacy` is off, full, name, uri …"""

    address: NameAddr
    party: str
    privacy: str
    screened: bool

    @property
    def withheld(self) -> bool:
        """Whether the identity must not be shown."""
        return self.privacy not in ("", "off")


def remote_parties(headers: Headers) -> tuple[RemoteParty, ...]:
    """The Remote-Party-IDs of a message; malformed ones are left out."""
    return tuple(
        RemoteParty(
            address,
            (address.params.get("party") or "calling").lower(),
            (address.params.get("privacy") or "off").lower(),
            (address.params.get("screen") or "no").lower() == "yes",
        )
        for address in _addresses(headers, "Remote-Party-ID")
    )


def _addresses(headers: Headers, name: str) -> tuple[NameAddr, ...]:
    found: list[NameAddr] = []
    for value in headers.values(name):
        try:
            address = NameAddr.parse(value)
            _ = address.parsed_uri
        except ProtocolError:
            continue
        found.append(address)
    return tuple(found)
