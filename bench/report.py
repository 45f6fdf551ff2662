"""What a run has measured: a table for people, with the machine, and JSON for programs."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from bench.program import HERE


@dataclass(frozen=True)
class Row:
    """One program's figures; `used` is the CPU in seconds by process, `memory` bytes a call."""

    name: str
    calls: int
    used: dict[str, float]
    load: dict[str, Any]
    memory: float | None = None
    mailed: int | None = None
    complete: int | None = None
    doubled: int | None = None
    mail_delay_p99: float | None = None
    idle_memory: float | None = None
    """Bytes of all processes before the first call."""
    idle_cpu: float | None = None
    """The share of a core that waiting for calls takes."""
    encoder_ms: float | None = None
    """Milliseconds of CPU a second of call for the encoder alone: a part of the courier's."""

    @property
    def cpu_ms(self) -> float:
        """Milliseconds of CPU a second of call."""
        return sum(self.used.values()) * 1e3 / max(float(self.load["call_seconds"]), 1e-9)


def show(rows: list[Row], console: Console) -> None:
    """Prints the table, and below it what does not fit in."""
    table = Table(title="what a call costs")
    table.add_column("program")
    for name in (
        "calls",
        "at once",
        "CPU ms per s of call",
        "memory kB a call",
        "answer p99 ms",
        "greeting jitter p99 ms",
        "lost",
        "mailed",
        "complete",
        "mail after p99 s",
    ):
        table.add_column(name, justify="right")
    for row in rows:
        load = row.load
        table.add_row(
            row.name,
            f"{load['answered']}/{row.calls}",
            str(load["at_once"]),
            f"{row.cpu_ms:.3f}",
            _number(row.memory and row.memory / 1000, ".0f"),
            _number(load["answer_ms"].get("p99"), ".1f"),
            _number(load["jitter_ms"].get("p99"), ".2f"),
            str(load["greeting_lost"]),
            _number(row.mailed, "d"),
            _number(row.complete, "d"),
            _number(row.mail_delay_p99, ".2f"),
        )
    console.print(table)
    console.print("machine: " + ", ".join(f"{name} {value}" for name, value in machine().items()))
    for row in rows:
        if len(row.used) > 1:
            seconds = max(row.load["call_seconds"], 1e-9)
            parts = (f"{name} {cpu * 1e3 / seconds:.3f}" for name, cpu in sorted(row.used.items()))
            console.print(f"{row.name}, by process: {', '.join(parts)}")
        if row.encoder_ms is not None:
            console.print(f"{row.name}: of it the encoder alone {row.encoder_ms:.3f}")
        if row.idle_memory is not None and row.idle_cpu is not None:
            console.print(f"idle: {row.idle_memory / 1e6:.0f} MB, {row.idle_cpu:.2%} of a core")


def _number(value: Any, form: str) -> str:
    return "" if value is None else format(value, form)


def save(rows: list[Row], options: Mapping[str, object]) -> Path:
    """Writes all figures to `out/result.json`."""
    out = HERE / "out"
    out.mkdir(exist_ok=True)
    for row in rows:
        row.load.pop("hung_up", None)
    result = {
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        **machine(),
        "options": dict(options),
        "rows": [{"cpu_ms": row.cpu_ms, **asdict(row)} for row in rows],
    }
    path = out / "result.json"
    path.write_text(json.dumps(result, indent=1) + "\n")
    return path


def machine() -> dict[str, object]:
    """What it was measured on."""
    return {
        "python": platform.python_version(),
        "kernel": platform.release(),
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
    }


def _cpu_model() -> str:
    for entry in Path("/proc/cpuinfo").read_text().splitlines():
        if entry.startswith("model name"):
            return entry.partition(":")[2].strip()
    return platform.processor()
