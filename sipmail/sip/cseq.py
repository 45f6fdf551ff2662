"""CSeq: the number and method that order requests in a dialog (RFC 3261 section 20.16)."""

from __future__ import annotations

import re
from dataclasses import dataclass

from sipmail.errors import ProtocolError
from sipmail.sip.grammar import TOKEN

MAXIMUM = 2**31 - 1

_CSEQ = re.compile(rf"[ \t]*0*([0-9]{{1,10}})[ \t]+({TOKEN})[ \t]*")


@dataclass(frozen=True)
class CSeq:
    """`number` is below 2**31 (section 8.1.1.5)."""

    number: int
    method: str

    @classmethod
    def parse(cls, text: str) -> CSeq:
        """Raises ProtocolError(400), also for a number out of range."""
        found = _CSEQ.fullmatch(text)
        if found is None:
            raise ProtocolError(400, "Malformed CSeq")
        number = int(found[1])
        if number > MAXIMUM:
            raise ProtocolError(400, "CSeq out of range")
        return cls(number, found[2])

    def __str__(self) -> str:
        return f"{self.number} {self.method}"
