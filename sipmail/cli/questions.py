"""Asking a person at the terminal, until the answer can be used."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import typer

T = TypeVar("T")


def ask(
    text: str,
    check: Callable[[str], T],
    default: str | None = None,
    *,
    secret: bool = False,
    needed: str = "an answer is needed",
) -> T:
    """Asks `text` until `check` takes the answer; its ValueError is what the person reads.

    An empty answer is `default`; where that is None there has to be one, and `needed` says so.
    Raises typer.Abort at the end of the input.
    """
    while True:
        answer = typer.prompt(
            text,
            default=default or "",
            show_default=bool(default) and not secret,
            hide_input=secret,
        )
        answer = str(answer) if secret else str(answer).strip()
        try:
            if not answer and default is None:
                raise ValueError(needed)
            return check(answer)
        except ValueError as error:
            typer.secho(f"  {error}", fg="red")


def agree(text: str, marks: str = "Y/n") -> bool:
    """A question for yes or no, where an empty answer is yes. Poles may say tak or t, nie or n."""
    while True:
        answer = str(typer.prompt(f"{text} [{marks}]", default="", show_default=False))
        match answer.strip().casefold():
            case "" | "y" | "yes" | "t" | "tak":
                return True
            case "n" | "no" | "nie":
                return False
