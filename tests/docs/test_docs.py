"""The documents say what is so: links lead somewhere, commands exist, YAML loads, log lines are
those of the program, and the reference of the configuration is that of its model."""

from __future__ import annotations

import ast
import json
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from sipmail.cli import application
from sipmail.config.loader import load
from sipmail.config.templates import VARIABLES, check, environment
from sipmail.mail import hooks
from sipmail.mail.own_words import variables
from sipmail.mail.view import view
from tests.mail import post
from tests.support.agent import configuration, merged

ROOT = Path(__file__).resolve().parents[2]
DOCS = sorted((ROOT / "docs").glob("*.md"))
OURS = [
    ROOT / "docs" / f"{name}.md"
    for name in (
        *("start", "zacznij", "greetings", "email", "good-practice", "troubleshooting", "privacy"),
    )
]


def blocks(path: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", path.read_text(), re.DOTALL | re.MULTILINE)


def name(path: Path) -> str:
    return path.name


def test_the_reference_is_up_to_date() -> None:
    tool = ROOT / "tools" / "make_configuration_reference.py"
    done = subprocess.run(
        [sys.executable, str(tool), "--check"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{done.stderr}python tools/{tool.name} writes it anew"


@pytest.mark.parametrize("path", DOCS, ids=name)
def test_links_lead_to_files(path: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", path.read_text()):
        if not target.startswith(("http:", "https:")):
            assert (path.parent / target).exists(), target


@pytest.mark.parametrize("path", OURS, ids=name)
def test_lines_are_short_enough_for_an_editor(path: Path) -> None:
    in_block = False
    for line in path.read_text().splitlines():
        in_block ^= line.startswith("```")
        if not in_block and not line.startswith("|"):
            assert len(line) <= 100, line


# Commands


def commands(path: Path) -> Iterator[list[str]]:
    """Every call of sipmail in a document: in shell blocks and in code within a sentence."""
    text = path.read_text()
    shell = "\n".join(blocks(path, "sh")).replace("\\\n", " ")
    inline = re.findall(r"`(sipmail [^`]+)`", re.sub(r"^```.*?^```$", "", text, flags=re.S | re.M))
    for line in [*shell.splitlines(), *inline]:
        if found := re.match(r"\s*(?:\S*/)?sipmail (?!.*=)(.*?)(?:\s+#.*| > .*)?$", line):
            yield shlex.split(found[1])


@pytest.mark.parametrize("path", OURS, ids=name)
def test_commands_and_options_exist(path: Path) -> None:
    program = typer.main.get_command(application())
    for words in commands(path):
        if words[0] == "--version":
            continue
        command: Any = program
        while words and hasattr(command, "commands"):
            if words[0] not in command.commands:
                break
            command = command.commands[words.pop(0)]
        assert command.name != "sipmail", words
        known = {option for parameter in command.params for option in parameter.opts}
        known |= {option for one in command.params for option in one.secondary_opts}
        for word in words:
            if word.startswith("-") and word != "-":
                assert word.partition("=")[0] in {*known, "--help", "-h"}, (command.name, word)


# Configuration


@pytest.mark.parametrize("path", OURS, ids=name)
def test_pieces_of_configuration_load(path: Path, tmp_path: Path) -> None:
    for piece in blocks(path, "yaml"):
        written = yaml.safe_load(piece)
        base = configuration(tmp_path)
        base["users"] |= {"anna": "anna@example.com", "jan": "jan@example.com"}
        for key in written.get("mailboxes", {}):
            if key not in base["mailboxes"]:
                base["mailboxes"][key] = {"emails": ["office@example.com"]}
        for sound in re.findall(r"greetings/\S+\.wav", piece):
            (tmp_path / sound).parent.mkdir(exist_ok=True)
            (tmp_path / sound).touch()
        for text in re.findall(r"[\w-]+\.(?:csv|txt|html)\b", piece):
            (tmp_path / text).write_text("{{ who }}")
        file = tmp_path / "sipmail.yaml"
        file.write_text(yaml.safe_dump(merged(base, written), allow_unicode=True))
        load(file)


# E-mails and what else is told of a message

EMAIL = ROOT / "docs" / "email.md"


def test_all_that_templates_may_name_is_listed() -> None:
    listed = dict(re.findall(r"^\| `(\w+)` \| (.*) \|$", EMAIL.read_text(), re.MULTILINE))
    assert listed == VARIABLES


def test_the_template_shown_can_be_filled_in() -> None:
    (shown,) = blocks(EMAIL, "jinja")
    check(shown)
    said = view(post.MESSAGE, post.mailbox(), post.MP3, post.READERS)
    filled = environment(html=False).from_string(shown).render(variables(said, "", said.subject))
    assert filled.splitlines()[0].startswith("Katarzyna Wiśniewska, +48 600 123 456, called +48 22")
    assert said.file_name in filled


def test_a_hook_is_told_what_is_shown() -> None:
    (shown,) = blocks(EMAIL, "json")
    example = json.loads(shown)
    facts = hooks.facts(post.MESSAGE, post.mailbox(), post.MP3)
    assert list(example) == list(facts)
    for key in ("caller", "recording"):
        assert list(example[key]) == list(facts[key])  # type: ignore[call-overload]


def test_the_signature_is_checked_as_shown() -> None:
    (shown,) = blocks(EMAIL, "python")
    known: dict[str, Any] = {}
    exec(shown, known)
    now, body = str(int(time.time())), b'{"event": "message"}'
    signature = hooks.signature("secret", now, body)
    assert known["genuine"]("secret", now, body, signature)
    assert not known["genuine"]("secret", now, body + b" ", signature)
    assert not known["genuine"]("other", now, body, signature)
    old = str(int(time.time()) - 600)
    assert not known["genuine"]("secret", old, body, hooks.signature("secret", old, body))


# Log lines


def texts() -> Iterator[tuple[list[str], int]]:
    """Every text of the source, split where values come, and how many letters it must have: what
    is mostly gap could be any line, but for the texts that are surely logged."""
    for path in (ROOT / "sipmail").rglob("*.py"):
        tree = ast.parse(path.read_text())
        logged = {
            id(node.args[1 if node.func.attr == "log" else 0])
            for node in ast.walk(tree)
            if isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and isinstance(node.func.value, ast.Name)
            and node.func.value.id == "log"
            and node.args
        }
        for node in ast.walk(tree):
            least = 4 if id(node) in logged else 8
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield re.split(r"%(?:\.\d+)?[sdfgr]", node.value), least
            elif isinstance(node, ast.JoinedStr):
                values = (
                    str(one.value) if isinstance(one, ast.Constant) else "\0" for one in node.values
                )
                yield "".join(values).split("\0"), least


def printed() -> list[re.Pattern[str]]:
    """What sipmail can print, from its source."""
    return [
        re.compile(".*".join(map(re.escape, parts)), re.DOTALL)
        for parts, least in texts()
        if sum(len(re.findall(r"\w", part)) for part in parts) >= least
    ]


def test_log_lines_are_those_of_the_program() -> None:
    patterns = printed()
    lines = [
        line
        for block in blocks(ROOT / "docs" / "troubleshooting.md", "log")
        for line in block.splitlines()
    ]
    assert len(lines) > 15
    unknown = [line for line in lines if not any(pattern.fullmatch(line) for pattern in patterns)]
    assert unknown == []
