"""YAML text → a `tree.Mapping`, read with PyYAML's safe rules and without its surprises.

The rules that it keeps:
- duplicate keys are errors; `<<` merges and aliases work as YAML says;
- what YAML would turn into something that nobody wrote (`0201` into 129, `1:30` into 90, a date, a
  value that is a comment) is an error that says "put it in quotes";
- `${NAME}` in a value is taken from the environment and `$$` is a dollar;
- `!file PATH` is the text of a file, without its last line break.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Mapping
from pathlib import Path

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from sipmail.config import tree
from sipmail.config.syntax import TOO_DEEP, explain
from sipmail.errors import Problem

try:
    from yaml import CSafeLoader as _Loader
except ImportError:  # PyYAML without libyaml: the same rules, slower
    from yaml import SafeLoader as _Loader  # type: ignore[assignment]

_TAG = "tag:yaml.org,2002:"
_FILE = "!file"
_WHOLE = re.compile(r"[-+]?(?:0|[1-9][0-9]{0,17})")
_DECIMAL = re.compile(r"[-+]?(?:0|[1-9][0-9]{0,17})\.[0-9]{1,17}")
_VARIABLE = re.compile(r"\$(?:\$|\{([^}]*)(\}?))")
_VARIABLE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SECRETS = ("password", "secret", "pin", "token")

# Values in one file; more is an alias that multiplies itself.
_MAX_VALUES = 250_000


def read(
    text: str, file: str, folder: Path, environment: Mapping[str, str] | None = None
) -> tuple[tree.Mapping | None, list[Problem], list[Problem]]:
    """The file's tree (None where it has none), its problems, and what is only worth a warning.

    `file` names it in problems, paths of `!file` start from `folder`.
    """
    reader = _Reader(text, file, folder, os.environ if environment is None else environment)
    return reader.read(), reader.problems, reader.warnings


class _Reader:
    """One reading of one text."""

    def __init__(self, text: str, file: str, folder: Path, environment: Mapping[str, str]) -> None:
        self.problems: list[Problem] = []
        self.warnings: list[Problem] = []
        self._text = text
        self._lines = text.splitlines()
        self._file = file
        self._folder = folder
        self._environment = environment
        self._open: set[int] = set()
        self._values = 0

    def read(self) -> tree.Mapping | None:
        start = tree.Place(1, 1)
        if found := yaml.reader.Reader.NON_PRINTABLE.search(self._text):
            line = self._text.count("\n", 0, found.start()) + 1
            column = found.start() - self._text.rfind("\n", 0, found.start())
            self._wrong(
                tree.Place(line, column),
                (),
                f"the character {found[0]!r} is not allowed: remove it",
            )
            return None
        try:
            node = yaml.compose(self._text, Loader=_Loader)
            if node is None:
                self._wrong(start, (), "the file is empty: write it like sipmail.example.yaml")
                return None
            if not isinstance(node, MappingNode):
                self._wrong(_place(node), (), "the file must begin with keys, like `language: pl`")
                return None
            root = self._mapping(node, ())
        except yaml.MarkedYAMLError as error:
            place, text = explain(error, self._lines)
            self._wrong(place, (), text)
            return None
        except RecursionError:
            self._wrong(start, (), TOO_DEEP)
            return None
        return root

    def _wrong(self, place: tree.Place, path: tree.Path, text: str) -> None:
        self.problems.append(tree.problem(self._file, place, path, text))

    def _value(self, node: Node, path: tree.Path) -> tree.Value:
        self._values += 1
        mark = node.start_mark
        if id(node) in self._open:
            raise yaml.MarkedYAMLError(problem="an alias contains itself", problem_mark=mark)
        if self._values > _MAX_VALUES:
            raise yaml.MarkedYAMLError(problem="aliases multiply", problem_mark=mark)
        if isinstance(node, ScalarNode):
            return self._scalar(node, path)
        if isinstance(node, MappingNode):
            return self._mapping(node, path)
        if not isinstance(node, SequenceNode) or node.tag != _TAG + "seq":
            self._wrong(_place(node), path, f"the tag {node.tag} is not known: remove it")
            return tree.Scalar(_place(node), path, None, "")
        self._open.add(id(node))
        items = tuple(self._value(item, (*path, n)) for n, item in enumerate(node.value))
        self._open.discard(id(node))
        return tree.Items(_place(node), path, items)

    def _mapping(self, node: MappingNode, path: tree.Path) -> tree.Mapping:
        if node.tag != _TAG + "map":
            self._wrong(_place(node), path, f"the tag {node.tag} is not known: remove it")
        self._open.add(id(node))
        merged: dict[str, tree.Entry] = {}
        entries: dict[str, tree.Entry] = {}
        for key_node, value_node in node.value:
            if key_node.tag == _TAG + "merge":
                for key, entry in self._merged(value_node, path).items():
                    merged.setdefault(key, entry)
                continue
            name = self._key(key_node, path)
            if name is None:
                continue
            if name in entries:
                line = entries[name].place.line
                text = f"this key stands twice, first in line {line}: remove one"
                self._wrong(_place(key_node), (*path, name), text)
                continue
            value = self._value(value_node, (*path, name))
            entries[name] = tree.Entry(_place(key_node), value)
        self._open.discard(id(node))
        return tree.Mapping(_place(node), path, {**merged, **entries})

    def _merged(self, node: Node, path: tree.Path) -> dict[str, tree.Entry]:
        """What `<<:` brings in: a mapping, or several of which the first wins."""
        if isinstance(node, SequenceNode):
            found: dict[str, tree.Entry] = {}
            for item in node.value:
                found = {**self._merged(item, path), **found}
            return found
        value = self._value(node, path)
        if isinstance(value, tree.Mapping):
            return value.entries
        self._wrong(_place(node), path, "<< takes in a mapping: write an alias of one, like *base")
        return {}

    def _key(self, node: Node, path: tree.Path) -> str | None:
        if not isinstance(node, ScalarNode):
            self._wrong(_place(node), path, "a key is a name: put the braces in quotes")
            return None
        if node.tag == _TAG + "str":
            return str(node.value)
        text = f"YAML reads the key {node.value} as {_kind(node)}: put it in quotes"
        self._wrong(_place(node), (*path, str(node.value)), text)
        return None

    def _scalar(self, node: ScalarNode, path: tree.Path) -> tree.Scalar:
        place, text = _place(node), str(node.value)
        value: str | int | float | bool | None = None
        match node.tag.removeprefix(_TAG):
            case "str" | "value":
                value = self._expanded(text, place, path)
            case "int" if _WHOLE.fullmatch(text):
                value = int(text)
            case "float" if _DECIMAL.fullmatch(text):
                value = float(text)
            case "bool":
                value = text.lower() in ("yes", "true", "on")
            case "null":
                if not text and (comment := self._comment(node)):
                    shown = "" if _is_secret(path) else f': "{comment}"'
                    problem = f"a # begins a comment, so nothing is left: put it in quotes{shown}"
                    self._wrong(place, path, problem)
                    value = comment
            case "int" | "float" | "timestamp":
                problem = f'YAML reads {text} as {_kind(node)}: put it in quotes: "{text}"'
                if _is_secret(path):
                    problem = "YAML reads this as something else: put it in quotes"
                self._wrong(place, path, problem)
                value = text
            case tag if tag == _FILE:
                value = self._file_text(text, place, path)
            case tag:
                self._wrong(place, path, f"the tag {tag} is not known: write the value alone")
        return tree.Scalar(place, path, value, text)

    def _comment(self, node: ScalarNode) -> str:
        """A comment that was rather meant as the value: `#` alone, or with no blank after it."""
        mark = node.start_mark
        line = self._lines[mark.line] if mark.line < len(self._lines) else ""
        found = re.match(r"\s*(#(?:\S.*)?)\s*$", line[mark.column :])
        return found[1].rstrip() if found and not found[1].startswith("##") else ""

    def _expanded(self, text: str, place: tree.Place, path: tree.Path) -> str:
        if "$" not in text:
            return text

        def variable(found: re.Match[str]) -> str:
            if found[0] == "$$":
                return "$"
            name = found[1]
            if not found[2] or not _VARIABLE_NAME.fullmatch(name):
                text = "${ begins the name of an environment variable: write ${NAME}, or $${"
                self._wrong(place, path, text)
            elif name in self._environment:
                return self._environment[name]
            else:
                text = f"the environment variable {name} is not set: set it before the start"
                self._wrong(place, path, text)
            return ""

        return _VARIABLE.sub(variable, text)

    def _file_text(self, name: str, place: tree.Place, path: tree.Path) -> str:
        if not name.strip():
            self._wrong(place, path, "!file needs the path of a file: write !file smtp.password")
            return ""
        file = self._folder / Path(self._expanded(name.strip(), place, path)).expanduser()
        try:
            text = file.read_text(encoding="utf-8")
            mode = file.stat().st_mode
        except FileNotFoundError:
            self._wrong(place, path, f"there is no file {file}: make it, with mode 0600")
            return ""
        except OSError as error:
            self._wrong(place, path, f"the file {file} cannot be read: {error.strerror}")
            return ""
        except UnicodeDecodeError:
            self._wrong(place, path, f"the file {file} is not UTF-8 text: write it as such")
            return ""
        if not text.strip():
            self._wrong(place, path, f"the file {file} is empty: write the value in it")
        if _is_secret(path) and mode & stat.S_IROTH:
            warning = f"everybody can read {file}: chmod 600 it"
            self.warnings.append(tree.problem(self._file, place, path, warning))
        return text.removesuffix("\n").removesuffix("\r")


def _place(node: Node) -> tree.Place:
    return tree.Place(node.start_mark.line + 1, node.start_mark.column + 1)


def _is_secret(path: tree.Path) -> bool:
    """Whether a value must not be repeated in a message."""
    return bool(path) and str(path[-1]).endswith(_SECRETS)


def _kind(node: ScalarNode) -> str:
    """What YAML makes of a plain scalar, for people; the safe loader's own reading."""
    match node.tag.removeprefix(_TAG):
        case "bool":
            return "true or false"
        case "null":
            return "nothing"
        case "timestamp":
            return "a date"
        case "int" if ":" not in node.value:
            try:
                number = yaml.SafeLoader("").construct_yaml_int(node)
            except ValueError:
                return "a number"
            return "a number" if str(number) == node.value else f"the number {number}"
        case "int" | "float" if ":" in node.value:
            return "hours and minutes"
    return "a number"
