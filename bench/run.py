"""`make bench`: the same calls for sipmail, the floor in C and a pyVoIP voicemail, in one run.

The measured program has one core, the load and the mail server the others. What a table row means
stands in README.md; everything measured goes to `bench/out/result.json` too.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import resource
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import wave
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

import numpy as np
import yaml
from rich.console import Console
from rich.table import Table

from bench.generator import Order, write
from bench.processes import Peak, cores, cpu_seconds, memory
from bench.verify import verify

HERE = Path(__file__).resolve().parent
_RATE = 8000
_READY = 30.0
_BEEP_AND_QUIET = 1.5
_DELIVERY = 120.0
# pyVoIP starts three threads a call: more calls than these would measure its collapse.
_PYVOIP_CALLS = 20


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

    @property
    def cpu_ms(self) -> float:
        """Milliseconds of CPU a second of call."""
        return sum(self.used.values()) * 1e3 / max(float(self.load["call_seconds"]), 1e-9)


@dataclass(frozen=True)
class Bench:
    """What all programs are put through."""

    work: Path
    calls: int
    rate: float
    greeting: float
    talk: float
    audio: Path
    greeting_wav: Path
    measured_core: set[int]
    load_cores: set[int]

    def order(self, port: int, **changes: Any) -> Order:
        order = Order(
            host="127.0.0.1",
            port=port,
            calls=self.calls,
            rate=self.rate,
            listen=self.greeting + _BEEP_AND_QUIET,
            talk=self.talk,
            audio=str(self.audio),
        )
        return replace(order, **changes)

    def measured(self, *command: str | Path, **options: Any) -> subprocess.Popen[str]:
        return _start(self.measured_core, command, **options)

    def load(self, order: Order) -> dict[str, Any]:
        """Runs the generator to its end; returns what it saw."""
        source, result = self.work / "order.json", self.work / "result.json"
        write(order, source)
        command = [sys.executable, "-m", "bench.generator", source, result]
        process = _start(self.load_cores, command)
        if process.wait(order.calls / order.rate + order.listen + order.talk + 120) != 0:
            raise SystemExit("the load generator failed")
        seen: dict[str, Any] = json.loads(result.read_text())
        return seen


def sipmail(bench: Bench, attachment: str) -> Row:
    """`sipmail run` with one mailbox, mailing to the sink."""
    folder = bench.work / f"sipmail-{attachment}"
    folder.mkdir()
    mails = folder / "mails"
    with _ended(_start(bench.load_cores, [sys.executable, "-m", "bench.sink", mails])) as sink:
        smtp_port = int(_line(sink))
        sip_port = _free_port()
        (folder / "sipmail.yaml").write_text(
            yaml.safe_dump(_settings(bench, sip_port, smtp_port, attachment)), encoding="utf-8"
        )
        log = (folder / "log").open("w")
        process = bench.measured(
            sys.executable, "-m", "sipmail", "run", "-c", folder / "sipmail.yaml", stderr=log
        )
        with _ended(process), log:
            _wait_ready(folder / "log", process)
            idle, before = memory(process.pid), cpu_seconds(process.pid)
            order = bench.order(sip_port)
            with Peak(process.pid) as peak:
                seen = bench.load(order)
                _wait_mails(mails, seen["done"])
            used = cpu_seconds(process.pid) - before
    delay: float | None = None
    mailed, complete, doubled = len(list(mails.glob("*.eml"))), None, None
    if attachment == "wav":
        verdict = verify(mails, order, seen["hung_up"])
        mailed, complete, doubled = verdict.mailed, verdict.complete, verdict.doubled
        if verdict.delays:
            delay = float(np.percentile(verdict.delays, 99))
    shutil.rmtree(mails)
    return Row(
        f"sipmail, {attachment} mailed",
        order.calls,
        dict(used),
        seen,
        (peak.bytes - idle) / order.calls,
        mailed,
        complete,
        doubled,
        delay,
    )


def _settings(bench: Bench, sip_port: int, smtp_port: int, attachment: str) -> dict[str, Any]:
    first = _free_range(bench.calls + 50)
    calls = bench.calls + 20
    record = {"max": "10m", "silence": "0s", "trim": False, "normalize": False}
    return {
        "language": "en",
        "timezone": "UTC",
        "sip": {
            "listen": [f"udp://127.0.0.1:{sip_port}"],
            "trunks": {"load": {"accept_from": ["127.0.0.1/32"]}},
        },
        "rtp": {"ports": f"{first}-{first + 2 * (bench.calls + 50) - 1}", "codecs": ["PCMU"]},
        "mail": {
            "from": "Voicemail <voicemail@example.com>",
            "smtp": {"host": "127.0.0.1", "port": smtp_port, "security": "none"},
        },
        "spool": "spool",
        "limits": {"calls": calls, "calls_per_source": calls, "free_disk": "100M"},
        "users": {"anna": "Anna Kowalska <anna@example.com>"},
        "mailboxes": {
            "bench": {
                "name": "Bench",
                "numbers": ["201", "*"],
                "users": ["anna"],
                "attachment": attachment,
                "after": "nothing",
                "greeting": str(bench.greeting_wav),
                "record": record,
            }
        },
    }


def floor(bench: Bench) -> Row | None:
    """The same packets in C; None where there is no compiler."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        return None
    program = bench.work / "floor"
    subprocess.run([compiler, "-O2", "-o", program, HERE / "floor.c"], check=True)
    base = _free_range(bench.calls)
    packets = str(round(bench.greeting * 50))
    process = bench.measured(
        program, str(base), str(bench.calls), packets, bench.work / "floor.rtp"
    )
    with _ended(process):
        _line(process)
        before = cpu_seconds(process.pid)
        seen = bench.load(bench.order(0, media_base=base))
        used = cpu_seconds(process.pid) - before
    (bench.work / "floor.rtp").unlink()
    name = "floor in C: the packets alone"
    return Row(name, bench.calls, dict(used), seen)


def pyvoip(bench: Bench) -> Row:
    """A voicemail written with pyVoIP, with as many calls as it can take."""
    port, peer = _free_port(), _free_port()
    process = bench.measured(
        *(sys.executable, "-m", "bench.pyvoip_voicemail", str(port), str(peer)),
        *(bench.greeting_wav, bench.work / "pyvoip"),
        stderr=subprocess.DEVNULL,
    )
    with _ended(process):
        _line(process)
        idle, before = memory(process.pid), cpu_seconds(process.pid)
        calls = min(bench.calls, _PYVOIP_CALLS)
        with Peak(process.pid) as peak:
            seen = bench.load(bench.order(port, calls=calls, rate=5, sip_port=peer))
        used = cpu_seconds(process.pid) - before
    return Row(
        "pyVoIP voicemail: no mail",
        calls,
        dict(used),
        seen,
        (peak.bytes - idle) / calls,
    )


def show(rows: list[Row], console: Console) -> None:
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
    for row in rows:
        if len(row.used) > 1:
            seconds = max(row.load["call_seconds"], 1e-9)
            parts = (f"{name} {cpu * 1e3 / seconds:.3f}" for name, cpu in sorted(row.used.items()))
            console.print(f"{row.name}, by process: {', '.join(parts)}")


def _number(value: Any, form: str) -> str:
    return "" if value is None else format(value, form)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.run", description=__doc__)
    parser.add_argument("--calls", type=int, default=300)
    parser.add_argument("--rate", type=float, default=25.0, help="new calls a second")
    parser.add_argument("--greeting", type=float, default=7.0, help="seconds")
    parser.add_argument("--talk", type=float, default=20.0, help="seconds")
    parser.add_argument(
        "--only", choices=["sipmail", "mp3", "floor", "pyvoip"], action="append", default=[]
    )
    chosen = parser.parse_args()
    wanted = chosen.only or ["floor", "pyvoip", "sipmail", "mp3"]
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    console = Console(width=150 if not sys.stdout.isatty() else None)
    measured, load = cores()
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="sipmail-bench") as folder:
        work = Path(folder)
        audio, greeting = _sounds(work, chosen.greeting)
        bench = Bench(
            work=work,
            calls=chosen.calls,
            rate=chosen.rate,
            greeting=chosen.greeting,
            talk=chosen.talk,
            audio=audio,
            greeting_wav=greeting,
            measured_core=measured,
            load_cores=load,
        )
        stages: dict[str, Callable[[], Row | None]] = {
            "floor": lambda: floor(bench),
            "pyvoip": lambda: pyvoip(bench),
            "sipmail": lambda: sipmail(bench, "wav"),
            "mp3": lambda: sipmail(bench, "mp3"),
        }
        for name in wanted:
            console.print(f"measuring {name} …")
            row = stages[name]()
            if row is None:
                console.print("no C compiler here, so no floor")
            else:
                rows.append(row)
    show(rows, console)
    _save(rows, chosen)
    failed = [r.name for r in rows if r.complete is not None and r.complete < r.calls]
    if failed:
        raise SystemExit(f"not every message arrived complete: {', '.join(failed)}")


def _save(rows: list[Row], chosen: argparse.Namespace) -> None:
    out = HERE / "out"
    out.mkdir(exist_ok=True)
    for row in rows:
        row.load.pop("hung_up", None)
    result = {
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "kernel": platform.release(),
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        "options": vars(chosen),
        "rows": [{"cpu_ms": row.cpu_ms, **asdict(row)} for row in rows],
    }
    (out / "result.json").write_text(json.dumps(result, indent=1) + "\n")
    print(f"all figures: {out / 'result.json'}")


def _sounds(work: Path, greeting: float) -> tuple[Path, Path]:
    """A minute of seeded noise as raw µ-law, and a greeting of the wanted length."""
    rng = np.random.default_rng(1)
    audio = work / "audio.ul"
    audio.write_bytes(rng.integers(0, 256, 60 * _RATE, np.uint8).tobytes())
    path = work / "greeting.wav"
    hum = 8000 * np.sin(2 * np.pi * 300 * np.arange(round(greeting * _RATE)) / _RATE)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(_RATE)
        file.writeframes(hum.astype("<i2").tobytes())
    return audio, path


def _start(
    where: set[int], command: Any, *, stderr: int | IO[str] | None = None
) -> subprocess.Popen[str]:
    """Starts a program on these cores, which its children inherit."""
    mine = os.sched_getaffinity(0)
    os.sched_setaffinity(0, where)
    try:
        return subprocess.Popen(
            [str(part) for part in command],
            cwd=HERE.parent,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
        )
    finally:
        os.sched_setaffinity(0, mine)


@contextlib.contextmanager
def _ended(process: subprocess.Popen[str]) -> Iterator[subprocess.Popen[str]]:
    """Ends the program at the end of the block, by force if it must be."""
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout is not None:
            process.stdout.close()


def _line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        raise SystemExit(f"{process.args!r} ended before it was ready")
    return line


def _wait_ready(log: Path, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + _READY
    while time.monotonic() < deadline and process.poll() is None:
        if any("ready" in line.split() for line in log.read_text(errors="replace").splitlines()):
            time.sleep(1.0)
            return
        time.sleep(0.1)
    said = log.read_text(errors="replace")
    raise SystemExit(f"sipmail did not start (status {process.poll()}):\n{said}")


def _wait_mails(folder: Path, count: int) -> None:
    deadline = time.monotonic() + _DELIVERY
    while time.monotonic() < deadline and len(list(folder.glob("*.eml"))) < count:
        time.sleep(0.25)


def _free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _free_range(pairs: int) -> int:
    """The first of `pairs` free pairs of UDP ports, an even one below the ephemeral ones."""
    for first in range(10_000, 32_000 - 2 * pairs, 500):
        with contextlib.ExitStack() as stack:
            try:
                for port in range(first, first + 2 * pairs):
                    probe = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
                    stack.enter_context(probe)
                    probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return first
    raise SystemExit(f"no {2 * pairs} free UDP ports in a row")


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor()


if __name__ == "__main__":
    main()
