"""`sipmail check` and `sipmail schema`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import typer

from sipmail.cli.check import check
from sipmail.cli.schema import schema

Write = Callable[..., Path]


def test_check_says_what_is_there(write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    path = write()
    check(path)
    out, err = capsys.readouterr()
    assert out == f"{path}: right. Trunks: carrier; mailboxes: sales\n"
    assert err == ""


def test_check_says_where_the_key_0_leads(write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(("[anna]", '[anna]\n    operator: "100"'))
    check(path)
    _, line = capsys.readouterr().out.splitlines()
    assert line == "mailbox sales: the key 0 leads to the operator 100"
    check(path, as_json=True)
    assert json.loads(capsys.readouterr().out)["operators"] == {"sales": "100"}


def test_check_prints_every_problem(write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(("country: PL", "country: pl"), ("[anna]", "[ana]"))
    with pytest.raises(typer.Exit) as ended:
        check(path)
    assert ended.value.exit_code == 2
    assert capsys.readouterr().out.splitlines() == [
        f"{path}:1:10: country: countries are written in capital letters: write PL",
        f"{path}:15:13: mailboxes.sales.users: there is no user 'ana': did you mean anna?",
    ]


def test_check_prints_warnings(write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(("[198.51.100.0/24]", "[0.0.0.0/0]"))
    check(path)
    first, _ = capsys.readouterr().out.splitlines()
    assert first.startswith(f"{path}:5:21: sip.trunks.carrier.accept_from: 0.0.0.0/0 lets anybody")
    assert first.endswith("(warning)")


def test_check_without_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sipmail.config.loader.SEARCHED", (Path("sipmail.yaml"),))
    with pytest.raises(typer.Exit):
        check(None)
    assert "there is no such file: write one" in capsys.readouterr().out


def test_schema_is_json(capsys: pytest.CaptureFixture[str]) -> None:
    schema()
    assert json.loads(capsys.readouterr().out)["title"] == "The configuration of sipmail"
