"""The session: what was offered and answered over the life of a call (RFC 3264 section 8).

Rules: an offer that came is answered at once, an offer of ours waits for its answer, and meanwhile
there is no other; `o=` keeps its session, its version grows by one whenever what we describe has
changed (section 8). Streams keep their places, payload types their meaning. A failed offer leaves
everything as it was. A peer that moves its media to the null address keeps its old one here,
since nothing is sent there until it names another.
"""

from __future__ import annotations

from dataclasses import replace

from sipmail.errors import ProtocolError
from sipmail.sip.body import SDP as SDP
from sipmail.sip.body import sdp_body
from sipmail.sip.media import LocalMedia as LocalMedia
from sipmail.sip.media import Media as Media
from sipmail.sip.message import Request, Response
from sipmail.sip.negotiation import (
    EVENT,
    Agreement,
    NotAcceptable,
    accept,
    answer,
    offer_stream,
)
from sipmail.sip.sdp import Connection, MediaDescription, Origin, SessionDescription

_EVENT_PAYLOAD_TYPE = 101
_NULL_ADDRESSES = ("0.0.0.0", "::")  # noqa: S104 - addresses on the wire


def description(message: Request | Response) -> SessionDescription | None:
    """The offer or answer in a message, None where there is none.

    Raises ProtocolError: 415 for other bodies, 400 for malformed ones, 413 for what is too large.
    """
    body = sdp_body(message)
    return None if body is None else SessionDescription.parse(body)


class Session:
    """The media session of one call, seen from our side.

    `number` identifies it in `o=`; `source` is the address that signalling came from. `local` is
    set with the first answer or offer.
    """

    def __init__(self, number: int, source: str) -> None:
        self.local: LocalMedia | None = None
        self.media: Media | None = None
        self.body = b""
        """What we described last, for a session refresh that changes nothing."""
        self._number = number
        self._version = 0
        self._source = source
        self._described: SessionDescription | None = None
        self._index = 0
        self._offered: MediaDescription | None = None

    @property
    def pending(self) -> bool:
        """Whether an offer of ours waits for its answer."""
        return self._offered is not None

    def answer(self, offer: SessionDescription, local: LocalMedia) -> bytes:
        """Takes an offer and gives the answer to it; `media` is then what was agreed.

        Raises ProtocolError(491) while an offer of ours is pending, and NotAcceptable (488).
        """
        if self._offered is not None:
            raise ProtocolError(491, "An offer is pending")
        agreement = answer(offer, local, self._source)
        if agreement.media is None and self.media is None:
            raise NotAcceptable(304, "No media")
        self.local = local
        self._agree(agreement)
        return self._describe(agreement.streams, offer.times)

    def offer(self, local: LocalMedia) -> bytes:
        """Offers everything we can, to a peer that asked without an offer of its own."""
        events = {} if self.media is None else self.media.payloads
        number = next((pt for pt, name in events.items() if name == EVENT), _EVENT_PAYLOAD_TYPE)
        self.local = local
        self._offered = offer_stream(local, number)
        streams: list[MediaDescription] = [self._offered]
        if self._described is not None:
            streams = [replace(one, port=0, attributes=()) for one in self._described.media]
            streams[self._index] = self._offered
        return self._describe(tuple(streams), ("0 0",))

    def reoffer(self) -> bytes:
        """Offers what holds already, unchanged, for a session refresh."""
        assert self._described is not None  # there is a session before it is refreshed
        self._offered = self._described.media[self._index]
        return self.body

    def accept(self, answered: SessionDescription) -> None:
        """Takes the answer to our offer; raises NotAcceptable (488)."""
        offered, self._offered = self._offered, None
        assert offered is not None  # who calls knows that an offer is pending
        if offered.port == 0:
            return  # a closed stream was confirmed
        media = accept(answered, offered, self._index, self._source)
        self._agree(Agreement((), self._index, media))

    def forget_offer(self) -> None:
        """Our offer was refused: what held before holds on."""
        self._offered = None

    def _agree(self, agreement: Agreement) -> None:
        media, before = agreement.media, self.media
        self._index = agreement.index
        if media is None:
            assert before is not None  # asked before
            self.media = replace(before, send=False, receive=False)
            return
        if before is not None and media.remote_host in _NULL_ADDRESSES:
            media = replace(media, remote_host=before.remote_host, rtcp_host=before.rtcp_host)
        self.media = media

    def _describe(self, streams: tuple[MediaDescription, ...], times: tuple[str, ...]) -> bytes:
        assert self.local is not None  # set by who calls
        host = self.local.host
        family = "IP6" if ":" in host else "IP4"
        before = self._described
        if before is None or before.media != streams or before.times != times:
            self._version += 1
        origin = Origin("sipmail", str(self._number), str(self._version), family, host)
        self._described = SessionDescription(
            origin, connection=Connection(family, host), times=times, media=streams
        )
        self.body = bytes(self._described)
        return self.body
