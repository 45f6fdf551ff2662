"""What the SIP endpoint asks of its shell and tells the application: frozen values.

`Send` and `Resolve` are for the shell that owns the sockets, the rest is news for the application.
Rules that the application may rely on: every `Incoming` is followed by exactly one `Ended` with
the same `call`, which is the last action that names it; `Established`, `Cancelled` and `HungUp`
come at most once a call, before `Ended`.
"""

from __future__ import annotations

from dataclasses import dataclass

from sipmail.sip.media import Media
from sipmail.sip.message import Request


@dataclass(frozen=True, slots=True)
class Hop:
    """One end of a transport: where bytes go to, or came from.

    `transport` is `udp`, `tcp` or `tls`; `host` a numeric address without brackets (a name only
    where a peer wrote one into a Via or Contact).
    """

    transport: str
    host: str
    port: int


@dataclass(frozen=True, slots=True)
class Way:
    """A hop to send to, and our end of it: the address and port of ours that it sees."""

    to: Hop
    local: Hop


@dataclass(frozen=True, slots=True)
class Send:
    """Send these bytes: one datagram, or over the connection to that hop."""

    data: bytes
    to: Hop


@dataclass(frozen=True, slots=True)
class Resolve:
    """Look up `uri` (RFC 3263) and tell `Endpoint.resolved(trunk, ways, now)`."""

    trunk: str
    uri: str


@dataclass(frozen=True, slots=True)
class Registered:
    """The registrar of `trunk` took the registration, for `expires` seconds."""

    trunk: str
    expires: float


@dataclass(frozen=True, slots=True)
class RegistrationFailed:
    """No registration: the answer's status (None where there was none), tried again after
    `retry_in` seconds."""

    trunk: str
    status: int | None
    reason: str
    retry_in: float


@dataclass(frozen=True, slots=True)
class Unregistered:
    """The registration of `trunk` is given up: confirmed, or the registrar did not answer."""

    trunk: str


@dataclass(frozen=True, slots=True)
class Incoming:
    """A new INVITE that belongs to `trunk`; 100 is sent already.

    Answer it with `ring`, `answer` or `reject` of the endpoint. `replaces` is the call whose place
    it takes once it is answered (RFC 3891).
    """

    call: str
    request: Request
    trunk: str
    source: Hop
    replaces: str | None = None


@dataclass(frozen=True, slots=True)
class Established:
    """The caller has acknowledged our 200."""

    call: str


@dataclass(frozen=True, slots=True)
class MediaChanged:
    """Where media of `call` goes to and what it is, from now on."""

    call: str
    media: Media


@dataclass(frozen=True, slots=True)
class Cancelled:
    """The caller cancelled before an answer; `elsewhere` when somebody else took the call."""

    call: str
    elsewhere: bool


@dataclass(frozen=True, slots=True)
class HungUp:
    """The caller's BYE came and was answered; `reason` is what it said about why."""

    call: str
    reason: str


@dataclass(frozen=True, slots=True)
class Replaced:
    """Another call, which is answered, has taken the place of `call`; `Ended` follows."""

    call: str


@dataclass(frozen=True, slots=True)
class Ended:
    """The last word about a call."""

    call: str
    cause: str


@dataclass(frozen=True, slots=True)
class InfoDigit:
    """A key that was sent as an INFO request: one of `0123456789*#ABCD`."""

    call: str
    digit: str


@dataclass(frozen=True, slots=True)
class Renamed:
    """A re-INVITE or UPDATE names another caller in its P-Asserted-Identity."""

    call: str
    request: Request


@dataclass(frozen=True, slots=True)
class Transferred:
    """Whoever the call was to be transferred to has it now; ours may end, where it has not."""

    call: str


@dataclass(frozen=True, slots=True)
class TransferFailed:
    """No transfer: the status that says why (None where none does). Only after a status of None may
    `Transferred` still follow."""

    call: str
    status: int | None
    reason: str


@dataclass(frozen=True, slots=True)
class Ignored:
    """A request that belongs to no trunk got no answer; `hint` is what would accept it."""

    source: Hop
    method: str
    hint: str


Action = (
    Send
    | Resolve
    | Registered
    | RegistrationFailed
    | Unregistered
    | Incoming
    | Established
    | MediaChanged
    | Cancelled
    | HungUp
    | Replaced
    | Ended
    | InfoDigit
    | Renamed
    | Transferred
    | TransferFailed
    | Ignored
)
