"""Starts of `sipmail run` that don't load the program anew each time: a process that has loaded it
forks for each, as a fork server does.

What runs after the fork is the command's own `main`, in a session of its own, with the arguments,
environment, folder and stderr that it was asked for; its courier and media workers are processes
of their own as always. A start costs a second of CPU less, and a test run has hundreds.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[2]
_LARGEST = 1 << 17
_PR_SET_PDEATHSIG = 1
_TURN_SECONDS = 0.05  # after which another thread may ask


class Born:
    """A process that the nursery forked; the names are those of `subprocess.Popen`."""

    def __init__(self, nursery: Nursery, pid: int) -> None:
        self.pid = pid
        self._nursery = nursery

    def poll(self) -> int | None:
        """Its exit status, the negated signal for one that was killed; None while it runs."""
        return self._nursery.status(self.pid, 0.0)

    def wait(self, timeout: float) -> int:
        """Its exit status; raises subprocess.TimeoutExpired."""
        status = self._nursery.status(self.pid, timeout)
        if status is None:
            raise subprocess.TimeoutExpired("sipmail", timeout)
        return status


class Nursery:
    """The test's side; one for all tests of a process, which ends with it."""

    def __init__(self) -> None:
        self._ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            # numpy is to start no threads: they would not be there after the fork.
            environment = {"PYTHONPATH": str(_ROOT), "OPENBLAS_NUM_THREADS": "1"}
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.support.nursery", str(theirs.fileno())],
                pass_fds=(theirs.fileno(),),
                cwd=_ROOT,
                env={**os.environ, **environment},
                stdin=subprocess.DEVNULL,
            )
        self._ended: dict[int, int] = {}
        self._lock = threading.Lock()

    def start(
        self, arguments: Sequence[str], folder: Path, environment: Mapping[str, str], stderr: int
    ) -> Born:
        """Runs `sipmail ARGUMENTS` in `folder`, with its log to the descriptor `stderr`."""
        request = json.dumps([list(arguments), str(folder), dict(environment)]).encode()
        with self._lock:
            socket.send_fds(self._ours, [request], [stderr])
            while (pid := self._read(None)) is None:
                pass
            return Born(self, pid)

    def status(self, pid: int, timeout: float) -> int | None:
        """The exit status of `pid`; None when it has not ended within `timeout` seconds."""
        deadline = time.monotonic() + timeout
        while True:
            left = deadline - time.monotonic()
            with self._lock, contextlib.suppress(TimeoutError):
                while pid not in self._ended:
                    self._read(min(max(left, 0.001), _TURN_SECONDS))
            if pid in self._ended or left <= 0:
                return self._ended.get(pid)

    def _read(self, timeout: float | None) -> int | None:
        """Reads one word: the id of a process that began, or None for an end, which is noted."""
        self._ours.settimeout(timeout)
        word = self._ours.recv(_LARGEST)
        assert word, f"the nursery ended with {self._process.wait()}"
        pid, status = json.loads(word)
        if status is None:
            self._ended.pop(pid, None)  # that of one which had the number before
            return int(pid)
        self._ended[pid] = status
        return None


_nursery: Nursery | None = None


def nursery() -> Nursery:
    """The nursery of this process, which is started when first it is asked for."""
    global _nursery
    if _nursery is None:
        _nursery = Nursery()
    return _nursery


# --- the nursery's own process --------------------------------------------------------------------


def _serve(channel: socket.socket) -> None:
    """Forks for each request; returns in the new process, and ends the old one with its parent."""
    wake_in, wake_out = socket.socketpair()
    with channel, wake_in, wake_out, selectors.DefaultSelector() as selector:
        wake_in.setblocking(False)
        wake_out.setblocking(False)
        signal.set_wakeup_fd(wake_out.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda number, frame: None)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # a Ctrl-C is for the tests
        selector.register(channel, selectors.EVENT_READ)
        selector.register(wake_in, selectors.EVENT_READ)
        while True:
            ready = [key.fileobj for key, _ in selector.select()]
            with contextlib.suppress(BlockingIOError):
                wake_in.recv(4096)
            for pid, status in _ended():
                channel.send(json.dumps([pid, status]).encode())
            if channel not in ready:
                continue
            request, fds, _, _ = socket.recv_fds(channel, _LARGEST, 1)
            if not request:
                os._exit(0)
            if (pid := os.fork()) == 0:
                signal.set_wakeup_fd(-1)
                arguments, folder, environment = json.loads(request)
                return _become(arguments, folder, environment, fds[0])
            os.close(fds[0])
            channel.send(json.dumps([pid, None]).encode())


def _ended() -> list[tuple[int, int]]:
    ended = []
    with contextlib.suppress(ChildProcessError):
        while (found := os.waitpid(-1, os.WNOHANG))[0]:
            ended.append((found[0], os.waitstatus_to_exitcode(found[1])))
    return ended


def _become(arguments: list[str], folder: str, environment: dict[str, str], stderr: int) -> None:
    """Makes this process what a shell would have started, but that it ends with the nursery."""
    os.setsid()
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    nothing = os.open(os.devnull, os.O_RDWR)
    for ours, theirs in ((nothing, 0), (nothing, 1), (stderr, 2)):
        os.dup2(ours, theirs)
    os.close(nothing)
    os.close(stderr)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    time.tzset()
    sys.argv = ["sipmail", *arguments]


def _load() -> None:
    """All that the command will import, and the configuration's schema."""
    import numpy.fft
    import numpy.ma  # noqa: F401

    import sipmail.agent.agent
    import sipmail.cli.run
    import sipmail.config.loader  # noqa: F401
    from sipmail.config.model import Config

    Config.model_rebuild()


if __name__ == "__main__":
    _load()
    from sipmail.cli import main

    _serve(socket.socket(fileno=int(sys.argv[1])))
    main()
