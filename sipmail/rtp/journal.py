"""The journal of a call: its RTP packets as they came, in the rtpdump format of rtptools.

    #!rtpplay1.0 192.0.2.1/20000\n                       a line of text
    start seconds (4) · microseconds (4) · source address (4) · port (2) · padding (2)
    then a record a packet:

     0                   1                   2                   3
     0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
    +-------------------------------+-------------------------------+
    | length of this record         | length of the packet, 0: RTCP |
    +-------------------------------+-------------------------------+
    | milliseconds since the start                                  |
    +---------------------------------------------------------------+
    | the packet …                                                  |

Everything is big-endian. Wireshark, rtpplay and rtpdump read it. The writer only ever appends, so
whatever a crash leaves is a valid journal with at most one cut record at its end; `read` takes
that, and damage in the middle (a power cut leaves zeros), without losing what lies around it.
Reading is numpy over the whole file: nothing is done packet by packet while the sizes repeat.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

RECORD = struct.Struct(">HHI")
"""What stands before each packet: record length, packet length, milliseconds since the start."""

_MAGIC = b"#!rtpplay1.0 "
_START = struct.Struct(">IIIHH")
_LONGEST_LINE = 256
_RTP_HEADER = 12
_BARE = 0x80
"""The first byte of a packet of version 2 that has nothing but its header."""
_HEAD = np.dtype(
    [
        ("lengths", ">u4"),
        ("milliseconds", ">u4"),
        ("flags", "u1"),
        ("type", "u1"),
        ("sequence", ">u2"),
        ("timestamp", ">u4"),
        ("ssrc", ">u4"),
    ]
)
"""A record's head and its packet's."""
_FIRST_RUN = 64
_SHORT_RUN = 8
_SCALAR_STEPS = 64

_Bytes = npt.NDArray[np.uint8]
_Index = npt.NDArray[np.int64]


def header(start: float, host: str = "0.0.0.0", port: int = 0) -> bytes:  # noqa: S104
    """The head of a journal whose recording began at `start` (Unix time, seconds).

    `host` and `port` name the receiving socket; an IPv6 address is noted as 0.0.0.0, since the
    format has room for four bytes only.
    """
    try:
        address = IPv4Address(host)
    except ValueError:
        address = IPv4Address(0)
    seconds, microseconds = divmod(round(start * 1_000_000), 1_000_000)
    return (
        _MAGIC
        + f"{address}/{port}\n".encode()
        + _START.pack(seconds & 0xFFFFFFFF, microseconds, int(address), port, 0)
    )


def frame(packets: Iterable[bytes], milliseconds: int) -> bytes:
    """The records of `packets`, all of which arrived `milliseconds` after the start."""
    parts: list[bytes] = []
    for packet in packets:
        parts.append(RECORD.pack(len(packet) + RECORD.size, len(packet), milliseconds))
        parts.append(packet)
    return b"".join(parts)


def start_of(head: bytes) -> float | None:
    """The start (Unix time, seconds) that a journal's first bytes name; None: not a journal."""
    line = head.find(b"\n", 0, _LONGEST_LINE)
    if not head.startswith(_MAGIC) or line < 0 or len(head) < line + 1 + _START.size:
        return None
    seconds, microseconds, *_ = _START.unpack_from(head, line + 1)
    return float(seconds + microseconds / 1_000_000)


@dataclass(frozen=True, slots=True, eq=False)
class Journal:
    """Every RTP packet of a journal in the order of arrival, as one array a field (n packets).

    `data[offset[i] : offset[i] + length[i]]` is the payload of packet i, without header, CSRCs,
    extension and padding.
    """

    data: bytes
    start: float
    """Unix time, seconds; 0.0 where the head is lost."""
    arrival: npt.NDArray[np.float64]
    """(n,) seconds since the start, as fine as the reader's drains."""
    sequence: npt.NDArray[np.uint16]
    timestamp: npt.NDArray[np.uint32]
    payload_type: npt.NDArray[np.uint8]
    ssrc: npt.NDArray[np.uint32]
    marker: npt.NDArray[np.bool_]
    offset: npt.NDArray[np.int64]
    length: npt.NDArray[np.int32]
    malformed: int
    """Records and stretches of bytes that were no RTP packet and no RTCP; a cut tail is one."""

    def __len__(self) -> int:
        return len(self.sequence)


def read(source: str | PathLike[str] | bytes) -> Journal:
    """Indexes a journal, given as a path or as its bytes; raises only OSError (no such file)."""
    data = source if isinstance(source, bytes) else Path(source).read_bytes()
    buffer: _Bytes = np.frombuffer(data, dtype=np.uint8)
    start = start_of(data[: _LONGEST_LINE + 1 + _START.size])
    malformed = 0
    first = 0
    if start is not None:
        first = data.index(b"\n") + 1 + _START.size
    elif data:
        malformed = 1
        first = _next_record(buffer, 0)
    return _read(data, buffer, first, start or 0.0, malformed)


def read_records(records: bytes) -> Journal:
    """The same of whole records without the head of a file: what was appended since some moment."""
    return _read(records, np.frombuffer(records, dtype=np.uint8), 0, 0.0, 0)


def _read(data: bytes, buffer: _Bytes, first: int, start: float, malformed: int) -> Journal:
    if not malformed and (alike := _alike(data, first, start)) is not None:
        return alike
    positions, sizes, damaged = _records(data, buffer, first)
    return _index(data, buffer, start, positions, sizes, malformed + damaged)


def _alike(data: bytes, first: int, start: float) -> Journal | None:
    """The journal whose records are of one length all, each a packet with the bare RTP header; None
    where any is not. As most journals are, and by a way that is several times shorter."""
    length = _record_length(data, first)
    count, rest = divmod(len(data) - first, length or 1)
    if rest or length < RECORD.size + _RTP_HEADER or count == 0:
        return None
    size = length - RECORD.size
    heads = np.ndarray(count, _HEAD, data, first, (length,))
    kind: _Bytes = heads["type"]
    lengths = np.uint32(length << 16 | size)
    # With padding, extension and CSRCs the first byte is another one, and so it is with damage.
    bare = (heads["lengths"] == lengths) & (heads["flags"] == _BARE)
    if not bool((bare & ((kind < 192) | (kind > 223))).all()):
        return None
    return Journal(
        data=data,
        start=start,
        arrival=heads["milliseconds"] / 1000.0,
        sequence=heads["sequence"].astype(np.uint16),
        timestamp=heads["timestamp"].astype(np.uint32),
        payload_type=kind & np.uint8(0x7F),
        ssrc=heads["ssrc"].astype(np.uint32),
        marker=kind >= 0x80,
        offset=first + RECORD.size + _RTP_HEADER + length * np.arange(count, dtype=np.int64),
        length=np.full(count, size - _RTP_HEADER, np.int32),
        malformed=0,
    )


def _records(data: bytes, buffer: _Bytes, position: int) -> tuple[_Index, _Index, int]:
    """Walks the records; returns their positions, their lengths and how many places were damaged.

    Runs of records of one length are found by one comparison over a strided view; where the
    lengths alternate, a plain loop is faster and takes over for a while.
    """
    positions: list[_Index] = []
    lengths: list[_Index] = []
    end = len(data)
    damaged = 0
    while position < end:
        length = _record_length(data, position)
        if not length:
            damaged += 1
            position = _next_record(buffer, position + 1)
            continue
        count = _run(data, buffer, position, length)
        positions.append(position + length * np.arange(count, dtype=np.int64))
        lengths.append(np.full(count, length, dtype=np.int64))
        position += count * length
        if count < _SHORT_RUN:
            at: list[int] = []
            size: list[int] = []
            while len(at) < _SCALAR_STEPS and (length := _record_length(data, position)):
                at.append(position)
                size.append(length)
                position += length
            positions.append(np.array(at, dtype=np.int64))
            lengths.append(np.array(size, dtype=np.int64))
    if not positions:
        return np.empty(0, np.int64), np.empty(0, np.int64), damaged
    return np.concatenate(positions), np.concatenate(lengths), damaged


def _record_length(data: bytes, position: int) -> int:
    """The length of the record at `position`; 0 where none is, or it does not fit in the file."""
    if position + RECORD.size > len(data):
        return 0
    length = data[position] << 8 | data[position + 1]
    packet = data[position + 2] << 8 | data[position + 3]
    whole = RECORD.size <= length <= len(data) - position
    return length if whole and packet in (0, length - RECORD.size) else 0


def _run(data: bytes, buffer: _Bytes, position: int, length: int) -> int:
    """How many records with these two lengths follow each other from `position`; at least one."""
    count, look = 1, _FIRST_RUN
    whole = (len(data) - position) // length
    head = buffer[position : position + 4]
    while count < whole:
        stop = min(whole, count + look)
        rows = buffer[position + count * length : position + stop * length].reshape(-1, length)
        same = (rows[:, :4] == head).all(axis=1)
        if not same.all():
            return count + int(same.argmin())
        count = stop
        look *= 2
    return count


def _next_record(buffer: _Bytes, position: int) -> int:
    """The next place, `position` or after, where an undamaged record of an RTP packet begins.

    A record is believed when its two lengths agree, its packet is of version 2 and what follows
    is the end or a record that is believed too (it may be cut).
    """
    rest = buffer[position:].astype(np.uint32)
    if len(rest) < RECORD.size + _RTP_HEADER:
        return len(buffer)
    words = (rest[:-1] << 8) | rest[1:]
    length, packet, version = words[:-7], words[2:-5], rest[8:] >> 6
    believed = (
        (length >= RECORD.size + _RTP_HEADER) & (packet + RECORD.size == length) & (version == 2)
    )
    for candidate in np.flatnonzero(believed):
        after = int(candidate) + int(length[candidate])
        if after == len(rest) or (after < len(rest) and _begins(rest, after)):
            return position + int(candidate)
    return len(buffer)


def _begins(rest: npt.NDArray[np.uint32], at: int) -> bool:
    """Whether the bytes at `at` may begin a record, as far as they are there."""
    head = [int(byte) for byte in rest[at : at + 9]]
    if len(head) < RECORD.size:
        return True
    length, packet = head[0] << 8 | head[1], head[2] << 8 | head[3]
    if packet == 0:
        return length > RECORD.size
    return length == packet + RECORD.size and (len(head) < 9 or head[8] >> 6 == 2)


def _index(
    data: bytes,
    buffer: _Bytes,
    start: float,
    positions: _Index,
    lengths: _Index,
    malformed: int,
) -> Journal:
    """Reads the RTP headers at all positions at once, drops RTCP, and counts what is neither."""
    packets = ahead(buffer, positions + 2, 2).view(">u2").ravel() != 0
    positions, lengths = positions[packets], lengths[packets]
    sizes = lengths - RECORD.size
    whole = sizes >= _RTP_HEADER
    # A short RTCP packet that shares the port (an empty BYE is 8 bytes) is no damage either.
    short = positions[~whole & (sizes >= 2)]
    control = _is_rtcp(buffer, short)
    malformed += int((~whole).sum()) - int(control.sum())
    positions, sizes = positions[whole], sizes[whole]
    rtcp = _is_rtcp(buffer, positions)
    positions, sizes = positions[~rtcp], sizes[~rtcp]

    heads = ahead(buffer, positions, RECORD.size + _RTP_HEADER)
    flags = heads[:, 8].astype(np.int64)
    offset = positions + RECORD.size + _RTP_HEADER + 4 * (flags & 0x0F)
    end = positions + RECORD.size + sizes
    good = (flags >> 6 == 2) & (offset <= end)
    extended = np.flatnonzero(good & (flags & 0x10 != 0))
    room = offset[extended] + 4 <= end[extended]
    good[extended[~room]] = False
    extended = extended[room]
    words = ahead(buffer, offset[extended] + 2, 2).view(">u2").ravel().astype(np.int64)
    offset[extended] += 4 + 4 * words
    padded = np.flatnonzero(good & (flags & 0x20 != 0))
    padding = buffer[end[padded] - 1].astype(np.int64)
    good[padded[padding == 0]] = False
    end[padded] -= padding
    good &= offset <= end
    malformed += int((~good).sum())

    kept = heads[good]
    return Journal(
        data=data,
        start=start,
        arrival=_column(kept, 4, ">u4").astype(np.float64) / 1000,
        sequence=_column(kept, 10, ">u2").astype(np.uint16),
        timestamp=_column(kept, 12, ">u4").astype(np.uint32),
        payload_type=kept[:, 9] & 0x7F,
        ssrc=_column(kept, 16, ">u4").astype(np.uint32),
        marker=kept[:, 9] >= 0x80,
        offset=offset[good],
        length=(end - offset)[good].astype(np.int32),
        malformed=malformed,
    )


def _is_rtcp(buffer: _Bytes, positions: _Index) -> npt.NDArray[np.bool_]:
    """Whether the packets at these record positions are RTCP (RFC 5761 section 4)."""
    version = buffer[positions + RECORD.size] >> 6
    kind = buffer[positions + RECORD.size + 1]
    rtcp: npt.NDArray[np.bool_] = (version == 2) & (kind >= 192) & (kind <= 223)
    return rtcp


def ahead(buffer: _Bytes, positions: _Index, count: int) -> _Bytes:
    """(n, count) bytes: those that stand at each position, `count` of which the buffer has. Not to
    be written to: where the positions are equally far apart they are the buffer's own."""
    if len(positions) > 1:
        steps = np.diff(positions)
        if bool((steps == steps[0]).all()):  # as nearly always: then nothing is copied
            first = buffer[int(positions[0]) :]
            shape, strides = (len(positions), count), (int(steps[0]), 1)
            return np.lib.stride_tricks.as_strided(first, shape, strides, writeable=False)
    gathered: _Bytes = buffer[positions[:, np.newaxis] + np.arange(count)]
    return gathered


def _column(heads: _Bytes, at: int, kind: str) -> npt.NDArray[Any]:
    """(n,) big-endian numbers of numpy type `kind` that stand at byte `at` of every row."""
    width = np.dtype(kind).itemsize
    return np.ascontiguousarray(heads[:, at : at + width]).view(kind).ravel()
