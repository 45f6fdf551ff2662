"""`sipmail trace`: the SIP messages of a running agent in its log, on and off."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from sipmail.cli.options import ConfigOption, fail, read_config


class Switch(StrEnum):
    """What to do with the trace."""

    ON = "on"
    OFF = "off"


def trace(
    switch: Annotated[Switch, typer.Argument(help="on or off", show_default=False)],
    trunk: Annotated[
        str | None,
        typer.Argument(help="only the messages with this trunk", show_default=False),
    ] = None,
    config: ConfigOption = None,
) -> None:
    """Have the running sipmail log whole SIP messages, of all peers or of one trunk.

    They go to its log (journalctl -u sipmail -f), with passwords and keys masked. `off` without a
    trunk ends every trace; so does a restart.

    Example: sipmail trace on pbx
    """
    from sipmail.errors import SpoolError
    from sipmail.spool.control import NotRunning, ask

    root = read_config(config).spool
    try:
        result = ask(root, "trace", on=switch is Switch.ON, trunk=trunk)
    except NotRunning:
        fail("no sipmail is running with this configuration; sipmail run --trace starts with one")
    except SpoolError as error:
        fail(str(error))
    print(_words(result))


def _words(result: object) -> str:
    if isinstance(result, dict):
        if result.get("everything"):
            return "every SIP message is logged"
        if trunks := result.get("trunks"):
            return f"the SIP messages of {', '.join(map(str, trunks))} are logged"
    return "no SIP message is logged"
