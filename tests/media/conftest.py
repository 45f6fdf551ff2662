"""A call for the tests of sessions."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.media.one_call import Call, Make


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    calls: list[Call] = []

    def build(multiple: bool | None = None) -> Call:
        calls.append(Call(tmp_path, multiple))
        return calls[-1]

    yield build
    for call in calls:
        call.close()


@pytest.fixture
def call(make: Make) -> Call:
    return make()
