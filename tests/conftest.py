"""Fixtures for tests that run real servers, agents and callers; each cleans up after itself."""

from __future__ import annotations

import gc
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

import pytest
from hypothesis import HealthCheck, settings

from tests.support.agent import Agent, configuration
from tests.support.caller import Caller
from tests.support.order import spread
from tests.support.ports import free_port, free_range
from tests.support.registrar import Registrar
from tests.support.smtp import SmtpServer

# CI sets it: a missing program is then a failure, not a skip.
_REQUIRED = os.environ.get("SIPMAIL_REQUIRE_INTEROP") == "1"

# The program is started hundreds of times: what it imports is to be compiled once.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# The same examples in every run, however slow the machine is at that moment.
settings.register_profile(
    "sipmail", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("sipmail")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Where several processes run them, the tests come in an order that keeps all of them busy."""
    if (processes := int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))) > 1:
        items[:] = spread(items, processes)


@pytest.hookimpl(trylast=True)
def pytest_collection_finish() -> None:
    """What was collected stays to the end: to look through it for garbage again and again takes a
    tenth of the time of all tests."""
    gc.collect()
    gc.freeze()


class StartAgent(Protocol):
    """What the `agent` fixture gives: makes an agent and starts it."""

    def __call__(
        self,
        *,
        smtp: SmtpServer | None = None,
        start: bool = True,
        fresh: bool = False,
        calls: int = 20,
        **sections: Any,
    ) -> Agent: ...


def require_program(name: str) -> str:
    """The path of a program on PATH; without it the test is skipped, or failed where CI says so."""
    if (path := shutil.which(name)) is not None:
        return path
    if _REQUIRED:
        pytest.fail(f"{name} is not installed, and this run must not skip")
    pytest.skip(f"{name} is not installed")


@pytest.fixture
def program() -> Callable[[str], str]:
    """`program("sipp")`: its path, or a skip (in CI: a failure)."""
    return require_program


@pytest.fixture
def port() -> Callable[[], int]:
    """`port()`: a free UDP port on loopback."""
    return free_port


@pytest.fixture
def port_range() -> Callable[[int], tuple[int, int]]:
    """`port_range(n)`: first and last of n free UDP ports in a row."""
    return free_range


@pytest.fixture
def smtp_server() -> Iterator[SmtpServer]:
    """A mail server that keeps what it takes."""
    server = SmtpServer().start()
    yield server
    server.stop()


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[StartAgent]:
    """`agent(smtp=…, **sections)`: a running agent on free ports; sections as in its YAML file."""
    agents: list[Agent] = []

    def make(
        *,
        smtp: SmtpServer | None = None,
        start: bool = True,
        fresh: bool = False,
        calls: int = 20,
        **sections: Any,
    ) -> Agent:
        folder = tmp_path / f"agent{len(agents)}"
        made = Agent(folder, configuration(folder, smtp, calls=calls, **sections), fresh=fresh)
        agents.append(made)
        return made.start() if start else made

    yield make
    for made in agents:
        made.close()
        print(f"--- log of {made.folder.name}\n{made.log()}")
    assert [made.processes() for made in agents if made.processes()] == []


@pytest.fixture
def caller() -> Iterator[Callable[..., Caller]]:
    """`caller(agent.address, user=…)`: a telephone, hung up and closed at the end."""
    callers: list[Caller] = []

    def make(target: tuple[str, int], **options: str) -> Caller:
        callers.append(Caller(target, **options))
        return callers[-1]

    yield make
    for made in callers:
        made.close()


@pytest.fixture
def registrar() -> Iterator[Registrar]:
    """A registrar that asks for digest authentication, and can go away and return."""
    server = Registrar().start()
    yield server
    server.stop()
