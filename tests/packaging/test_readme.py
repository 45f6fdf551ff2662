"""The README keeps its word: its commands exist, its links lead somewhere, its example loads."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from sipmail.config.loader import load
from tests.packaging.conftest import ROOT

DOCUMENTS = ("README.md", "docs/architecture.md", "CHANGELOG.md", "bench/README.md")
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_every_make_target_is_there() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {
        name
        for document in DOCUMENTS
        for name in re.findall(
            r"(?:`|^)make ([a-z]+)", (ROOT / document).read_text(encoding="utf-8"), re.MULTILINE
        )
    }
    assert {"demo", "test"} <= named <= targets


def test_every_command_is_there() -> None:
    shown = subprocess.run(
        [sys.executable, "-m", "sipmail", "--help"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    ).stdout
    promised, _, _ = README.partition("## What is not there")
    named = set(re.findall(r"(?:`|bin/)sipmail ([a-z-]+)", promised))
    assert named
    assert [name for name in named if not re.search(rf"\b{name}\b", shown)] == []


def test_the_example_of_the_set_up_loads(tmp_path: Path) -> None:
    (text,) = re.findall(r"```yaml\n(.*?)```", README, re.DOTALL)
    for name in ("pbx.password", "smtp.password"):
        (tmp_path / name).write_text("secret\n")
    path = tmp_path / "sipmail.yaml"
    path.write_text(text, encoding="utf-8")
    config = load(path)
    assert set(config.mailboxes) == {"sales", "rest"}


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links_lead_to_files(document: str) -> None:
    text = (ROOT / document).read_text(encoding="utf-8")
    links = re.findall(r"\]\((?!https?:)([^)#]+)", text)
    assert [link for link in links if not ((ROOT / document).parent / link).exists()] == []


def test_the_architecture_names_files_that_are_there() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    named = re.findall(r"`([a-z_]+/[a-z_/]+(?:\.py|/))`", text)
    assert named
    missing = [
        name for name in named if not ((ROOT / "sipmail" / name).exists() or (ROOT / name).exists())
    ]
    assert missing == []
