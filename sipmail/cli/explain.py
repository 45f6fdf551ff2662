"""`sipmail explain`: what would happen to an INVITE that is in a file, and why."""

from __future__ import annotations

import ipaddress
import sys
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from sipmail.cli.options import WRONG_USE, ConfigOption, fail, read_config
from sipmail.errors import SipmailError


def explain(
    file: Annotated[str, typer.Argument(help="A file with a SIP INVITE, or - for stdin.")],
    source: Annotated[
        str | None, typer.Option(help="The address that the INVITE came from.", metavar="ADDRESS")
    ] = None,
    at: Annotated[
        str | None,
        typer.Option(help="The local time of the call, for opening hours.", metavar="TIME"),
    ] = None,
    config: ConfigOption = None,
) -> None:
    """Explains what sipmail would do with an INVITE.

    Says which trunk would accept it, who the caller is, which rule chose which mailbox, and which
    greeting would play and why. The INVITE may be copied out of a log or of sngrep.

    Example: sipmail explain invite.txt --source 198.51.100.7 --at "2026-11-23 17:30"
    """
    from sipmail.agent.greetings import recorded
    from sipmail.voicemail.explain import explain as lines
    from sipmail.voicemail.explain import read_invite

    loaded = read_config(config)
    loaded = recorded(loaded, loaded.spool)
    if source is not None:
        try:
            ipaddress.ip_address(source)
        except ValueError:
            raise typer.BadParameter(f"{source} is no IP address", param_hint="--source") from None
    try:
        when = datetime.now(loaded.timezone) if at is None else datetime.fromisoformat(at)
    except ValueError:
        raise typer.BadParameter(
            f"{at} is no time: write it like 2026-11-23 17:30", param_hint="--at"
        ) from None
    try:
        request = read_invite(_content(file))
    except SipmailError as error:
        fail(f"{'standard input' if file == '-' else file}: {error}", WRONG_USE)
    for line in lines(request, loaded, when, source):
        print(line)


def _content(file: str) -> bytes:
    if file == "-":
        return sys.stdin.buffer.read()
    try:
        return Path(file).read_bytes()
    except OSError as error:
        raise SipmailError(error.strerror or str(error)) from None
