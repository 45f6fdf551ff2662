"""`sipmail demo`: the whole way of a call on this machine alone, from the INVITE to the e-mail.

It writes a configuration for loopback, runs the agent as a subprocess, calls it with the test phone
(pyVoIP, see `softphone`), leaves the spoken sample and waits for the e-mail in a Maildir. What it
made stays in its folder to be looked at, and only a folder that a demo made is written over.
"""

from __future__ import annotations

import email
import email.policy
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from enum import StrEnum
from importlib.resources import as_file, files
from pathlib import Path
from typing import Annotated

import typer

from sipmail.cli.call import CallError, order_for, place
from sipmail.cli.options import ConfigOption
from sipmail.errors import SipmailError

_MARK = "# Written by `sipmail demo`, which writes over this folder each time.\n"
_READY = 30.0
_DELIVERY = 60.0
_SHUTDOWN = 15.0
_POLL = 0.1
_LOG_LINES = 15
_CALLS = 5
_PAIRS = 10  # of ports, which rest for a while after a call

_CONFIGURATION = """\
language: {language}
country: PL
timezone: Europe/Warsaw
sip:
  listen: ["udp://127.0.0.1:{sip_port}"]
  trunks:
    demo: {{accept_from: [127.0.0.1/32]}}
rtp: {{ports: {first}-{last}, codecs: [PCMU, PCMA]}}
mail:
  from: Voicemail <voicemail@example.com>
  maildir: mail
spool: spool
limits: {{calls: {calls}, calls_per_source: {calls}, free_disk: 10M}}
users:
  anna: Anna Kowalska <anna@example.com>
  jan: Jan Nowak <jan@example.com>
mailboxes:
  demo:
    name: {name}
    numbers: ["201"]
    users: [anna, jan]
    emails: [office@example.com]
"""


class Language(StrEnum):
    EN = "en"
    PL = "pl"


class DemoError(SipmailError):
    """A step failed; the text says which, and what to look at."""


def demo(
    folder: Annotated[
        Path, typer.Option("--dir", help="Where the demo's files and its e-mail go.")
    ] = Path("demo"),
    language: Annotated[
        Language | None, typer.Option(help="Of the greeting and the e-mail; from LANG by default.")
    ] = None,
    config: ConfigOption = None,
) -> None:
    """Run the agent on loopback, leave it one message by a real call, and show the e-mail.

    It writes a configuration of its own; -c is taken as everywhere, and not read.

    Example: sipmail demo --dir /tmp/sipmail-demo
    """
    chosen = language or (Language.PL if _locale().startswith("pl") else Language.EN)
    delivered = run(folder, chosen, step)
    typer.echo(f"\nthe e-mail: {delivered}")


def step(text: str) -> None:
    """One line as it happens, with a tick where the terminal has one."""
    typer.echo(f"{_tick()} {text}")


def run(folder: Path, language: Language, tell: Callable[[str], None]) -> Path:
    """The whole demo; returns the path of the e-mail, raises DemoError with what went wrong."""
    folder = folder.resolve()
    address, configuration = prepare(folder, language)
    tell(f"wrote {configuration}")
    log = folder / "sipmail.log"
    mail = folder / "mail" / "new"
    with agent(configuration, log) as listening, spoken_sample(language) as sample:
        tell(f"the agent is running: {listening}")
        leave_message(address, sample, tell, log)
        delivered = wait_for_mail(mail, log)
    for line in describe(delivered):
        tell(line)
    return delivered


def prepare(folder: Path, language: Language) -> tuple[str, Path]:
    """A fresh folder with a configuration on free ports; returns its SIP address and the file."""
    configuration = folder / "sipmail.yaml"
    if folder.exists() and any(folder.iterdir()):
        if not (configuration.is_file() and configuration.read_text().startswith(_MARK)):
            raise DemoError(f"{folder} holds something else; name an empty folder with --dir")
        for name in ("mail", "spool"):
            shutil.rmtree(folder / name, ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)
    sip_port = _free_port()
    first = _free_range(2 * _PAIRS)
    text = _CONFIGURATION.format(
        language=language,
        sip_port=sip_port,
        first=first,
        last=first + 2 * _PAIRS - 1,
        calls=_CALLS,
        name="Demo",
    )
    configuration.write_text(_MARK + text, encoding="utf-8")
    return f"sip:201@127.0.0.1:{sip_port}", configuration


@contextmanager
def agent(configuration: Path, log: Path) -> Iterator[str]:
    """`sipmail run` until the end of the block; gives its line `ready`."""
    with log.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "sipmail", "run", "-c", str(configuration)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        yield _wait_ready(process, log)
    finally:
        process.terminate()
        try:
            process.wait(_SHUTDOWN)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_ready(process: subprocess.Popen[bytes], log: Path) -> str:
    deadline = time.monotonic() + _READY
    while time.monotonic() < deadline:
        for line in log.read_text(errors="replace").splitlines():
            if "ready" in line.split():
                return line[line.index("ready") :]
        if process.poll() is not None:
            raise DemoError(
                f"the agent ended with status {process.returncode} instead of starting{_tail(log)}"
            )
        time.sleep(_POLL)
    raise DemoError(f"the agent was not ready within {_READY:.0f} s{_tail(log)}")


def leave_message(address: str, sample: Path, tell: Callable[[str], None], log: Path) -> None:
    """One call with the test phone that speaks the sample after the beep and hangs up."""
    sentences: dict[str, Callable[[Sequence[object]], str]] = {
        "calling": lambda details: f"the phone is calling {address}",
        "answered": lambda details: "answered; listening to the greeting",
        "turn": lambda details: f"the greeting and the beep took {details[0]} s",
        "speaking": lambda details: f"leaving a spoken message of {details[0]} s",
        "ended": lambda details: "hung up",
    }

    def hear(event: str, details: Sequence[object]) -> None:
        if event in sentences:
            tell(sentences[event](details))

    try:
        order = replace(order_for(address), username="+48600123456", say=str(sample), linger=0.5)
        place(order, hear)
    except CallError as error:
        raise DemoError(f"the call failed: {error}{_tail(log)}") from error


def wait_for_mail(mail: Path, log: Path) -> Path:
    """The first e-mail in the Maildir folder `mail`, as soon as it is there."""
    deadline = time.monotonic() + _DELIVERY
    while time.monotonic() < deadline:
        if mail.is_dir() and (found := sorted(mail.iterdir())):
            return found[0]
        time.sleep(_POLL)
    raise DemoError(f"no e-mail came within {_DELIVERY:.0f} s{_tail(log)}")


def describe(path: Path) -> Iterator[str]:
    """What the e-mail says, a line each."""
    message = email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
    yield f"an e-mail came: {message['Subject']}"
    yield f"to: {message['To']}"
    for part in message.walk():
        if part.get_content_maintype() == "audio":
            size = len(part.get_payload(decode=True) or b"")
            yield f"with the recording {part.get_filename()} ({size / 1000:.0f} kB)"


@contextmanager
def spoken_sample(language: Language) -> Iterator[Path]:
    """The file with the message that the demo leaves."""
    with as_file(files("sipmail") / "greetings" / language.value / "sample.wav") as path:
        yield path


def _tail(log: Path) -> str:
    lines = log.read_text(errors="replace").splitlines()[-_LOG_LINES:] if log.exists() else []
    return "".join(f"\n    {line}" for line in lines) + f"\nthe whole log: {log}"


def _locale() -> str:
    return os.environ.get("LC_ALL") or os.environ.get("LC_MESSAGES") or os.environ.get("LANG") or ""


def _tick() -> str:
    try:
        "✓".encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        return "*"
    return "✓"


def _free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _free_range(count: int) -> int:
    """The first of `count` free UDP ports in a row, an even one."""
    for first in range(20_000, 60_000, 100):
        probes: list[socket.socket] = []
        try:
            for port in range(first, first + count):
                probes.append(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
                probes[-1].bind(("127.0.0.1", port))
        except OSError:
            continue
        finally:
            for probe in probes:
                probe.close()
        return first
    raise DemoError(f"no {count} UDP ports in a row are free")
