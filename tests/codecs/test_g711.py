"""G.711 against an independent peer (sox), the ITU's tables and itself."""

from __future__ import annotations

import subprocess
from collections.abc import Callable

import numpy as np
import pytest

from sipmail.codecs import g711

CODES = np.arange(256, dtype=np.uint8)
SAMPLES = np.arange(65536, dtype=np.uint16).view(np.int16)

LAWS = {
    "ul": (g711.decode_ulaw, g711.encode_ulaw),
    "al": (g711.decode_alaw, g711.encode_alaw),
}


def sox(program: str, source: list[str], target: list[str], data: bytes) -> bytes:
    command = [program, "-D", *source, "-r", "8000", "-c", "1", "-", *target, "-"]
    return subprocess.run(command, input=data, capture_output=True, check=True).stdout


LINEAR = ["-t", "raw", "-e", "signed", "-b", "16"]


@pytest.mark.interop
@pytest.mark.parametrize("law", LAWS)
def test_decodes_every_code_as_sox_does(law: str, program: Callable[[str], str]) -> None:
    decode, _ = LAWS[law]
    heard = sox(program("sox"), ["-t", law], LINEAR, CODES.tobytes())
    assert np.array_equal(decode(CODES), np.frombuffer(heard, np.int16))
    assert np.array_equal(decode(CODES.tobytes()), np.frombuffer(heard, np.int16))


@pytest.mark.interop
@pytest.mark.parametrize(("law", "bits"), [("ul", 14), ("al", 13)])
def test_encodes_every_sample_as_sox_does_but_for_its_rounding(
    law: str, bits: int, program: Callable[[str], str]
) -> None:
    """sox rounds to 14 or 13 bits first: there, at decision values, one code apart is right."""
    decode, encode = LAWS[law]
    theirs = np.frombuffer(sox(program("sox"), LINEAR, ["-t", law], SAMPLES.tobytes()), np.uint8)
    ours = encode(SAMPLES)
    differ = np.flatnonzero(ours != theirs)
    step = 1 << (16 - bits)
    order = np.argsort(decode(CODES), kind="stable")
    rank = np.empty(256, np.int64)
    rank[order] = np.arange(256)
    assert np.all(np.abs(rank[ours[differ]] - rank[theirs[differ]]) == 1)
    # Every difference lies within one rounding step of a place where our own code changes.
    changes = SAMPLES[order_of_samples()][np.flatnonzero(np.diff(encode(sorted_samples()))) + 1]
    nearest = np.abs(changes[:, np.newaxis].astype(np.int64) - SAMPLES[differ].astype(np.int64))
    assert np.all(nearest.min(axis=0) <= step)


def order_of_samples() -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return np.argsort(SAMPLES, kind="stable")


def sorted_samples() -> np.ndarray[tuple[int], np.dtype[np.int16]]:
    return np.arange(-32768, 32768).astype(np.int16)


@pytest.mark.parametrize(
    ("value", "segment"), [(64, 2), (128, 3), (256, 4), (512, 5), (1024, 6), (2048, 7)]
)
def test_alaw_decision_values_are_those_of_table_1a(value: int, segment: int) -> None:
    """The ends of the segments, in the table's units (4096 is full scale)."""
    at = np.array([8 * value - 1, 8 * value, -8 * value, -8 * value - 1], np.int16)
    first = segment << 4
    expected = [0x80 | first - 1, 0x80 | first, first - 1, first]
    assert (g711.encode_alaw(at) ^ 0x55).tolist() == expected


@pytest.mark.parametrize(
    ("value", "word"),
    [  # ITU-T G.711 table 2a: decision value x (14 bits), character signal above it
        (8158, 0x80),
        (7903, 0x80),
        (4063, 0x8F),
        (2015, 0x9F),
        (991, 0xAF),
        (479, 0xBF),
        (223, 0xCF),
        (95, 0xDF),
        (31, 0xEF),
        (1, 0xFE),
        (0, 0xFF),
    ],
)
def test_ulaw_decision_values_are_those_of_table_2a(value: int, word: int) -> None:
    assert g711.encode_ulaw(np.array([4 * value], np.int16)).tolist() == [word]
    if 0 < value < 8158:
        below = g711.encode_ulaw(np.array([4 * value - 1], np.int16))[0]
        assert below == word + 1


@pytest.mark.parametrize("law", LAWS)
def test_a_decoded_code_is_encoded_to_itself(law: str) -> None:
    decode, encode = LAWS[law]
    again = encode(decode(CODES))
    differ = CODES[again != CODES].tolist()
    assert differ == ([0x7F] if law == "ul" else [])  # μ-law has a negative zero


def test_silence_and_extremes() -> None:
    assert g711.encode_ulaw(np.zeros(1, np.int16)).tolist() == [0xFF]
    assert g711.encode_alaw(np.zeros(1, np.int16)).tolist() == [0xD5]
    assert g711.decode_ulaw(b"\x00\x80").tolist() == [-32124, 32124]
    assert g711.decode_alaw(b"\x2a\xaa").tolist() == [-32256, 32256]


def test_nothing_is_nothing() -> None:
    assert g711.decode_alaw(b"").dtype == np.int16
    assert len(g711.encode_ulaw(np.zeros(0, np.int16))) == 0
