"""`sipmail messages`: the delivered messages that are still kept, to hear or send them again.

They lie in the spool's `done/` for `keep`. Looking and listening read the folders; sending again
goes through the running agent (see `change`).
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sipmail.cli import card, terminal
from sipmail.cli.card import IdArgument
from sipmail.cli.change import change
from sipmail.cli.options import WRONG_USE, ConfigOption, fail, read_config
from sipmail.cli.terminal import JsonOption, hand_on_json
from sipmail.errors import SipmailError

if TYPE_CHECKING:
    from sipmail.config.model import Config
    from sipmail.spool.message import Message
    from sipmail.spool.spool import Spool

app = typer.Typer(
    help="Delivered messages that are still kept.",
    epilog="Example: sipmail messages list --mailbox sales",
    context_settings={"help_option_names": ["-h", "--help"]},
)

MailboxOption = Annotated[
    str | None, typer.Option("--mailbox", "-m", metavar="KEY", help="Only of this mailbox.")
]
LastOption = Annotated[
    int | None, typer.Option("--last", "-n", metavar="N", min=1, help="Only the newest N.")
]

AllOption = Annotated[
    bool, typer.Option("--all", "-a", help="Also what was dropped, and notices to the admin.")
]


@app.callback(invoke_without_command=True)
def _messages(
    context: typer.Context,
    everything: AllOption = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    context.obj = config
    hand_on_json(context, as_json)
    if context.invoked_subcommand is None:
        list_messages(context, everything=everything, config=config, as_json=as_json)
    elif everything:
        fail("--all belongs to the list: write sipmail messages list --all", WRONG_USE)


@app.command("list", epilog="Example: sipmail messages list --last 10 --json")
def list_messages(
    context: typer.Context,
    mailbox: MailboxOption = None,
    last: LastOption = None,
    everything: AllOption = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what is kept, the newest last."""
    from sipmail.spool.spool import Spool, State

    settings = _configuration(context, config)
    if mailbox is not None and mailbox not in settings.mailboxes:
        fail(
            f"there is no mailbox {mailbox!r}: there are {', '.join(settings.mailboxes)}", WRONG_USE
        )
    spool = Spool(settings.spool)
    shown = spool.list(State.DONE) if spool.root.is_dir() else []
    shown = [message for message in shown if mailbox in (None, message.mailbox)]
    if not everything:
        shown = [message for message in shown if _was_delivered(message)]
    shown = shown[-last:] if last else shown
    if as_json:
        now = datetime.now(UTC)
        terminal.print_json(
            [
                {
                    **card.facts(State.DONE, message, now),
                    "duration": message.duration,
                    "deleted": _deleted(spool, message, settings).isoformat(),
                }
                for message in shown
            ]
        )
    elif not shown:
        print("no delivered message is kept")
    else:
        _print_table(spool, shown, settings)


@app.command(epilog="Example: sipmail messages show 20261123T143012123456-9f86d081884c")
def show(
    context: typer.Context,
    id: IdArgument,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show all that is known about one message."""
    from sipmail.spool.spool import Spool

    card.show(Spool(_configuration(context, config).spool), id, as_json)


@app.command(
    epilog="Example: sipmail messages play 20261123T143012123456-9f86d081884c --to message.wav"
)
def play(
    context: typer.Context,
    id: IdArgument,
    to: Annotated[
        str | None,
        typer.Option("--to", metavar="FILE", help="Write a WAV file instead; - is stdout."),
    ] = None,
    received: Annotated[
        bool,
        typer.Option(
            "--received", help="The whole sound as it came, also where the e-mail had less of it."
        ),
    ] = False,
    config: ConfigOption = None,
) -> None:
    """Play a recording, with aplay, paplay, pw-play, ffplay or sox, or write it to a file."""
    from sipmail.cli.player import play as play_aloud
    from sipmail.cli.player import recording_of
    from sipmail.spool.spool import Spool

    if to == "-" and sys.stdout.isatty():
        fail("a WAV file is no text for a terminal: write it to a file or a pipe", WRONG_USE)
    spool = Spool(_configuration(context, config).spool)
    state, message = spool.find(id)
    data, seconds = recording_of(spool, state, message, received=received)
    if to == "-":
        sys.stdout.buffer.write(data)
    elif to is not None:
        try:
            Path(to).write_bytes(data)
        except OSError as error:
            raise SipmailError(f"{to} cannot be written: {error.strerror}") from None
        print(f"{to}: {terminal.length(seconds)}")
    else:
        print(f"{card.caller(message)}, {terminal.local(message.received)}, ", end="")
        print(terminal.length(seconds), flush=True)
        play_aloud(data)


@app.command(
    epilog="Example: sipmail messages resend 20261123T143012123456-9f86d081884c"
    " --to anna@example.com"
)
def resend(
    context: typer.Context,
    id: IdArgument,
    to: Annotated[
        list[str] | None,
        typer.Option(
            "--to", metavar="ADDRESS", help="Only to this recipient of the mailbox; may be repeated"
        ),
    ] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Send a delivered message again, to everyone who gets the messages of its mailbox."""
    from sipmail.mail.resend import resend as send_again

    settings = _configuration(context, config)
    addresses = [address.strip() for address in to or ()]

    def locally(spool: Spool) -> int:
        send_again(spool, id, addresses, settings, datetime.now(UTC))
        return 1

    _, running = change(settings, "messages.resend", id, locally, addresses=addresses)
    whom = ", ".join(addresses) or "everyone"
    when = "now" if running else "when sipmail runs again"
    terminal.say(
        as_json, f"message {id} will be sent to {whom} again, {when}", count=1, running=running
    )


def _was_delivered(message: Message) -> bool:
    """Whether it is a caller's message that went out: no notice, and not dropped."""
    from sipmail.mail.queue import was_dropped
    from sipmail.spool.message import Kind

    return message.kind is not Kind.NOTICE and not was_dropped(message)


def _configuration(context: typer.Context, path: Path | None) -> Config:
    return read_config(path or context.obj)


def _deleted(spool: Spool, message: Message, config: Config) -> datetime:
    return datetime.fromtimestamp(spool.kept_since(message.id) + config.keep, UTC)


def _sent_to(message: Message) -> list[str]:
    return [
        address if known.state.value == "delivered" else f"{address} ({known.state.value})"
        for address, known in message.delivery.recipients.items()
    ]


def _print_table(spool: Spool, shown: Iterable[Message], config: Config) -> None:
    table = terminal.table()
    table.add_column("ID", no_wrap=True)
    table.add_column("received", no_wrap=True)
    table.add_column("mailbox")
    table.add_column("caller")
    table.add_column("length", no_wrap=True, justify="right")
    table.add_column("sent to")
    table.add_column("kept for", no_wrap=True, justify="right")
    now = datetime.now(UTC)
    for message in shown:
        left = (_deleted(spool, message, config) - now).total_seconds()
        table.add_row(
            message.id,
            f"{message.received.astimezone(config.timezone):%Y-%m-%d %H:%M}",
            terminal.safe(card.mailbox(message)),
            terminal.safe(card.caller(message)),
            "missed" if message.kind.value == "missed" else terminal.length(message.duration),
            terminal.safe("\n".join(_sent_to(message)) or "nobody"),
            terminal.span(left) if left > 0 else "-",
        )
    terminal.console().print(table)
