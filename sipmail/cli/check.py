"""`sipmail check`: every mistake in the configuration, before it is used.

With `--online` also what the configuration only names: a tick a step, as it is done.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from sipmail.cli import terminal
from sipmail.cli.options import FAILED, WRONG_USE, ConfigOption
from sipmail.cli.terminal import JsonOption
from sipmail.errors import ConfigError

if TYPE_CHECKING:
    from rich.console import Console

    from sipmail.agent.step import Step
    from sipmail.config.model import Config

_Look = tuple[str, Callable[[], Iterator["Step"]]]


def check(
    config: ConfigOption = None,
    online: Annotated[
        bool,
        typer.Option(
            "--online",
            help="Also look up the names, register each trunk once, log in to the mail server, "
            "decode the greetings, and see whether this machine gives what is asked of it.",
        ),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Read the configuration and print every problem, a line each.

    A line is file:line:column: key: what is wrong, and what to write instead. Warnings end with
    (warning) and leave the configuration usable. Exits 0 when it is, 2 when not, 1 when a step of
    --online failed. Run it as the user that sipmail runs as; a running sipmail is not disturbed.

    Example: sipmail check --online -c /etc/sipmail/sipmail.yaml
    """
    from sipmail.config.loader import find, load

    try:
        loaded = load(find(config))
    except ConfigError as error:
        if as_json:
            terminal.print_json({"problems": [str(problem) for problem in error.problems]})
        else:
            for problem in error.problems:
                print(problem)
        raise typer.Exit(WRONG_USE) from None
    if not as_json:
        for warning in loaded.warnings:
            print(f"{warning} (warning)")
        trunks = ", ".join(loaded.sip.trunks)
        print(f"{loaded.path}: right. Trunks: {trunks}; mailboxes: {', '.join(loaded.mailboxes)}")
        for key, operator in _operators(loaded).items():
            print(f"mailbox {key}: the key 0 leads to the operator {operator}")
    steps = _online(loaded, quiet=as_json) if online else []
    if as_json:
        terminal.print_json(
            {
                "problems": [],
                "warnings": [str(warning) for warning in loaded.warnings],
                "operators": _operators(loaded),
                "steps": [
                    {
                        "what": step.what,
                        "verdict": step.verdict.value,
                        "text": step.text,
                        "cure": step.cure or None,
                    }
                    for step in steps
                ],
            }
        )
    if any(step.verdict.value == "failed" for step in steps):
        raise typer.Exit(FAILED)


def _operators(config: Config) -> dict[str, str]:
    """Whom the key 0 leads to, by mailbox."""
    return {key: box.operator for key, box in config.mailboxes.items() if box.operator is not None}


def _online(config: Config, *, quiet: bool) -> list[Step]:
    console = terminal.console()
    terminal.quiet_logs()
    done: list[Step] = []
    for about, look in _looks(config, done):
        waiting = console.status(f"{about} …") if not quiet else contextlib.nullcontext()
        with waiting:
            for step in look():
                done.append(step)
                if not quiet:
                    print_step(console, step)
    return done


def _looks(config: Config, done: list[Step]) -> Iterator[_Look]:
    """What to look at, in order: first what is quick, and what the rest depends on."""
    from sipmail.agent import machine, reach
    from sipmail.agent.step import Verdict

    running = machine.is_running(config.spool)
    yield "looking at the spool", lambda: machine.spool(config)
    yield "looking at the disk", lambda: machine.disk(config)
    yield "counting open files", lambda: machine.open_files(config)
    yield "opening addresses", lambda: machine.sip_addresses(config, running)
    yield "reading certificates", lambda: machine.certificates(config, datetime.now(UTC))
    yield "opening RTP ports", lambda: machine.rtp_ports(config, running)
    yield "decoding the greetings", lambda: machine.greetings(config)
    yield "looking up names", lambda: reach.names(config)
    unknown = {step.what for step in done if step.verdict is Verdict.FAILED}
    yield "registering", lambda: reach.registrations(config, without=unknown)
    yield "talking to the mail server", lambda: reach.mail(config)


def print_step(console: Console, step: Step) -> None:
    """A tick, what was looked at, how it is; on the next line what to do."""
    from rich.table import Table

    line = Table.grid(padding=(0, 2, 0, 0))
    line.add_column(no_wrap=True, min_width=max(map(len, map(terminal.tick, (True, False)))))
    line.add_column(no_wrap=True, min_width=_WHAT)
    line.add_column(overflow="fold")
    colour, mark = {
        "right": ("green", terminal.tick(True)),
        "note": ("yellow", "!"),
        "failed": ("red", terminal.tick(False)),
    }[step.verdict.value]
    text = terminal.safe(step.text)
    if step.cure:
        text += f"\n[{colour}]{terminal.safe(step.cure)}[/{colour}]"
    line.add_row(f"[{colour}]{mark}[/{colour}]", terminal.safe(step.what), text)
    console.print(line)


_WHAT = 12
"""Columns for what was looked at, so that the lines stand below each other."""
