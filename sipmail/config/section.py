"""What every section of the configuration has in common, and how short forms look in its schema."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict


def without_default(schema: dict[str, Any]) -> None:
    """For a field whose default comes from another one."""
    schema.pop("default", None)


def file_or_section(schema: dict[str, Any]) -> None:
    """For a section that may be written as one file."""
    schema["anyOf"] = [{"type": "string"}, {"$ref": schema.pop("$ref")}]


class Section(BaseModel):
    """A mapping of the file: no unknown keys, no changes afterwards."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        populate_by_name=True,
        arbitrary_types_allowed=True,
        defer_build=True,  # the whole is built once, when a file is read, not each part by itself
    )
