"""What one message costs the file system, in calls that are dear: every one here is meant.

A file system pays for an inode that is made or deleted long afterwards, and for each sync that
finds something new with a commit of its journal.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sipmail.spool import disk
from sipmail.spool.spool import AUDIO, Spool, State
from tests.spool.conftest import NOON, a_message

BEGUN = a_message()
ENDED = replace(BEGUN, ended=NOON, ending="caller", recorded=True)


class Costs:
    """Counts inodes made and deleted, names changed, and syncs."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self._counts: Counter[str] = Counter()
        self._patch = patch
        self._count("mkdir", lambda *_: "make")
        self._count("open", self._opened)
        self._count("unlink", lambda *_: "delete")
        self._count("rmdir", lambda *_: "delete")
        self._count("rename", self._renamed)
        for name in ("fsync", "fdatasync"):
            self._count(name, lambda *_: "sync")
        self._count("exchange", lambda *_: "name", of=disk)

    def take(self) -> dict[str, int]:
        """What has come together since the last time."""
        counts, self._counts = self._counts, Counter()
        return dict(counts)

    def _count(self, name: str, what: Callable[..., str], of: Any = os) -> None:
        original = getattr(of, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            kind = what(*args)
            result = original(*args, **kwargs)
            if kind:
                self._counts[kind] += 1
            return result

        self._patch.setattr(of, name, call)

    def _opened(self, path: Path, flags: int, *_: Any) -> str:
        return "make" if flags & os.O_CREAT and not os.path.lexists(path) else ""

    def _renamed(self, _: Path, target: Path) -> str:
        if os.path.lexists(target):
            self._counts["delete"] += 1
        return "name"


@pytest.fixture
def costs(spool: Spool) -> Iterator[Costs]:
    with pytest.MonkeyPatch.context() as patch:
        yield Costs(patch)


@pytest.mark.usefixtures("exchanging")
def test_what_a_message_costs(spool: Spool, costs: Costs) -> None:
    folder = spool.begin(BEGUN)
    assert costs.take() == {"make": 3, "sync": 3}  # the folder, message.json, the reserve
    os.close(os.open(folder / AUDIO, os.O_WRONLY | os.O_CREAT, 0o600))
    assert costs.take() == {"make": 1}
    spool.update(replace(BEGUN, answered=NOON))
    assert costs.take() == {"name": 1, "sync": 2}
    spool.finish(ENDED)
    assert costs.take() == {"name": 2, "sync": 5}
    spool.store(BEGUN.id, "message.wav", b"sound")
    assert costs.take() == {"make": 1}
    for number in range(3):
        spool.update(replace(ENDED, notes=("x" * number,)), State.QUEUE)
        assert costs.take() == {"name": 1, "sync": 2}
    spool.move(BEGUN.id, State.QUEUE, State.DONE)
    assert costs.take() == {"delete": 1, "name": 1, "sync": 2}  # the reserve


def test_what_it_costs_where_names_cannot_be_exchanged(
    spool: Spool, costs: Costs, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(one: Path, other: Path) -> None:
        raise OSError

    monkeypatch.setattr(disk, "exchange", refuse)
    spool.begin(BEGUN)
    assert costs.take() == {"make": 3, "sync": 3}
    spool.update(replace(BEGUN, answered=NOON))
    assert costs.take() == {"make": 1, "delete": 1, "name": 1, "sync": 2}
