"""`make bench`: the same calls for sipmail, the floor in C and a pyVoIP voicemail, in one run.

The measured program has one core, the load and the mail server the others. What a table row means
stands in README.md; everything measured goes to `bench/out/result.json` too.
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from rich.console import Console

from bench.generator import Order, write
from bench.processes import Peak, cores, cpu_seconds, memory
from bench.program import (
    HERE,
    ended,
    free_port,
    free_range,
    greeting_of,
    line,
    noise,
    settings,
    speech,
    start,
    wait_mails,
    wait_ready,
)
from bench.report import Row, save, show
from bench.verify import verify

_BEEP = 0.35
_BEEP_AND_QUIET = 1.5
_IDLE = 10.0
# pyVoIP starts three threads a call: more calls than these would measure its collapse.
_PYVOIP_CALLS = 20


@dataclass(frozen=True)
class Bench:
    """What all programs are put through."""

    work: Path
    calls: int
    rate: float
    greeting: float
    talk: float
    noise: Path
    speech: Path
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
            audio=str(self.noise),
        )
        return replace(order, **changes)

    def measured(self, *command: str | Path, **options: Any) -> subprocess.Popen[str]:
        return start(self.measured_core, command, **options)

    def encoder(self) -> float:
        """Milliseconds of CPU that the MP3 encoder takes for a second of speech."""
        process = self.measured(sys.executable, "-m", "bench.encoder", self.speech, str(self.talk))
        with ended(process):
            return float(line(process))

    def load(self, order: Order) -> dict[str, Any]:
        """Runs the generator to its end; returns what it saw."""
        source, result = self.work / "order.json", self.work / "result.json"
        write(order, source)
        command = [sys.executable, "-m", "bench.generator", source, result]
        patience = order.calls / order.rate + order.listen + order.talk + 120
        with start(self.load_cores, command) as process:
            if process.wait(patience) != 0:
                raise SystemExit("the load generator failed")
        seen: dict[str, Any] = json.loads(result.read_text())
        return seen


def sipmail(bench: Bench, attachment: str) -> Row:
    """`sipmail run` with one mailbox, mailing to the sink: noise as WAV, else speech."""
    folder = bench.work / f"sipmail-{attachment}"
    folder.mkdir()
    mails = folder / "mails"
    with ended(start(bench.load_cores, [sys.executable, "-m", "bench.sink", mails])) as sink:
        smtp_port = int(line(sink))
        sip_port = free_port()
        own = settings(
            bench.greeting_wav, bench.calls + 20, bench.calls + 50, sip_port, smtp_port, attachment
        )
        (folder / "sipmail.yaml").write_text(yaml.safe_dump(own), encoding="utf-8")
        log = (folder / "log").open("w")
        process = bench.measured(
            sys.executable, "-m", "sipmail", "run", "-c", folder / "sipmail.yaml", stderr=log
        )
        with ended(process), log:
            wait_ready(folder / "log", process)
            idle, before = memory(process.pid), cpu_seconds(process.pid)
            time.sleep(_IDLE)
            idle_cpu = (cpu_seconds(process.pid) - before).total() / _IDLE
            before = cpu_seconds(process.pid)
            order = bench.order(sip_port, prompts=round((bench.greeting + _BEEP) * 50))
            if attachment != "wav":
                order = replace(order, audio=str(bench.speech))
            with Peak(process.pid) as peak:
                seen = bench.load(order)
                wait_mails(mails, seen["done"])
            used = cpu_seconds(process.pid) - before
    delay: float | None = None
    mailed, complete, doubled = len(list(mails.glob("*.eml"))), None, None
    if attachment == "wav":
        verdict = verify(mails, order, seen["hung_up"])
        mailed, complete, doubled = verdict.mailed, verdict.complete, verdict.doubled
        if verdict.delays:
            delay = float(np.percentile(verdict.delays, 99))
    shutil.rmtree(mails)
    encoder: float | None = None
    if attachment == "mp3":
        spoken = bench.talk * order.calls
        encoder = bench.encoder() * spoken / max(float(seen["call_seconds"]), 1e-9)
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
        idle,
        idle_cpu,
        encoder,
    )


def floor(bench: Bench) -> Row | None:
    """The same packets in C; None where there is no compiler."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        return None
    program = bench.work / "floor"
    subprocess.run([compiler, "-O2", "-o", program, HERE / "floor.c"], check=True)
    base = free_range(bench.calls)
    packets = str(round(bench.greeting * 50))
    process = bench.measured(
        program, str(base), str(bench.calls), packets, bench.work / "floor.rtp"
    )
    with ended(process):
        line(process)
        before = cpu_seconds(process.pid)
        seen = bench.load(bench.order(0, media_base=base))
        used = cpu_seconds(process.pid) - before
    (bench.work / "floor.rtp").unlink()
    name = "floor in C: the packets alone"
    return Row(name, bench.calls, dict(used), seen)


def pyvoip(bench: Bench) -> Row:
    """A voicemail written with pyVoIP, with as many calls as it can take."""
    port, peer = free_port(), free_port()
    process = bench.measured(
        *(sys.executable, "-m", "bench.pyvoip_voicemail", str(port), str(peer)),
        *(bench.greeting_wav, bench.work / "pyvoip"),
        stderr=subprocess.DEVNULL,
    )
    with ended(process):
        line(process)
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
        bench = Bench(
            work=work,
            calls=chosen.calls,
            rate=chosen.rate,
            greeting=chosen.greeting,
            talk=chosen.talk,
            noise=noise(work),
            speech=speech(work),
            greeting_wav=greeting_of(work, chosen.greeting),
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
    print(f"all figures: {save(rows, vars(chosen))}")
    failed = [r.name for r in rows if r.complete is not None and r.complete < r.calls]
    if failed:
        raise SystemExit(f"not every message arrived complete: {', '.join(failed)}")


if __name__ == "__main__":
    main()
