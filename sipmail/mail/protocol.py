"""The words between the agent and the courier's process, one frozen dataclass a word.

Each travels as a JSON array: its class's name, then its fields in order. `Configure` carries a
pickled Config, which only our own parent can send over the channel that it made.
"""

from __future__ import annotations

import base64
import pickle
from dataclasses import dataclass

from sipmail.config.model import Config


@dataclass(frozen=True, slots=True)
class Configure:
    """The configuration, at the start and at each reload; everything that waits is due then."""

    pickled: str

    @classmethod
    def of(cls, config: Config) -> Configure:
        return cls(base64.b64encode(pickle.dumps(config)).decode())

    def config(self) -> Config:
        config = pickle.loads(base64.b64decode(self.pickled))
        if not isinstance(config, Config):
            raise TypeError(f"{type(config).__name__} is not a Config")
        return config


@dataclass(frozen=True, slots=True)
class New:
    """A call has just left this message in the queue: nobody has tried to deliver it yet."""

    id: str


@dataclass(frozen=True, slots=True)
class Notify:
    """A message has come to the queue from elsewhere; how far it is, it says itself."""

    id: str


@dataclass(frozen=True, slots=True)
class Retry:
    """Try a message of `queue/` or `failed/` now; an empty `id` means all of `queue/`."""

    request: int
    id: str


@dataclass(frozen=True, slots=True)
class Drop:
    """Take a message out of `queue/` or `failed/`; it is kept in `done/` for a while."""

    request: int
    id: str


@dataclass(frozen=True, slots=True)
class Resend:
    """Send a message of `done/` again, to `addresses` or, where empty, to everyone of its
    mailbox."""

    request: int
    id: str
    addresses: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Tell:
    """A word to the administrator, queued and retried like a message."""

    event: str
    subject: str
    text: str


@dataclass(frozen=True, slots=True)
class Stop:
    """End, after the messages in hand, but within `grace` seconds."""

    grace: float


@dataclass(frozen=True, slots=True)
class Ready:
    """The queue was read; deliveries begin."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of `Retry`, `Drop` or `Resend`: how many messages, or why not."""

    request: int
    count: int
    error: str


@dataclass(frozen=True, slots=True)
class Delivered:
    """The server took message `id` for `recipient`."""

    id: str
    mailbox: str
    recipient: str
    answer: str


@dataclass(frozen=True, slots=True)
class Failed:
    """Message `id` is not tried for `recipient` any more."""

    id: str
    mailbox: str
    recipient: str
    answer: str


@dataclass(frozen=True, slots=True)
class Waiting:
    """Message `id` is tried again at `next_attempt` (Unix seconds)."""

    id: str
    mailbox: str
    answer: str
    next_attempt: float


@dataclass(frozen=True, slots=True)
class Settled:
    """Message `id` left the queue for the folder `state`."""

    id: str
    mailbox: str
    state: str


@dataclass(frozen=True, slots=True)
class Status:
    """The queue now: its length, since when its oldest message waits (Unix seconds, 0: none), how
    many are in hand, how many failed for somebody (in `failed/`, or still waiting for others), and
    the last trouble with the server ("": none)."""

    queue: int = 0
    oldest: float = 0.0
    in_hand: int = 0
    failed: int = 0
    trouble: str = ""


@dataclass(frozen=True, slots=True)
class Log:
    """A line of the courier's log, for the agent's."""

    level: int
    logger: str
    text: str


Command = Configure | New | Notify | Retry | Drop | Resend | Tell | Stop
Event = Delivered | Failed | Waiting | Settled | Status
Word = Command | Event | Ready | Answer | Log

_WORDS: dict[str, type[Word]] = {
    word.__name__: word
    for word in (
        *(Configure, New, Notify, Retry, Drop, Resend, Tell, Stop),
        *(Ready, Answer, Delivered, Failed, Waiting, Settled, Status, Log),
    )
}


def encode(word: Word) -> tuple[object, ...]:
    """What `Channel.send` takes."""
    kind = type(word)
    return (kind.__name__, *[getattr(word, name) for name in kind.__slots__])


def decode(array: list[object]) -> Word:
    """The word in an array of `Channel.receive`; raises ValueError for anything else."""
    name, *values = array
    word = _WORDS.get(str(name))
    if word is None or len(values) != len(word.__slots__):
        raise ValueError(f"not a word of the courier: {name!r}")
    return word(*values)  # type: ignore[arg-type]
