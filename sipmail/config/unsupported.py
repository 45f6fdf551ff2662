"""What the configuration may already say, but this version does not do yet.

A feature is switched on by deleting its line. Each line has the path of the key (`*` is any name),
the value that is meant (None: every value) and what to write instead.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from sipmail.config import tree


class Unsupported(NamedTuple):
    """One thing that a later version will do."""

    path: str
    value: str | None
    instead: str


UNSUPPORTED: Final[tuple[Unsupported, ...]] = (
    Unsupported("mailboxes.*.after", "menu", "write thanks or nothing"),
    Unsupported("defaults.after", "menu", "write thanks or nothing"),
)


def unsupported(root: tree.Mapping) -> Iterator[tuple[tree.Path, str]]:
    """The paths that ask for something that is not there yet, each with a sentence."""
    for path, value, instead in UNSUPPORTED:
        for found, node in tree.matches(root, path.split(".")):
            if value is None or tree.plain(node) == value:
                what = path.rpartition(".")[2] if value is None else value
                yield found, f"{what} is not supported yet: {instead}"
