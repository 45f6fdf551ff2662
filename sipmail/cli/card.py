"""One message of the spool, wherever it is: its facts in short, and all that is known about it.

`sipmail queue` and `sipmail messages` show it in the same way.
"""

from __future__ import annotations

import json
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from sipmail.cli import terminal

if TYPE_CHECKING:
    from sipmail.spool.message import Message
    from sipmail.spool.spool import Spool, State

IdArgument = Annotated[
    str, typer.Argument(metavar="ID", help="The message, by its ID as `list` shows it.")
]


def facts(state: State, message: Message, now: datetime) -> dict[str, object]:
    """What `list --json` says about a message; `age` is in seconds."""
    delivery = message.delivery
    return {
        "id": message.id,
        "state": state.value,
        "kind": message.kind.value,
        "mailbox": message.mailbox,
        "caller": message.caller.number,
        "received": message.received.isoformat(),
        "age": round((now - message.received).total_seconds(), 3),
        "recipients": {
            address: {"state": known.state.value, "answer": known.answer}
            for address, known in delivery.recipients.items()
        },
        "attempts": delivery.attempts,
        "next_attempt": delivery.next_attempt and delivery.next_attempt.isoformat(),
        "last_answer": delivery.last_answer,
    }


def show(spool: Spool, message_id: str, as_json: bool) -> None:
    """Prints all that is known about a message. Raises SpoolError."""
    state, message = spool.find(message_id)
    if as_json:
        known = {**json.loads(message.dumps()), "state": state.value}
        terminal.print_json({**known, "folder": str(spool.folder(state, message_id))})
    else:
        _print(spool, state, message)


def caller(message: Message) -> str:
    """Who called, on one line."""
    if message.caller.withheld:
        return "withheld"
    return " ".join(filter(None, (message.caller.name, message.caller.number))) or "-"


def mailbox(message: Message) -> str:
    """The mailbox; what is no call has none."""
    return message.mailbox or f"({message.kind.value})"


def recipients(message: Message) -> list[str]:
    """The addresses, with what became of those that do not just wait."""
    return [
        address if known.state.value == "waiting" else f"{address} ({known.state.value})"
        for address, known in message.delivery.recipients.items()
    ]


def _print(spool: Spool, state: State, message: Message) -> None:
    delivery = message.delivery
    folder = spool.folder(state, message.id)
    lines = {
        "ID": message.id,
        "state": f"{state.value} ({folder})",
        "kind": message.kind.value,
        "mailbox": message.mailbox or "-",
        "caller": caller(message),
        "called": message.called or "-",
        "reason": message.reason,
        "received": terminal.local(message.received),
        "ended": f"{terminal.local(message.ended)} ({message.ending or '-'})",
        "length": terminal.length(message.duration),
        "trunk": message.trunk or "-",
        "Call-ID": message.call_id or "-",
        "Message-ID": delivery.message_id or "-",
        "attempts": str(delivery.attempts),
        "next attempt": terminal.local(delivery.next_attempt),
        "last answer": delivery.last_answer or "-",
        "notes": "\n".join(message.notes) or "-",
        "files": "\n".join(sorted(path.name for path in folder.iterdir())),
    }
    if message.notice is not None:
        lines["notice"] = f"{message.notice.subject}\n\n{message.notice.text}"
    table = terminal.table(header=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in lines.items():
        table.add_row(name, terminal.safe(value))
    for address, known in delivery.recipients.items():
        answer = f": {known.answer}" if known.answer else ""
        when = f", {terminal.local(known.at)}" if known.at else ""
        table.add_row("recipient", terminal.safe(f"{address} {known.state.value}{when}{answer}"))
    terminal.console().print(table)
