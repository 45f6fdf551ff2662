"""A text as it is written into the configuration: plain where YAML lets it be, else in quotes."""

from __future__ import annotations

import json
import re

import yaml

_PLAIN = re.compile(r"(?:[^\W\d_]|\.?/)(?:[\w .:@+/<>;=–-]*[\w>/])?")


def scalar(text: str) -> str:
    """`text` for the right side of a key, so that the configuration reads exactly `text`.

    A dollar is doubled: a single one begins the name of an environment variable there.
    """
    written = text.replace("$", "$$")
    if _PLAIN.fullmatch(written) and _reads_as(written):
        return written
    return json.dumps(written, ensure_ascii=False)


def _reads_as(text: str) -> bool:
    """Whether YAML reads `text` as it is, after a key and in a list on one line."""
    try:
        read = yaml.safe_load(f"- {text}\n- [{text}]\n- x: {text}")
    except yaml.YAMLError:
        return False
    return bool(read == [text, [text], {"x": text}])


def flow(texts: list[str]) -> str:
    """Several of them as a list on one line."""
    return f"[{', '.join(scalar(text) for text in texts)}]"
