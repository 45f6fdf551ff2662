"""Signals before `ready`, as `systemctl stop` and `reload` right after a start send them."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from tests.support.agent import ROOT, configuration
from tests.support.patience import PATIENCE

pytestmark = pytest.mark.e2e

Start = Callable[[], subprocess.Popen[str]]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """`start()`: the program, as soon as it catches SIGHUP; its log goes to `tmp_path/log`."""
    file = tmp_path / "sipmail.yaml"
    file.write_text(yaml.safe_dump(configuration(tmp_path)), encoding="utf-8")
    started: list[subprocess.Popen[str]] = []

    def run() -> subprocess.Popen[str]:
        with (tmp_path / "log").open("w") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "sipmail", "run", "-c", str(file)],
                cwd=ROOT,
                stderr=log,
                text=True,
            )
        started.append(process)
        wait(lambda: catches(process, signal.SIGHUP), "the handler of SIGHUP")
        return process

    yield run
    for process in started:
        process.kill()
        process.wait()


def catches(process: subprocess.Popen[str], number: signal.Signals) -> bool:
    """Whether the process has a handler for the signal (proc(5), SigCgt)."""
    status = Path(f"/proc/{process.pid}/status").read_text(encoding="utf-8")
    caught = next(line for line in status.splitlines() if line.startswith("SigCgt:"))
    return bool(int(caught.split()[1], 16) >> (number - 1) & 1)


def wait(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"waited for {what}"
        time.sleep(0.005)


def test_a_stop_before_it_has_begun_is_no_failure(start: Start, tmp_path: Path) -> None:
    process = start()
    process.send_signal(signal.SIGTERM)
    assert process.wait(PATIENCE) == 0, (tmp_path / "log").read_text()


def test_a_stop_while_it_starts_is_no_failure(start: Start, tmp_path: Path) -> None:
    process = start()
    wait((tmp_path / "spool" / "lock").exists, "the lock of the spool")
    process.send_signal(signal.SIGTERM)
    assert process.wait(PATIENCE) == 0, (tmp_path / "log").read_text()


def test_a_reload_while_it_starts_is_made_once_it_has(start: Start, tmp_path: Path) -> None:
    process = start()
    process.send_signal(signal.SIGHUP)  # before the file is read: nothing is missed
    wait((tmp_path / "spool" / "lock").exists, "the lock of the spool")
    process.send_signal(signal.SIGHUP)
    wait(lambda: "configuration reloaded" in (tmp_path / "log").read_text(), "the reload")
    assert (tmp_path / "log").read_text().startswith("ready ")
    process.send_signal(signal.SIGTERM)
    assert process.wait(PATIENCE) == 0
