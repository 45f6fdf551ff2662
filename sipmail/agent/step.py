"""One step of `sipmail check --online`: what was looked at, how it is, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Verdict(Enum):
    """How a step ended; only `FAILED` keeps sipmail from doing its work."""

    RIGHT = "right"
    NOTE = "note"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Step:
    """`what` names it in a word or two, `text` says how it is, `cure` what to do, where it is not
    right."""

    what: str
    verdict: Verdict
    text: str
    cure: str = ""


def right(what: str, text: str) -> Step:
    return Step(what, Verdict.RIGHT, text)


def note(what: str, text: str, cure: str) -> Step:
    return Step(what, Verdict.NOTE, text, cure)


def failed(what: str, text: str, cure: str) -> Step:
    return Step(what, Verdict.FAILED, text, cure)
