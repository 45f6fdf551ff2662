"""Negotiation: one offer and its answer, as pure functions (RFC 3264).

Rules:
- The first audio stream with a codec in common is taken, every other stream is refused with port
  0 in its place (section 6). Streams are RTP/AVP or RTP/AVPF.
- Encrypted streams are RTP/SAVP and RTP/SAVPF with a usable crypto attribute, and RTP/AVP with one,
  as PBXs write it that leave the choice to the answerer. Where encryption may be, they are taken
  before clear ones; where it must be, nothing else is; where it is off, SAVP is refused and never
  answered in clear.
- Codecs are G.711 in both laws, in our order of preference; all in common are in the answer, with
  the payload types of the offer, and we send the first. Telephone-events (RFC 4733) and comfort
  noise (RFC 3389) are taken where they are offered.
- Directions mirror each other (section 6.1); the null address means that we don't send (8.4).
- ptime is the peer's wish where the packets can be made that long, else 20 ms. RTCP goes to the
  port after RTP's or where RFC 3605 says, or with rtcp-mux (RFC 5761) to RTP's own.
- What can't be agreed on is a 488 with the warning code of RFC 3261 section 20.43.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, replace

from sipmail.errors import ProtocolError
from sipmail.sip.crypto import Crypto, Encryption, Keys, offered, usable
from sipmail.sip.lazy import remembered
from sipmail.sip.media import LocalMedia, Media
from sipmail.sip.sdp import (
    Attribute,
    Connection,
    Direction,
    MediaDescription,
    SessionDescription,
)

EVENT = "telephone-event"
COMFORT_NOISE = "CN"
CODECS = ("PCMU", "PCMA")
DEFAULT_PTIME = 20

_STATIC = {0: "PCMU", 8: "PCMA", 13: COMFORT_NOISE}
_PAYLOAD_TYPES = {name: number for number, name in _STATIC.items()}
_EVENTS = "0-15"
_PROFILES = ("RTP/AVP", "RTP/AVPF")
_SECURE_PROFILES = ("RTP/SAVP", "RTP/SAVPF")
_PTIMES = (10, 20, 30, 40, 60)
_MIRROR = {
    Direction.SENDRECV: Direction.SENDRECV,
    Direction.SENDONLY: Direction.RECVONLY,
    Direction.RECVONLY: Direction.SENDONLY,
    Direction.INACTIVE: Direction.INACTIVE,
}


class NotAcceptable(ProtocolError):
    """A session that can't be agreed on; `warning` is the code of RFC 3261 section 20.43."""

    def __init__(self, warning: int, text: str) -> None:
        self.warning = warning
        super().__init__(488, text)


_NO_MEDIA = NotAcceptable(304, "No media")
_CLOSE = {302: 1, 300: 2, 301: 2, 330: 2, 305: 3}


@dataclass(frozen=True)
class Agreement:
    """What offer and answer come to: our side of it in SDP, and what it means for media."""

    streams: tuple[MediaDescription, ...]
    index: int
    media: Media | None
    """None where the peer has closed the audio stream."""


def answer(offer: SessionDescription, local: LocalMedia, source: str) -> Agreement:
    """Answers an offer; `source` is the address that stands in for a host name in `c=`.

    Raises NotAcceptable.
    """
    refusals: list[NotAcceptable] = []
    indices = list(range(len(offer.media)))
    if local.encryption is not Encryption.OFF:
        indices = sorted(indices, key=lambda index: not _has_keys(offer.media[index]))
    for index in indices:
        stream = offer.media[index]
        try:
            ours, media = _answer_stream(offer, stream, local, source)
        except NotAcceptable as refusal:
            refusals.append(refusal)
            continue
        streams = [_refused(other) for other in offer.media]
        streams[index] = ours
        return Agreement(tuple(streams), index, media)
    if offer.media and not any(stream.port for stream in offer.media):
        return Agreement(tuple(_refused(stream) for stream in offer.media), 0, None)
    raise _foremost(refusals)


def check_offer(offer: SessionDescription, encryption: Encryption = Encryption.OFF) -> None:
    """Whether an offer can be answered by somebody with all our codecs; raises NotAcceptable."""
    refusals: list[NotAcceptable] = []
    for stream in offer.media:
        try:
            _check_stream(stream, encryption)
        except NotAcceptable as refusal:
            refusals.append(refusal)
            continue
        if any(name in CODECS for _, name in _names(stream)):
            return
        refusals.append(NotAcceptable(305, "No codec in common"))
    raise _foremost(refusals)


def offer_stream(local: LocalMedia, event_payload_type: int) -> MediaDescription:
    """The audio stream that we offer."""
    names = [name for name in local.codecs if name in CODECS]
    types = {_PAYLOAD_TYPES[name]: name for name in (*names, COMFORT_NOISE)}
    types[event_payload_type] = EVENT
    proto = "RTP/SAVP" if local.encryption is Encryption.REQUIRED else "RTP/AVP"
    crypto = [] if local.encryption is Encryption.OFF else offered(local.secret)
    return _described(local, proto, types, DEFAULT_PTIME, Direction.SENDRECV, crypto, mux=False)


def accept(answered: SessionDescription, ours: MediaDescription, index: int, source: str) -> Media:
    """What the answer to our offer `ours`, which was stream number `index`, means for media.

    Raises NotAcceptable.
    """
    if index >= len(answered.media):
        raise NotAcceptable(304, "No answer to the audio stream")
    stream = answered.media[index]
    if stream.kind != "audio" or not stream.port:
        raise NotAcceptable(304, "The audio stream was refused")
    theirs = _names(stream)
    offered = [ours.rtpmap[number].name for number in ours.payload_types]
    codec = next(
        ((number, name) for number, name in theirs if name in CODECS and name in offered), None
    )
    if codec is None:
        raise NotAcceptable(305, "No codec in common")
    return _media(
        answered,
        stream,
        source,
        codec,
        dict(theirs),
        {number: ours.rtpmap[number].name for number in ours.payload_types},
        answered.direction(stream),
        _accepted_keys(stream, ours),
        mux=False,
    )


def _accepted_keys(answered: MediaDescription, ours: MediaDescription) -> Keys | None:
    """The keys of an answer to our offer; raises NotAcceptable where an encrypted one has none."""
    theirs = usable(answered.crypto)
    offers = [one for value in ours.crypto if (one := Crypto.parse(value)) is not None]
    for one in offers:
        if theirs is not None and (one.tag, one.suite) == (theirs.tag, theirs.suite):
            return Keys(one.suite, one.key, theirs.key)
    if answered.secure or ours.secure:
        raise NotAcceptable(302, "No usable crypto attribute")
    return None


def _foremost(refusals: list[NotAcceptable]) -> NotAcceptable:
    """Of the reasons to refuse each stream, the one that came closest to being taken."""
    return max(refusals, key=lambda one: _CLOSE.get(one.warning, 0), default=_NO_MEDIA)


def _has_keys(stream: MediaDescription) -> bool:
    return stream.secure or bool(stream.crypto)


def _check_stream(stream: MediaDescription, encryption: Encryption) -> Crypto | None:
    """What the peer encrypts the stream with, None for a clear one; raises NotAcceptable."""
    if stream.kind != "audio" or not stream.port:
        raise NotAcceptable(304, "Media type not available")
    profile = stream.proto.upper()
    secure = profile in _SECURE_PROFILES
    if profile not in _PROFILES and not (secure and encryption is not Encryption.OFF):
        raise NotAcceptable(302, f"Incompatible transport protocol {stream.proto}")
    crypto = None if encryption is Encryption.OFF else usable(stream.crypto)
    if secure and crypto is None:
        raise NotAcceptable(302, "No usable crypto attribute")
    if encryption is Encryption.REQUIRED and crypto is None:
        raise NotAcceptable(302, "Media must be encrypted here")
    return crypto


def _answer_stream(
    offer: SessionDescription, stream: MediaDescription, local: LocalMedia, source: str
) -> tuple[MediaDescription, Media]:
    crypto = _check_stream(stream, local.encryption)
    theirs = _names(stream)
    chosen = [
        next(((number, name) for number, name in theirs if name == wanted), None)
        for wanted in local.codecs
        if wanted in CODECS
    ]
    codecs = [codec for codec in chosen if codec is not None]
    if not codecs:
        raise NotAcceptable(305, "No codec in common")
    types = dict(codecs)
    for extra in (COMFORT_NOISE, EVENT):
        types.update([(number, name) for number, name in theirs if name == extra][:1])
    direction = offer.direction(stream)
    reply = None if crypto is None else crypto.answer(local.secret)
    keys = None if crypto is None or reply is None else Keys(crypto.suite, reply.key, crypto.key)
    media = _media(
        offer, stream, source, codecs[0], types, types, direction, keys, mux=stream.rtcp_mux
    )
    if (":" in media.remote_host) != (":" in local.host):
        raise NotAcceptable(301, "Incompatible network address formats")
    replies = [] if reply is None else [reply]
    ours = _described(
        local, stream.proto, types, media.ptime, _MIRROR[direction], replies, mux=media.rtcp_mux
    )
    return ours, media


def _media(
    session: SessionDescription,
    stream: MediaDescription,
    source: str,
    codec: tuple[int, str],
    theirs: dict[int, str],
    ours: dict[int, str],
    direction: Direction,
    keys: Keys | None,
    *,
    mux: bool,
) -> Media:
    """What the peer's description of a stream means for us.

    `theirs` are the payload types that the peer takes, `ours` those that it may send.
    """
    connection = session.connection_of(stream)
    if connection is None:
        raise NotAcceptable(300, "No connection address")
    host = _host(connection, source)
    rtcp_port, rtcp_host = stream.rtcp or (stream.port + 1, None)
    if mux:
        rtcp_port, rtcp_host = stream.port, None
    number, name = codec
    return Media(
        remote_host=host,
        remote_port=stream.port,
        rtcp_host=rtcp_host if rtcp_host is not None and _is_address(rtcp_host) else host,
        rtcp_port=min(rtcp_port, 65535),
        rtcp_mux=mux,
        codec=name,
        payload_type=number,
        event_payload_type=_number_of(EVENT, ours, theirs),
        cn_payload_type=_number_of(COMFORT_NOISE, theirs, ours),
        ptime=_ptime(session.ptime_of(stream), stream.maxptime),
        send=direction.receives and not connection.on_hold,
        receive=direction.sends,
        payloads=ours,
        keys=keys,
    )


def _number_of(name: str, types: dict[int, str], others: dict[int, str]) -> int | None:
    """The payload type of `name` in `types`, None where one side doesn't have it."""
    if name not in others.values():
        return None
    return next((number for number, other in types.items() if other == name), None)


def _names(stream: MediaDescription) -> list[tuple[int, str]]:
    """The payload types that mean something to us, in the order of the `m=` line."""
    found: list[tuple[int, str]] = []
    rtpmap = stream.rtpmap
    for number in stream.payload_types:
        mapping = rtpmap.get(number)
        if mapping is None:
            if number in _STATIC:
                found.append((number, _STATIC[number]))
        elif mapping.rate == 8000 and mapping.channels == 1:
            name = mapping.name.upper()
            if name == EVENT.upper():
                found.append((number, EVENT))
            elif name in _PAYLOAD_TYPES:
                found.append((number, name))
    return found


def _host(connection: Connection, source: str) -> str:
    address = _address(connection.address)
    if address is None:
        return source  # a host name, whose look-up would hold up the media
    if address.is_multicast:
        raise NotAcceptable(330, "Multicast not available")
    return str(address)


@remembered
def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def _is_address(text: str) -> bool:
    return _address(text) is not None


def _ptime(wished: int | None, longest: int | None) -> int:
    ptime = wished if wished in _PTIMES else DEFAULT_PTIME
    if longest is not None and ptime > longest:
        ptime = max((one for one in _PTIMES if one <= longest), default=_PTIMES[0])
    return ptime


def _refused(stream: MediaDescription) -> MediaDescription:
    return replace(
        stream,
        port=0,
        count=1,
        connection=None,
        attributes=(),
        information=(),
        formats=stream.formats or ("0",),
    )


def _described(
    local: LocalMedia,
    proto: str,
    types: dict[int, str],
    ptime: int,
    direction: Direction,
    crypto: list[Crypto],
    *,
    mux: bool,
) -> MediaDescription:
    attributes: list[Attribute] = [
        ("rtpmap", f"{number} {name}/8000") for number, name in types.items()
    ]
    attributes += [
        ("fmtp", f"{number} {_EVENTS}") for number, name in types.items() if name == EVENT
    ]
    attributes += [("ptime", str(ptime)), (direction.value, None)]
    if mux:
        attributes.append(("rtcp-mux", None))
    attributes += [("crypto", str(one)) for one in crypto]
    return MediaDescription(
        "audio", local.port, proto, tuple(map(str, types)), attributes=tuple(attributes)
    )
