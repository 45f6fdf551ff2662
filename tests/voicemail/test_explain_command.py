"""The command `sipmail explain`, from its arguments to its lines."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from sipmail.cli import application
from tests.voicemail.office import DATA

_APP = application(["explain"])
INVITE = DATA / "cisco-cube-carrier.sip"
CONFIGURATION = """
language: pl
country: PL
timezone: Europe/Warsaw
sip: {trunks: {carrier: {accept_from: [192.0.2.0/24]}}}
mail: {from: voicemail@example.com, maildir: ./mail}
spool: ./spool
mailboxes:
  sales: {numbers: ["+48221234567"], emails: [a@example.com], hours: "Mo-Fr 08:00-16:00"}
"""


@pytest.fixture
def configuration(tmp_path: Path) -> str:
    path = tmp_path / "sipmail.yaml"
    path.write_text(CONFIGURATION)
    return str(path)


def explain(*arguments: str, stdin: bytes | None = None) -> Result:
    return CliRunner().invoke(_APP, ["explain", *arguments], input=stdin)


def test_a_file(configuration: str) -> None:
    result = explain(str(INVITE), "-c", configuration, "--at", "2026-11-23 12:00")
    assert result.exit_code == 0
    assert "Trunk:    carrier: 192.0.2.33 (topmost Via) is in its accept_from" in result.output
    assert "Mailbox:  sales (sales)" in result.output
    assert "/pl/busy.wav" in result.output


def test_standard_input_and_the_hour(configuration: str) -> None:
    data = INVITE.read_bytes()
    result = explain("-", "-c", configuration, "--at", "2026-11-23T17:30", stdin=data)
    assert result.exit_code == 0
    assert "/pl/closed.wav" in result.output


def test_the_present_hour_will_do(configuration: str) -> None:
    assert explain(str(INVITE), "-c", configuration).exit_code == 0


def test_another_source(configuration: str) -> None:
    result = explain(str(INVITE), "-c", configuration, "--source", "2001:db8::1")
    assert "accept_from: [2001:db8::1] under a trunk would accept it" in result.output


@pytest.mark.parametrize("wrong", [("--source", "here"), ("--at", "noon")])
def test_wrong_use_is_2(configuration: str, wrong: tuple[str, str]) -> None:
    assert explain(str(INVITE), "-c", configuration, *wrong).exit_code == 2


def test_a_wrong_configuration_is_2(tmp_path: Path) -> None:
    path = tmp_path / "sipmail.yaml"
    path.write_text("language: xx\n")
    assert explain(str(INVITE), "-c", str(path)).exit_code == 2


def test_a_file_that_is_not_there_is_2_and_named(configuration: str, tmp_path: Path) -> None:
    missing = tmp_path / "missing.txt"
    result = explain(str(missing), "-c", configuration)
    assert result.exit_code == 2
    assert result.output == f"sipmail: {missing}: No such file or directory\n"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (INVITE.read_bytes().replace(b"INVITE", b"BYE"), "this is SIP, but no INVITE"),
        (b"SIP/2.0 200 OK\r\nCSeq: 1 INVITE\r\n\r\n", "this is SIP, but no INVITE"),
        (b"language: pl\n", "this is no SIP request: "),
        (b"", "this is no SIP request: "),
        (bytes(range(256)), "this is no SIP request: "),
    ],
    ids=["another method", "a response", "another file", "nothing", "no text"],
)
def test_what_is_no_invite_is_2_and_said_so(
    configuration: str, tmp_path: Path, text: bytes, why: str
) -> None:
    path = tmp_path / "invite.txt"
    path.write_bytes(text)
    for name, file, stdin in ((str(path), str(path), None), ("standard input", "-", text)):
        result = explain(file, "-c", configuration, stdin=stdin)
        assert result.exit_code == 2
        assert result.output.startswith(f"sipmail: {name}: {why}")
        assert result.output.count("\n") == 1
