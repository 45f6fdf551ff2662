"""What the courier does next: a pure schedule of messages on a clock that is given.

Rules
- A message is tried when it comes, then after a delay that doubles, until a last moment.
- Of the messages that are due the oldest goes first, so the messages of one mailbox go out in
  order where their sending does not overlap. A message in hand is not handed out again.
- When the mail server itself is in trouble, messages that were tried before are held for a short
  time, so that a queue of thousands does not wait for thousands of time-outs; new ones still go
  and show when it is back. The first success then frees everything that waited for the server.

Times are Unix seconds; a message is known by its ID, and IDs sort by age.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass

FIRST_DELAY = 60.0
LONGEST_DELAY = 4 * 3600.0
GIVE_UP_AFTER = 5 * 86400.0
TOO_LONG = 15 * 60.0
"""A message that waits longer than this is reported to the administrator."""
HOLD = 60.0


def delay_after(attempts: int) -> float:
    """Seconds from the failed attempt number `attempts` (1 for the first) to the next one."""
    return min(FIRST_DELAY * 2.0 ** min(attempts - 1, 30), LONGEST_DELAY)


def is_over(first_attempt: float, now: float) -> bool:
    """Whether a message that was first tried at `first_attempt` is given up."""
    return now - first_attempt >= GIVE_UP_AFTER


@dataclass(slots=True)
class _Entry:
    since: float
    """When the message came to the queue."""
    due: float
    tried: bool
    server_trouble: bool = False
    hurried: float | None = None
    """When somebody wanted it now while it was in hand."""


class Schedule:
    """The messages of the queue and when each is due."""

    def __init__(self) -> None:
        self._entries: dict[str, _Entry] = {}
        self._later: list[tuple[float, str]] = []
        self._ready: list[str] = []
        self._held_until = 0.0
        self._in_hand: set[str] = set()

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, message_id: str) -> bool:
        return message_id in self._entries

    def add(self, message_id: str, since: float, due: float, *, tried: bool) -> None:
        """Takes a message in; one that is known already keeps its place."""
        if message_id not in self._entries:
            self._entries[message_id] = _Entry(since, due, tried)
            heapq.heappush(self._later, (due, message_id))

    def take(self, now: float, *, only_new: bool = False) -> str | None:
        """The message to work on now, in hand from here on; None when nothing is due.

        `only_new` is for the end: what was tried before is left to the next start.
        """
        self._ripen(now)
        while self._ready:
            message_id = heapq.heappop(self._ready)
            entry = self._entries.get(message_id)
            if entry is None or message_id in self._in_hand or entry.due > now:
                continue  # removed, in hand or postponed since
            if entry.tried and only_new:
                continue
            if entry.tried and now < self._held_until:
                entry.due = self._held_until
                heapq.heappush(self._later, (entry.due, message_id))
                continue
            self._in_hand.add(message_id)
            return message_id
        return None

    def postpone(self, message_id: str, due: float, *, server_trouble: bool = False) -> None:
        """A message in hand waits again, until `due`."""
        entry = self._entries.get(message_id)
        if entry is None:
            return
        entry.due, entry.tried, entry.server_trouble = due, True, server_trouble
        self._in_hand.discard(message_id)
        heapq.heappush(self._later, (due, message_id))
        if entry.hurried is not None:
            wanted, entry.hurried = entry.hurried, None
            self.hurry(message_id, wanted)

    def remove(self, message_id: str) -> None:
        """The message has left the queue."""
        self._entries.pop(message_id, None)
        self._in_hand.discard(message_id)

    def hurry(self, message_id: str, now: float) -> None:
        """The message is due now, whatever was planned; one in hand is due again at once should
        it come back: what is being tried may be what was changed just now."""
        entry = self._entries.get(message_id)
        if entry is None:
            return
        if message_id in self._in_hand:
            entry.hurried = now
            return
        entry.due, entry.tried = now, False
        heapq.heappush(self._later, (now, message_id))

    def hurry_all(self, now: float) -> None:
        """Everything that waits is due now: the configuration or the administrator changed."""
        self._held_until = 0.0
        for message_id in list(self._entries):
            self.hurry(message_id, now)

    def server_failed(self, now: float) -> None:
        """The mail server is away: messages that were tried before are held for a while."""
        self._held_until = now + HOLD

    def server_works(self, now: float) -> None:
        """The mail server took a message: what waited because of it is due now."""
        self._held_until = 0.0
        for message_id, entry in list(self._entries.items()):
            if entry.server_trouble and self._waits(message_id):
                entry.server_trouble = False
                entry.due = min(entry.due, now)
                heapq.heappush(self._later, (entry.due, message_id))

    def is_in_hand(self, message_id: str) -> bool:
        return message_id in self._in_hand

    @property
    def in_hand(self) -> int:
        """How many messages are being worked on."""
        return len(self._in_hand)

    def waiting_longer_than(self, seconds: float, now: float) -> list[str]:
        """The messages that came to the queue more than `seconds` ago and are not in hand."""
        return sorted(
            message_id
            for message_id, entry in self._entries.items()
            if now - entry.since > seconds and self._waits(message_id)
        )

    @property
    def deadline(self) -> float | None:
        """When `take` will next give something; None while nothing waits."""
        while self._later:
            due, message_id = self._later[0]
            entry = self._entries.get(message_id)
            if entry is not None and entry.due == due and self._waits(message_id):
                return due
            heapq.heappop(self._later)
        return None

    @property
    def oldest(self) -> float | None:
        """When the message that waits longest came to the queue."""
        return min((entry.since for entry in self._entries.values()), default=None)

    def _waits(self, message_id: str) -> bool:
        return message_id not in self._in_hand

    def _ripen(self, now: float) -> None:
        while self._later and self._later[0][0] <= now:
            due, message_id = heapq.heappop(self._later)
            entry = self._entries.get(message_id)
            if entry is not None and entry.due == due and self._waits(message_id):
                heapq.heappush(self._ready, message_id)
