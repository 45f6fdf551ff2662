"""Media as both ends agreed on it, in the words of RFC 3264 seen from our side."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from sipmail.sip.crypto import Encryption, Keys


@dataclass(frozen=True)
class LocalMedia:
    """Our end: an address, an RTP port (RTCP on the next), codecs in order of preference
    ("PCMA", "PCMU").

    `secret` is what our SRTP keys are cut from: `crypto.SECRET_BYTES` random bytes, the same over
    the life of a call.
    """

    host: str
    port: int
    codecs: tuple[str, ...]
    encryption: Encryption = Encryption.OFF
    secret: bytes = field(default=b"", repr=False)


@dataclass(frozen=True)
class Media:
    """What was agreed.

    While `send`, we send `codec` as `payload_type` in packets of `ptime` milliseconds to
    `remote_host`; while `receive`, the peer sends `payloads` (payload type -> "PCMA", "PCMU",
    "telephone-event", "CN"). Either one False is hold: the peer may then send nothing at all,
    whatever it said. `event_payload_type` is that of the digits that come, `cn_payload_type` that
    of comfort noise that we may send. `remote_host` is `0.0.0.0` where a caller on hold from the
    start gave no address. With `rtcp_mux`, RTCP uses the port of RTP.
    """

    remote_host: str
    remote_port: int
    rtcp_host: str
    rtcp_port: int
    rtcp_mux: bool
    codec: str
    payload_type: int
    event_payload_type: int | None
    cn_payload_type: int | None
    ptime: int
    send: bool
    receive: bool
    payloads: Mapping[int, str] = field(default_factory=dict)
    keys: Keys | None = None
    """With them both directions are SRTP, RTCP too."""
