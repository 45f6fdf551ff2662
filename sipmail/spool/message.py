"""One message as the spool keeps it: who called whom, what was recorded, and who has it by now.

Rules: a `Message` is a value, changed by `dataclasses.replace`; `message.json` is its exact image,
so that `Message.loads(message.dumps()) == message`. Keys that a later version wrote are ignored,
keys that an earlier one did not know get their defaults: a spool outlives the program.
Everything that a caller controls (names, numbers) is data here and nothing else.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from enum import StrEnum

from sipmail.errors import SpoolError

# Made once: `json.dumps` with anything but its defaults makes an encoder each time.
_encode = json.JSONEncoder(ensure_ascii=False).encode
_HEAD, _TAIL = b'{\n"id": "', b"\n}\n"
_ID = re.compile(r"[0-9A-Za-z][0-9A-Za-z-]{0,99}")


class Kind(StrEnum):
    """What a folder of the spool is about."""

    MESSAGE = "message"
    """The caller spoke."""
    MISSED = "missed"
    """The caller left nothing that could be heard."""
    NOTICE = "notice"
    """Not a call: a word to the administrator, queued like a message so that it is not lost."""


class RecipientStatus(StrEnum):
    """How far one recipient is; only `WAITING` is tried again."""

    WAITING = "waiting"
    DELIVERED = "delivered"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Caller:
    """Who called: `number` as it came or in E.164, None where there is none or it is withheld."""

    number: str | None = None
    name: str | None = None
    withheld: bool = False


@dataclass(frozen=True, slots=True)
class RecipientState:
    """What the mail server said about one address, and when."""

    state: RecipientStatus = RecipientStatus.WAITING
    answer: str | None = None
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Sound:
    """The finished recording: `file` beside `audio.rtp`, and its picture, a PNG.

    The files are not synced; one whose size (in bytes) differs was torn by a crash and is made
    again. `lost` is the share (0 to 1) of the sound that never arrived; `silent` says that next to
    nothing can be heard. Where the packets cannot be decoded, `file` is the journal itself.
    """

    file: str
    size: int
    mime: str
    picture: str | None = None
    picture_size: int = 0
    lost: float = 0.0
    silent: bool = False
    smaller: bool = False
    """It is in another format than the mailbox wants, since that would be too large."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """How far the mail about a message is; written before and after each attempt.

    `message_id` is the Message-ID of every attempt, with its angle brackets. `on_call_at` is the
    moment whose on-call list counts: set once the first recipient has it, open until then.
    """

    message_id: str | None = None
    attempts: int = 0
    first_attempt: datetime | None = None
    next_attempt: datetime | None = None
    on_call_at: datetime | None = None
    recipients: Mapping[str, RecipientState] = field(default_factory=dict)
    last_answer: str | None = None
    sound: Sound | None = None
    """The finished recording, once it is there."""
    told: tuple[str, ...] = ()
    """What the administrator has heard about this message already, each once."""

    def waiting(self) -> tuple[str, ...]:
        """The addresses that have neither the message nor a final refusal."""
        return self._in(RecipientStatus.WAITING)

    def delivered(self) -> tuple[str, ...]:
        return self._in(RecipientStatus.DELIVERED)

    def failed(self) -> tuple[str, ...]:
        return self._in(RecipientStatus.FAILED)

    def _in(self, state: RecipientStatus) -> tuple[str, ...]:
        return tuple(address for address, known in self.recipients.items() if known.state is state)


@dataclass(frozen=True, slots=True)
class Notice:
    """The words of a `Kind.NOTICE`; `event` names its cause ("failed", "waiting", "trunk", …)."""

    event: str
    subject: str
    text: str


@dataclass(frozen=True, slots=True)
class Message:
    """A recorded or missed call. All times carry their zone; `duration` is in seconds.

    `called` is the number that the caller dialled, `reason` why the call came ("no-answer",
    "busy", "unavailable", "unconditional", "unknown"), `ending` what ended it ("caller", "key",
    "silence", "max", "timeout", "interrupted", "shutdown", "media"). `payloads` maps the RTP
    payload types of the journal to codec names. `recorded` says whether there is a journal.
    """

    id: str
    mailbox: str
    called: str
    received: datetime
    caller: Caller = Caller()
    called_name: str | None = None
    reason: str = "unknown"
    trunk: str = ""
    call_id: str = ""
    answered: datetime | None = None
    ended: datetime | None = None
    ending: str | None = None
    recorded: bool = False
    payloads: Mapping[int, str] = field(default_factory=dict)
    urgent: bool = False
    duration: float | None = None
    kind: Kind = Kind.MESSAGE
    notes: tuple[str, ...] = ()
    repeats: tuple[datetime, ...] = ()
    """When the same caller called again, where this missed call stands for those calls, too."""
    notice: Notice | None = None
    delivery: Delivery = Delivery()

    def dumps(self) -> bytes:
        """The content of `message.json`, a line a key, for people to read too."""
        # Not `indent`: it would leave the encoder in C for one that takes five times as long.
        lines = (f'"{key}": {_encode(value)}' for key, value in _message_out(self).items())
        return ("{\n" + ",\n".join(lines) + "\n}\n").encode()

    @classmethod
    def loads(cls, data: bytes) -> Message:
        """Reads `message.json`; raises SpoolError when it is not one."""
        try:
            return _message_in(json.loads(data))
        except (ValueError, KeyError, TypeError, SpoolError) as error:
            raise SpoolError(f"not a message.json: {error}") from error


def torn(data: bytes) -> bool:
    """Whether `data` is what `dumps` makes, broken off: nothing, or the beginning of it. A file
    system may have zeros where the rest was to be."""
    written = data.rstrip(b"\0")
    return written.startswith(_HEAD[: len(written)]) and not written.endswith(_TAIL)


def new_id(now: datetime) -> str:
    """An identifier that sorts by time and that nobody can guess: UTC to the microsecond, then
    48 random bits; letters, digits and one hyphen only, so that it can name a folder."""
    return f"{now.astimezone(UTC):%Y%m%dT%H%M%S%f}-{secrets.token_hex(6)}"


def check_id(text: str) -> str:
    """Returns `text` when it can name a message's folder, else raises SpoolError: identifiers
    come from the command line too, and must not lead out of the spool."""
    if not _ID.fullmatch(text):
        raise SpoolError(f"{text[:100]!r} is not the ID of a message")
    return text


def _time_out(when: datetime | None) -> str | None:
    return None if when is None else when.isoformat()


def _time_in(text: str | None) -> datetime | None:
    if text is None:
        return None
    when = datetime.fromisoformat(text)
    if when.tzinfo is None:
        raise ValueError(f"a time without its zone: {text}")
    return when


def _message_out(message: Message) -> dict[str, object]:
    delivery = message.delivery
    notice = message.notice
    return {
        "id": message.id,
        "kind": message.kind.value,
        "mailbox": message.mailbox,
        "called": message.called,
        "called_name": message.called_name,
        "caller": {
            "number": message.caller.number,
            "name": message.caller.name,
            "withheld": message.caller.withheld,
        },
        "reason": message.reason,
        "trunk": message.trunk,
        "call_id": message.call_id,
        "received": _time_out(message.received),
        "answered": _time_out(message.answered),
        "ended": _time_out(message.ended),
        "ending": message.ending,
        "recorded": message.recorded,
        "payloads": {str(number): codec for number, codec in message.payloads.items()},
        "urgent": message.urgent,
        "duration": message.duration,
        "notes": list(message.notes),
        "repeats": [when.isoformat() for when in message.repeats],
        "notice": notice
        and {"event": notice.event, "subject": notice.subject, "text": notice.text},
        "delivery": {
            "message_id": delivery.message_id,
            "attempts": delivery.attempts,
            "first_attempt": _time_out(delivery.first_attempt),
            "next_attempt": _time_out(delivery.next_attempt),
            "on_call_at": _time_out(delivery.on_call_at),
            "recipients": {
                address: {
                    "state": known.state.value,
                    "answer": known.answer,
                    "at": _time_out(known.at),
                }
                for address, known in delivery.recipients.items()
            },
            "last_answer": delivery.last_answer,
            "sound": delivery.sound and asdict(delivery.sound),
            "told": list(delivery.told),
        },
    }


def _message_in(raw: Mapping[str, object]) -> Message:
    # Read through typed getters: a file that a person has edited must fail here, with a name.
    get = _Reader(raw)
    caller = _Reader(get.mapping("caller"))
    notice = get.mapping("notice")
    received = _time_in(get.text("received"))
    if received is None:
        raise ValueError("received is missing")
    return Message(
        id=check_id(get.text("id") or ""),
        kind=Kind(get.text("kind") or "message"),
        mailbox=get.text("mailbox") or "",
        called=get.text("called") or "",
        called_name=get.text("called_name"),
        caller=Caller(caller.text("number"), caller.text("name"), caller.flag("withheld")),
        reason=get.text("reason") or "unknown",
        trunk=get.text("trunk") or "",
        call_id=get.text("call_id") or "",
        received=received,
        answered=_time_in(get.text("answered")),
        ended=_time_in(get.text("ended")),
        ending=get.text("ending"),
        recorded=get.flag("recorded"),
        payloads={int(number): str(codec) for number, codec in get.mapping("payloads").items()},
        urgent=get.flag("urgent"),
        duration=get.number("duration"),
        notes=get.texts("notes"),
        repeats=tuple(filter(None, map(_time_in, get.texts("repeats")))),
        notice=Notice(str(notice["event"]), str(notice["subject"]), str(notice["text"]))
        if notice
        else None,
        delivery=_delivery_in(_Reader(get.mapping("delivery"))),
    )


def _delivery_in(get: _Reader) -> Delivery:
    recipients = {}
    for address, known in get.mapping("recipients").items():
        one = _Reader(known)
        recipients[address] = RecipientState(
            RecipientStatus(one.text("state") or "waiting"),
            one.text("answer"),
            _time_in(one.text("at")),
        )
    return Delivery(
        message_id=get.text("message_id"),
        attempts=int(get.number("attempts") or 0),
        first_attempt=_time_in(get.text("first_attempt")),
        next_attempt=_time_in(get.text("next_attempt")),
        on_call_at=_time_in(get.text("on_call_at")),
        recipients=recipients,
        last_answer=get.text("last_answer"),
        sound=_sound_in(_Reader(sound)) if (sound := get.mapping("sound")) else None,
        told=get.texts("told"),
    )


def _sound_in(get: _Reader) -> Sound:
    return Sound(
        file=_file_name(get.text("file") or ""),
        size=int(get.number("size") or 0),
        mime=get.text("mime") or "application/octet-stream",
        picture=None if (name := get.text("picture")) is None else _file_name(name),
        picture_size=int(get.number("picture_size") or 0),
        lost=get.number("lost") or 0.0,
        silent=get.flag("silent"),
        smaller=get.flag("smaller"),
    )


def _file_name(text: str) -> str:
    if not text or "/" in text or text.startswith("."):
        raise ValueError(f"{text!r} is not a file of this folder")
    return text


class _Reader:
    """Typed look-ups in what JSON gave; raises ValueError with the key's name."""

    def __init__(self, raw: object) -> None:
        if not isinstance(raw, Mapping):
            raise ValueError(f"expected a JSON object, not {type(raw).__name__}")
        self._raw: Mapping[str, object] = raw

    def text(self, key: str) -> str | None:
        value = self._raw.get(key)
        if value is not None and not isinstance(value, str):
            raise ValueError(f"{key} is not a text")
        return value

    def flag(self, key: str) -> bool:
        value = self._raw.get(key, False)
        if not isinstance(value, bool):
            raise ValueError(f"{key} is neither true nor false")
        return value

    def number(self, key: str) -> float | None:
        value = self._raw.get(key)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError(f"{key} is not a number")
        return float(value)

    def texts(self, key: str) -> tuple[str, ...]:
        value = self._raw.get(key) or []
        if not isinstance(value, list):
            raise ValueError(f"{key} is not a list")
        return tuple(str(one) for one in value)

    def mapping(self, key: str) -> Mapping[str, object]:
        value = self._raw.get(key)
        if value is None:
            return {}
        if not isinstance(value, Mapping):
            raise ValueError(f"{key} is not a JSON object")
        return value
