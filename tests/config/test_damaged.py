"""Whatever is done to a configuration, it loads or says what is wrong; nothing else is raised."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from sipmail.config.loader import load
from sipmail.errors import ConfigError

EXAMPLE = Path(__file__).parents[2] / "sipmail.example.yaml"
ENVIRONMENT = {"PBX_PASSWORD": "a", "SMTP_PASSWORD": "b"}
PIECES = (
    "", " ", "\n", "\t", ":", ": ", "- ", "[", "]", "{", "}", "#", "*", "&a ", "!file ", "!x ", "|",
    ">", "null", "yes", "0201", "1:30", "-1", "1.5", "9" * 30, "${", "${X}", "$$", "'", '"', "<<: ",
    "\u2028", "\x00", "ą", "@", "~", "? ", "---\n", "<a@b>", "2026-01-01", ".nan", "a" * 300,
)  # fmt: skip


@pytest.mark.parametrize("seed", range(8))
def test_damaged(seed: int, tmp_path: Path) -> None:
    chance = random.Random(seed)
    lines = EXAMPLE.read_text(encoding="utf-8").splitlines(keepends=True)
    path = tmp_path / "sipmail.yaml"
    outcomes = set()
    for _ in range(40):
        damaged = list(lines)
        for _ in range(chance.randint(1, 3)):
            index = chance.randrange(len(damaged))
            line = damaged[index].partition(" #")[0].rstrip() or damaged[index]
            start = chance.choice((line.find(":") + 1, chance.randint(0, len(line))))
            end = chance.choice((start, len(line)))
            damaged[index] = f"{line[:start]}{chance.choice(PIECES)}{line[end:]}\n"
        path.write_text("".join(damaged), encoding="utf-8")
        error = refusal(path)
        outcomes.add(error is None)
        if error is not None:
            assert error.problems
            assert all(one.line > 0 and one.column > 0 for one in error.problems)
            assert str(error).count("\n") == len(error.problems) - 1
    assert outcomes == {True, False}


def refusal(path: Path) -> ConfigError | None:
    try:
        load(path, ENVIRONMENT)
    except ConfigError as error:
        return error
    return None
