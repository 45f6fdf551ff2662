"""The errors of sipmail: one tree, so that a caller can catch exactly what it can handle.

`ProtocolError` names the SIP status to answer with, `DeliveryError` says whether trying again can
help, `ConfigError` carries every problem with its place in the file and what to write instead.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


class SipmailError(Exception):
    """Base of everything that sipmail raises on purpose."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake in a configuration file; `line` and `column` count from 1, 0 where unknown."""

    file: str
    line: int
    column: int
    key: str
    text: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}:{self.column}" if self.line else self.file
        return f"{place}: {self.key}: {self.text}" if self.key else f"{place}: {self.text}"


class ConfigError(SipmailError):
    """The configuration cannot be used; `problems` lists every mistake that was found."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


class ProtocolError(SipmailError):
    """A peer broke a protocol; `status` is the SIP status code to answer with.

    `request` is the message as far as it could be read, where it can be answered at all: the
    parser sets it to a `sipmail.sip.message.Request` (typed as object to keep this floor bare).
    """

    def __init__(self, status: int, text: str, request: object | None = None) -> None:
        self.status = status
        self.text = text
        self.request = request
        super().__init__(f"{status} {text}")


class SpoolError(SipmailError):
    """The spool cannot be used: another process owns it, or the disk refused."""


class MediaError(SipmailError):
    """A media worker could not do what was asked: no free port, the process is gone."""


class DeliveryError(SipmailError):
    """A message could not be handed over; `temporary` says whether trying again can help."""

    def __init__(self, text: str, *, temporary: bool) -> None:
        self.temporary = temporary
        super().__init__(text)
