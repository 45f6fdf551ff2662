"""What strangers can't do to the e-mail about their call."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.mail.html import links, tags
from tests.mail.post import (
    called_by,
    html_of,
    read,
    text_of,
    written,
)

NASTY = (
    '"quotes" and \\ backslashes',
    "line\r\nBcc: victim@example.com\r\n\r\nbody",
    "<script>alert(1)</script><img src=x onerror=alert(1)>",
    "{{ 7 * 7 }}{% raw %}${x}",
    "x" * 1000,
    "ż" * 1000,
    "👩‍💻 🎉 Ola 🇵🇱",
    "\u202egnp.exe \u2066bidi\u2069",
    "שרה כהן",
    "=?utf-8?q?=0D=0ABcc=3A?=",
    "Wies\udcb3aw \udcaf\udcf3\udcb3\udce6",
    "../../etc/passwd\x00",
    "\ud800x",
    "",
)


@pytest.mark.parametrize("name", [name for name in NASTY if name])
def test_a_stranger_shapes_nothing(name: str) -> None:
    plain, nasty = written(called_by("+48600123456", "A")), written(called_by("+48600123456", name))
    assert max(map(len, nasty.split(b"\r\n"))) <= 998
    found, expected = read(nasty), read(plain)
    assert list(found) == list(expected)
    for header in ("From", "To", "Reply-To", "Message-ID", "References", "X-Sipmail-Caller"):
        assert found[header] == expected[header]
    assert tags(html_of(found)) == tags(html_of(expected))
    assert next(found.iter_attachments()).get_filename() == ("2026-11-23_14-30-12_+48600123456.mp3")
    for shown in (found["Subject"], text_of(found), html_of(found)):
        assert not re.search("[\x00-\x08\x0b\x0c\x0e-\x1f\u202a-\u202e\ud800-\udfff]", shown)


@pytest.mark.parametrize("number", NASTY)
def test_nor_with_the_number(number: str) -> None:
    found = read(written(called_by(number, "A")))
    assert list(found) == [name for name in read(written()) if number or name != "References"]
    assert all(link.startswith(("mailto:", "tel:+")) for link in links(html_of(found)))
    file = next(found.iter_attachments()).get_filename()
    assert file is not None
    assert re.fullmatch(r"2026-11-23_14-30-12_[A-Za-z0-9+][A-Za-z0-9+_]{0,31}\.mp3", file)


def test_html_is_shown_as_text() -> None:
    html = html_of(read(written(called_by("+48600123456", "<b>&\"'"))))
    assert "<bdi>&lt;b&gt;&amp;&#34;&#39;</bdi>" in html


def test_polish_letters_of_another_encoding() -> None:
    name = "Wiesław Żółć".encode("iso-8859-2").decode("utf-8", "surrogateescape")
    assert read(written(called_by("+48600123456", name)))["Subject"].startswith("Wiesław Żółć, ")


def test_a_name_from_right_to_left_turns_nothing_round() -> None:
    message = read(written(called_by("+972501234567", "שרה כהן")))
    assert message["Subject"].startswith("\u2068שרה כהן\u2069, +972501234567 · ")
    assert "\u2068שרה כהן\u2069" in text_of(message)


@given(st.binary(max_size=300), st.binary(max_size=100))
@settings(max_examples=60, deadline=None)
def test_any_caller(name: bytes, number: bytes) -> None:
    decoded = [one.decode("utf-8", "surrogateescape") for one in (name, number)]
    message = read(written(called_by(decoded[1], decoded[0], called=decoded[1])))
    assert message["From"] == "Poczta głosowa <voicemail@example.com>"
    assert tags(html_of(message))[:3] == ["html", "head", "meta"]
