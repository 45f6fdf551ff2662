"""Messages on a stream: TCP and TLS (RFC 3261 section 18.3, keep-alives of RFC 5626 section 3.5.1).

Rules: a message ends where Content-Length says, and a message without one has no body as long as
it has no Content-Type either; line breaks between messages are keep-alives; what can't be framed
ends the stream, since nobody can say where the next message begins.
"""

from __future__ import annotations

import re

from sipmail.errors import ProtocolError
from sipmail.sip.message import MAX_MESSAGE, Request, parse

_LENGTH = re.compile(
    rb"\r\n(?:Content-Length|l)[ \t]*+:[ \t]*+(?:\r\n[ \t]++)?+([^\r\n]*)",
    re.IGNORECASE,
)
_TYPE = re.compile(rb"\r\n(?:Content-Type|c)[ \t]*:", re.IGNORECASE)
_NUMBER = re.compile(rb"[0-9]{1,9}")


class StreamFramer:
    """Cuts a stream of bytes into messages, however the bytes come in.

    `pings` counts the double line breaks of the peer so far, each of which wants a single line
    break as its answer. Once `error` is set the stream is lost: close the connection, after an
    answer where `error.request` holds the request that broke it.
    """

    def __init__(self, *, limit: int = MAX_MESSAGE) -> None:
        self.pings = 0
        self.error: ProtocolError | None = None
        self._limit = limit
        self._buffer = bytearray()
        self._searched = 0
        self._wanted = 0
        self._line_breaks = 0

    def feed(self, data: bytes) -> list[bytes]:
        """The messages that `data` completes, in order; none any more once `error` is set."""
        if self.error is not None:
            return []
        self._buffer += data
        messages: list[bytes] = []
        try:
            while (message := self._next()) is not None:
                messages.append(message)
        except ProtocolError as error:
            self.error = error
            self._buffer.clear()
        return messages

    def _next(self) -> bytes | None:
        buffer = self._buffer
        if not self._wanted:
            if not self._searched:
                self._skip_line_breaks()
                if not buffer or buffer == b"\r":
                    return None
            end = buffer.find(b"\r\n\r\n", max(0, self._searched - 3))
            if end < 0:
                if len(buffer) > self._limit:
                    raise ProtocolError(513, "Message too large")
                self._searched = len(buffer)
                return None
            self._wanted = self._length(end + 4)
        if len(buffer) < self._wanted:
            return None
        message = bytes(buffer[: self._wanted])
        del buffer[: self._wanted]
        self._wanted = self._searched = 0
        return message

    def _skip_line_breaks(self) -> None:
        buffer = self._buffer
        position = 0
        while buffer.startswith(b"\r\n", position):
            position += 2
            self._line_breaks += 1
            if self._line_breaks == 2:
                self._line_breaks = 0
                self.pings += 1
        del buffer[:position]
        if buffer and buffer != b"\r":
            self._line_breaks = 0

    def _length(self, head: int) -> int:
        """The length of the message whose headers end at `head`."""
        header = self._buffer[:head]
        lengths = [value.rstrip(b" \t") for value in _LENGTH.findall(header)]
        problem = None
        length = 0
        if not lengths:
            if _TYPE.search(header):
                problem = ProtocolError(400, "Body without Content-Length on a stream")
        elif len(lengths) > 1:
            problem = ProtocolError(400, "Several Content-Length")
        elif _NUMBER.fullmatch(lengths[0]) is None:
            problem = ProtocolError(400, "Malformed Content-Length")
        else:
            length = int(lengths[0])
            if head + length > self._limit:
                problem = ProtocolError(513, "Message too large")
        if problem is not None:
            problem.request = _request_in(bytes(header))
            raise problem
        return head + length


def _request_in(header: bytes) -> object | None:
    """The request that a header block begins, as far as it can be answered."""
    try:
        message = parse(header, limit=len(header))
    except ProtocolError as error:
        return error.request
    return message if isinstance(message, Request) else None
