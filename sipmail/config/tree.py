"""What a YAML file says, with the place of every key and value; and the problems met on the way.

Rules: a mapping's keys are text; `path` says where something was written, and stays with it when
`defaults` are merged into a mailbox, so that a mistake is reported where its author can mend it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sipmail.errors import Problem

Path = tuple[str | int, ...]

_BREAKS = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]+")


@dataclass(frozen=True, slots=True)
class Place:
    """A position in the file; both count from 1."""

    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Scalar:
    """One value: `value` is what it means, `text` how it is written (without quotes)."""

    place: Place
    path: Path
    value: str | int | float | bool | None
    text: str


@dataclass(frozen=True, slots=True)
class Items:
    """A list."""

    place: Place
    path: Path
    items: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class Entry:
    """A key of a mapping (its place) and what belongs to it."""

    place: Place
    value: Value


@dataclass(frozen=True, slots=True)
class Mapping:
    """A mapping, in the order of the file."""

    place: Place
    path: Path
    entries: dict[str, Entry]

    def get(self, *keys: str) -> Value | None:
        """The value under the keys, one below the other; None where one is missing."""
        value: Value = self
        for key in keys:
            if not isinstance(value, Mapping) or key not in value.entries:
                return None
            value = value.entries[key].value
        return value

    def names(self, key: str) -> frozenset[str]:
        """The keys of the mapping under `key`."""
        value = self.get(key)
        return frozenset(value.entries) if isinstance(value, Mapping) else frozenset()


Value = Scalar | Items | Mapping


def problem(file: str, place: Place, path: Path, text: str) -> Problem:
    """A problem on one line, whatever is repeated in it from the file."""
    key = _BREAKS.sub(" ", dotted(path))
    return Problem(file, place.line, place.column, key, _BREAKS.sub(" ", text))


def plain(value: Value) -> object:
    """Without places: dict, list, str, int, float, bool, None."""
    match value:
        case Scalar():
            return value.value
        case Items():
            return [plain(item) for item in value.items]
        case Mapping():
            return {key: plain(entry.value) for key, entry in value.entries.items()}


def locate(root: Value, path: Sequence[str | int]) -> tuple[Place, Path, Value | None]:
    """The place of what `path` leads to, where it was written, and its value.

    Where the path leads further than the tree, that is the place of the last key on the way, the
    path as given, and None.
    """
    place, written = root.place, root.path
    value: Value = root
    for index, step in enumerate(path):
        match value:
            case Mapping() if isinstance(step, str) and step in value.entries:
                entry = value.entries[step]
                place, value = entry.place, entry.value
                written = value.path
            case Items() if isinstance(step, int) and 0 <= step < len(value.items):
                value = value.items[step]
                place, written = value.place, value.path
            case Scalar():
                break
            case _:
                return place, (*written, *path[index:]), None
    return place, written, value


def merge(below: Mapping, above: Mapping) -> Mapping:
    """`above`, with what only `below` has; mappings in both are merged in the same way."""
    entries = dict(below.entries)
    for key, entry in above.entries.items():
        under = entries.get(key)
        if under and isinstance(under.value, Mapping) and isinstance(entry.value, Mapping):
            entry = Entry(entry.place, merge(under.value, entry.value))
        entries[key] = entry
    return Mapping(above.place, above.path, entries)


def matches(root: Value, pattern: Sequence[str]) -> Iterator[tuple[Path, Value]]:
    """Every value whose path fits `pattern`, in which `*` is any key or index."""
    if not pattern:
        yield (), root
        return
    step, rest = pattern[0], pattern[1:]
    below: Iterator[tuple[str | int, Value]]
    match root:
        case Mapping():
            below = ((key, entry.value) for key, entry in root.entries.items())
        case Items():
            below = enumerate(root.items)
        case Scalar():
            return
    for key, value in below:
        if step in ("*", key):
            for path, found in matches(value, rest):
                yield (key, *path), found


def dotted(path: Sequence[str | int]) -> str:
    """A path as people write it: `mailboxes.sales.numbers` (an index is left to the place)."""
    return ".".join(step for step in path if isinstance(step, str))
