"""`sipmail queue`: the messages that wait for delivery, and those that could not be delivered.

Looking reads the folders of the spool; changes go through the running agent (see `change`).
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from sipmail.cli import card, terminal
from sipmail.cli.card import IdArgument
from sipmail.cli.change import ALL, change, messages
from sipmail.cli.options import ConfigOption, read_config
from sipmail.cli.terminal import JsonOption, hand_on_json

if TYPE_CHECKING:
    from sipmail.config.model import Config
    from sipmail.spool.message import Message
    from sipmail.spool.spool import Spool, State

# Copying a whole spool from another disk takes its time.
_ADOPTION_SECONDS = 3600.0

app = typer.Typer(
    help="Messages that wait for delivery, or could not be delivered.",
    epilog="Example: sipmail queue retry all",
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback(invoke_without_command=True)
def _queue(
    context: typer.Context, config: ConfigOption = None, as_json: JsonOption = False
) -> None:
    context.obj = config
    hand_on_json(context, as_json)
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
        terminal.print_json([card.facts(state, message, now) for state, message in shown])
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

    card.show(Spool(_configuration(context, config).spool), id, as_json)


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
        wanted = spool.ids(State.QUEUE) if id == ALL else [id]
        for message_id in wanted:
            queue.retry(spool, message_id, datetime.now(UTC))
        return len(wanted)

    count, running = change(_configuration(context, config), "queue.retry", id, locally)
    when = "now" if running else "when sipmail runs again"
    terminal.say(as_json, f"{messages(count)} will be tried {when}", count=count, running=running)


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

    count, running = change(_configuration(context, config), "queue.drop", id, locally)
    terminal.say(as_json, f"{messages(count)} dropped", count=count, running=running)


@app.command(epilog="Example: sipmail queue adopt /mnt/node2/sipmail")
def adopt(
    context: typer.Context,
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="The spool of a machine that is gone.")
    ],
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take the messages of another spool over: what waits there is delivered from here."""
    from sipmail.errors import SipmailError
    from sipmail.spool import adoption
    from sipmail.spool.control import NotRunning, ask
    from sipmail.spool.spool import Spool

    configuration = _configuration(context, config)
    folder = folder.absolute()
    try:
        answer = ask(configuration.spool, "queue.adopt", _ADOPTION_SECONDS, folder=str(folder))
        counts, running = dict(cast("dict[str, int]", answer)), True
    except NotRunning:
        spool = Spool(configuration.spool)
        spool.open()
        try:
            counts, running = adoption.adopt(spool, folder).counts(), False
        finally:
            spool.close()
    when = "now" if running else "when sipmail runs again"
    lines = [f"{messages(counts['queue'])} will be delivered {when}"]
    if kept := counts["failed"] + counts["done"]:
        lines.append(f"{messages(kept)} came too, delivered or failed before")
    if counts["known"]:
        lines.append(f"{messages(counts['known'])} were here already")
    terminal.say(as_json, "\n".join(lines), **counts, running=running)
    if counts["left"]:
        raise SipmailError(f"{messages(counts['left'])} could not be taken over: see the log")


def _configuration(context: typer.Context, path: Path | None) -> Config:
    return read_config(path or context.obj)


def _print_table(shown: Iterable[tuple[State, Message]], now: datetime) -> None:
    table = terminal.table()
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
            terminal.span((now - message.received).total_seconds()),
            terminal.safe(card.mailbox(message)),
            terminal.safe("\n".join(card.recipients(message)) or "-"),
            str(delivery.attempts),
            terminal.span((again - now).total_seconds()) if again else "-",
            terminal.safe(delivery.last_answer or "-"),
        )
    terminal.console().print(table)
