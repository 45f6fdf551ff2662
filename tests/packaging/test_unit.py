"""The systemd unit starts what the README installs, as it says to."""

from __future__ import annotations

import configparser
import shlex
from pathlib import Path

from sipmail.config.model import Config

ROOT = Path(__file__).resolve().parents[2]


def unit() -> configparser.SectionProxy:
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read(ROOT / "deploy/sipmail.service", encoding="utf-8")
    return parser["Service"]


def test_it_starts_the_program_where_the_readme_installs_it() -> None:
    program, *arguments = shlex.split(unit()["ExecStart"])
    assert arguments == ["run", "-c", "/etc/sipmail/sipmail.yaml"]
    folder = program.removesuffix("/bin/sipmail")
    for page in ("README.md", "docs/start.md", "docs/zacznij.md"):
        text = (ROOT / page).read_text(encoding="utf-8")
        assert f"python3 -m venv {folder}\n{folder}/bin/pip install .\n" in text, page


def test_it_has_more_patience_than_a_stop_takes() -> None:
    assert float(unit()["TimeoutStopSec"]) > Config.model_fields["shutdown_grace"].default
    assert unit()["KillMode"] == "mixed"
