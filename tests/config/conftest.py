"""A configuration that is right, and the way to bend it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from textwrap import dedent

import pytest

from sipmail.config.loader import load
from sipmail.config.model import Config
from sipmail.errors import ConfigError

# Placeholders are replaced by whole YAML lines; see `write`.
BASE = """\
country: PL
sip:
  trunks:
    carrier:
      accept_from: [198.51.100.0/24]
mail:
  from: Voicemail <voicemail@example.com>
  maildir: mail
users:
  anna: Anna <anna@example.com>
  jan: jan@example.com
mailboxes:
  sales:
    numbers: ["201"]
    users: [anna]
"""

Write = Callable[..., Path]
Problems = Callable[..., list[str]]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes sipmail.yaml: the base, with each `old=new` of its texts replaced."""

    def write(*changes: tuple[str, str], text: str = BASE) -> Path:
        for old, new in changes:
            assert old in text
            text = text.replace(old, new, 1)
        path = tmp_path / "sipmail.yaml"
        path.write_text(dedent(text), encoding="utf-8")
        return path

    return write


@pytest.fixture
def read(write: Write) -> Callable[..., Config]:
    """The configuration that the changed base gives."""

    def read(*changes: tuple[str, str], env: dict[str, str] | None = None) -> Config:
        return load(write(*changes), env or {})

    return read


@pytest.fixture
def problems(write: Write) -> Problems:
    """What is wrong with the changed base: `line:column: key: text`, in order."""

    def problems(
        *changes: tuple[str, str], text: str = BASE, env: dict[str, str] | None = None
    ) -> list[str]:
        path = write(*changes, text=text)
        with pytest.raises(ConfigError) as caught:
            load(path, env or {})
        return [str(one).removeprefix(f"{path}:") for one in caught.value.problems]

    return problems
