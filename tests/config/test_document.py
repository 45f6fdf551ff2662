"""YAML and what sipmail makes of it: places, traps, environment, files, syntax in plain words."""

from __future__ import annotations

from pathlib import Path

import pytest

from sipmail.config import tree
from sipmail.config.document import read as read_document


def parse(text: str, folder: Path = Path("/"), **env: str) -> tuple[object, list[str]]:
    root, problems, _ = read_document(text, "f", folder, env)
    return root and tree.plain(root), [str(one).removeprefix("f:") for one in problems]


def test_values_of_every_kind() -> None:
    text = (
        'a: {b: [1, 2.5, "x", yes, null], c: -3}\nd: "0201"\ne: =\nf: !!str 12\n"g h": plain text'
    )
    value, problems = parse(text)
    assert problems == []
    assert value == {
        "a": {"b": [1, 2.5, "x", True, None], "c": -3},
        "d": "0201",
        "e": "=",
        "f": "12",
        "g h": "plain text",
    }


def test_every_key_and_value_has_its_place() -> None:
    root, _, _ = read_document("a:\n  b: [x,\n    y]\n", "f", Path("/"))
    assert root is not None
    assert tree.locate(root, ("a",))[0] == tree.Place(1, 1)
    assert tree.locate(root, ("a", "b"))[0] == tree.Place(2, 3)
    assert tree.locate(root, ("a", "b", 1))[0] == tree.Place(3, 5)
    # What is not there is reported at the last key on the way.
    assert tree.locate(root, ("a", "c"))[:2] == (tree.Place(1, 1), ("a", "c"))


def test_aliases_and_merges() -> None:
    text = "base: &b {x: 1, y: 2}\none: {<<: *b, y: 3}\ntwo: {<<: [{x: 9}, *b], z: *b}\n"
    value, problems = parse(text)
    assert problems == []
    assert value == {
        "base": {"x": 1, "y": 2},
        "one": {"x": 1, "y": 3},
        "two": {"x": 9, "y": 2, "z": {"x": 1, "y": 2}},
    }


def test_the_same_as_the_safe_loader() -> None:
    import yaml

    text = Path("sipmail.example.yaml").read_text(encoding="utf-8")
    value, _ = parse(text, PBX_PASSWORD="${PBX_PASSWORD}", SMTP_PASSWORD="${SMTP_PASSWORD}")
    assert value == yaml.safe_load(text)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a: 0201", '1:4: a: YAML reads 0201 as the number 129: put it in quotes: "0201"'),
        ("a: [0x10]", '1:5: a: YAML reads 0x10 as the number 16: put it in quotes: "0x10"'),
        ("a: 1_000", '1:4: a: YAML reads 1_000 as the number 1000: put it in quotes: "1_000"'),
        ("a: 1:30", '1:4: a: YAML reads 1:30 as hours and minutes: put it in quotes: "1:30"'),
        ("a: 1:30.5", '1:4: a: YAML reads 1:30.5 as hours and minutes: put it in quotes: "1:30.5"'),
        ("a: .inf", '1:4: a: YAML reads .inf as a number: put it in quotes: ".inf"'),
        ("pin: 2026-11-11", "1:6: pin: YAML reads this as something else: put it in quotes"),
        ("password: 0123", "1:11: password: YAML reads this as something else: put it in quotes"),
        ("a: #", '1:3: a: a # begins a comment, so nothing is left: put it in quotes: "#"'),
        ("a: #1", '1:3: a: a # begins a comment, so nothing is left: put it in quotes: "#1"'),
        ("pin: #x", "1:5: pin: a # begins a comment, so nothing is left: put it in quotes"),
        ("200: x", "1:1: 200: YAML reads the key 200 as a number: put it in quotes"),
        ("yes: x", "1:1: yes: YAML reads the key yes as true or false: put it in quotes"),
        ("~: x", "1:1: ~: YAML reads the key ~ as nothing: put it in quotes"),
        ("{a: b}: x", "1:1: a key is a name: put the braces in quotes"),
        ("a: !!python/x y", "1:4: a: the tag python/x is not known: write the value alone"),
        ("a: !x [1]", "1:4: a: the tag !x is not known: remove it"),
        ("a: !x {b: 1}", "1:4: a: the tag !x is not known: remove it"),
        ("a: 1\nb: 2\na: 3", "3:1: a: this key stands twice, first in line 1: remove one"),
        ("a: {<<: 5}", "1:9: a: << takes in a mapping: write an alias of one, like *base"),
    ],
)  # fmt: skip
def test_what_yaml_would_turn_into_something_else(text: str, problem: str) -> None:
    assert parse(text)[1] == [problem]


@pytest.mark.parametrize("text", ["a: # a comment", "a:\n", "a: ~", "a: ## comment", "a: null #x"])
def test_nothing_may_be_written(text: str) -> None:
    assert parse(text) == ({"a": None}, [])


def test_a_number_without_end_is_text() -> None:
    for digits in (19, 5000):
        (problem,) = parse("a: " + "1" * digits)[1]
        assert problem.endswith('as a number: put it in quotes: "' + "1" * digits + '"')


def test_the_environment() -> None:
    value, problems = parse('a: x${A}y\nb: "$$5 ${B1}$"\nc: $A', A="1", B1="two")
    assert problems == []
    assert value == {"a": "x1y", "b": "$5 two$", "c": "$A"}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a: ${NO}", "the environment variable NO is not set: set it before the start"),
        ("a: ${", "${ begins the name of an environment variable: write ${NAME}, or $${"),
        ("a: ${A:-b}", "${ begins the name of an environment variable: write ${NAME}, or $${"),
    ],
)
def test_the_environment_has_no_such_thing(text: str, problem: str) -> None:
    assert parse(text)[1] == [f"1:4: a: {problem}"]


def test_a_value_from_a_file(tmp_path: Path) -> None:
    secret = tmp_path / "smtp.password"
    secret.write_text(" s3cret $x # \n")
    secret.chmod(0o600)
    for text in (f"password: !file {secret}", "password: !file smtp.password"):
        root, problems, warnings = read_document(text, "f", tmp_path)
        assert root is not None
        assert (tree.plain(root), problems, warnings) == ({"password": " s3cret $x # "}, [], [])


def test_a_secret_that_everybody_reads_is_warned_about(tmp_path: Path) -> None:
    secret = tmp_path / "p"
    secret.write_text("x")
    secret.chmod(0o644)
    _, problems, warnings = read_document("password: !file p", "f", tmp_path)
    assert problems == []
    assert [str(one) for one in warnings] == [
        f"f:1:11: password: everybody can read {secret}: chmod 600 it"
    ]


def test_files_that_give_no_value(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    (tmp_path / "latin").write_bytes(b"\xb3")
    names = ("gone", "empty", "latin", ".", "")
    text = "\n".join(f"{key}: !file {name}" for key, name in zip("abcde", names, strict=True))
    assert parse(text, tmp_path)[1] == [
        f"1:4: a: there is no file {tmp_path}/gone: make it, with mode 0600",
        f"2:4: b: the file {tmp_path}/empty is empty: write the value in it",
        f"3:4: c: the file {tmp_path}/latin is not UTF-8 text: write it as such",
        f"4:4: d: the file {tmp_path} cannot be read: Is a directory",
        "5:4: e: !file needs the path of a file: write !file smtp.password",
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "1:1: the file is empty"),
        ("# only a comment", "1:1: the file is empty"),
        ("[a]", "1:1: the file must begin with keys"),
        ("just text", "1:1: the file must begin with keys"),
        ("a:\n\tb: 1", "2:1: tabs cannot indent: write spaces"),
        ("a: {\n\tb: @}", "2:5: a value cannot begin with @: put it in quotes"),
        ("a: `x`", "1:4: a value cannot begin with `: put it in quotes"),
        ("a: %x", "1:4: a value cannot begin with %: put it in quotes"),
        ("a: *98", "1:4: * begins an alias that is not defined: put the value in quotes"),
        ("a: [*]", "1:6: * and & begin an alias in YAML: put the value in quotes"),
        ("a: b: c", "1:5: a key cannot stand here"),
        ("a:\n  b: 1\n c: 2", "3:2: the indentation fits no line above"),
        ("a: [1, 2", "1:4: a list or mapping in brackets is not closed"),
        ("a:\n  b: [1, 2\nc: 3\n", "2:6: a list or mapping in brackets is not closed"),
        ("a: [", "a value is missing, or a bracket is not closed: add it, or ] or }"),
        ("x: # yes\na: [1, 2\n", "2:4: a list or mapping in brackets is not closed"),
        ("a: {b: #, c: 1}\nd: 2", "1:8: a # begins a comment, so the bracket is not closed"),
        ("a: 1\nb:\n  c: {d: #}\n", "3:10: a # begins a comment, so the bracket is not closed"),
        ("a: {b: ${X}}", "1:8: inside brackets ${ begins a mapping: put the value in quotes"),
        ('a: "x\nb: 2\n', "1:4: a quote or bracket is not closed: close it"),
        ('a: "\\d"', "\\ begins an escape in double quotes"),
        ("a: 1\n---\nb: 2", "the file has a second document: remove the line ---"),
        ("a: &x [*x]", "an alias contains itself"),
        ("a: 1\nb\nc: 2", "a key needs a colon"),
        ("a: \x07", "1:4: the character '\\x07' is not allowed: remove it"),
        ("a: " + "[" * 3000 + "]" * 3000, ": the file is nested too deeply: take levels out"),
    ],
)
def test_syntax_errors_in_plain_words(text: str, problem: str) -> None:
    value, problems = parse(text)
    assert value is None
    assert len(problems) == 1
    assert problem in problems[0]


def test_an_alias_cannot_multiply_itself_without_end() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    value, problems = parse("\n".join(lines))
    assert value is None
    assert "multiply" in problems[0]
