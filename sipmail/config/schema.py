"""The JSON Schema (draft 2020-12) of the configuration file, for editors.

It says how each key is written in YAML; what a value asks of another, `sipmail check` says.
"""

from __future__ import annotations

from typing import Any, Final

from pydantic.json_schema import GenerateJsonSchema
from pydantic_core import PydanticSerializationError

from sipmail.config.model import Config, Listen, Section
from sipmail.config.values import PortRange, format_duration, format_size

_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"


class _Generator(GenerateJsonSchema):
    """Defaults stand as the file would have them; those of whole sections are left out."""

    def emit_warning(self, kind: Any, detail: str) -> None:
        """Says nothing: a default without a written form is left out on purpose."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False

    def encode_default(self, dft: Any) -> Any:
        match dft:
            case None | Section():
                raise PydanticSerializationError("has no written form")
            case PortRange():
                return str(dft)
            case (Listen(), *_):
                return [one.url for one in dft]
        return super().encode_default(dft)


def schema() -> dict[str, Any]:
    """The schema as JSON values."""
    generated = Config.model_json_schema(schema_generator=_Generator)
    for section in (generated, *generated["$defs"].values()):
        section.pop("title", None)
        for field in section["properties"].values():
            _write_default(field)
    return {"$schema": _DIALECT, "title": "The configuration of sipmail", **generated}


def _write_default(field: dict[str, Any]) -> None:
    """A duration or size as people write it."""
    match field:
        case {"default": float(seconds), "type": ["string", "number"]}:
            field["default"] = format_duration(seconds)
        case {"default": int(size), "type": ["string", "integer"]}:
            field["default"] = format_size(size)
