"""How loud is what a call has said: the level of each 20 ms, read back from its journal.

Only when a limit may be reached somebody wants to know, so nothing is measured, and nothing put
aside, while packets come. The journal's last seconds are in memory still (the page cache), and
where all their packets are alike, as they nearly always are, numpy takes them all in one go.

Levels are mean squares, 1.0 is a full-scale square wave.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import groupby

import numpy as np
import numpy.typing as npt

from sipmail.codecs import g711
from sipmail.rtp import journal
from sipmail.rtp.journal import Journal

LEVEL_STRIDE = 5
"""Every how many samples a level is measured: a divisor of the samples of any ptime, and what it
makes of 800 Hz and its multiples no signal tone comes near to."""

FRAME_TICKS = 20
"""Milliseconds that a level is about, whatever the ptime."""

_FRAME_SAMPLES = 8 * FRAME_TICKS // LEVEL_STRIDE

Levels = npt.NDArray[np.float32]

ENERGIES: dict[str, Levels] = {
    "PCMU": ((g711.decode_ulaw(bytes(range(256))) / 32768.0) ** 2).astype(np.float32),
    "PCMA": ((g711.decode_alaw(bytes(range(256))) / 32768.0) ** 2).astype(np.float32),
}
"""The square of every code word's sample, a table a codec."""

_MEAN = np.full(_FRAME_SAMPLES, 1 / _FRAME_SAMPLES, np.float32)


def levels(codec: str, samples: npt.NDArray[np.uint8]) -> Levels:
    """(n,) the mean square of each frame of G.711 code words, one in LEVEL_STRIDE, whatever their
    shape; of less than a frame, but not nothing, one all the same."""
    squares = ENERGIES[codec].take(samples).reshape(-1)
    frames = len(squares) // _FRAME_SAMPLES
    if frames == 0:
        return squares[:1] if len(squares) < 2 else np.array([squares.mean()], np.float32)
    means: Levels = squares[: frames * _FRAME_SAMPLES].reshape(frames, -1) @ _MEAN
    return means


def levels_of(records: bytes, codecs: Mapping[int, str]) -> Levels:
    """(n,) the levels of the sound in whole journal records, one after the other.

    `codecs` names the encodings of the payload types that are sound; all else is passed over.
    """
    packets = journal.read_records(records)
    if not len(packets):
        return np.empty(0, np.float32)
    kind, size = int(packets.payload_type[0]), int(packets.length[0])
    if kind in codecs and bool(((packets.payload_type == kind) & (packets.length == size)).all()):
        places = packets.offset[:, np.newaxis] + np.arange(0, size, LEVEL_STRIDE)
        return levels(codecs[kind], np.frombuffer(records, np.uint8).take(places))
    return _each(packets, codecs)


def _each(packets: Journal, codecs: Mapping[int, str]) -> Levels:
    """The same where the packets differ."""
    parts: list[Levels] = []
    places = zip(
        map(codecs.get, packets.payload_type.tolist()),
        packets.offset.tolist(),
        packets.length.tolist(),
        strict=True,
    )
    for codec, run in groupby(places, lambda place: place[0]):
        if codec is not None:
            words = b"".join(packets.data[at : at + size] for _, at, size in run)
            parts.append(levels(codec, np.frombuffer(words, np.uint8)[::LEVEL_STRIDE]))
    return np.concatenate(parts) if parts else np.empty(0, np.float32)
