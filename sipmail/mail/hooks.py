"""After delivery: the address and the program that a mailbox wants told of each message.

A hook is a recipient of its own kind: it waits with the message, is retried on the same schedule,
and ends in `delivered` or `failed`, where `sipmail queue` shows it. Its name holds no `@`, so it
is never taken for an address. It is told once the e-mail is delivered, or refused for good, to
everyone; where its answer was lost it is told again with the same `id`.

A webhook gets `POST` with JSON. With a secret, `X-Sipmail-Signature` is `sha256=` and the hex
HMAC-SHA256 of `X-Sipmail-Timestamp`, a dot and the body. 2xx is taken; 408, 425, 429, 5xx and no
answer are tried again; anything else (redirects, too) is final.

A command gets the same JSON on its standard input, is run without a shell in a session of its own,
and is ended with all its children when its time is over. Status 0 is taken; the permanent ones of
sysexits.h (64 to 74, 76 to 78) are final; anything else is tried again.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import http.client
import json
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sipmail import __version__
from sipmail.config.model import Command, Mailbox, Webhook
from sipmail.mail.deliver import Outcome, one_line
from sipmail.mail.post import post
from sipmail.mail.view import Attachment, caller
from sipmail.spool.message import Kind, Message

WEBHOOK = "webhook"
COMMAND = "command"

_AGAIN = (408, 425, 429)
_FINAL = frozenset({*range(64, 75), *range(76, 79)})
_TAKEN = 65536
_LAST_WORDS = 2000


Tell = Callable[[tuple[str, ...]], Outcome]


@dataclass(frozen=True, slots=True)
class Hook:
    """One to be told: its name as a recipient, and how. `tell` is given the addresses that have got
    the e-mail just now; those of before are in the message."""

    name: str
    tell: Tell


def names(mailbox: Mailbox) -> tuple[str, ...]:
    """The hooks of a mailbox, as recipients."""
    return (WEBHOOK,) * (mailbox.webhook is not None) + (COMMAND,) * (mailbox.command is not None)


def is_hook(recipient: str) -> bool:
    """Whether a recipient is a hook and no address."""
    return "@" not in recipient


def hooks(message: Message, mailbox: Mailbox, audio: Attachment | None, file: Path | None,
          waiting: tuple[str, ...]) -> tuple[Hook, ...]:  # fmt: skip
    """Those hooks of `mailbox` that are `waiting` to be told of `message`, whose recording
    (without one None) is in `file`."""
    found = []
    if mailbox.webhook is not None and WEBHOOK in waiting:
        found.append(Hook(WEBHOOK, _webhook(mailbox.webhook, message, mailbox, audio)))
    if mailbox.command is not None and COMMAND in waiting:
        found.append(Hook(COMMAND, _command(mailbox.command, message, mailbox, audio, file)))
    return tuple(found)


def facts(
    message: Message,
    mailbox: Mailbox,
    audio: Attachment | None,
    now_delivered: tuple[str, ...] = (),
) -> dict[str, object]:
    """What a hook is told of a message: the keys of its JSON."""
    number, name = caller(message)
    delivered = dict.fromkeys((*message.delivery.delivered(), *now_delivered))
    received, ended = message.received, message.ended
    return {
        "event": "missed" if message.kind is Kind.MISSED else "message",
        "id": message.id,
        "mailbox": mailbox.key,
        "mailbox_name": mailbox.name,
        "caller": {
            "number": number or None,
            "name": name or None,
            "withheld": message.caller.withheld,
        },
        "called": message.called or None,
        "reason": message.reason,
        "received": received.isoformat(),
        "ended": ended.isoformat() if ended else None,
        "duration": round(audio.duration, 2) if audio is not None else None,
        "urgent": message.urgent,
        "ending": message.ending,
        "repeats": [when.isoformat() for when in message.repeats],
        "trunk": message.trunk,
        "call_id": message.call_id,
        "message_id": message.delivery.message_id,
        "delivered_to": [one for one in delivered if not is_hook(one)],
        "recording": None
        if audio is None
        else {"mime": audio.mime, "extension": audio.extension, "size": len(audio.data)},
    }


def signature(secret: str, timestamp: str, body: bytes) -> str:
    """The value of `X-Sipmail-Signature`."""
    mark = hmac.new(secret.encode(), timestamp.encode() + b"." + body, hashlib.sha256)
    return f"sha256={mark.hexdigest()}"


def _webhook(
    webhook: Webhook, message: Message, mailbox: Mailbox, audio: Attachment | None
) -> Tell:
    def tell(now_delivered: tuple[str, ...]) -> Outcome:
        known = facts(message, mailbox, audio, now_delivered)
        if audio is not None and webhook.recording:
            known["recording"] = {
                **_mapping(known["recording"]),
                "data": base64.b64encode(audio.data).decode(),
            }
        body = json.dumps(known, ensure_ascii=False).encode()
        timestamp = str(int(time.time()))
        headers = {
            "Content-Type": "application/json; charset=utf-8",
            "User-Agent": f"sipmail/{__version__}",
            "X-Sipmail-ID": message.id,
            "X-Sipmail-Timestamp": timestamp,
        }
        if webhook.secret is not None:
            secret = webhook.secret.get_secret_value()
            headers["X-Sipmail-Signature"] = signature(secret, timestamp, body)
        try:
            answer = post(webhook.url, body, headers, webhook.timeout)
        except (OSError, http.client.HTTPException, ValueError) as error:
            why = getattr(error, "reason", None) or error
            return Outcome(False, True, one_line(f"no answer: {why}"))
        taken = 200 <= answer.status < 300
        temporary = not taken and (answer.status in _AGAIN or answer.status >= 500)
        return Outcome(taken, temporary, f"{answer.status} {one_line(answer.reason)}".strip())

    return tell


def _command(
    command: Command,
    message: Message,
    mailbox: Mailbox,
    audio: Attachment | None,
    file: Path | None,
) -> Tell:
    def tell(now_delivered: tuple[str, ...]) -> Outcome:
        known = facts(message, mailbox, audio, now_delivered)
        if file is not None and audio is not None:
            known["recording"] = {**_mapping(known["recording"]), "path": str(file)}
        body = json.dumps(known, ensure_ascii=False).encode() + b"\n"
        return run(command, body)

    return tell


def run(command: Command, body: bytes) -> Outcome:
    """Runs `command` with `body` on its standard input; its last words are the answer."""
    # Files, not pipes: a child that outlives the program would hold a pipe open.
    with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as said:
        given.write(body)
        given.seek(0)
        try:
            process = subprocess.Popen(
                command.run, stdin=given, stdout=said, stderr=said, cwd="/", start_new_session=True
            )
        except (OSError, ValueError) as error:
            return Outcome(False, True, one_line(f"cannot be started: {error}"))
        try:
            status = process.wait(command.timeout)
        except subprocess.TimeoutExpired:
            status = None
        finally:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        size = said.seek(0, os.SEEK_END)
        said.seek(max(0, size - _LAST_WORDS))
        lines = said.read(_TAKEN).decode("utf-8", "replace").strip().splitlines()
    words = f": {lines[-1]}" if lines else ""
    if status is None:
        return Outcome(False, True, one_line(f"took longer than {command.timeout:g} s{words}"))
    answer = one_line(f"exit status {status}{words}")
    return Outcome(status == 0, status not in _FINAL, answer)


def _mapping(value: object) -> dict[str, object]:
    return dict(value) if isinstance(value, dict) else {}
