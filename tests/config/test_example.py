"""The example shows every key, and it is right; the schema agrees with it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from sipmail.config.loader import load
from sipmail.config.schema import schema

_SECTIONS = "greeting|temporary|choice|oauth|body|webhook|command"
EXAMPLE = Path(__file__).parents[2] / "sipmail.example.yaml"
ENVIRONMENT = {
    "PBX_PASSWORD": "a",
    "SMTP_PASSWORD": "b",
    "OAUTH_SECRET": "c",
    "WEBHOOK_SECRET": "d",
}


def example(*, uncommented: bool) -> Any:
    """The example's values; with those keys, too, that stand in comments."""
    text = EXAMPLE.read_text(encoding="utf-8")
    if uncommented:
        text = re.sub(
            rf"(?m)^(\s*)# (?=\s*(- )?[{{a-z_]+: |\s*- tls|({_SECTIONS}):(\s|$))",
            r"\1",
            text,
        )
        # Commented for being an alternative to what stands above.
        text = re.sub(r"(?m)^(\s*)greeting: greetings/sales.wav.*\n", "", text)
    return yaml.load(text, Loader=_WithFiles)


class _WithFiles(yaml.SafeLoader):
    """Reads `!file NAME` as the text NAME."""


_WithFiles.add_constructor("!file", lambda loader, node: loader.construct_scalar(node))


def test_the_example_loads() -> None:
    config = load(EXAMPLE, ENVIRONMENT)
    assert config.warnings == ()
    assert set(config.mailboxes) == {"sales", "rest"}
    assert config.mailboxes["sales"].reply_to == "sprzedaz@example.com"
    assert config.mailboxes["rest"].reply_to == "biuro@example.com"


def test_the_example_loads_with_its_comments_taken_out(tmp_path: Path) -> None:
    """Every line that is commented out is right, too."""
    greetings = tmp_path / "greetings"
    greetings.mkdir()
    (greetings / "pl").mkdir()
    for name in (*("sales", "busy", "no-answer", "unavailable", "pl/closed"), "holidays", "choice"):
        (greetings / f"{name}.wav").touch()
    (tmp_path / "tls").mkdir()
    for name in ("tls/fullchain.pem", "tls/privkey.pem", "tls/ca.pem", "other.pem", "other.key"):
        (tmp_path / name).touch()
    (tmp_path / "carrier.password").write_text("x")
    (tmp_path / "templates").mkdir()
    for name in ("mail.txt", "mail.html"):
        (tmp_path / "templates" / name).write_text("{{ who }}")
    path = tmp_path / "sipmail.yaml"
    values = example(uncommented=True)
    values["sip"]["trunks"]["carrier"]["password"] = "x"
    # These stand in place of others.
    del values["mail"]["smtp"]["password"], values["mail"]["smtp"]["oauth"]["token_url"]
    path.write_text(yaml.safe_dump(values, allow_unicode=True), encoding="utf-8")
    config = load(path, ENVIRONMENT)
    assert [one.transport for one in config.sip.listen] == ["udp", "tcp", "tls", "tls"]
    assert config.mailboxes["sales"].greeting.no_answer == greetings / "no-answer.wav"


def test_the_example_has_every_key() -> None:
    assert set(keys_of_schema(schema())) <= set(keys_of(example(uncommented=True)))


def test_every_key_has_a_comment_where_it_stands_first() -> None:
    lines = EXAMPLE.read_text(encoding="utf-8").splitlines()
    explained = set()
    for above, line in zip(["", *lines], lines, strict=False):
        found = re.match(r"[\s#]*([a-z_]+):( |$)", line)
        if found and (re.search(r"\S\s+# ", line) or above.startswith("# ")):
            explained.add(found[1])
    assert set(keys_of_schema(schema())) <= explained


def keys_of_schema(document: dict[str, Any]) -> Iterator[str]:
    for section in (document, *document["$defs"].values()):
        yield from section["properties"]


def keys_of(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        yield from value
        for entry in value.values():
            yield from keys_of(entry)
    elif isinstance(value, list):
        for entry in value:
            yield from keys_of(entry)


def test_the_schema_is_one_and_the_example_fits_it() -> None:
    jsonschema = pytest.importorskip("jsonschema")
    document = schema()
    jsonschema.Draft202012Validator.check_schema(document)
    validator = jsonschema.Draft202012Validator(document)
    assert list(validator.iter_errors(example(uncommented=False))) == []
    assert list(validator.iter_errors(example(uncommented=True))) == []
    wrong = example(uncommented=False)
    wrong["rtp"]["ports"] = 20000
    wrong["mailboxes"]["sales"]["nmae"] = "x"
    assert len(list(validator.iter_errors(wrong))) == 2


def test_the_schema_writes_values_as_the_file_does() -> None:
    document = schema()
    sections = document["$defs"]
    assert document["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert document["properties"]["keep"]["default"] == "7d"
    assert document["properties"]["defaults"]["$ref"] == "#/$defs/Mailbox"
    assert document["required"] == ["sip", "mail", "mailboxes"]
    assert document["additionalProperties"] is False
    assert sections["Rtp"]["properties"]["ports"]["default"] == "20000-20999"
    assert sections["Limits"]["properties"]["free_disk"]["default"] == "500M"
    assert sections["Sip"]["properties"]["listen"]["default"] == ["udp://0.0.0.0:5060"]
    assert sections["Mailbox"]["properties"]["greeting"]["anyOf"][0] == {"type": "string"}
    assert "key" not in sections["Mailbox"]["properties"]
    assert "name" not in sections["Trunk"]["properties"]
    assert "from" in sections["Mail"]["required"]


def test_every_key_is_described() -> None:
    document = schema()
    for section in (document, *document["$defs"].values()):
        for key, field in section["properties"].items():
            assert field.get("description") or "$ref" in field, key
