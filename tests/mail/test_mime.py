"""The bytes of an e-mail, read by the standard library, which did not write them."""

from __future__ import annotations

import base64
import email
import email.header
import email.policy
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sipmail.config.values import Address
from sipmail.mail import mime

ANY_TEXT = st.text(st.characters(codec="utf-8"), max_size=1100)


def unfolded(name: str, value: str) -> str:
    """What a reader sees: unfolded (RFC 5322), then decoded (RFC 2047)."""
    lines = f"{name}: {value}".split("\r\n")
    assert all(len(line) <= 998 and "\n" not in line and "\r" not in line for line in lines)
    assert all(line.startswith(" ") and line.strip() for line in lines[1:])
    return str(
        email.header.make_header(email.header.decode_header("".join(lines)[len(name) + 2 :]))
    )


@pytest.mark.parametrize("size", [0, 1, 56, 57, 58, 113, 114, 115, 4096])
def test_base64_lines(size: int) -> None:
    content = bytes(index * 7 % 256 for index in range(size))
    expected = base64.encodebytes(content).replace(b"\n", b"\r\n")
    assert b"".join(mime.base64_lines(content)) == expected


@given(ANY_TEXT)
@settings(max_examples=200, deadline=None)
def test_any_text_is_a_header(text: str) -> None:
    name, value = mime.header("Subject", text)
    expected = re.sub(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+", " ", text)
    expected = re.sub(" +", " ", expected).strip(" ")
    assert unfolded(name, value) == expected
    assert value.isascii()


@given(ANY_TEXT)
@settings(max_examples=100, deadline=None)
def test_any_name_is_a_display_name(text: str) -> None:
    _, value = mime.addresses("To", [Address(text, "a@example.com"), Address("", "b@example.com")])
    parsed = email.message_from_string(f"To: {value}\r\n\r\n", policy=email.policy.default)["To"]
    assert [one.addr_spec for one in parsed.addresses] == ["a@example.com", "b@example.com"]


@pytest.mark.parametrize(
    ("name", "wire"),
    [
        ("Anna Kowalska", "Anna Kowalska <a@example.com>"),
        ("Kowalska, Anna", '"Kowalska, Anna" <a@example.com>'),
        ('A "B" \\C', '"A \\"B\\" \\\\C" <a@example.com>'),
        ("Łukasz", "=?utf-8?b?xYF1a2Fzeg==?= <a@example.com>"),
        ("=?utf-8?q?x?=", "=?utf-8?b?PT91dGYtOD9xP3g/PQ==?= <a@example.com>"),
        ("", "a@example.com"),
        ("a\r\nBcc: b@example.com", '"a Bcc: b@example.com" <a@example.com>'),
    ],
)
def test_display_names(name: str, wire: str) -> None:
    assert mime.address(name, "a@example.com") == wire


def test_encoded_words_fit_and_keep_letters_whole() -> None:
    _, value = mime.header("Subject", "ż😀" * 100)
    lines = value.split("\r\n ")
    assert max(map(len, lines)) <= 75
    assert len(f"Subject: {lines[0]}") <= 76
    for word in lines:
        base64.b64decode(word.removeprefix("=?utf-8?b?").removesuffix("?=")).decode()


def test_what_looks_like_an_encoded_word_is_text() -> None:
    trick = "=?utf-8?q?=0D=0ABcc=3A_x?="
    _, value = mime.header("Subject", trick)
    assert "=?utf-8?q?" not in value
    assert unfolded("Subject", value) == trick


def test_many_recipients_are_folded() -> None:
    many = [Address(f"Person {index}", f"person{index}@example.com") for index in range(50)]
    _, value = mime.addresses("To", many)
    assert max(map(len, f"To: {value}".split("\r\n"))) <= 78
    parsed = email.message_from_string(f"To: {value}\r\n\r\n", policy=email.policy.default)["To"]
    assert [str(one) for one in parsed.addresses] == [str(one) for one in many]


@given(ANY_TEXT)
@settings(max_examples=100, deadline=None)
def test_any_text_is_a_body(text: str) -> None:
    data = mime.message([("Subject", "x")], mime.text(text, "plain"))
    assert all(len(line) <= 78 for line in data.split(b"\r\n"))
    assert b"\n" not in data.replace(b"\r\n", b"")
    content = email.message_from_bytes(data, policy=email.policy.default).get_content()
    assert content.splitlines() == "\n".join(text.splitlines()).split("\n")


def test_dots_are_not_stuffed_and_no_line_is_a_lone_dot() -> None:
    data = mime.message([("Subject", "x")], mime.text(".\n..\n.x\nFrom me\n", "plain"))
    assert b"\r\n.\r\n" not in data
    assert email.message_from_bytes(data, policy=email.policy.default).get_content() == (
        ".\r\n..\r\n.x\r\nFrom me\r\n"
    )
