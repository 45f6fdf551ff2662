"""Two machines of their own on this one, joined by a cable: network namespaces and a veth pair.

What is started within `on(machine)` lives on that machine; its addresses can be changed.
"""

from __future__ import annotations

import contextlib
import ctypes
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import pytest

from tests.conftest import require_program

_CLONE_NEWNET = 0x40000000
_Result = TypeVar("_Result")


class Machine:
    """One of the two; `address` is what it begins with, in a network of 24 bits."""

    def __init__(self, address: str) -> None:
        self._holder = subprocess.Popen(
            ["unshare", "--net", "sh", "-c", "echo; exec cat"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self._holder.stdout is not None
        if not self._holder.stdout.readline():
            self.close()
            pytest.skip("this user may not make networks")
        self.address = address

    @property
    def pid(self) -> int:
        return self._holder.pid

    def on(self, work: Callable[[], _Result]) -> _Result:
        """Does `work` on this machine: what it starts stays there."""

        def moved() -> _Result:
            libc = ctypes.CDLL(None, use_errno=True)
            with Path(f"/proc/{self.pid}/ns/net").open() as network:
                if libc.setns(network.fileno(), _CLONE_NEWNET):
                    raise OSError(ctypes.get_errno(), "setns")
            return work()

        # The network is that of a thread, and of the processes that it starts.
        with ThreadPoolExecutor(1) as thread:
            return thread.submit(moved).result()

    def ip(self, *arguments: str) -> None:
        """Runs ip(8) on this machine."""
        command = [require_program("ip"), *arguments]
        self.on(lambda: subprocess.run(command, check=True, capture_output=True, timeout=30))

    def move(self, address: str) -> None:
        """The machine has another address from now on."""
        self.ip("address", "del", f"{self.address}/24", "dev", "cable")
        self.ip("address", "add", f"{address}/24", "dev", "cable")
        self.address = address

    def close(self) -> None:
        self._holder.kill()
        self._holder.wait()
        for stream in (self._holder.stdin, self._holder.stdout):
            if stream is not None:
                stream.close()


@contextlib.contextmanager
def joined(first: str, second: str) -> Iterator[tuple[Machine, Machine]]:
    """Two machines with these addresses. Skips the test where the user is not allowed to."""
    require_program("unshare")
    with contextlib.ExitStack() as stack:
        machines = []
        for address in (first, second):
            machines.append(Machine(address))
            stack.callback(machines[-1].close)
        one, other = machines
        end = ("name", "cable", "netns")
        subprocess.run(
            [
                *(require_program("ip"), "link", "add", *end, str(one.pid)),
                *("type", "veth", "peer", *end, str(other.pid)),
            ],
            check=True,
            capture_output=True,
            timeout=30,
        )
        for machine in machines:
            machine.ip("address", "add", f"{machine.address}/24", "dev", "cable")
            for device in ("lo", "cable"):
                machine.ip("link", "set", device, "up")
        yield one, other
