"""What the commands share: the `-c` option, reading the configuration, and how they fail.

Exit codes: 0 done, 1 a failure while working, 2 a wrong configuration or use.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from sipmail.errors import ConfigError

if TYPE_CHECKING:
    from sipmail.config.model import Config

FAILED = 1
WRONG_USE = 2

ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config",
        "-c",
        metavar="FILE",
        help="The configuration; without it ./sipmail.yaml, then /etc/sipmail/sipmail.yaml.",
        show_default=False,
    ),
]


def read_config(path: Path | None) -> Config:
    """The configuration; prints every problem and exits with 2 when it cannot be used."""
    from sipmail.config.loader import find, load

    try:
        config = load(find(path))
    except ConfigError as error:
        for problem in error.problems:
            print(problem, file=sys.stderr)
        raise typer.Exit(WRONG_USE) from None
    for warning in config.warnings:
        print(f"{warning} (warning)", file=sys.stderr)
    return config


def fail(text: str, code: int = FAILED) -> NoReturn:
    """Ends the command with one line on stderr."""
    print(f"sipmail: {text}", file=sys.stderr)
    raise typer.Exit(code)
