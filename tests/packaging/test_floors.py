"""A room imports only from the floors below it: read off the source, so that no import escapes.

The order stands in `FLOORS`, from the ground up; what else a room must not know stands in
`STRANGERS` (rooms that lie below it and are closed to it all the same) and `IMPURE` (the standard
modules that a room without I/O, clocks, threads or chance cannot need).
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[2] / "sipmail"

FLOORS = (
    {"errors", "process", "channel", "child"},
    {"codecs", "greetings"},
    {"sip"},
    {"rtp"},
    {"config"},
    {"spool"},
    {"audio"},
    {"media"},
    {"voicemail"},
    {"mail"},
    {"net"},
    {"agent"},
    {"cli"},
    {"__main__"},
)
LEVELS = {room: level for level, rooms in enumerate(FLOORS) for room in rooms}

STRANGERS = {
    "codecs": {"errors", "process", "channel", "child"},
    "spool": set(LEVELS) - {"errors"},
    "audio": {"sip", "spool"},
    "media": {"sip"},
    "mail": {"sip", "media"},
    "net": {"mail", "media", "audio", "voicemail", "spool"},
}

_IO = {"asyncio", "multiprocessing", "select", "selectors", "socket", "ssl", "subprocess"}
_CHANCE = {"random", "secrets", "threading", "time", "uuid"}
IMPURE = {
    "codecs": _IO | _CHANCE | {"pathlib"},
    "sip": _IO | _CHANCE | {"pathlib"},
    "rtp": _IO | _CHANCE,
    "voicemail": _IO - {"asyncio"} | {"threading", "random"},
    "config": _IO | {"threading", "random"},
    "audio": _IO,
    "net": {"threading"},
}


def modules() -> list[Path]:
    """Every source file, the linked rooms too; a link of a link is followed once."""
    return sorted(path for room in SOURCE.iterdir() for path in _sources(room))


def _sources(path: Path) -> Iterator[Path]:
    if path.is_dir():
        yield from path.rglob("*.py")
    elif path.suffix == ".py" and path.name != "__init__.py":
        yield path


def room_of(path: Path) -> str:
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """Line and dotted name of everything that the file imports, also inside functions.

    `from sipmail import x` counts as `sipmail.x`; a relative import is spelled out.
    """
    package = ("sipmail", *path.relative_to(SOURCE).parts[:-1])
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), str(path))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parts = package[: len(package) - node.level + 1]
                base = ".".join((*parts, *([base] if base else [])))
            if base == "sipmail":
                yield from ((node.lineno, f"sipmail.{alias.name}") for alias in node.names)
            else:
                yield node.lineno, base


def broken(room: str, name: str) -> str | None:
    """Why `room` must not import `name`; None where it may."""
    top, *rest = name.split(".")
    if top != "sipmail":
        return f"{room} is pure and must not know {top}" if top in IMPURE.get(room, ()) else None
    target = rest[0] if rest else ""
    if target in ("", "__version__", room):
        return None
    if target not in LEVELS:
        return f"{target} has no floor: give it one in this test"
    if target in STRANGERS.get(room, ()):
        return f"{room} must not know {target}"
    same_floor = LEVELS[target] == LEVELS[room]
    if LEVELS[target] > LEVELS[room] or (same_floor and LEVELS[room] > 0):
        return f"{target} lies above {room}"
    return None


def test_every_room_has_a_floor() -> None:
    names = {room_of(path) for path in modules()}
    assert names - set(LEVELS) == set()


@pytest.mark.parametrize("room", [room for rooms in FLOORS for room in sorted(rooms)])
def test_a_room_imports_only_from_below(room: str) -> None:
    complaints = [
        f"{path.relative_to(SOURCE.parent)}:{line}: {why}"
        for path in modules()
        if room_of(path) == room
        for line, name in imports(path)
        if (why := broken(room, name)) is not None
    ]
    assert complaints == []


@pytest.mark.parametrize(
    ("room", "name"),
    [
        ("sip", "sipmail.rtp.packet"),
        ("sip", "asyncio"),
        ("media", "sipmail.sip.message"),
        ("mail", "sipmail.sip"),
        ("spool", "sipmail.config"),
        ("codecs", "sipmail.greetings"),
        ("config", "sipmail.cli"),
    ],
)
def test_a_broken_floor_is_seen(room: str, name: str) -> None:
    assert broken(room, name) is not None


@pytest.mark.parametrize(
    ("room", "name"),
    [
        ("cli", "sipmail.sip.message"),
        ("audio", "sipmail.codecs"),
        ("process", "sipmail.channel"),
        ("sip", "hashlib"),
        ("net", "asyncio"),
        ("media", "sipmail.rtp.journal"),
    ],
)
def test_an_open_floor_is_open(room: str, name: str) -> None:
    assert broken(room, name) is None
