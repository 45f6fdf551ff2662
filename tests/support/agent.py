"""`sipmail run` as a test runs it: its own configuration, spool, ports and process group.

Everything that waits has a deadline, and `close` leaves no process behind.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml

from tests.support.nursery import Born, nursery
from tests.support.patience import PATIENCE
from tests.support.ports import free_port, free_range
from tests.support.smtp import SmtpServer

ROOT = Path(__file__).resolve().parents[2]
READY = "ready"
_RESTING = 40


def configuration(
    folder: Path, smtp: SmtpServer | None = None, *, calls: int = 20, **sections: Any
) -> dict[str, Any]:
    """A configuration that takes calls from loopback into the mailbox `sales` (201, and the rest).

    `sections` replace or, where both are mappings, extend the top-level keys. Without `smtp` the
    e-mails go to the Maildir `folder/mail`.
    """
    # Ports rest for a minute after a call, and a module's tests call one after the other.
    first, last = free_range(2 * (calls + max(-(-calls // 4), _RESTING)))
    mail: dict[str, Any] = {"from": "Voicemail <voicemail@sipmail.test>"}
    if smtp is None:
        mail["maildir"] = "mail"
    else:
        mail["smtp"] = {"host": smtp.host, "port": smtp.port, "security": "none"}
    base: dict[str, Any] = {
        "language": "en",
        "country": "PL",
        "timezone": "Europe/Warsaw",
        "sip": {
            "listen": [f"udp://127.0.0.1:{free_port()}"],
            "trunks": {"local": {"accept_from": ["127.0.0.1/32"]}},
        },
        "rtp": {"ports": f"{first}-{last}"},
        "mail": mail,
        "spool": "spool",
        "limits": {"calls": calls, "calls_per_source": calls, "free_disk": "1M"},
        "users": {
            "anna": "Anna Kowalska <anna@sipmail.test>",
            "jan": "Jan Nowak <jan@sipmail.test>",
        },
        "mailboxes": {
            "sales": {
                "name": "Sales",
                "numbers": ["201", "*"],
                "users": ["anna", "jan"],
                "emails": ["office@sipmail.test"],
                "attachment": "wav",
                "after": "nothing",
                "record": {"trim": False, "normalize": False, "silence": "0s"},
            }
        },
    }
    folder.mkdir(parents=True, exist_ok=True)
    return merged(base, sections)


def merged(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """`base` with `changes` laid over it, mapping by mapping; a value of None removes the key."""
    result = dict(base)
    for key, value in changes.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, Mapping) and isinstance(result.get(key), Mapping):
            result[key] = merged(result[key], value)
        else:
            result[key] = value
    return result


class Agent:
    """One agent: `start`, then calls to `address`, then `stop` or `kill9`; may start again."""

    def __init__(self, folder: Path, settings: Mapping[str, Any], *, fresh: bool = False) -> None:
        """A `fresh` one is started as a shell would, even where the nursery can spare the time."""
        self.folder = folder
        self.file = folder / "sipmail.yaml"
        self.lines: list[str] = []
        self._process: subprocess.Popen[bytes] | Born | None = None
        self._reader: threading.Thread | None = None
        self._changed = threading.Condition()
        self.sessions: list[int] = []
        self._fresh = fresh
        self.write(settings)

    def write(self, settings: Mapping[str, Any]) -> None:
        """Writes the configuration file; a running agent reads it at SIGHUP."""
        self.settings = dict(settings)
        text = yaml.safe_dump(self.settings, allow_unicode=True, sort_keys=False)
        self.file.write_text(text, encoding="utf-8")

    @property
    def address(self) -> tuple[str, int]:
        """Where its first listening socket takes SIP."""
        host, _, port = self.settings["sip"]["listen"][0].partition("://")[2].rpartition(":")
        return host, int(port)

    @property
    def spool(self) -> Path:
        return self.folder / str(self.settings["spool"])

    def messages(self, state: str) -> list[Path]:
        """The message folders in `recording`, `queue`, `done` or `failed`."""
        folder = self.spool / state
        return sorted(folder.iterdir()) if folder.is_dir() else []

    def start(self, timeout: float = PATIENCE, **environment: str) -> Agent:
        """Starts it and returns once it said `ready`; AssertionError with its log otherwise.

        With additions to the `environment` it is a fresh one.
        """
        with self._changed:
            self.lines = []
        arguments = ["run", "-c", str(self.file)]
        variables = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", **environment}
        log, stderr = os.pipe()
        if self._fresh or environment:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "sipmail", *arguments],
                cwd=self.folder,
                env=variables,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=stderr,
                start_new_session=True,
            )
        else:
            self._process = nursery().start(arguments, self.folder, variables, stderr)
        os.close(stderr)
        self.sessions.append(self._process.pid)
        self._reader = threading.Thread(target=self._read, args=(log,), daemon=True)
        self._reader.start()
        self.wait_log(lambda line: READY in line.split(), timeout, "the line `ready`")
        return self

    def wait_log(
        self,
        wanted: str | Callable[[str], bool],
        timeout: float = PATIENCE,
        what: str | None = None,
        *,
        since: int = 0,
    ) -> str:
        """The first log line from number `since` on that contains `wanted` or for which it is true.

        AssertionError with the whole log when none comes in time, or the agent ends before it.
        """
        matches = wanted if callable(wanted) else lambda line: wanted in line

        def found() -> str | None:
            return next((line for line in self.lines[since:] if matches(line)), None)

        with self._changed:
            self._changed.wait_for(lambda: found() is not None or not self._reading(), timeout)
            line = found()
        what = what or repr(wanted)
        assert line is not None, f"no {what} within {timeout} s; the log:\n{self.log()}"
        return line

    def log(self) -> str:
        return "\n".join(self.lines)

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def processes(self) -> dict[int, str]:
        """Every live process that this agent ever started: id and command line, its own too."""
        return _session_members(set(self.sessions))

    def child(self, module: str) -> int:
        """The id of the child that runs `python -m MODULE`; LookupError when there is none."""
        for pid, command in self.processes().items():
            if f"-m {module}" in command:
                return pid
        raise LookupError(f"no process runs {module}: {self.processes()}")

    def signal(self, number: signal.Signals) -> None:
        """Nothing where it has ended, which `wait` tells."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def stop(self, timeout: float = PATIENCE) -> int:
        """SIGTERM; returns the exit status, AssertionError when it does not end in time."""
        self.signal(signal.SIGTERM)
        return self.wait(timeout)

    def wait(self, timeout: float = PATIENCE) -> int:
        """Waits for its end; returns the exit status."""
        assert self._process is not None
        try:
            status = self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still running after {timeout} s:\n{self.log()}") from None
        assert self._reader is not None
        self._reader.join(5)
        return status

    def kill9(self) -> None:
        """SIGKILL to the agent and all its children at once, and waits until they are gone."""
        for session in self.sessions:
            for pid in _session_members({session}):
                _kill(pid)
        self._reap()

    def kill9_parent(self) -> None:
        """SIGKILL to the agent alone: its children have to notice."""
        _kill(self.pid)
        self._reap()

    def close(self) -> None:
        """Ends whatever is left, by force."""
        if self.sessions:
            self.kill9()
        deadline = time.monotonic() + 5
        while self.processes() and time.monotonic() < deadline:
            time.sleep(0.02)

    def _reap(self) -> None:
        if self._process is not None:
            self._process.wait(PATIENCE)
        if self._reader is not None:
            self._reader.join(5)

    def _reading(self) -> bool:
        return self._reader is not None and self._reader.is_alive()

    def _read(self, log: int) -> None:
        with open(log, encoding="utf-8", errors="replace") as stream:
            for line in stream:
                with self._changed:
                    self.lines.append(line.rstrip("\n"))
                    self._changed.notify_all()
        with self._changed:
            self._changed.notify_all()


def _session_members(sessions: set[int]) -> dict[int, str]:
    """Live processes of these sessions, zombies left out."""
    members = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            state, _, _, session = (entry / "stat").read_text().rpartition(")")[2].split()[:4]
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except (OSError, ValueError):
            continue
        if state != "Z" and int(session) in sessions:
            members[int(entry.name)] = command
    return members


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return
