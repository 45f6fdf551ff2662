"""A phone system's program: started, asked on its command line, ended."""

from __future__ import annotations

import re
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path

from tests.support.patience import PATIENCE, eventually


class PhoneSystem(ABC):
    """One process that works in `folder`, and may start again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    @abstractmethod
    def _asks(self, command: str) -> Sequence[str]:
        """What to run to give the running program a command."""

    def _run(self, arguments: Sequence[str]) -> None:
        self._process = subprocess.Popen(
            arguments,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=self.folder,
            start_new_session=True,
        )

    def cli(self, command: str) -> str:
        """What the command line of the running program answers."""
        ran = subprocess.run(
            self._asks(command),
            capture_output=True,
            text=True,
            errors="replace",
            timeout=PATIENCE,
            check=False,
        )
        return ran.stdout

    def wait_cli(self, command: str, wanted: str) -> str:
        """The command's answer, as soon as it matches the regular expression `wanted`."""

        def asked() -> str | None:
            said = self.cli(command)
            return said if re.search(wanted, said) else None

        return eventually(asked, f"{wanted!r} in the answer to {command!r}")

    def log(self) -> str:
        """Everything that it logged, SIP messages too."""
        file = self.folder / "full"
        return file.read_text(errors="replace") if file.exists() else ""

    def stop(self) -> None:
        """Ends it at once, its calls with it."""
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None
