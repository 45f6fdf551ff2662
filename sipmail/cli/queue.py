"""`sipmail queue`: the messages that wait for delivery, and those that could not be delivered.

Looking reads the folders of the spool. Changes go to the running agent through its control socket;
where none runs, the command owns the spool itself for the moment, and the change takes effect at
the next start.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sipmail.cli.options import ConfigOption, read_config

if TYPE_CHECKING:
    from rich.console import Console

    from sipmail.config.model import Config
    from sipmail.spool.message import Message
    from sipmail.spool.spool import Spool, State

app = typer.Typer(
    help="Messages that wait for delivery, or could not be delivered.",
    epilog="Example: sipmail queue retry all",
    context_settings={"help_option_names": ["-h", "--help"]},
)

JsonOption = Annotated[bool, typer.Option("--json", help="For programs: JSON.")]
IdArgument = Annotated[str, typer.Argument(metavar="ID", help="As `sipmail queue list` shows it.")]

_WIDE = 240
"""Columns where the output goes to a program: nothing is cut there."""


@app.callback(invoke_without_command=True)
def _queue(
    context: typer.Context, config: ConfigOption = None, as_json: JsonOption = False
) -> None:
    context.obj = config
    if context.invoked_subcommand is None:
        list_messages(context, config, as_json)


@app.command("list", epilog="Example: sipmail queue list --json")
def list_messages(
    context: typer.Context, config: ConfigOption = None, as_json: JsonOption = False
) -> None:
    """Show what waits, oldest first, then what failed."""
    from sipmail.spool.spool import Spool, State

    spool = Spool(_configuration(context, config).spool)
    shown: list[tuple[State, Message]] = []
    if spool.root.is_dir():
        for state in (State.QUEUE, State.FAILED):
            shown += [(state, message) for message in spool.list(state)]
    now = datetime.now(UTC)
    if as_json:
        print(json.dumps([_facts(state, message, now) for state, message in shown], indent=1))
    elif not shown:
        print("nothing waits, and nothing failed")
    else:
        _print_table(shown, now)


@app.command(epilog="Example: sipmail queue show 20261123T143012123456-9f86d081884c")
def show(
    context: typer.Context,
    id: IdArgument,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show all that is known about one message."""
    from sipmail.spool.spool import Spool

    spool = Spool(_configuration(context, config).spool)
    state, message = spool.find(id)
    if as_json:
        facts = {**json.loads(message.dumps()), "state": state.value}
        print(json.dumps({**facts, "folder": str(spool.folder(state, id))}, indent=1))
    else:
        _print_message(spool, state, message)


@app.command(epilog="Example: sipmail queue retry all")
def retry(
    context: typer.Context,
    id: Annotated[
        str,
        typer.Argument(metavar="ID|all", help="One message, or all that wait."),
    ],
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Try again now; by its ID also a message that failed."""
    from sipmail.mail import queue
    from sipmail.spool.spool import State

    def locally(spool: Spool) -> int:
        wanted = spool.ids(State.QUEUE) if id == "all" else [id]
        for message_id in wanted:
            queue.retry(spool, message_id, datetime.now(UTC))
        return len(wanted)

    count, running = _change(_configuration(context, config), "queue.retry", id, locally)
    when = "now" if running else "when sipmail runs again"
    _say(as_json, f"{_messages(count)} will be tried {when}", count=count, running=running)


@app.command(epilog="Example: sipmail queue drop 20261123T143012123456-9f86d081884c")
def drop(
    context: typer.Context,
    id: IdArgument,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Give a message up. Its recording stays in done/ for `keep`, then it is deleted."""
    from sipmail.mail import queue

    def locally(spool: Spool) -> int:
        queue.drop(spool, id)
        return 1

    count, running = _change(_configuration(context, config), "queue.drop", id, locally)
    _say(as_json, f"{_messages(count)} dropped", count=count, running=running)


def _configuration(context: typer.Context, path: Path | None) -> Config:
    return read_config(path or context.obj)


def _change(
    config: Config, command: str, message_id: str, locally: Callable[[Spool], int]
) -> tuple[int, bool]:
    """How many messages were changed, and whether by a running agent. Raises SpoolError."""
    from sipmail.spool.control import NotRunning, ask
    from sipmail.spool.message import check_id
    from sipmail.spool.spool import Spool

    check_id(message_id)
    try:
        return int(str(ask(config.spool, command, id=message_id))), True
    except NotRunning:
        spool = Spool(config.spool)
        spool.open()
    try:
        return locally(spool), False
    finally:
        spool.close()


def _say(as_json: bool, text: str, **facts: object) -> None:
    print(json.dumps(facts) if as_json else text)


def _messages(count: int) -> str:
    return "1 message" if count == 1 else f"{count} messages"


def _facts(state: State, message: Message, now: datetime) -> dict[str, object]:
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


def _print_table(shown: Iterable[tuple[State, Message]], now: datetime) -> None:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for name, options in (
        ("ID", {"no_wrap": True}),
        ("state", {"no_wrap": True}),
        ("age", {"no_wrap": True, "justify": "right"}),
        ("mailbox", {}),
        ("recipients", {}),
        ("tries", {"justify": "right"}),
        ("next", {"no_wrap": True, "justify": "right"}),
        ("last answer", {"overflow": "fold"}),
    ):
        table.add_column(name, **options)
    for state, message in shown:
        delivery = message.delivery
        again = delivery.next_attempt
        table.add_row(
            message.id,
            state.value,
            _span((now - message.received).total_seconds()),
            _safe(message.mailbox or f"({message.kind.value})"),
            _safe("\n".join(_recipients(message)) or "-"),
            str(delivery.attempts),
            _span((again - now).total_seconds()) if again else "-",
            _safe(delivery.last_answer or "-"),
        )
    _console().print(table)


def _print_message(spool: Spool, state: State, message: Message) -> None:
    from rich.table import Table

    delivery = message.delivery
    folder = spool.folder(state, message.id)
    facts = {
        "ID": message.id,
        "state": f"{state.value} ({folder})",
        "kind": message.kind.value,
        "mailbox": message.mailbox or "-",
        "caller": _caller(message),
        "called": message.called or "-",
        "reason": message.reason,
        "received": _local(message.received),
        "ended": f"{_local(message.ended)} ({message.ending or '-'})",
        "length": "-" if message.duration is None else f"{message.duration:.1f} s",
        "trunk": message.trunk or "-",
        "Call-ID": message.call_id or "-",
        "Message-ID": delivery.message_id or "-",
        "attempts": str(delivery.attempts),
        "next attempt": _local(delivery.next_attempt),
        "last answer": delivery.last_answer or "-",
        "notes": "\n".join(message.notes) or "-",
        "files": "\n".join(sorted(path.name for path in folder.iterdir())),
    }
    if message.notice is not None:
        facts["notice"] = f"{message.notice.subject}\n\n{message.notice.text}"
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in facts.items():
        table.add_row(name, _safe(value))
    for address, known in delivery.recipients.items():
        answer = f": {known.answer}" if known.answer else ""
        when = f", {_local(known.at)}" if known.at else ""
        table.add_row("recipient", _safe(f"{address} {known.state.value}{when}{answer}"))
    _console().print(table)


def _console() -> Console:
    from rich.console import Console

    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=_WIDE)


def _safe(text: str) -> str:
    """A caller's name may hold anything: nothing of it reaches the terminal as a command."""
    from rich.markup import escape

    return escape("".join(char if char.isprintable() or char == "\n" else "?" for char in text))


def _recipients(message: Message) -> list[str]:
    return [
        address if known.state.value == "waiting" else f"{address} ({known.state.value})"
        for address, known in message.delivery.recipients.items()
    ]


def _caller(message: Message) -> str:
    if message.caller.withheld:
        return "withheld"
    return " ".join(filter(None, (message.caller.name, message.caller.number))) or "-"


def _local(when: datetime | None) -> str:
    return "-" if when is None else f"{when.astimezone():%Y-%m-%d %H:%M:%S %z}"


def _span(seconds: float) -> str:
    """`42 s`, `7 min`, `3 h 5 min`, `2 d 4 h`; what is past is `now`."""
    if seconds <= 0:
        return "now"
    minutes = int(seconds // 60)
    if minutes < 1:
        return f"{int(seconds)} s"
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 24:
        return f"{hours} h {minutes} min"
    days, hours = divmod(hours, 24)
    return f"{days} d {hours} h"
