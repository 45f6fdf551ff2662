"""How the agent is: one snapshot, from which health, metrics and the status page are made."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

_OLDEST_SECONDS = 900.0


@dataclass(frozen=True, slots=True)
class TrunkLine:
    """A trunk in the snapshot; `registered` is None for one that does not register."""

    name: str
    registered: bool | None
    since: datetime | None
    last_error: str


@dataclass(frozen=True, slots=True)
class CallLine:
    """A call in progress."""

    mailbox: str
    caller: str
    reason: str
    since: datetime


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The agent at one moment. Ages are in seconds, sizes in bytes."""

    version: str
    started: datetime
    trunks: tuple[TrunkLine, ...]
    calls: tuple[CallLine, ...]
    calls_taken: int
    calls_refused: int
    strangers: int
    sip_received: int
    sip_sent: int
    queue: int
    queue_oldest: float
    failed: int
    trouble: str
    delivered: int
    delivery_failures: int
    restarts: int
    free_disk: int
    least_disk: int
    spool_trouble: str = ""
    """Why nothing can be written to the spool; empty where it can."""
    dead: tuple[str, ...] = ()
    """What should be running and is not, with what that means."""

    def problems(self) -> tuple[str, ...]:
        """What keeps the agent from doing its work, in words; empty when all is well."""
        found = [
            f"trunk {trunk.name} is not registered: {trunk.last_error or 'no answer yet'}"
            for trunk in self.trunks
            if trunk.registered is False
        ]
        found += self.dead
        if self.queue_oldest > _OLDEST_SECONDS:
            minutes = int(self.queue_oldest / 60)
            found.append(
                f"a message has waited for delivery for {minutes} minutes: "
                f"{self.trouble or 'see `sipmail queue`'}"
            )
        if self.failed:
            messages = "1 message" if self.failed == 1 else f"{self.failed} messages"
            found.append(f"{messages} could not be delivered: see `sipmail queue`")
        if self.spool_trouble:
            found.append(f"{self.spool_trouble}: calls are refused")
        elif self.free_disk < self.least_disk:
            found.append(
                f"the spool's disk has {self.free_disk >> 20} MiB free, less than "
                f"limits.free_disk ({self.least_disk >> 20} MiB): calls are refused"
            )
        return tuple(found)
