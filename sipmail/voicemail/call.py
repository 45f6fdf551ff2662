"""A call as its script sees it: six things that can be asked of it, and the one way it ends.

The agent implements `Call` on real signalling and media, the tests without either.
"""

from __future__ import annotations

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

    async def record(self, record: Record) -> Ending:
        """Records until a finish key (KEY), silence (SILENCE) or the maximum (MAX)."""
        ...

    async def hang_up(self) -> None:
        """Ends the call."""
