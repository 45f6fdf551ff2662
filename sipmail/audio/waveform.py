"""A picture of a recording for the e-mail: its loudness over time as a row of bars.

The ground is transparent and the colour is one that reads on white and on black alike, so the
picture fits a light and a dark e-mail. Bars stand on whole pixels and are sharp.

The PNG (ISO/IEC 15948) is written here, since it is done for every message: four pixels a byte, two
bars at a time. An imaging library took as long for that as all the rest of a picture.
"""

from __future__ import annotations

import struct
import zlib

import numpy as np
import numpy.typing as npt

from sipmail.codecs.g711 import Samples

_BAR = 4
_PITCH = 6
_LEAST = 2
_DYNAMIC = 42.0  # dB from the loudest bar to the smallest
_QUIETEST_TOP = -40.0  # a recording of nothing but noise is drawn small
_COLOUR = (59, 130, 196)
_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PALETTE, _ALPHA = bytes((0, 0, 0, *_COLOUR, *_COLOUR)), bytes((0, 255, 110))
"""Of the ground, of the bars, and of their ends, which are rounded by being half there."""
_EFFORT = 3
"""zlib's highest level that does not look twice: a third of its usual time, 200 bytes more."""
_PIXELS = 4  # in a byte
_PAIR_BYTES = 2 * _PITCH // _PIXELS


def waveform(samples: Samples, width: int = 600, height: int = 80) -> bytes:
    """A PNG of `width` × `height` pixels of the (n,) int16 `samples`."""
    bars = max(1, (width + _PITCH - _BAR) // _PITCH)
    heights = _heights(samples, bars, height)
    rows = np.arange(height)[:, np.newaxis]
    top = (height - heights) // 2
    last = top + heights - 1
    # What a row shows of each bar: 0 nothing, 1 its middle, 2 one of its ends.
    shown = np.zeros((height, bars + bars % 2), np.uint8)
    drawn = (rows >= top) & (rows <= last)
    np.add(drawn, drawn & ((rows == top) | (rows == last)), out=shown[:, :bars], dtype=np.uint8)
    line = -(-width // _PIXELS)
    image = np.zeros((height, 1 + line), np.uint8)  # each line's first byte: it is as it is
    pairs = shown[:, ::2] * np.uint8(3) + shown[:, 1::2]
    packed = _PAIRS.take(pairs, axis=0).reshape(height, -1)[:, :line]
    image[:, 1 : 1 + packed.shape[1]] = packed
    head = struct.pack(">IIBBBBB", width, height, 2, 3, 0, 0, 0)
    return b"".join(
        (
            _SIGNATURE,
            _chunk(b"IHDR", head),
            _chunk(b"PLTE", _PALETTE),
            _chunk(b"tRNS", _ALPHA),
            _chunk(b"IDAT", zlib.compress(image.tobytes(), _EFFORT)),
            _chunk(b"IEND", b""),
        )
    )


def _chunk(kind: bytes, data: bytes) -> bytes:
    content = kind + data
    return struct.pack(">I", len(data)) + content + struct.pack(">I", zlib.crc32(content))


def _pairs() -> npt.NDArray[np.uint8]:
    """(9, 3): the bytes of two bars beside each other, whose rows show `3 * first + second`."""
    pixels = np.zeros((3, _PITCH), np.uint8)
    pixels[1:, :_BAR] = 1
    pixels[2, [0, _BAR - 1]] = 2
    pairs = np.concatenate((np.repeat(pixels, 3, axis=0), np.tile(pixels, (3, 1))), axis=1)
    quads = pairs.reshape(9, _PAIR_BYTES, _PIXELS)
    packed: npt.NDArray[np.uint8] = (quads << np.array([6, 4, 2, 0], np.uint8)).sum(
        axis=2, dtype=np.uint8
    )
    return packed


_PAIRS = _pairs()


def _heights(samples: Samples, bars: int, height: int) -> npt.NDArray[np.int64]:
    """(bars,) even heights in pixels, from the level of each part of the recording."""
    if not len(samples):
        return np.full(bars, _LEAST, np.int64)
    edges = np.linspace(0, len(samples), bars + 1).astype(np.int64)[:-1]
    edges = np.minimum(edges, len(samples) - 1)
    square = samples.astype(np.float32)
    np.multiply(square, square, out=square)
    count = np.maximum(np.diff(np.append(edges, len(samples))), 1)
    power = np.add.reduceat(square, edges) * np.float32(1 / 32768**2)
    level = 10 * np.log10(power / count + 1e-10)
    top = max(float(level.max()), _QUIETEST_TOP)
    share = np.clip((level - top + _DYNAMIC) / _DYNAMIC, 0, 1)
    full = height - height % 2
    return np.maximum(np.rint(share * full / 2).astype(np.int64) * 2, _LEAST)
