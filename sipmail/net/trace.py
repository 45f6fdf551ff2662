"""The SIP trace: whole messages in the log, as they go over the wire, without what is secret.

Each message is one record: a line with the direction (`<` came, `>` went), the transport, the far
end and the Call-ID, then the message, every line of it behind the same sign. Masked are what a
password could be guessed from (the `response` of digest credentials, and Basic ones) and the keys
of SRTP. On for all peers, or for the addresses of some trunks; on and off while running.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Collection, Iterable

from sipmail.sip.actions import Hop

log = logging.getLogger(__name__)

_MASK = r"\1***"
_SECRETS = (
    re.compile(r"\b((?:response|rspauth)\s*=\s*\"?)[0-9a-f]+", re.IGNORECASE),
    re.compile(r"^((?:proxy-)?authorization\s*:\s*basic\s+)\S+", re.IGNORECASE | re.MULTILINE),
    re.compile(r"\b(inline:)[^\s|;]+", re.IGNORECASE),
    re.compile(r"^(k=|a=key-mgmt:)\S+", re.IGNORECASE | re.MULTILINE),
)
_CALL_ID = re.compile(r"^(?:call-id|i)[ \t]*:[ \t]*(\S+)", re.IGNORECASE | re.MULTILINE)
_UNPRINTABLE = re.compile(r"[^\t\n\x20-\x7e\xa0-\U0010ffff]")


def masked(data: bytes) -> str:
    """A message as text that may be shown: secrets masked, nothing that moves a terminal."""
    text = data.decode("utf-8", "replace").replace("\r\n", "\n")
    for secret in _SECRETS:
        text = secret.sub(_MASK, text)
    return _UNPRINTABLE.sub("?", text)


class Trace:
    """Which messages are logged. `trunks_at(host)` names the trunks that an address belongs to."""

    def __init__(self, trunks_at: Callable[[str], Iterable[str]]) -> None:
        self.everything = False
        self._trunks_at = trunks_at
        self._trunks: set[str] = set()

    @property
    def on(self) -> bool:
        """Whether anything is logged."""
        return self.everything or bool(self._trunks)

    @property
    def trunks(self) -> Collection[str]:
        """The trunks that are traced by name."""
        return sorted(self._trunks)

    def switch(self, on: bool, trunk: str | None = None) -> None:
        """Switches the trace of one trunk, or of everything; off for everything is off at all."""
        if trunk is None:
            self.everything = on
            if not on:
                self._trunks.clear()
        elif on:
            self._trunks.add(trunk)
        else:
            self._trunks.discard(trunk)

    def received(self, data: bytes, source: Hop) -> None:
        """A message came."""
        self._log("<", data, source)

    def sent(self, data: bytes, hop: Hop) -> None:
        """A message goes out."""
        self._log(">", data, hop)

    def _log(self, sign: str, data: bytes, hop: Hop) -> None:
        if not data.strip(b"\r\n\x00") or not self._wants(hop.host):
            return  # keep-alives would hide what is looked for
        text = masked(data)
        call_id = _CALL_ID.search(text)
        host = f"[{hop.host}]" if ":" in hop.host else hop.host
        log.info(
            "%s %s %s:%d Call-ID %s\n%s",
            sign,
            hop.transport,
            host,
            hop.port,
            call_id[1] if call_id else "-",
            "\n".join(f"{sign} {line}" for line in text.rstrip("\n").split("\n")),
        )

    def _wants(self, host: str) -> bool:
        return self.everything or not self._trunks.isdisjoint(self._trunks_at(host))
