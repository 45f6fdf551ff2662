"""The session: what both sides agreed about media, by offer and answer (RFC 3264)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class LocalMedia:
    """Our end: an address, an RTP port (RTCP on the next), codecs in order of preference
    ("PCMA", "PCMU")."""

    host: str
    port: int
    codecs: tuple[str, ...]


@dataclass(frozen=True)
class Media:
    """What was agreed, as seen from here.

    We send `codec` as `payload_type` in packets of `ptime` milliseconds while `send`; we take
    `payloads` (payload type -> "PCMA", "PCMU", "telephone-event", "CN") while `receive`. With
    `rtcp_mux`, RTCP uses the port of RTP.
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
