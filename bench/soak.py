"""`python -m bench.soak`: thousands of short calls, and what of them is left when they are over.

Nothing may be: no socket, no open file, no process, no folder but those of the messages in
`done/`, no e-mail too few or too many, and no memory beyond what a heap takes to settle. Prints a
table of the census before and after, and exits with 1 where something was left.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import yaml

from bench.generator import Order, write
from bench.processes import cores, memory, memory_by_program, tree
from bench.program import (
    ended,
    free_port,
    greeting_of,
    line,
    noise,
    settings,
    start,
    wait_mails,
    wait_ready,
)

_WARM_UP = 2000
"""As many calls as bring every pool and every table of transactions (32 s) to its size."""
_ROUND = 2000
_GREETING, _LISTEN, _TALK = 0.2, 1.2, 1.0
_PORT_REST = 60.0
_SETTLED = 15.0
"""Seconds after which idle SMTP connections are closed and the last transactions are over."""
_GROWTH = 0.1
"""The share by which memory may grow: heaps fragment, and tables grow in steps."""


@dataclass(frozen=True)
class Census:
    """What a running sipmail holds at one moment; memory is bytes (Pss).

    Threads are counted but never left behind: pools grow to their size and stay.
    """

    processes: int
    threads: int
    descriptors: int
    sockets: int
    memory: int
    folders: Mapping[str, int]

    def left(self, before: Census, messages: int) -> list[str]:
        """What is there now and was not `before`, though `messages` have been left meanwhile."""
        problems = [
            f"{name}: {getattr(before, name)} before, {getattr(self, name)} after"
            for name in ("processes", "descriptors", "sockets")
            if getattr(self, name) > getattr(before, name)
        ]
        problems += [
            f"{self.folders[state]} folders in {state}/"
            for state in ("recording", "queue", "failed")
            if self.folders[state]
        ]
        done = self.folders["done"] - before.folders["done"]
        if done != messages:
            problems.append(f"{done} messages in done/, {messages} were left")
        return problems


def census(pid: int, spool: Path) -> Census:
    """Counts what the process tree of `pid` and its spool hold now."""
    members = tree(pid)
    descriptors = [
        target
        for member in members
        for entry in _entries(f"/proc/{member}/fd")
        if (target := _target(entry)) is not None
    ]
    return Census(
        processes=len(members),
        threads=sum(len(_entries(f"/proc/{member}/task")) for member in members),
        descriptors=len(descriptors),
        sockets=sum(target.startswith("socket:") for target in descriptors),
        memory=memory(pid),
        folders={
            state: len(_entries(spool / state))
            for state in ("recording", "queue", "done", "failed")
        },
    )


def _entries(folder: str | Path) -> list[Path]:
    return list(Path(folder).iterdir())


def _target(entry: Path) -> str | None:
    """What a descriptor is open on; None where it was closed meanwhile."""
    try:
        return str(entry.readlink())
    except FileNotFoundError:
        return None


def settled(pid: int, spool: Path, before: Census, messages: int) -> Census:
    """The census once nothing is left any more, or after a while as it is then."""
    deadline = time.monotonic() + _SETTLED
    while (now := census(pid, spool)).left(before, messages) and time.monotonic() < deadline:
        time.sleep(0.5)
    return now


def place(order: Order, folder: Path, where: set[int]) -> int:
    """Runs the load; returns how many calls were answered and ended in good order."""
    source, result = folder / "order.json", folder / "result.json"
    write(order, source)
    patience = order.calls / order.rate + order.listen + order.talk + 120
    with start(where, [sys.executable, "-m", "bench.generator", source, result]) as process:
        if process.wait(patience) != 0:
            raise SystemExit("the load generator failed")
    return int(json.loads(result.read_text())["done"])


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.soak", description=__doc__)
    parser.add_argument("--calls", type=int, default=20_000)
    parser.add_argument("--rate", type=float, default=40.0, help="new calls a second")
    chosen = parser.parse_args()
    measured, load = cores()
    with tempfile.TemporaryDirectory(prefix="sipmail-soak") as name:
        folder = Path(name)
        mails = folder / "mails"
        audio, greeting = noise(folder), greeting_of(folder, _GREETING)
        at_once = round(chosen.rate * (_LISTEN + _TALK + 2)) + 50
        pairs = at_once + round(chosen.rate * _PORT_REST)
        with ended(start(load, [sys.executable, "-m", "bench.sink", mails])) as sink:
            port, smtp = free_port(), int(line(sink))
            own = settings(greeting, at_once, pairs, port, smtp, "wav")
            own["mailboxes"]["bench"]["record"]["min"] = "200ms"
            (folder / "sipmail.yaml").write_text(yaml.safe_dump(own), encoding="utf-8")
            log = (folder / "log").open("w")
            command = [sys.executable, "-m", "sipmail", "run", "-c", folder / "sipmail.yaml"]
            process = start(measured, command, stderr=log)
            with ended(process), log:
                wait_ready(folder / "log", process)
                order = Order("127.0.0.1", port, 0, chosen.rate, _LISTEN, _TALK, str(audio))
                problems = _soak(process, folder, order, chosen.calls, load)
    for problem in problems:
        print(f"left behind: {problem}")
    raise SystemExit(1 if problems else 0)


def _soak(
    process: subprocess.Popen[str], folder: Path, order: Order, calls: int, load: set[int]
) -> list[str]:
    spool, mails = folder / "spool", folder / "mails"
    empty = census(process.pid, spool)
    kept = place(replace(order, calls=_WARM_UP), folder, load)
    wait_mails(mails, kept)
    before = settled(process.pid, spool, empty, kept)
    done = 0
    begun = time.monotonic()
    while done < calls:
        now = min(_ROUND, calls - done)
        kept += place(replace(order, calls=now), folder, load)
        done += now
        used = memory_by_program(process.pid)
        shares = ", ".join(f"{program} {size / 1e6:.1f}" for program, size in sorted(used.items()))
        passed = time.monotonic() - begun
        print(f"{done} calls, {passed:.0f} s, {used.total() / 1e6:.1f} MB: {shares}", flush=True)
    wait_mails(mails, kept)
    after = settled(process.pid, spool, before, kept - before.folders["done"])
    for name in ("processes", "threads", "descriptors", "sockets"):
        print(f"{name:12} {getattr(before, name):10} before {getattr(after, name):10} after")
    print(f"{'memory':12} {before.memory / 1e6:7.1f} MB before {after.memory / 1e6:7.1f} MB after")
    print(f"{'folders':12} {dict(before.folders)} before, {dict(after.folders)} after")
    problems = after.left(before, kept - before.folders["done"])
    mailed = len(list(mails.glob("*.eml")))
    if mailed != kept:
        problems.append(f"{mailed} e-mails for {kept} messages")
    if kept != calls + _WARM_UP:
        problems.append(f"only {kept} of {calls + _WARM_UP} calls ended in good order")
    if after.memory > before.memory * (1 + _GROWTH):
        problems.append(f"{(after.memory - before.memory) / 1e6:.1f} MB of memory")
    return problems


if __name__ == "__main__":
    main()
