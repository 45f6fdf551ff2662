"""A call as its script sees it: what can be asked of it, and the one way it ends.

The agent implements `Call` on real signalling and media, the tests without either.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from sipmail.config.model import Record
from sipmail.errors import SipmailError


class Ending(StrEnum):
    """What ended a call or its recording; the values stand in `message.json`."""

    CALLER = "caller"
    """The caller hung up."""
    KEY = "key"
    """The caller pressed a finish key."""
    SILENCE = "silence"
    """The caller said nothing more for `record.silence`."""
    MAX = "max"
    """The recording reached `record.max`."""
    TIMEOUT = "timeout"
    """No packets came for `rtp.timeout`."""
    INTERRUPTED = "interrupted"
    """The program or the machine died during the call; found at the next start."""
    SHUTDOWN = "shutdown"
    """The program was told to stop and the grace was over."""
    MEDIA = "media"
    """The media process died or could not go on."""


class HungUp(SipmailError):
    """The call is gone; `reason` says why in words, `ending` for `message.json`."""

    def __init__(self, reason: str, ending: Ending = Ending.CALLER) -> None:
        self.reason = reason
        self.ending = ending
        super().__init__(reason)


@dataclass(frozen=True, slots=True)
class Review:
    """What was recorded, as far as one can tell while the caller waits.

    `prompt` plays it; `speech` is how many seconds of it sound like somebody speaking, `sound`
    whether anything can be heard at all.
    """

    prompt: str
    speech: float
    sound: bool


class Call(Protocol):
    """One call. Everything here raises `HungUp` once the call is gone, also while it waits.

    A prompt is the stem of a prepared recording, or `silence:SECONDS`.
    """

    async def ring(self, seconds: float) -> None:
        """Rings for that long."""

    async def answer(self) -> None:
        """Answers; returns when the ACK is there and the first packet came or 1 s passed.

        Raises SpoolError or MediaError when the call cannot be taken; it is then unanswered.
        """

    async def play(self, *prompts: str, keys: str = "") -> str:
        """Plays prompts without a gap; returns the key of `keys` that cut them short, or ""."""
        ...

    async def enter(self, mailbox: str, *, urgent: bool) -> None:
        """The call is for another mailbox from now on: the caller chose it."""

    async def record(self, record: Record, warning: str | None = None) -> Ending:
        """Records until a finish key (KEY), silence (SILENCE) or the maximum (MAX); the prompt
        `warning` is played `record.warning` before that.

        A further recording takes the place of the one before once it is over and says something:
        at least `record.min` of speech, or more than the one before.
        """
        ...

    async def review(self) -> Review:
        """What is recorded so far, ready to be played to the caller."""
        ...

    async def mark_urgent(self) -> None:
        """The message is urgent; noted on disk."""

    async def transfer(self, to: str) -> None:
        """Hands the caller to `to`, a number at the trunk or a SIP URI.

        Returns when that failed; raises `HungUp` once `to` has the caller.
        """

    async def hang_up(self) -> None:
        """Ends the call."""
