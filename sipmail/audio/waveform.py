"""A picture of a recording for the e-mail: its loudness over time as a row of bars.

The ground is transparent and the colour is one that reads on white and on black alike, so the
picture fits a light and a dark e-mail. Bars stand on whole pixels and are sharp.
"""

from __future__ import annotations

import io

import numpy as np
import numpy.typing as npt
from PIL import Image

from sipmail.codecs.g711 import Samples

_BAR = 4
_PITCH = 6
_LEAST = 2
_DYNAMIC = 42.0  # dB from the loudest bar to the smallest
_QUIETEST_TOP = -40.0  # a recording of nothing but noise is drawn small
_COLOUR = (59, 130, 196)
_EFFORT = 3
"""zlib's highest level that does not look twice: a third of its usual time, 200 bytes more."""


def waveform(samples: Samples, width: int = 600, height: int = 80) -> bytes:
    """A PNG of `width` × `height` pixels of the (n,) int16 `samples`."""
    bars = max(1, (width + _PITCH - _BAR) // _PITCH)
    heights = _heights(samples, bars, height)
    # Palette: 0 is transparent, 1 the bars, 2 their ends, which are rounded by being half there.
    drawn = np.zeros((height, bars, _PITCH), np.uint8)
    rows = np.arange(height)[:, np.newaxis]
    top = (height - heights) // 2
    drawn[:, :, :_BAR] = ((rows >= top) & (rows < top + heights))[:, :, np.newaxis]
    ends = np.stack((top, top + heights - 1))
    for corner in (0, _BAR - 1):
        drawn[ends, np.arange(bars), corner] = 2
    picture = np.zeros((height, max(width, bars * _PITCH)), np.uint8)
    picture[:, : bars * _PITCH] = drawn.reshape(height, -1)
    image = Image.fromarray(picture[:, :width])
    image.putpalette([0, 0, 0, *_COLOUR, *_COLOUR])
    file = io.BytesIO()
    image.save(file, "PNG", transparency=bytes((0, 255, 110)), bits=2, compress_level=_EFFORT)
    return file.getvalue()


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
