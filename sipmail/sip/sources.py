"""Sources: which trunk a request from outside a dialog belongs to, if it belongs to any.

Rules:
- Trunks are candidates where the request comes from one of their registrar's addresses or from
  accept_from. No candidate: no answer, not even an error, and a hint for the log.
- Of several, the one whose Contact user the Request-URI names; else the first whose username is
  the user of the Request-URI, or else of To; else the first.
"""

from __future__ import annotations

from collections.abc import Iterable

from sipmail.errors import ProtocolError
from sipmail.sip.line import Line, parse_address
from sipmail.sip.message import Request

_REMEMBERED = 4096


class Sources:
    """The trunks, in their order. What an address may call is remembered until `forget`."""

    def __init__(self, lines: Iterable[Line]) -> None:
        self._lines = tuple(lines)
        self._known: dict[str, tuple[Line, ...]] = {}

    def replace(self, lines: Iterable[Line]) -> None:
        """From now on these are the trunks."""
        self._lines = tuple(lines)
        self.forget()

    def forget(self) -> None:
        """Addresses have changed."""
        self._known.clear()

    def candidates(self, host: str) -> tuple[Line, ...]:
        """The trunks that requests from this address may belong to."""
        known = self._known.get(host)
        if known is None:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            address = parse_address(host)
            name = host if address is None else str(address)
            known = tuple(line for line in self._lines if line.accepts(name, address))
            self._known[host] = known
        return known

    def line_of(self, request: Request, candidates: tuple[Line, ...]) -> Line:
        """The trunk of a well-formed request, of the `candidates` for its source (at least one)."""
        if len(candidates) == 1:
            return candidates[0]
        dialled = _user(request)
        for line in candidates:
            if line.contact_user == dialled:
                return line
        for named in (dialled, request.to.parsed_uri.user_text):
            for line in candidates:
                if line.trunk.username and line.trunk.username == named:
                    return line
        return candidates[0]

    def hint(self, request: Request, host: str) -> str:
        """What would accept a request that belongs to no trunk."""
        dialled = _user(request)
        for line in self._lines:
            if dialled and dialled in (line.contact_user, line.trunk.username):
                return f"sip.trunks.{line.trunk.name}.accept_from: [{host}] would accept it"
        names = ", ".join(line.trunk.name for line in self._lines)
        where = f"a trunk (there are: {names})" if names else "a trunk under sip.trunks"
        return f"accept_from: [{host}] in {where} would accept it"


def _user(request: Request) -> str:
    try:
        return request.parsed_uri.user_text
    except ProtocolError:
        return ""
