"""`python -m bench.curve`: where it bends. The bench's WAV row and the floor at 100 to 3,000 calls.

Every point is a `bench.run` of its own. The calls come evenly within one call's length, so that as
many are there at once as the point says. Figures go to `bench/out/curve.json`; with `--plot FILE`
they are drawn, too (with matplotlib, of the extra `plot`).
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bench.program import HERE

_COUNTS = (100, 300, 1000, 2000, 3000)
_GREETING = 7.0
_TALK = 20.0
_OUT = HERE / "out"


@dataclass(frozen=True)
class Point:
    """What so many calls at once cost; times in milliseconds but for `mail_p99`, seconds."""

    calls: int
    at_once: int
    complete: int
    floor_ms: float | None
    cpu_ms: float
    answer_p99: float
    jitter_p99: float
    mail_p99: float | None
    memory: float
    """Bytes a call."""


def measure(calls: int) -> Point | None:
    """One point; None where the run broke down."""
    rate = calls / (_GREETING + _TALK - 2)
    command = [
        *(sys.executable, "-m", "bench.run", "--only", "floor", "--only", "sipmail"),
        *("--calls", str(calls), "--rate", f"{rate:.2f}"),
        *("--greeting", str(_GREETING), "--talk", str(_TALK)),
    ]
    result = _OUT / "result.json"
    result.unlink(missing_ok=True)
    subprocess.run(command, check=False)  # says itself when messages are incomplete
    if not result.exists():
        return None
    rows: list[dict[str, Any]] = json.loads(result.read_text())["rows"]
    floors = [row["cpu_ms"] for row in rows if row["name"].startswith("floor")]
    row = rows[-1]
    return Point(
        calls,
        row["load"]["at_once"],
        row["complete"],
        floors[0] if floors else None,
        row["cpu_ms"],
        row["load"]["answer_ms"].get("p99", 0.0),
        row["load"]["jitter_ms"].get("p99", 0.0),
        row["mail_delay_p99"],
        row["memory"],
    )


def draw(points: list[Point], path: Path) -> None:
    """Four small charts over the number of calls, each with its target as a dashed line."""
    import matplotlib as mpl

    mpl.use("Agg")
    mpl.rcParams["svg.hashsalt"] = "sipmail"
    from matplotlib import pyplot

    figure, charts = pyplot.subplots(2, 2, figsize=(9, 6), layout="constrained")
    calls = [point.calls for point in points]
    figure.suptitle("sipmail on one core: greeting 7 s, message 20 s, WAV by SMTP")

    def chart(axes: Any, title: str, target: float, **lines: Iterable[float | None]) -> None:
        for name, values in lines.items():
            axes.plot(calls, list(values), marker="o", label=name.replace("_", " "))
        axes.axhline(target, color="grey", linestyle="--", label="target")
        axes.set(title=title, xlabel="calls at once", ylim=(0, None))
        axes.grid(alpha=0.3)
        axes.legend()

    chart(
        charts[0, 0],
        "CPU, ms a second of call",
        0.25,
        sipmail=[point.cpu_ms for point in points],
        floor_in_C=[point.floor_ms for point in points],
    )
    chart(charts[0, 1], "answer, p99, ms", 50, sipmail=[point.answer_p99 for point in points])
    chart(
        charts[1, 0],
        "greeting packets off 20 ms, p99, ms",
        3,
        sipmail=[point.jitter_p99 for point in points],
    )
    chart(
        charts[1, 1],
        "mail after the hang-up, p99, s",
        2,
        sipmail=[point.mail_p99 for point in points],
    )
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.curve", description=__doc__)
    parser.add_argument("--calls", type=int, nargs="+", default=list(_COUNTS))
    parser.add_argument("--plot", type=Path, help="where the picture goes: .svg or .png")
    parser.add_argument("--draw-only", action="store_true", help="from the last figures")
    chosen = parser.parse_args()
    figures = _OUT / "curve.json"
    if not chosen.draw_only:
        _OUT.mkdir(exist_ok=True)
        points = []
        for calls in chosen.calls:
            if (point := measure(calls)) is not None:
                points.append(point)
                figures.write_text(json.dumps([asdict(one) for one in points], indent=1) + "\n")
    if chosen.plot is not None:
        points = [Point(**one) for one in json.loads(figures.read_text())]
        draw(sorted(points, key=lambda point: point.calls), chosen.plot)
        print(f"drawn: {chosen.plot}")


if __name__ == "__main__":
    main()
