"""The command `sipmail`: one file a command, put together here.

A command imports the rooms that it needs when it runs, so that `--help` and the small commands
start at once.
"""

from __future__ import annotations

import sys

import typer

from sipmail import __version__
from sipmail.cli import (
    call,
    check,
    demo,
    explain,
    greeting,
    init,
    messages,
    queue,
    run,
    schema,
    test_mail,
    trace,
)
from sipmail.errors import ConfigError, SipmailError

app = typer.Typer(
    help="Voicemail to e-mail for any PBX.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("init")(init.init)
app.command("run")(run.run)
app.command("check")(check.check)
app.command("demo")(demo.demo)
app.command("call")(call.call)
app.command("explain")(explain.explain)
app.add_typer(queue.app, name="queue")
app.add_typer(messages.app, name="messages")
app.add_typer(greeting.app, name="greeting")
app.command("test-mail")(test_mail.test_mail)
app.command("schema")(schema.schema)
app.command("trace")(trace.trace)


@app.callback(invoke_without_command=True)
def _main(
    version: bool = typer.Option(False, "--version", help="Print the version and exit."),
) -> None:
    if version:
        print(f"sipmail {__version__}")
        raise typer.Exit


def main() -> None:
    """The entry point: errors of ours become lines on stderr, never a traceback."""
    try:
        app(prog_name="sipmail")
    except ConfigError as error:
        for problem in error.problems:
            print(problem, file=sys.stderr)
        sys.exit(2)
    except SipmailError as error:
        print(f"sipmail: {error}", file=sys.stderr)
        sys.exit(1)
