"""What the commands print with: tables, times and spans for people, JSON for programs.

What comes from a caller or a server is data: nothing of it reaches the terminal as a command.
"""

from __future__ import annotations

import json
import logging
import sys
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

JsonOption = Annotated[bool, typer.Option("--json", help="For programs: JSON.")]

_WIDE = 240
"""Columns where the output goes to a program: nothing is cut there."""


def hand_on_json(context: typer.Context, as_json: bool) -> None:
    """`--json` before a subcommand means the subcommand."""
    if as_json and context.invoked_subcommand is not None:
        context.default_map = {context.invoked_subcommand: {"as_json": True}}


def console() -> Console:
    """stdout, with colours and the window's width where it is a terminal."""
    from rich.console import Console

    made = Console(highlight=False)
    return made if made.is_terminal else Console(highlight=False, width=_WIDE)


def table(*, header: bool = True) -> Table:
    """A table without lines; columns are the caller's."""
    from rich.table import Table

    return Table(box=None, pad_edge=False, show_header=header, header_style="bold")


def safe(text: str) -> str:
    """`text` for rich: no markup, no control characters but line breaks."""
    from rich.markup import escape

    return escape("".join(char if char.isprintable() or char == "\n" else "?" for char in text))


def print_json(value: object) -> None:
    """`value` on stdout, as JSON that people can read too."""
    print(json.dumps(value, indent=1, ensure_ascii=not _utf8()))


def say(as_json: bool, text: str, **facts: object) -> None:
    """One line: `text` for people, or `facts` for programs."""
    print(json.dumps(facts) if as_json else text)


def tick(ok: bool) -> str:
    """✓ or ✗, in words where the terminal cannot show them."""
    if _utf8():
        return "✓" if ok else "✗"
    return "ok" if ok else "FAILED"


def quiet_logs() -> None:
    """Keeps log lines off the terminal, where a command says itself what happens."""
    logging.getLogger("sipmail").addHandler(logging.NullHandler())


def local(when: datetime | None) -> str:
    """`2026-11-23 14:30:12 +0100`, in the time zone of this machine."""
    return "-" if when is None else f"{when.astimezone():%Y-%m-%d %H:%M:%S %z}"


def span(seconds: float) -> str:
    """`42 s`, `7 min`, `3 h 5 min`, `2 d 4 h`; what is past is `now`."""
    if seconds <= 0:
        return "now"
    minutes = int(seconds // 60)
    if minutes < 1:
        return f"{int(seconds)} s"
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 24:
        return f"{hours} h {minutes} min"
    days, hours = divmod(hours, 24)
    return f"{days} d {hours} h"


def length(seconds: float | None) -> str:
    """`4.2 s`, `1:05`: how long a sound is."""
    if seconds is None:
        return "-"
    if seconds < 60:
        return f"{seconds:.1f} s"
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


def _utf8() -> bool:
    # While rich shows that something goes on, its proxy stands for stdout and knows no encoding.
    stdout = getattr(sys.stdout, "rich_proxied_file", sys.stdout)
    return (getattr(stdout, "encoding", None) or "").lower().replace("-", "") == "utf8"
