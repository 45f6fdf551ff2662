"""Spools and messages for the tests of the spool."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from sipmail.spool.exchange import exchange
from sipmail.spool.filesystem import writes_in_place
from sipmail.spool.message import Caller, Message
from sipmail.spool.spool import Spool

NOON = datetime(2026, 11, 23, 12, 0, 0, tzinfo=UTC)


def a_message(**changes: Any) -> Message:
    """A message that has just begun."""
    facts: dict[str, Any] = {
        "id": "20261123T120000000000-0123456789ab",
        "mailbox": "sales",
        "called": "201",
        "received": NOON,
        "caller": Caller("+48600123456", "Jan"),
        "trunk": "pbx",
        "call_id": "a@b",
        "payloads": {0: "PCMU", 8: "PCMA"},
    }
    return Message(**{**facts, **changes})


@pytest.fixture
def message() -> Callable[..., Message]:
    """`message(**changes)`: a message that has just begun."""
    return a_message


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    """A spool that this test owns."""
    spool = Spool(tmp_path / "spool")
    spool.open()
    yield spool
    spool.close()


@pytest.fixture
def exchanging(tmp_path: Path) -> None:
    """Skips where the system exchanges no names, or the disk has no blocks that would do."""
    one, other = tmp_path / "one", tmp_path / "other"
    one.touch()
    other.touch()
    known = one.stat()
    with one.open("rb") as file:
        if known.st_blksize < 4096 or not writes_in_place(file.fileno(), known.st_dev):
            pytest.skip("the blocks are too small, or never overwritten")
    try:
        exchange(one, other)
    except OSError:
        pytest.skip("this system exchanges no names")
    finally:
        one.unlink()
        other.unlink()
