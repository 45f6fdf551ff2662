"""Writes docs/configuration.md: every key of the configuration, from the schema and the model.

    python tools/make_configuration_reference.py            writes it
    python tools/make_configuration_reference.py --check    exits with 1 when it is out of date

What a key means stands in the model (sipmail/config/model.py); here are only the words around it.
"""

from __future__ import annotations

import argparse
import json
import sys
import types
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

ROOT = Path(__file__).resolve().parents[1]
TARGET = ROOT / "docs" / "configuration.md"
sys.path.insert(0, str(ROOT))

from pydantic import BaseModel, BeforeValidator, SecretStr  # noqa: E402
from pydantic.fields import FieldInfo  # noqa: E402

from sipmail.config.model import Config  # noqa: E402
from sipmail.config.schema import schema  # noqa: E402

HEAD = """\
# The configuration

<!-- Made by tools/make_configuration_reference.py; change the model, not this file. -->

sipmail reads one YAML file: the one that `-c` names, else `./sipmail.yaml`, else
`/etc/sipmail/sipmail.yaml`. [`sipmail.example.yaml`](../sipmail.example.yaml) has every key with a
comment; `sipmail init` writes a first one. `sipmail check` prints every mistake with its line and
column and what to write instead; `sipmail schema > sipmail.schema.json` makes an editor complete
and check the file while you type.

## How values are written

| what | how |
| --- | --- |
| duration | `30s`, `5m`, `2h`, `30d`, `1h 30m`, or seconds |
| size | `500M`, `2G` (powers of 1024), or bytes |
| path | relative to the configuration file; `~` is your home |
| number | in quotes: `"201"`, `"+48221234567"`; YAML would read `0201` as something else |
| opening hours | as [OpenStreetMap][hours] has them: `"Mo-Fr 08:00-16:00; PH off"` (PH: holidays) |
| address | `anna@example.com`; where a name is welcome, `Anna Kowalska <anna@example.com>` |
| network | `198.51.100.0/24`, or one IP address |
| from the environment | `${NAME}` anywhere in a value; `$$` is a dollar |
| from a file | `!file smtp.password`: the text of that file, for secrets (mode 0600) |

Unknown keys, keys that stand twice and wrong values are errors, never ignored. A running sipmail
takes changes over at SIGHUP (`systemctl reload sipmail`); `sip.listen`, `sip.public_address`,
`rtp.ports`, `rtp.workers`, `rtp.timeout`, `spool` and `http` need a restart, and the log says so.

[hours]: https://wiki.openstreetmap.org/wiki/Key:opening_hours

"""

_KINDS = {
    "parse_duration": "duration",
    "parse_size": "size",
    "parse_email": "address",
    "parse_address": "address, with a name",
    "parse_host": "host",
    "parse_ip_address": "IP address",
    "parse_host_port": "host:port",
    "parse_network": "network",
    "parse_port_range": "ports, like `20000-20999`",
    "_file": "path of a file",
    "_path": "path of a folder",
    "_timezone": "time zone, like `Europe/Warsaw`",
    "_country": "two letters, like `PL`",
    "_hours": "opening hours",
    "_mailbox_number": "number",
    "_registrar": "SIP URI",
    "_finish_keys": "keys of a telephone",
    "_workers": "`auto` or a number",
    "_listen": "URL, like `udp://0.0.0.0:5060`; or a mapping `{url, certificate, private_key}`",
    "_member": "name of a user; or a mapping `{user, hours}`",
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="only look whether it is up to date")
    text = reference()
    if not parser.parse_args().check:
        TARGET.write_text(text, encoding="utf-8")
        return 0
    if TARGET.read_text(encoding="utf-8") != text:
        sys.stderr.write(f"{TARGET} is out of date: run {Path(__file__).name}\n")
        return 1
    return 0


def reference() -> str:
    """The whole document."""
    whole = schema()
    sections = _section("", Config, whole, whole["$defs"], set())
    return HEAD + "\n".join(sections)


def _section(
    path: str, model: type[BaseModel], made: dict[str, Any], known: dict[str, Any], seen: set[str]
) -> Iterator[str]:
    """A table of the keys of one mapping, then the mappings in it, each once."""
    yield f"## `{path}`" if path else "## At the top"
    yield ""
    if path and (about := made.get("description")):
        yield " ".join(about.split("\n\n")[0].split())
        yield ""
    yield "| key | value | default | meaning |"
    yield "| --- | --- | --- | --- |"
    below = []
    for key, entry in made["properties"].items():
        field = _field(model, key)
        yield _row(key, field, entry, required=key in made.get("required", ()))
        for inner, many in _models(field.annotation):
            place = f"{path}.{key}".lstrip(".") + (".NAME" if many else "")
            if inner.__name__ in known and inner.__name__ not in seen and key != "defaults":
                seen.add(inner.__name__)
                below.append((place, inner))
    yield ""
    for place, inner in below:
        yield from _section(place, inner, known[inner.__name__], known, seen)


def _row(key: str, field: FieldInfo, entry: dict[str, Any], *, required: bool) -> str:
    kind = _kind(field.annotation, field.metadata)
    default = "required" if required else _default(entry)
    inner = [one for one, _ in _models(field.annotation)]
    meaning = field.description or (_first_sentence(inner[0]) if inner else "")
    if examples := entry.get("examples"):
        meaning += f" (like `{examples[0]}`)"
    cells = (f"`{key}`", kind, default, meaning)
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _first_sentence(model: type[BaseModel]) -> str:
    text = (model.__doc__ or "").partition(".")[0]
    return text[:1].lower() + " ".join(text[1:].split())


def _default(entry: dict[str, Any]) -> str:
    value = entry.get("default")
    if value in (None, "", [], {}):
        return ""
    if isinstance(value, list):
        return f"`[{', '.join(map(str, value))}]`"
    return f"`{value if isinstance(value, str) else json.dumps(value)}`"


def _field(model: type[BaseModel], key: str) -> FieldInfo:
    for name, field in model.model_fields.items():
        if key in (name, field.validation_alias):
            return field
    raise LookupError(f"{model.__name__} has no {key}")


def _kind(annotation: Any, metadata: list[Any]) -> str:
    """How a value is written, in words."""
    for one in metadata:
        if isinstance(one, BeforeValidator):
            name = getattr(one.func, "__name__", "")
            if name in _KINDS:
                return _KINDS[name]
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _kind(arguments[0], list(arguments[1:]))
    if origin in (Union, types.UnionType):
        kinds = [_kind(one, []) for one in arguments if one is not type(None)]
        return " or ".join(dict.fromkeys(kinds))
    if origin is Literal:
        return ", ".join(f"`{one}`" for one in arguments)
    if origin is tuple:
        return f"list: {_kind(arguments[0], [])}"
    if origin is dict:
        return f"mapping of names: {_kind(arguments[1], [])}"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        short = "path of a file, or a mapping" if annotation.__name__ == "Greeting" else "mapping"
        return f"{short}, see below"
    return {bool: "`true`, `false`", int: "number", float: "number", SecretStr: "text"}.get(
        annotation, "text"
    )


def _models(annotation: Any, *, many: bool = False) -> Iterator[tuple[type[BaseModel], bool]]:
    """The mappings that a value may hold, and whether they stand below names of the user's."""
    origin = get_origin(annotation)
    if origin is None:
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            yield annotation, many
        return
    if origin is Literal:
        return
    for one in typing.get_args(annotation):
        if origin is Annotated and one is not typing.get_args(annotation)[0]:
            continue
        yield from _models(one, many=many or origin is dict)


if __name__ == "__main__":
    sys.exit(main())
