"""Recorded calls for the tests: journals with something like speech, with silence, or broken."""

from __future__ import annotations

import struct
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from sipmail.codecs import g711
from sipmail.rtp import journal
from sipmail.spool.message import Caller, Message, new_id
from sipmail.spool.spool import AUDIO, Spool

PTIME = 0.02


def babble(seconds: float) -> np.ndarray:
    """(n,) int16: noise in bursts of a syllable, loud enough for a voice."""
    n = round(seconds * 8000)
    noise = np.random.default_rng(1).normal(0, 6000, n)
    syllables = np.sin(2 * np.pi * 3 * np.arange(n) / 8000) > -0.3
    return np.clip(noise * syllables, -32000, 32000).astype(np.int16)


def silence(seconds: float) -> np.ndarray:
    """(n,) int16: nothing."""
    return np.zeros(round(seconds * 8000), np.int16)


def packets(samples: np.ndarray) -> bytes:
    """A journal of PCMA packets of 20 ms."""
    payload = bytes(g711.encode_alaw(samples))
    parts = [journal.header(1.8e9, "127.0.0.1", 20000)]
    for number in range(len(payload) // 160):
        head = struct.pack(">BBHII", 0x80, 8, number, number * 160, 0x1234)
        chunk = payload[number * 160 : (number + 1) * 160]
        parts.append(journal.frame([head + chunk], round(number * PTIME * 1000)))
    return b"".join(parts)


def leave(spool: Spool, audio: bytes | None, **changes: object) -> Message:
    """A call that ended just now, in the queue; `audio` is its journal, None for no recording."""
    now = datetime.now(UTC)
    begun = Message(
        id=new_id(now),
        mailbox="sales",
        called="201",
        received=now,
        caller=Caller("+48600123456", "Jan Kowalski"),
        trunk="pbx",
        call_id="a@b",
        payloads={8: "PCMA", 0: "PCMU"},
    )
    begun = replace(begun, **changes)  # type: ignore[arg-type]
    folder: Path = spool.begin(begun)
    if audio is not None:
        (folder / AUDIO).write_bytes(audio)
    ended = begun.ended or datetime.now(UTC)
    message = replace(begun, ended=ended, ending="caller", recorded=audio is not None)
    spool.finish(message)
    return message
