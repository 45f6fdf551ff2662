"""The order of the tests where several processes run them (pytest-xdist, `--dist worksteal`).

Each process begins with an equal stretch of the list and, when it has done with it, takes over half
of what another has left, from its end. So most stretches begin with tests that mostly wait, for
calls and mail servers, the longest of them first, and end with short ones that only compute: none
of the long ones is left for the end. Some stretches have nothing but the latter, to compute while
the others wait. A module stays in one piece, since its tests may share a fixture that is dear; a
test marked `long` stands for itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

import pytest

_COMPUTING = 6
"""Of so many processes one begins with computing."""
_WAITING = ("e2e", "interop", "mail", "agent", "packaging")


def spread(items: Sequence[pytest.Item], processes: int) -> list[pytest.Item]:
    """`items` in the order that keeps so many `processes` busy."""
    modules = [list(group) for _, group in groupby(items, lambda item: item.path)]
    waiting = [[item] for item in items if _is_long(item)]
    computing: list[pytest.Item] = []
    for module in modules:
        rest = [item for item in module if not _is_long(item)]
        if rest and _waits(rest[0]):
            waiting.append(rest)
        else:
            computing += rest
    stretches: list[list[pytest.Item]] = [[] for _ in range(processes)]
    begin_waiting = processes - max(1, processes // _COMPUTING)
    for number, module in enumerate(waiting):
        stretches[number % begin_waiting] += module
    ordered: list[pytest.Item] = []
    for number, stretch in enumerate(stretches):
        size = (len(items) - len(ordered)) // (processes - number)
        missing = max(size - len(stretch), 0)
        ordered += stretch + computing[:missing]
        del computing[:missing]
    return ordered + computing


def _is_long(item: pytest.Item) -> bool:
    return item.get_closest_marker("long") is not None


def _waits(item: pytest.Item) -> bool:
    return item.path.parent.name in _WAITING
