"""PyYAML's syntax errors in the words of somebody who writes a configuration."""

from __future__ import annotations

import re
from collections.abc import Sequence

import yaml

from sipmail.config import tree

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
    ("node content", "a value is missing, or a bracket is not closed: add it, or ] or }"),
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


# What a bracket makes of them: a comment, and a mapping of its own.
_FLOW_TRAPS = (
    (
        re.compile(r"[\[{,:]\s*(#)"),
        "a # begins a comment, so the bracket is not closed: put the # in quotes",
    ),
    (
        re.compile(r"[\[{,:]\s*(\$\{)"),
        'inside brackets ${ begins a mapping: put the value in quotes, like "${NAME}"',
    ),
)


def explain(error: yaml.MarkedYAMLError, lines: Sequence[str]) -> tuple[tree.Place, str]:
    """Where it is, and what is wrong and what to write instead; `lines` are those of the file.

    PyYAML often notices only lines later: the place is where the mistake was made.
    """
    mark = error.problem_mark or error.context_mark
    begun = error.context_mark or mark
    if mark is None or begun is None:
        mark = begun = yaml.Mark("", 0, 0, 0, None, 0)
    said = str(error.problem or error.context or "not YAML")
    line = lines[mark.line] if mark.line < len(lines) else ""
    character = line[mark.column : mark.column + 1]
    here = tree.Place(mark.line + 1, mark.column + 1)
    if "cannot start any token" in said or "tab" in said.lower():
        if character and character in "@`%":
            return here, f"a value cannot begin with {character}: put it in quotes"
        return here, "tabs cannot indent: write spaces"
    if "flow" in str(error.context):
        between = range(begun.line, min(mark.line + 1, len(lines)))
        if begun.line >= len(lines):
            # The file ended within a bracket, which some line before has opened.
            between = range(len(lines))
        for trap, text in _FLOW_TRAPS:
            for number in reversed(between):
                one = lines[number]
                if begun.line >= len(lines) and not re.search(r"[\[{]", one):
                    continue
                if found := trap.search(one):
                    return tree.Place(number + 1, found.start(1) + 1), text
    for sign, text in _HINTS:
        if sign in said:
            closed_nowhere = "is not closed" in text and mark.line > begun.line
            return (tree.Place(begun.line + 1, begun.column + 1) if closed_nowhere else here), text
    return here, f"this is not YAML ({said}): see sipmail.example.yaml"
