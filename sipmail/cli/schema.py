"""`sipmail schema`: the JSON Schema of the configuration, for editors."""

from __future__ import annotations

import json

from sipmail.cli.options import ConfigOption


def schema(config: ConfigOption = None) -> None:
    """Prints the JSON Schema (draft 2020-12) of the configuration; no file is read.

    An editor with a YAML language server completes and checks the file by it, with the line
    "# yaml-language-server: $schema=sipmail.schema.json" at its top.

    Example: sipmail schema > sipmail.schema.json
    """
    from sipmail.config.schema import schema as configuration

    print(json.dumps(configuration(), indent=2, ensure_ascii=False))
