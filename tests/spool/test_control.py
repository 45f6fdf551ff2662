"""The control socket: an agent and its commands, and whatever else may come."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import stat
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from sipmail.errors import SpoolError
from sipmail.spool.control import ControlServer, NotRunning, ask
from tests.support.patience import PATIENCE


async def double(arguments: Mapping[str, object]) -> object:
    return [arguments["text"], arguments["text"]]


async def refuse(arguments: Mapping[str, object]) -> object:
    raise SpoolError("there is no message x")


async def stumble(arguments: Mapping[str, object]) -> object:
    raise ZeroDivisionError


HANDLERS = {"double": double, "refuse": refuse, "stumble": stumble}


def with_server(root: Path, work: Callable[[], Any]) -> Any:
    """Runs `work` in a thread while a server listens."""

    async def run() -> Any:
        server = ControlServer(root, HANDLERS)
        await server.start()
        try:
            return await asyncio.to_thread(work)
        finally:
            await server.stop()

    return asyncio.run(run())


def test_a_question_gets_its_answer(tmp_path: Path) -> None:
    assert with_server(tmp_path, lambda: ask(tmp_path, "double", text="zażółć\n")) == [
        "zażółć\n",
        "zażółć\n",
    ]
    assert not (tmp_path / "control").exists()


def test_a_refusal_says_why(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    def work() -> None:
        with pytest.raises(SpoolError, match="there is no message x"):
            ask(tmp_path, "refuse")
        with pytest.raises(SpoolError, match="knows no command 'fly'"):
            ask(tmp_path, "fly")
        with pytest.raises(SpoolError, match="stumble failed, see sipmail's log"):
            ask(tmp_path, "stumble")

    with_server(tmp_path, work)
    assert "ZeroDivisionError" in caplog.text


def test_nobody_listens(tmp_path: Path) -> None:
    with pytest.raises(NotRunning):
        ask(tmp_path, "double")
    left = socket.socket(socket.AF_UNIX)
    left.bind(str(tmp_path / "control"))
    left.close()
    with pytest.raises(NotRunning):
        ask(tmp_path, "double")
    # What a crash left is replaced.
    assert with_server(tmp_path, lambda: ask(tmp_path, "double", text="x")) == ["x", "x"]


def test_only_the_owner_may_ask(tmp_path: Path) -> None:
    mode = with_server(tmp_path, lambda: (tmp_path / "control").stat().st_mode)
    assert stat.S_ISSOCK(mode)
    assert stat.S_IMODE(mode) == 0o600


@pytest.mark.parametrize(
    "line", [b"{\n", b"[]\n", b'"x"\n', b"7\n", b"{}\n", b'{"command": []}\n', b"\xff\n"]
)
def test_nonsense_is_answered(tmp_path: Path, line: bytes) -> None:
    def work() -> bytes:
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(PATIENCE)
            sock.connect(str(tmp_path / "control"))
            sock.sendall(line + b'{"command": "double", "text": 1}\n')
            with sock.makefile("rb") as answers:
                first, second = answers.readline(), answers.readline()
        assert json.loads(second) == {"result": [1, 1]}
        return first

    assert "error" in json.loads(with_server(tmp_path, work))


def test_an_endless_line_is_hung_up_on(tmp_path: Path) -> None:
    def work() -> bytes:
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(PATIENCE)
            sock.connect(str(tmp_path / "control"))
            try:
                sock.sendall(b"x" * (3 << 20))
                return sock.recv(10)
            except ConnectionError:
                return b""

    assert with_server(tmp_path, work) == b""


def test_a_deep_spool_has_a_control_socket_too(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 60) / ("e" * 60)
    deep.mkdir(parents=True)
    assert len(os.fsencode(deep)) > 108
    assert with_server(deep, lambda: ask(deep, "double", text="x")) == ["x", "x"]
