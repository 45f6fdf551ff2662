"""Diversion: who forwarded a call and why (RFC 5806).

The topmost entry is the last forwarding, the one that led here; the lowest is the first.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from sipmail.errors import ProtocolError
from sipmail.sip.headers import Headers
from sipmail.sip.nameaddr import NameAddr

_COUNTER = re.compile(r"[0-9]{1,2}")


@dataclass(frozen=True)
class Diversion:
    """One forwarding. `reason` and `privacy` are in lower case, `counter` is at least 1."""

    address: NameAddr
    reason: str = "unknown"
    counter: int = 1
    privacy: str = "off"

    @classmethod
    def parse(cls, text: str) -> Diversion:
        """One value of a Diversion header; raises ProtocolError(400)."""
        address = NameAddr.parse(text)
        _ = address.parsed_uri
        params = address.params
        counter = params.get("counter")
        if counter is not None and _COUNTER.fullmatch(counter) is None:
            raise ProtocolError(400, "Malformed counter in Diversion")
        return cls(
            address,
            (params.get("reason") or "unknown").strip().lower(),
            max(1, int(counter or 1)),
            (params.get("privacy") or "off").strip().lower(),
        )

    @property
    def withheld(self) -> bool:
        """Whether the address must not be shown to the called person (section 4)."""
        return self.privacy in ("full", "uri")


def diversions(headers: Headers) -> tuple[Diversion, ...]:
    """The forwardings of a call, the last one first; malformed ones are left out."""
    found: list[Diversion] = []
    for value in headers.values("Diversion"):
        try:
            found.append(Diversion.parse(value))
        except ProtocolError:
            continue
    return tuple(found)
