"""What the agent and a media worker say to each other: commands, answers and events.

Each is a frozen dataclass that travels as a JSON array, its name first, over a `Channel`. Commands
that bring an answer carry a `request` number, which the answer repeats.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

FAX = "fax"
"""Why a recording ended in which a fax machine calls."""
OVERRUN = "overrun"
"""The note of a message whose packets came faster than they were read (see `Statistics`)."""


@dataclass(frozen=True, slots=True)
class Leg:
    """What was negotiated for a call's media (RFC 3264): the far side as an answer describes it."""

    remote_host: str
    """An IP address; packets are sent there until a source is latched."""
    remote_port: int
    rtcp_host: str
    rtcp_port: int
    rtcp_mux: bool
    """RTCP shares the RTP port (RFC 5761)."""
    codec: str
    """What is sent: PCMU or PCMA."""
    payload_type: int
    event_payload_type: int | None
    """Telephone-events (RFC 4733), where agreed."""
    cn_payload_type: int | None
    """Comfort noise (RFC 3389), where agreed."""
    ptime: int
    """Milliseconds of sound in a packet that is sent."""
    send: bool
    """False while we are on hold: prompts pause."""
    receive: bool
    """False while the far side sends nothing by agreement."""
    payloads: Mapping[int, str] = field(default_factory=dict)
    """Every payload type that may come, with its encoding name."""

    @property
    def on_hold(self) -> bool:
        """Whether the call is on hold: the far side may send music or nothing, so the RTP timeout
        and the silence limit rest."""
        return not (self.send and self.receive)


@dataclass(frozen=True, slots=True)
class Statistics:
    """A call's media in numbers, when it is over."""

    received: int = 0
    """RTP packets that were taken from the latched source."""
    sent: int = 0
    lost: int = 0
    """Packets that never came, by RFC 3550 appendix A.3; repeats count against it."""
    recorded_seconds: float = 0.0
    """Wall-clock seconds between the start and the end of the recordings."""
    jitter: float = 0.0
    """Seconds, interarrival jitter of RFC 3550 section 6.4.1."""
    rejected: int = 0
    """Datagrams that were no RTP or RTCP, or came from a source that was not latched."""
    overrun: int = 0
    """Datagrams that came during the recordings and that the kernel had no room for."""


@dataclass(frozen=True, slots=True)
class Keys:
    """What a secured call is encrypted with (RFC 4568): master keys with their salt."""

    suite: str
    ours: bytes = field(repr=False)
    theirs: bytes = field(repr=False)


# Commands


@dataclass(frozen=True, slots=True)
class Open:
    """Bind a port pair; answered by Opened or Refused."""

    request: int
    call: str
    host: str


@dataclass(frozen=True, slots=True)
class Connect:
    """The far side is known, or has changed."""

    call: str
    leg: Leg


@dataclass(frozen=True, slots=True)
class Secure:
    """From the next Connect on the media is SRTP with these keys (base64); in the clear without."""

    call: str
    suite: str
    ours: str = field(repr=False)
    theirs: str = field(repr=False)

    @classmethod
    def with_keys(cls, call: str, keys: Keys | None) -> Secure:
        if keys is None:
            return cls(call, "", "", "")
        return cls(call, keys.suite, b64encode(keys.ours).decode(), b64encode(keys.theirs).decode())

    @property
    def keys(self) -> Keys | None:
        if not self.suite:
            return None
        return Keys(self.suite, b64decode(self.ours), b64decode(self.theirs))


@dataclass(frozen=True, slots=True)
class Load:
    """Read these prompts now, so that no call waits for the disk."""

    prompts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Play:
    """Send these prompts one after the other, after what still plays; then Played(token)."""

    call: str
    prompts: tuple[str, ...]
    token: int


@dataclass(frozen=True, slots=True)
class Record:
    """Append every packet from now on to the journal at this path."""

    call: str
    journal: str
    max: float
    silence: float
    finish_keys: str


@dataclass(frozen=True, slots=True)
class Finish:
    """End the recording as a finish key does; RecordingEnded follows, where there is one."""

    call: str


@dataclass(frozen=True, slots=True)
class Stop:
    """End playing and recording; no Played and no RecordingEnded follows."""

    call: str


@dataclass(frozen=True, slots=True)
class Close:
    """Say BYE, free the ports; answered by Closed."""

    request: int
    call: str


# Answers


@dataclass(frozen=True, slots=True)
class Ready:
    """The worker takes commands."""


@dataclass(frozen=True, slots=True)
class Opened:
    request: int
    port: int


@dataclass(frozen=True, slots=True)
class Refused:
    request: int
    text: str


@dataclass(frozen=True, slots=True)
class Closed:
    request: int
    statistics: Statistics


# Events


@dataclass(frozen=True, slots=True)
class FirstPacket:
    """The first RTP packet of the call was taken."""

    call: str


@dataclass(frozen=True, slots=True)
class Played:
    """The last packet of the prompts of this Play was sent."""

    call: str
    token: int


@dataclass(frozen=True, slots=True)
class Digit:
    """A key was pressed: 0-9, *, #, A-D."""

    call: str
    digit: str


@dataclass(frozen=True, slots=True)
class RecordingEnded:
    """The journal is closed and whole; `why` is key, silence, max or FAX."""

    call: str
    why: str


@dataclass(frozen=True, slots=True)
class Timeout:
    """Nothing was heard from the far side for the RTP timeout."""

    call: str


@dataclass(frozen=True, slots=True)
class Failed:
    """Playing or recording of this call broke (a full disk, a missing prompt); the others go on."""

    call: str
    text: str


Command = Open | Secure | Connect | Load | Play | Record | Finish | Stop | Close
Answer = Ready | Opened | Refused | Closed
Event = FirstPacket | Played | Digit | RecordingEnded | Timeout | Failed

_KINDS: dict[str, type[Any]] = {
    kind.__name__: kind
    for kind in (
        *(Open, Secure, Connect, Load, Play, Record, Finish, Stop, Close),
        *(Ready, Opened, Refused, Closed),
        *(FirstPacket, Played, Digit, RecordingEnded, Timeout, Failed),
    )
}


# What `encode` reads of each, in the order of the fields: looked up once, not for every message.
_FIELDS = {
    kind: tuple(field.name for field in fields(kind))
    for kind in (*_KINDS.values(), Leg, Statistics)
}


def encode(message: Command | Answer | Event) -> list[object]:
    """The message as what `Channel.send` takes."""
    return [type(message).__name__, *_values(message)]


def decode(message: list[Any]) -> Command | Answer | Event:
    """The message that `encode` made; both ends are ours, so a wrong one is a programming error."""
    name, *values = message
    kind = _KINDS[name]
    if kind is Connect:
        call, leg = values
        leg[-1] = {int(key): text for key, text in leg[-1].items()}
        return Connect(call, Leg(*leg))
    if kind is Closed:
        return Closed(values[0], Statistics(*values[1]))
    return kind(*(tuple(v) if isinstance(v, list) else v for v in values))  # type: ignore[no-any-return]


def _values(of: Any) -> list[object]:
    values = [getattr(of, name) for name in _FIELDS[type(of)]]
    # The one value that is more than JSON's own types is the last one, where there is one.
    last = values[-1] if values else None
    if isinstance(last, Leg | Statistics):
        values[-1] = _values(last)
    elif isinstance(last, Mapping):
        values[-1] = dict(last)
    return values
