"""What a caller hears, and which prompt that is.

A prompt is known by a loud stretch after the first words, as the agent's spool has it prepared:
several begin with the same words, and silence is not sent. Any of some stretches will do, for a
machine that stands still skips what it should have sent meanwhile.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np

from sipmail.audio.prompt import prepare
from tests.e2e.telephone import decoded, until
from tests.support.agent import ROOT, Agent
from tests.support.caller import Call
from tests.support.rtp import RATE

_STRETCH = 1200
"""Samples of a prompt that no other prompt has."""
_STRETCHES = 3


def shipped(name: str) -> Path:
    """A prompt that comes with sipmail: `pl/thanks`, `beep`."""
    return ROOT / "greetings" / f"{name}.wav"


def stretches(agent: Agent, prompt: Path) -> list[bytes]:
    """What a prompt is known by, each in G.711 µ-law, in the order in which they are heard."""
    data = prepare(prompt, agent.spool / "prompts").stem.with_suffix(".ulaw").read_bytes()
    power = np.convolve(decoded(data).astype(float) ** 2, np.ones(_STRETCH), "valid")
    edges = np.linspace(len(power) // 3, len(power), _STRETCHES + 1).astype(int)
    starts = (first + int(np.argmax(power[first:last])) for first, last in pairwise(edges))
    return [data[at : at + _STRETCH] for at in starts]


def wait_said(agent: Agent, call: Call, prompt: Path, since: int = 0) -> int:
    """Until the caller has heard `prompt`, `since` so many bytes; where it ended."""
    known = stretches(agent, prompt)

    def ends() -> list[int]:
        heard = call.heard_payload()
        found = ((heard.find(one, since), len(one)) for one in known)
        return [at + length for at, length in found if at >= 0]

    try:
        until(lambda: bool(ends()), f"the prompt {prompt.stem}")
    except AssertionError as error:
        raise AssertionError(f"{error}; heard: {_heard(agent, call)}\n{agent.log()}") from None
    return ends()[0]


def _heard(agent: Agent, call: Call) -> list[str]:
    """The shipped prompts that a caller has heard anything of."""
    heard = call.heard_payload()
    return [
        str(path.relative_to(ROOT))
        for path in sorted((ROOT / "greetings").rglob("*.wav"))
        if any(one in heard for one in stretches(agent, path))
    ]


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
