"""pydantic's errors in the words of somebody who writes a configuration."""

from __future__ import annotations

import types
from collections.abc import Mapping as AnyMapping
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from sipmail.config import tree
from sipmail.config.model import Config
from sipmail.config.suggest import did_you_mean

_BOUNDS = {
    "greater_than": ("more than", "gt"),
    "greater_than_equal": ("at least", "ge"),
    "less_than": ("less than", "lt"),
    "less_than_equal": ("at most", "le"),
}


def sentence(error: ErrorDetails, value: tree.Value | None) -> str:
    """What is wrong, and what to write instead. `value` is what the file has at the place."""
    path = error["loc"]
    kind = error["type"]
    context: AnyMapping[str, Any] = error.get("ctx", {})
    if kind == "missing":
        return _missing(path)
    if kind == "extra_forbidden":
        return _unknown(path)
    if kind == "value_error":
        return str(context["error"])
    if isinstance(value, tree.Scalar) and value.value is None:
        return "has no value: write one, or take the key out"
    if kind == "string_type":
        return _no_text(value, secret=str(path[-1]).endswith(("password", "secret", "pin")))
    if kind == "literal_error":
        return _no_choice(path, value)
    if kind in ("tuple_type", "list_type"):
        written = f"[{_as_text(value)}]" if isinstance(value, tree.Scalar) else "[one, two]"
        return f"a list is wanted here: write {written}"
    if kind in ("dict_type", "model_type", "model_attributes_type"):
        return "a mapping is wanted here: write its keys below, indented"
    if kind.startswith("bool"):
        return f"{_shown(value)} is neither true nor false: write true or false"
    if kind.startswith("int"):
        return f"{_shown(value)} is no whole number: write it in digits"
    if kind == "too_short":
        return "at least one entry is wanted here: add it"
    if kind in _BOUNDS:
        words, bound = _BOUNDS[kind]
        return f"{_shown(value)} is out of range: write {words} {context[bound]:g}"
    return error["msg"]


def _as_text(value: tree.Scalar) -> str:
    """The value as it may stand in a list of texts: digits and what begins no plain text quoted."""
    return value.text if value.text[:1].isalpha() else f'"{value.text}"'


def _missing(path: tree.Path) -> str:
    key = str(path[-1])
    section = section_at(path[:-1])
    example = "…"
    for name, field in section.model_fields.items() if section else ():
        if key in (name, field.validation_alias) and field.examples:
            example = field.examples[0]
    return f"is missing: write {key}: {example}"


def _unknown(path: tree.Path) -> str:
    key = str(path[-1])
    section = section_at(path[:-1])
    known = keys(section) if section else ()
    if hint := did_you_mean(key, known):
        return f"unknown key{hint}"
    if places := _homes(key):
        return f"unknown key here: it belongs in {' or '.join(places)}"
    return f"unknown key: the keys here are {', '.join(known)}"


def _no_text(value: tree.Value | None, *, secret: bool) -> str:
    if not isinstance(value, tree.Scalar):
        return "text is wanted here: write one value"
    kind = "true or false" if isinstance(value.value, bool) else "a number"
    if secret:
        return f"YAML reads this as {kind}: put it in quotes"
    return f'YAML reads {value.text} as {kind}: put it in quotes: "{value.text}"'


def _no_choice(path: tree.Path, value: tree.Value | None) -> str:
    choices = [str(choice) for choice in _choices(annotation_at(path))]
    written = _shown(value)
    hint = did_you_mean(written, choices)
    return f"{written} is not possible here: write {', '.join(choices)}{hint.replace(':', ';')}"


def _shown(value: tree.Value | None) -> str:
    return value.text or '""' if isinstance(value, tree.Scalar) else "this"


def keys(section: type[BaseModel]) -> list[str]:
    """The keys that a section has in the file."""
    return [
        str(field.validation_alias or name)
        for name, field in section.model_fields.items()
        if not _is_internal(field.metadata, name)
    ]


def _is_internal(metadata: list[Any], name: str) -> bool:
    return any(type(item).__name__ == "SkipJsonSchema" for item in metadata) or name == "key"


def section_at(path: tree.Path) -> type[BaseModel] | None:
    """The class of the section that `path` leads to."""
    found = _strip(annotation_at(path))
    return found if isinstance(found, type) and issubclass(found, BaseModel) else None


def annotation_at(path: tree.Path) -> Any:
    """The type of the value that `path` leads to, None where it leads nowhere."""
    here: Any = Config
    for step in path:
        here = _strip(here)
        if isinstance(here, type) and issubclass(here, BaseModel):
            fields = here.model_fields.items()
            here = next(
                (one.annotation for name, one in fields if step in (name, one.validation_alias)),
                None,
            )
        elif get_origin(here) is dict:
            here = get_args(here)[1]
        elif get_origin(here) is tuple:
            here = get_args(here)[0]
        else:
            return None
    return here


def _strip(annotation: Any) -> Any:
    """Without Annotated and `| None`."""
    origin = get_origin(annotation)
    if origin is Annotated:
        return _strip(get_args(annotation)[0])
    if origin in (Union, types.UnionType):
        rest = [one for one in get_args(annotation) if one is not type(None)]
        return _strip(rest[0]) if len(rest) == 1 else annotation
    return annotation


def _choices(annotation: Any) -> tuple[Any, ...]:
    stripped = _strip(annotation)
    return get_args(stripped) if get_origin(stripped) is Literal else ()


def _homes(key: str) -> list[str]:
    """The sections that have this key, as an author names them."""
    homes: list[str] = []

    def visit(annotation: Any, name: str) -> None:
        here = _strip(annotation)
        if get_origin(here) in (dict, tuple):
            inner = get_args(here)[1] if get_origin(here) is dict else get_args(here)[0]
            visit(inner, f"{name}.NAME" if get_origin(here) is dict else name)
        elif isinstance(here, type) and issubclass(here, BaseModel):
            if key in keys(here) and name != "defaults":
                homes.append(name or "the top level")
            for child, field in here.model_fields.items():
                visit(field.annotation, f"{name}.{child}".lstrip("."))

    visit(Config, "")
    return [home for home in homes if not home.startswith("defaults.")][:3]
