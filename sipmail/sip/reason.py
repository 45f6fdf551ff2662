"""Reason: why a request was sent, or a call forwarded (RFC 3326, Q.850 text in RFC 6432)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from sipmail.errors import ProtocolError
from sipmail.sip.grammar import TOKEN, quote, split_commas
from sipmail.sip.headers import Headers
from sipmail.sip.parameters import Parameters

_PROTOCOL = re.compile(rf"[ \t]*({TOKEN})[ \t]*")
_CAUSE = re.compile(r"[0-9]{1,4}")

COMPLETED_ELSEWHERE = 200


@dataclass(frozen=True)
class Reason:
    """`protocol` as written (SIP, Q.850 …), `cause` a number of that protocol."""

    protocol: str
    cause: int | None = None
    text: str | None = None

    @classmethod
    def parse(cls, text: str) -> Reason:
        """One value of a Reason header; raises ProtocolError(400)."""
        found = _PROTOCOL.match(text)
        if found is None:
            raise ProtocolError(400, "Malformed Reason")
        params = Parameters.parse(text, found.end())
        cause = params.get("cause")
        if cause is not None and _CAUSE.fullmatch(cause) is None:
            raise ProtocolError(400, "Malformed cause in Reason")
        return cls(found[1], None if cause is None else int(cause), params.get("text"))

    def __str__(self) -> str:
        cause = "" if self.cause is None else f";cause={self.cause}"
        text = "" if self.text is None else f";text={quote(self.text)}"
        return f"{self.protocol}{cause}{text}"

    @property
    def is_sip(self) -> bool:
        """Whether `cause` is a SIP status code."""
        return self.protocol.upper() == "SIP"


def parse_reasons(lines: Iterable[str]) -> tuple[Reason, ...]:
    """The Reasons in header lines; malformed ones are left out (RFC 3261 section 8.2)."""
    reasons: list[Reason] = []
    for line in lines:
        for value in split_commas(line):
            try:
                reasons.append(Reason.parse(value))
            except ProtocolError:
                continue
    return tuple(reasons)


def reasons(headers: Headers) -> tuple[Reason, ...]:
    """The Reasons of a message."""
    return parse_reasons(headers.all("Reason"))


def completed_elsewhere(headers: Headers) -> bool:
    """Whether a CANCEL says that somebody else has taken the call (RFC 3326 section 3.1)."""
    return any(one.is_sip and one.cause == COMPLETED_ELSEWHERE for one in reasons(headers))
