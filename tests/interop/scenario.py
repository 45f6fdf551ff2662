"""SIPp scenarios, run against a target over UDP or TCP.

A scenario says what a peer sends and what it must get; SIPp fails it where anything else comes.
They are XML files under `scenarios/`, or written from `steps`.
"""

from __future__ import annotations

import shutil
import socket
import subprocess
from collections.abc import Iterable
from pathlib import Path

from tests.interop.steps import write
from tests.support.ports import free_port, free_range

SCENARIOS = Path(__file__).parent / "scenarios"
_TRANSPORTS = {"udp": "u1", "tcp": "t1"}


def run_scenario(
    program: str,
    folder: Path,
    name: str,
    target: tuple[str, int],
    *,
    transport: str = "udp",
    service: str = "201",
    seconds: float = 20.0,
    patience: float = 8.0,
    sound: Path | None = None,
    steps: Iterable[str] | None = None,
) -> str:
    """Runs `scenarios/NAME.xml`, or `steps`, as one call; returns SIPp's message trace.

    The whole may take `seconds`, and each message that is awaited `patience` seconds.
    `sound` is raw G.711 that the scenario streams as `message.ulaw`.
    AssertionError with SIPp's own words and the trace where the call doesn't go as written.
    """
    host, port = target
    folder.mkdir(parents=True, exist_ok=True)
    if sound is not None:
        shutil.copyfile(sound, folder / "message.ulaw")
    trace, errors = folder / "messages.log", folder / "errors.log"
    kind = socket.SOCK_DGRAM if transport == "udp" else socket.SOCK_STREAM
    media, _ = free_range(4)
    scenario = SCENARIOS / f"{name}.xml"
    if steps is not None:
        scenario = folder / f"{name}.xml"
        write(scenario, name, steps)
    ran = subprocess.run(
        [
            program,
            f"[{host}]:{port}" if ":" in host else f"{host}:{port}",
            *("-sf", str(scenario)),
            *("-t", _TRANSPORTS[transport]),
            *("-s", service),
            *("-i", host, "-mi", host, "-p", str(free_port(kind)), "-mp", str(media)),
            *("-m", "1", "-nostdin"),
            *("-recv_timeout", f"{patience * 1000:.0f}"),
            *("-timeout", f"{seconds:.0f}s", "-timeout_error"),
            *("-trace_msg", "-message_file", str(trace)),
            *("-trace_err", "-error_file", str(errors)),
        ],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=seconds + 15,
        check=False,
    )
    said = trace.read_text(errors="replace") if trace.exists() else ""
    if ran.returncode != 0:
        wrong = errors.read_text(errors="replace") if errors.exists() else ran.stdout[-2000:]
        raise AssertionError(f"{name}: SIPp ended with {ran.returncode}\n{wrong}\n{said[-6000:]}")
    return said
