"""G.711 μ-law and A-law: a code word ↔ a 16-bit sample, each by one table look-up.

Decoding is the exact expansion of ITU-T G.711 (tables 1 and 2), left-justified to 16 bits.
Encoding compares with the decision values of the same tables, as the reference code of ITU-T G.191
does: the magnitude of a negative sample is its one's complement, so -1 falls into the first
interval below zero as 0 does above. Encoders that round a sample to 14 or 13 bits first (sox) or
look for the nearest output value (ffmpeg) move those decision values; they differ from this one in
some samples by one code word, and never in decoding.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Samples = npt.NDArray[np.int16]
Codes = npt.NDArray[np.uint8]

_ULAW_BIAS = 33
_ULAW_LARGEST = 0x1FFF
_ALAW_TOGGLE = 0x55
_SIGN = 0x80


def decode_ulaw(payload: bytes | Codes) -> Samples:
    """(n,) int16 samples of n μ-law code words."""
    return _decode(payload, ULAW_SAMPLES)


def decode_alaw(payload: bytes | Codes) -> Samples:
    """(n,) int16 samples of n A-law code words."""
    return _decode(payload, ALAW_SAMPLES)


def encode_ulaw(samples: Samples) -> Codes:
    """(n,) uint8 μ-law code words of n int16 samples."""
    return _ULAW_CODES.take(samples.view(np.uint16))


def encode_alaw(samples: Samples) -> Codes:
    """(n,) uint8 A-law code words of n int16 samples."""
    return _ALAW_CODES.take(samples.view(np.uint16))


def _decode(payload: bytes | Codes, table: Samples) -> Samples:
    codes = payload if isinstance(payload, np.ndarray) else np.frombuffer(payload, dtype=np.uint8)
    # Codes are always within the table: `clip` is the mode without a check for each of them.
    return table.take(codes, mode="clip")


def _ulaw_samples() -> Samples:
    code = ~np.arange(256, dtype=np.uint8)
    segment = (code >> 4 & 7).astype(np.int32)
    step = (code & 15).astype(np.int32)
    magnitude = ((2 * step + _ULAW_BIAS) << segment) - _ULAW_BIAS
    return (np.where(code & _SIGN, -magnitude, magnitude) << 2).astype(np.int16)


def _alaw_samples() -> Samples:
    code = np.arange(256, dtype=np.uint8) ^ _ALAW_TOGGLE
    segment = (code >> 4 & 7).astype(np.int32)
    step = (code & 15).astype(np.int32)
    magnitude = np.where(
        segment > 0, (2 * step + _ULAW_BIAS) << np.maximum(segment - 1, 0), 2 * step + 1
    )
    return (np.where(code & _SIGN, magnitude, -magnitude) << 3).astype(np.int16)


def _magnitudes() -> tuple[npt.NDArray[np.int32], npt.NDArray[np.bool_]]:
    """Magnitude (one's complement) and sign of all 65,536 samples, in the order of `uint16`."""
    sample = np.arange(65536, dtype=np.uint16).view(np.int16).astype(np.int32)
    return np.where(sample < 0, ~sample, sample), sample >= 0


def _leading(number: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
    """How many bits each number needs; 0 for 0."""
    exponents: npt.NDArray[np.int32] = np.frexp(number.astype(np.float64))[1].astype(np.int32)
    return exponents


def _ulaw_codes() -> Codes:
    magnitude, positive = _magnitudes()
    biased = np.minimum((magnitude >> 2) + _ULAW_BIAS, _ULAW_LARGEST)
    segment = _leading(biased >> 6)
    code = segment << 4 | (biased >> (segment + 1) & 15)
    codes: Codes = (~code & 0x7F | np.where(positive, _SIGN, 0)).astype(np.uint8)
    return codes


def _alaw_codes() -> Codes:
    magnitude, positive = _magnitudes()
    coarse = magnitude >> 4
    segment = _leading(coarse >> 4)
    code = segment << 4 | (coarse >> np.maximum(segment - 1, 0) & 15)
    return ((code | np.where(positive, _SIGN, 0)) ^ _ALAW_TOGGLE).astype(np.uint8)


ULAW_SAMPLES: Samples = _ulaw_samples()
"""(256,) the sample of every μ-law code word."""

ALAW_SAMPLES: Samples = _alaw_samples()
"""(256,) the sample of every A-law code word."""

_ULAW_CODES: Codes = _ulaw_codes()
_ALAW_CODES: Codes = _alaw_codes()
