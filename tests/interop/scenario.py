"""SIPp scenarios, run as a caller of a target or as whoever is called, over UDP or TCP.

A scenario says what a peer sends and what it must get; SIPp fails it where anything else comes.
They are XML files under `scenarios/`, or written from `steps`.
"""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType

from tests.interop.steps import write
from tests.support.patience import PATIENCE
from tests.support.ports import free_port, free_range

SCENARIOS = Path(__file__).parent / "scenarios"
_TRANSPORTS = {"udp": "u1", "tcp": "t1"}


class Sipp:
    """One SIPp that plays one call, from its construction until `finish`; a context manager that
    leaves no process behind.

    It calls `target`, or without one waits at `host` and `port` to be called.
    """

    def __init__(
        self,
        program: str,
        folder: Path,
        name: str,
        target: tuple[str, int] | None = None,
        *,
        host: str | None = None,
        port: int | None = None,
        transport: str = "udp",
        service: str = "201",
        seconds: float = PATIENCE,
        patience: float = 30.0,
        sound: Path | None = None,
        steps: Iterable[str] | None = None,
        file: Path | None = None,
    ) -> None:
        """Plays `scenarios/NAME.xml`, or `steps`, or the scenario in `file`.

        `host` is the address that it has: that of the target, unless told otherwise. The whole may
        take `seconds`, and each message that is awaited `patience` seconds. `sound` is raw G.711
        that the scenario streams as `message.ulaw`.
        """
        kind = socket.SOCK_DGRAM if transport == "udp" else socket.SOCK_STREAM
        self.name = name
        self.host = host or (target[0] if target is not None else "127.0.0.1")
        self.port = free_port(kind) if port is None else port
        self._seconds = seconds
        folder.mkdir(parents=True, exist_ok=True)
        if sound is not None:
            shutil.copyfile(sound, folder / "message.ulaw")
        self._trace, self._errors = folder / "messages.log", folder / "errors.log"
        scenario = file or SCENARIOS / f"{name}.xml"
        if steps is not None:
            scenario = folder / f"{name}.xml"
            write(scenario, name, steps)
        whom = [] if target is None else [_place(*target)]
        self._process = subprocess.Popen(
            [
                *(program, *whom, "-sf", str(scenario), "-t", _TRANSPORTS[transport]),
                *("-s", service, "-i", self.host, "-p", str(self.port)),
                *("-mi", self.host, "-mp", str(free_range(4)[0])),
                *("-m", "1", "-nostdin"),
                *("-recv_timeout", f"{patience * 1000:.0f}"),
                *("-timeout", f"{seconds:.0f}s", "-timeout_error"),
                *("-trace_msg", "-message_file", str(self._trace)),
                *("-trace_err", "-error_file", str(self._errors)),
            ],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def __enter__(self) -> Sipp:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.kill()
        self._process.wait(PATIENCE)

    @property
    def trace(self) -> str:
        """Every message that went either way so far, whole."""
        return _read(self._trace)

    def finish(self) -> str:
        """Waits for the end of the call; returns the message trace.

        AssertionError with SIPp's own words and the trace where the call didn't go as written.
        """
        try:
            code = self._process.wait(self._seconds + 15)
        finally:
            self._process.kill()
        trace = self.trace
        if code != 0:
            raise AssertionError(
                f"{self.name}: SIPp ended with {code}\n{_read(self._errors)}\n{trace[-6000:]}"
            )
        return trace


def call_id_of(trace: str) -> str:
    """The Call-ID of the one call in a trace."""
    (call_id,) = set(re.findall(r"^Call-ID: (\S+)", trace, re.MULTILINE))
    return call_id


def _place(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _read(file: Path) -> str:
    return file.read_text(errors="replace") if file.exists() else ""
