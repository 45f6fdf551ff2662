"""PyYAML's syntax errors in the words of somebody who writes a configuration."""

from __future__ import annotations

import re
from collections.abc import Sequence

import yaml

TOO_DEEP = "the file is nested too deeply: take levels out"

# What PyYAML says, and what helps: the first that is found in its sentence.
_HINTS = (
    ("contains itself", "an alias contains itself: write the value instead of the alias"),
    ("multiply", "the aliases multiply each other without end: write the values out"),
    ("undefined alias", "* begins an alias that is not defined: put the value in quotes"),
    (
        "alphabetic or numeric",
        "* and & begin an alias in YAML: put the value in quotes, like '\"*\"'",
    ),
    ("duplicate anchor", "this anchor stands twice: rename one"),
    ("another document", "the file has a second document: remove the line ---"),
    (
        "mapping values are not allowed",
        "a key cannot stand here: indent as the line before, or put"
        " a value that contains `: ` in quotes",
    ),
    ("could not find expected ':'", "a key needs a colon: write `key: value`"),
    ("expected <block end>", "the indentation fits no line above: align it with the keys there"),
    ("expected ',' or", "a list or mapping in brackets is not closed: add , or ] or }"),
    (
        "did not find expected ',' or",
        "a list or mapping in brackets is not closed: add , or ] or }",
    ),
    (
        "did not find expected key",
        "the indentation fits no line above: align it with the keys there",
    ),
    (
        "did not find expected '-'",
        "the indentation fits no line above: align it with the list there",
    ),
    ("end of stream", "a quote or bracket is not closed: close it"),
    ("nesting depth", TOO_DEEP),
    ("unknown escape", "\\ begins an escape in double quotes: write \\\\ or use single quotes"),
)


def explain(error: yaml.MarkedYAMLError, lines: Sequence[str]) -> str:
    """What is wrong and what to write instead; `lines` are those of the file."""
    mark = error.problem_mark or error.context_mark
    said = str(error.problem or error.context or "not YAML")
    line = lines[mark.line] if mark and mark.line < len(lines) else ""
    character = line[mark.column : mark.column + 1] if mark else ""
    if "cannot start any token" in said or "tab" in said.lower():
        if character and character in "@`%":
            return f"a value cannot begin with {character}: put it in quotes"
        return "tabs cannot indent: write spaces"
    begun = error.context_mark.line if error.context_mark else (mark.line if mark else 0)
    between = lines[begun : mark.line + 1] if mark else []
    if mark and mark.line >= len(lines):
        # The file ended within a bracket, which some line before has opened.
        between = [one for one in lines if re.search(r"[\[{]", one)]
    if "flow" in str(error.context) and any(re.search(r"[\[{,:]\s*#", one) for one in between):
        return "a # begins a comment, so the bracket is not closed: put the # in quotes"
    if "flow" in str(error.context) and any(re.search(r"[\[{,:]\s*\$\{", one) for one in between):
        return 'inside brackets ${ begins a mapping: put the value in quotes, like "${NAME}"'
    for sign, text in _HINTS:
        if sign in said:
            return text
    return f"this is not YAML ({said}): see sipmail.example.yaml"
