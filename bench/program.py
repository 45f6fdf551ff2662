"""The measured program: its configuration, its cores, its start and its end."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import time
import wave
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np
import soundfile
import soxr

from sipmail.codecs import g711

HERE = Path(__file__).resolve().parent
_RATE = 8000
_READY = 30.0
_DELIVERY = 120.0


def settings(
    greeting: Path, calls: int, pairs: int, sip_port: int, smtp_port: int, attachment: str
) -> dict[str, Any]:
    """A configuration for `calls` calls at once on `pairs` pairs of ports, with one mailbox: as WAV
    it keeps every sample, else it does to the sound what mailboxes do by default."""
    first = free_range(pairs)
    exact = {"silence": "0s", "trim": False, "normalize": False}
    record = {"max": "10m", **(exact if attachment == "wav" else {})}
    return {
        "language": "en",
        "timezone": "UTC",
        "sip": {
            "listen": [f"udp://127.0.0.1:{sip_port}"],
            "trunks": {"load": {"accept_from": ["127.0.0.1/32"]}},
        },
        "rtp": {"ports": f"{first}-{first + 2 * pairs - 1}", "codecs": ["PCMU"]},
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
                "greeting": str(greeting),
                "record": record,
            }
        },
    }


def noise(work: Path) -> Path:
    """A minute of seeded noise as raw µ-law: each stretch of it is like no other."""
    rng = np.random.default_rng(1)
    audio = work / "noise.ul"
    audio.write_bytes(rng.integers(0, 256, 60 * _RATE, np.uint8).tobytes())
    return audio


def speech(work: Path) -> Path:
    """Somebody speaking, as raw µ-law: the prompts that sipmail ships, one after the other."""
    spoken = []
    for path in sorted((HERE.parent / "greetings" / "en").glob("*.wav")):
        sound, rate = soundfile.read(path, dtype="int16")
        spoken.append(g711.encode_ulaw(soxr.resample(sound, rate, _RATE)))
    audio = work / "speech.ul"
    audio.write_bytes(np.concatenate(spoken).tobytes())
    return audio


def greeting_of(work: Path, greeting: float) -> Path:
    """A greeting of so many seconds."""
    path = work / "greeting.wav"
    hum = 8000 * np.sin(2 * np.pi * 300 * np.arange(round(greeting * _RATE)) / _RATE)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(_RATE)
        file.writeframes(hum.astype("<i2").tobytes())
    return path


def start(
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
def ended(process: subprocess.Popen[str]) -> Iterator[subprocess.Popen[str]]:
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


def line(process: subprocess.Popen[str]) -> str:
    """The next line that the program prints, its first one as a rule."""
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        raise SystemExit(f"{process.args!r} ended before it was ready")
    return line


def wait_ready(log: Path, process: subprocess.Popen[str]) -> None:
    """Returns a second after sipmail has logged that it takes calls."""
    deadline = time.monotonic() + _READY
    while time.monotonic() < deadline and process.poll() is None:
        if any("ready" in line.split() for line in log.read_text(errors="replace").splitlines()):
            time.sleep(1.0)
            return
        time.sleep(0.1)
    said = log.read_text(errors="replace")
    raise SystemExit(f"sipmail did not start (status {process.poll()}):\n{said}")


def wait_mails(folder: Path, count: int) -> None:
    """Returns when so many e-mails have come, or when that takes too long."""
    deadline = time.monotonic() + _DELIVERY
    while time.monotonic() < deadline and len(list(folder.glob("*.eml"))) < count:
        time.sleep(0.25)


def free_port() -> int:
    """A UDP port that nobody has."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def free_range(pairs: int) -> int:
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
