"""The key `operator:`: whom the key 0 of a telephone leads to."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from sipmail.config.loader import load
from sipmail.config.model import Config
from sipmail.errors import ConfigError
from tests.support.agent import configuration


def loaded(folder: Path, operator: object) -> Config:
    file = folder / "sipmail.yaml"
    settings = configuration(folder, mailboxes={"sales": {"operator": operator}})
    file.write_text(yaml.safe_dump(settings))
    return load(file)


@pytest.mark.parametrize(
    ("written", "dialled"),
    [
        ("100", "100"),
        ("*98", "*98"),
        ("+48 22 123-45-67", "+48221234567"),
        ("reception", "reception"),
        ("sip:desk@pbx.example.com:5070", "sip:desk@pbx.example.com:5070"),
        ("sips:100@pbx.example.com", "sips:100@pbx.example.com"),
    ],
)
def test_who_can_be_one(tmp_path: Path, written: str, dialled: str) -> None:
    config = loaded(tmp_path, written)
    assert config.mailboxes["sales"].operator == dialled
    assert config.warnings == ()


@pytest.mark.parametrize(
    "written",
    ["*", "", "a b", "sip:pbx.example.com", "sip:100@pbx?Replaces=x", "sip:", "1>;x=\r\n", "tel:1"],
)
def test_who_cannot(tmp_path: Path, written: str) -> None:
    with pytest.raises(ConfigError, match=r"mailboxes\.sales\.operator: .*: write "):
        loaded(tmp_path, written)


def test_a_number_is_put_in_quotes(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="operator: YAML reads 100 as a number"):
        loaded(tmp_path, 100)


def test_an_operator_that_is_the_mailbox_itself_is_warned_of(tmp_path: Path) -> None:
    assert [str(one).partition(": ")[2] for one in loaded(tmp_path, "201").warnings] == [
        "mailboxes.sales.operator: 201 is a number of mailbox sales: the call would come back here"
    ]
