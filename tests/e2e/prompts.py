"""What a caller hears, and which prompt that is.

A prompt is known by its loudest stretch after the first words, as the agent's spool has it
prepared: several begin with the same words, and silence is not sent.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from sipmail.audio.prompt import prepare
from tests.e2e.telephone import decoded, until
from tests.support.agent import ROOT, Agent
from tests.support.caller import Call
from tests.support.rtp import RATE

_STRETCH = 1200
"""Samples of a prompt that no other prompt has."""


def shipped(name: str) -> Path:
    """A prompt that comes with sipmail: `pl/thanks`, `beep`."""
    return ROOT / "greetings" / f"{name}.wav"


def stretch(agent: Agent, prompt: Path) -> bytes:
    """What a prompt is known by, in G.711 µ-law."""
    data = prepare(prompt, agent.spool / "prompts").stem.with_suffix(".ulaw").read_bytes()
    power = np.convolve(decoded(data).astype(float) ** 2, np.ones(_STRETCH), "valid")
    first = len(power) // 3
    at = first + int(np.argmax(power[first:]))
    return data[at : at + _STRETCH]


def wait_said(agent: Agent, call: Call, prompt: Path, since: int = 0) -> int:
    """Until the caller has heard `prompt`, `since` so many bytes; where it ended."""
    wanted = stretch(agent, prompt)
    until(lambda: wanted in call.heard_payload()[since:], f"the prompt {prompt.stem}")
    return call.heard_payload().index(wanted, since) + len(wanted)


def pitch(call: Call) -> float:
    """The strongest frequency in what was heard, in Hz."""
    tone = decoded(call.heard_payload()).astype(float)
    spectrum = np.abs(np.fft.rfft(tone * np.hanning(len(tone))))
    return float(np.argmax(spectrum) * RATE / len(tone))


def likeness(heard: bytes, said: bytes) -> float:
    """How much of `said` is in `heard`, whatever its level: 1 is all of it."""
    long, short = decoded(heard).astype(float), decoded(said).astype(float)
    size = 1 << (len(long) + len(short)).bit_length()
    spectrum = np.fft.rfft(long, size) * np.conj(np.fft.rfft(short, size))
    power = np.convolve(long**2, np.ones(len(short)), "valid")
    products = np.fft.irfft(spectrum, size)[: len(power)]
    return float(np.max(products / np.sqrt(np.maximum(power, 1.0) * np.sum(short**2))))
