"""Whether every e-mail holds what its caller said, sample for sample, and how soon it came.

The G.711 is decoded here from the formulas of ITU-T G.711, not by sipmail's codecs.
"""

from __future__ import annotations

import email
import email.policy
import io
import re
import wave
from dataclasses import dataclass
from email.message import Message
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.generator import Order, stretch

_CALLER = re.compile(r"\+4860(\d{7})")


@dataclass(frozen=True)
class Verdict:
    """How many calls have an e-mail, how many of these are complete, and the delays in seconds."""

    mailed: int
    complete: int
    doubled: int
    delays: tuple[float, ...]


def verify(folder: Path, order: Order, hung_up: dict[str, float]) -> Verdict:
    """Reads every e-mail in `folder`; `hung_up` is the moment of each call's BYE."""
    audio = np.frombuffer(Path(order.audio).read_bytes(), np.uint8)
    frames = round(order.talk / 0.02)
    seen: dict[str, bool] = {}
    doubled = 0
    delays = []
    for path in sorted(folder.glob("*.eml")):
        message = email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
        match = _CALLER.search(str(message["X-Sipmail-Caller"]))
        if match is None:
            continue
        number = match[0]
        doubled += number in seen
        said = decode(stretch(audio, int(match[1]), frames).reshape(-1), order.payload_type)
        seen[number] = holds(recording(message), said)
        if hung_up.get(number):
            delays.append(float(path.name.partition("-")[0]) - hung_up[number])
    return Verdict(len(seen), sum(seen.values()), doubled, tuple(delays))


def recording(message: Message) -> NDArray[np.int16]:
    """The samples of the WAV that is attached; none where there is no WAV."""
    for part in message.walk():
        if part.get_content_maintype() == "audio":
            with wave.open(io.BytesIO(_bytes(part))) as file:
                samples: NDArray[np.int16] = np.frombuffer(file.readframes(1 << 30), "<i2")
                return samples
    return np.zeros(0, np.int16)


def _bytes(part: Message) -> bytes:
    content = part.get_payload(decode=True)
    return content if isinstance(content, bytes) else b""


def holds(recorded: NDArray[np.int16], said: NDArray[np.int16]) -> bool:
    """Whether `said` stands in `recorded`, unchanged and in one piece."""
    return recorded.tobytes().find(said.tobytes()) >= 0


def decode(codes: NDArray[np.uint8], payload_type: int) -> NDArray[np.int16]:
    """G.711 as 16-bit samples; `payload_type` 0 is the µ-law, 8 the A-law."""
    samples: NDArray[np.int16] = (_ULAW if payload_type == 0 else _ALAW)[codes]
    return samples


def _ulaw() -> NDArray[np.int16]:
    code = ~np.arange(256, dtype=np.uint8)
    segment, step = (code >> 4 & 7).astype(np.int16), (code & 15).astype(np.int16)
    magnitude = ((step << 3) + 132 << segment) - 132
    return _signed(magnitude, code & 0x80 != 0)


def _alaw() -> NDArray[np.int16]:
    code = np.arange(256, dtype=np.uint8) ^ 0x55
    segment, step = (code >> 4 & 7).astype(np.int16), (code & 15).astype(np.int16)
    implied = np.where(segment > 0, 256, 0).astype(np.int16)
    magnitude = (step << 4) + 8 + implied << np.maximum(segment - 1, 0)
    return _signed(magnitude, code & 0x80 == 0)


def _signed(magnitude: NDArray[np.int16], negative: NDArray[np.bool_]) -> NDArray[np.int16]:
    signed: NDArray[np.int16] = np.where(negative, -magnitude, magnitude).astype(np.int16)
    return signed


_ULAW, _ALAW = _ulaw(), _alaw()
