"""The configuration file of a command: found where INTERFACE.md says, or exit status 2."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from sipmail.errors import ConfigError

if TYPE_CHECKING:
    from sipmail.config.model import Config

PLACES = (Path("sipmail.yaml"), Path("/etc/sipmail/sipmail.yaml"))


def find(given: Path | None) -> Path:
    """The file given, else the first of `PLACES` that exists; exits with 2 when there is none."""
    if given is not None:
        return given
    for place in PLACES:
        if place.is_file():
            return place
    typer.echo(
        f"no configuration: neither {' nor '.join(str(place) for place in PLACES)} exists; "
        "give one with -c FILE, or write one with `sipmail init`",
        err=True,
    )
    raise typer.Exit(2)


def load_or_exit(given: Path | None) -> Config:
    """The configuration; prints every problem and exits with 2 when it cannot be used."""
    from sipmail.config.loader import load

    try:
        return load(find(given))
    except ConfigError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from error
