"""The command `sipmail`: one file a command, put together here.

A command imports what it needs when it runs, so that `sipmail --help` and the small commands
start at once.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any

import click
import typer
from typer.core import TyperGroup

from sipmail import __version__
from sipmail.errors import ConfigError, SipmailError

_COMMANDS = ("run", "check", "demo", "call", "explain", "queue", "test-mail", "schema")


class _Commands(TyperGroup):
    """The commands in the order in which a newcomer needs them, each loaded when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> Any:
        if cmd_name not in _COMMANDS:
            return None
        module = import_module(f"sipmail.cli.{cmd_name.replace('-', '_')}")
        single = typer.Typer(rich_markup_mode=None, add_completion=False)
        if hasattr(module, "app"):
            command = typer.main.get_command(module.app)
        else:
            single.command(cmd_name)(getattr(module, cmd_name.replace("-", "_")))
            command = typer.main.get_command(single)
        command.name = cmd_name
        return command


app = typer.Typer(
    cls=_Commands,
    help="Voicemail to e-mail for any PBX.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def _main(
    version: bool = typer.Option(False, "--version", help="Print the version and exit."),
) -> None:
    if version:
        print(f"sipmail {__version__}")
        raise typer.Exit


def main() -> None:
    """The entry point: errors of ours become one line on stderr, never a traceback."""
    try:
        app(prog_name="sipmail")
    except ConfigError as error:
        for problem in error.problems:
            print(problem, file=sys.stderr)
        sys.exit(2)
    except SipmailError as error:
        print(f"sipmail: {error}", file=sys.stderr)
        sys.exit(1)
