"""How long tests wait."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

PATIENCE = 60.0
"""Seconds for what should come at once: a busy machine may take long, and a wait that is over costs
nothing. What must be fast is measured, not waited for."""

_Found = TypeVar("_Found")


def eventually(find: Callable[[], _Found | None], what: str, timeout: float = PATIENCE) -> _Found:
    """What `find` gives, as soon as that is true; AssertionError without it after `timeout` s."""
    deadline = time.monotonic() + timeout
    while not (found := find()):
        assert time.monotonic() < deadline, f"{what} did not come"
        time.sleep(0.02)
    return found
