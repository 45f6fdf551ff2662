"""Names from the network, made readable."""

from __future__ import annotations

import pytest

from sipmail.voicemail.display import clean, decode, has_right_to_left


def raw(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


@pytest.mark.parametrize("encoding", ["utf-8", "iso-8859-2", "cp1250"])
@pytest.mark.parametrize(
    "name", ["Wiesław Żółć", "Gęślą jaźń", "ŚWIĘTOSŁAW", "Łódź", "Ździsław Ćma"]
)
def test_polish_letters_in_every_encoding(name: str, encoding: str) -> None:
    assert clean(raw(name.encode(encoding))) == name


def test_a_letter_cut_in_its_middle_is_dropped() -> None:
    assert clean(raw("Zażółć gęś".encode()[:-1])) == "Zażółć gę"


def test_lone_surrogates_become_question_marks() -> None:
    assert decode("a\ud800b") == "a?b"


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("Anna\r\nBcc: x@example.com", "Anna Bcc: x@example.com"),
        ("A\x00n\tn\x7fa", "A n n a"),
        ("evil\u202egnp.exe", "evilgnp.exe"),
        ("\u2066isolated\u2069\u200e\u200f\u061c", "isolated"),
        ("  two   words\u00a0here\u2003now ", "two words here now"),
        ("line\u2028para\u2029", "line para"),
        ("zero\u200bwidth\ufeff", "zerowidth"),
        ("👩\u200d💻 Ola", "👩\u200d💻 Ola"),
        ("e\u0301", "é"),
        ('<b>"&', '<b>"&'),
        ("", ""),
    ],
)
def test_one_printable_line(written: str, shown: str) -> None:
    assert clean(written) == shown


def test_never_longer_than_asked() -> None:
    assert clean("x" * 1000) == "x" * 119 + "…"
    assert clean("ż" * 1000, 10) == "ż" * 9 + "…"
    assert clean("x" * 10, 10) == "x" * 10


def test_right_to_left() -> None:
    assert has_right_to_left("שרה")
    assert has_right_to_left("Ali علي")
    assert not has_right_to_left("Żółć")
