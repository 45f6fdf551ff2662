"""The levels that are read back from a journal, against those of the sound that went into it."""

from __future__ import annotations

import numpy as np
import pytest

from sipmail.codecs import g711
from sipmail.media.loudness import FRAME_TICKS, LEVEL_STRIDE, Levels, levels_of
from sipmail.rtp import journal
from sipmail.rtp.packet import RtpPacket

CODECS = {0: "PCMU", 8: "PCMA"}
FRAME = 8 * FRAME_TICKS


def spoken(seconds: float, seed: int = 1) -> bytes:
    """Code words of noise that grows and sinks, so that no two frames are as loud."""
    count = round(seconds * 8000)
    swell = 3000 * (1.1 + np.sin(np.arange(count) / 3000))
    noise = np.random.default_rng(seed).standard_normal(count) * swell
    return g711.encode_ulaw(noise.clip(-32000, 32000).astype(np.int16)).tobytes()


def expected(codec: str, words: bytes) -> Levels:
    decode = {"PCMU": g711.decode_ulaw, "PCMA": g711.decode_alaw}[codec]
    sound = (decode(words).astype(np.float64) / 32768)[::LEVEL_STRIDE]
    frames = len(sound) // (FRAME // LEVEL_STRIDE)
    squares = sound[: frames * FRAME // LEVEL_STRIDE].reshape(frames, -1) ** 2
    means: Levels = squares.mean(axis=1).astype(np.float32)
    return means


def packets(words: bytes, size: int, kind: int = 0, first: int = 0) -> list[bytes]:
    return [
        bytes(RtpPacket(kind, first + n, 8 * n, 77, words[at : at + size], marker=n == 0))
        for n, at in enumerate(range(0, len(words), size))
    ]


@pytest.mark.parametrize("ptime", [10, 20, 30, 40, 60])
@pytest.mark.parametrize(("kind", "codec"), CODECS.items())
def test_packets_that_are_all_alike(ptime: int, kind: int, codec: str) -> None:
    words = spoken(1.2)
    records = journal.frame(packets(words, 8 * ptime, kind), 400)
    heard = levels_of(records, CODECS)
    assert len(heard) == 60
    np.testing.assert_allclose(heard, expected(codec, words), rtol=1e-5)


def test_packets_that_differ() -> None:
    one, other, third = (spoken(0.4, seed) for seed in (1, 2, 3))
    key = [bytes(RtpPacket(101, 90 + n, 0, 77, b"\x05\x8a\x03\x20")) for n in range(3)]
    noise = [bytes(RtpPacket(13, 95, 0, 77, b"\x46"))]
    parts = [*packets(one, 160), *key, *packets(other, 240), *noise, *packets(third, 160, 8)]
    heard = levels_of(journal.frame(parts, 400), CODECS)
    wanted = [expected("PCMU", one + other), expected("PCMA", third)]
    np.testing.assert_allclose(heard, np.concatenate(wanted), rtol=1e-5)


def test_a_header_extension_is_no_sound() -> None:
    words = spoken(0.4)
    plain = packets(words, 160)
    extended = [b"\x90" + p[1:12] + b"\xbe\xde\x00\x01\x00\x00\x00\x00" + p[12:] for p in plain]
    heard = levels_of(journal.frame(extended, 0), CODECS)
    np.testing.assert_allclose(heard, expected("PCMU", words), rtol=1e-5)


def test_no_sound_has_no_level() -> None:
    key = [bytes(RtpPacket(101, n, 0, 77, b"\x05\x8a\x03\x20")) for n in range(3)]
    assert len(levels_of(journal.frame(key, 0), CODECS)) == 0
    assert len(levels_of(b"", CODECS)) == 0
    assert len(levels_of(journal.frame(packets(spoken(0.1), 160), 0), {18: "G729"})) == 0
