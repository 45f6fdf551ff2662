"""The commands as a shell runs them, in this process: arguments in, exit status and output out."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from sipmail.cli import main
from sipmail.config.loader import load
from sipmail.config.model import Config
from tests.support.agent import configuration
from tests.support.smtp import SmtpServer


@dataclass(frozen=True)
class Result:
    """What a command left behind."""

    status: int
    out: str
    err: str


Sipmail = Callable[..., Result]
Site = Callable[..., Config]


@pytest.fixture
def sipmail(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Sipmail:
    """`sipmail("queue", "list")`: runs the command and returns its `Result`."""

    def run(*arguments: object) -> Result:
        monkeypatch.setattr(sys, "argv", ["sipmail", *map(str, arguments)])
        capfd.readouterr()
        status: object = 0
        try:
            main()
        except SystemExit as ended:
            status = ended.code
        out, err = capfd.readouterr()
        return Result(int(str(status or 0)), out, err)

    return run


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    """`site(smtp, **sections)`: a configuration in the current folder, loaded; see
    `tests.support.agent.configuration`."""
    monkeypatch.chdir(tmp_path)

    def make(smtp: SmtpServer | None = None, **sections: Any) -> Config:
        settings = configuration(tmp_path, smtp, **sections)
        file = tmp_path / "sipmail.yaml"
        file.write_text(yaml.safe_dump(settings, allow_unicode=True, sort_keys=False))
        return load(file)

    return make
