"""`sipmail check`: every mistake in the configuration, before it is used."""

from __future__ import annotations

import typer

from sipmail.cli.options import WRONG_USE, ConfigOption
from sipmail.errors import ConfigError


def check(config: ConfigOption = None) -> None:
    """Reads the configuration and prints every problem, a line each.

    A line is file:line:column: key: what is wrong, and what to write instead. Warnings end with
    (warning) and leave the configuration usable. Exits 0 when it is, 2 when not.

    Example: sipmail check -c /etc/sipmail/sipmail.yaml
    """
    from sipmail.config.loader import find, load

    try:
        loaded = load(find(config))
    except ConfigError as error:
        for problem in error.problems:
            print(problem)
        raise typer.Exit(WRONG_USE) from None
    for warning in loaded.warnings:
        print(f"{warning} (warning)")
    trunks = ", ".join(loaded.sip.trunks)
    print(f"{loaded.path}: right. Trunks: {trunks}; mailboxes: {', '.join(loaded.mailboxes)}")
