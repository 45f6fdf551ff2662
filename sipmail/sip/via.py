"""Via: the way of a request and of its answer (RFC 3261 section 20.42, rport: RFC 3581)."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from sipmail.errors import ProtocolError
from sipmail.sip.grammar import HOST, TOKEN, format_host, parse_host, parse_port
from sipmail.sip.parameters import EMPTY, Parameters

MAGIC_COOKIE = "z9hG4bK"

_VIA = re.compile(
    rf"[ \t]*SIP[ \t]*/[ \t]*2\.0[ \t]*/[ \t]*({TOKEN})[ \t]+({HOST})"
    r"(?:[ \t]*:[ \t]*([0-9]{1,5}))?[ \t]*",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Via:
    """`transport` in upper case (UDP, TCP, TLS …), `host` and `port` of sent-by."""

    transport: str
    host: str
    port: int | None = None
    params: Parameters = field(default=EMPTY)

    @classmethod
    def parse(cls, text: str) -> Via:
        """One value of a Via header; raises ProtocolError(400)."""
        found = _VIA.match(text)
        if found is None:
            raise ProtocolError(400, "Malformed Via")
        transport, host, port = found.groups()
        return cls(
            transport.upper(),
            parse_host(host),
            parse_port(port),
            Parameters.parse(text, found.end()),
        )

    def __str__(self) -> str:
        port = "" if self.port is None else f":{self.port}"
        return f"SIP/2.0/{self.transport} {format_host(self.host)}{port}{self.params}"

    @property
    def branch(self) -> str | None:
        """The transaction's identifier; None in requests of RFC 2543."""
        return self.params.get("branch")

    @property
    def received(self) -> str | None:
        """The address that the request came from, without brackets (RFC 5118 section 4.5)."""
        received = self.params.get("received")
        return received.strip("[]") if received else None

    @property
    def rport(self) -> int | None:
        """The source port that a server has filled in; None while it is only asked for."""
        text = self.params.get("rport") or ""
        return int(text) if re.fullmatch(r"[0-9]{1,5}", text) and int(text) < 65536 else None

    @property
    def wants_rport(self) -> bool:
        """Whether the client asks for answers to its source port (RFC 3581 section 3)."""
        return "rport" in self.params

    def received_from(self, host: str, port: int) -> Via:
        """A copy marked with the source of the request (sections 18.2.1, RFC 3581 section 4).

        `received` is set where the source differs from sent-by, and always with `rport`.
        """
        params = self.params
        if self.wants_rport:
            params = params.with_("rport", str(port))
        if self.wants_rport or self.host != host:
            params = params.with_("received", host)
        return Via(self.transport, self.host, self.port, params)
