"""The command `sipmail`: one file a command, put together here.

Only the command that is called is loaded and built, and a command imports the rooms that it needs
when it runs, so that each starts at once.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from importlib import import_module

import typer

from sipmail import __version__
from sipmail.errors import ConfigError, SipmailError

COMMANDS = (
    "init",
    "run",
    "check",
    "demo",
    "call",
    "explain",
    "queue",
    "messages",
    "greeting",
    "test-mail",
    "schema",
    "trace",
)
"""In the order of the help. Each is a file here, with a function of its name, or with an `app` of
commands of its own."""


def application(commands: Iterable[str] = COMMANDS) -> typer.Typer:
    """The program with these of its commands."""
    app = typer.Typer(
        help="Voicemail to e-mail for any PBX.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback(invoke_without_command=True)(_without_command)
    for command in commands:
        name = command.replace("-", "_")
        module = import_module(f"{__name__}.{name}")
        if hasattr(module, "app"):
            app.add_typer(module.app, name=command)
        else:
            app.command(command)(getattr(module, name))
    return app


def _without_command(
    version: bool = typer.Option(False, "--version", help="Print the version and exit."),
) -> None:
    if version:
        print(f"sipmail {__version__}")
        raise typer.Exit


def main() -> None:
    """The entry point: errors of ours become lines on stderr, never a traceback."""
    first = sys.argv[1:2]
    called = [name for name in COMMANDS if name in first]
    app = application(called if called or first == ["--version"] else COMMANDS)
    try:
        app(prog_name="sipmail")
    except ConfigError as error:
        for problem in error.problems:
            print(problem, file=sys.stderr)
        sys.exit(2)
    except SipmailError as error:
        print(f"sipmail: {error}", file=sys.stderr)
        sys.exit(1)
