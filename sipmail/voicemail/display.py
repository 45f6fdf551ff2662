"""What strangers write, made fit to be read: display names and numbers from the network.

Rules: the result is one line of printable Unicode (NFC), never longer than asked; no control
characters, no bidirectional overrides, no lone surrogates. Bytes that are not UTF-8 (they arrive
as surrogate escapes) are read as what they most likely are: UTF-8 that somebody cut in the middle
of a letter, else the code pages that Polish systems used, ISO-8859-2 or Windows-1250.
"""

from __future__ import annotations

import re
import unicodedata

LIMIT = 120

_SURROGATES = re.compile("[\ud800-\udfff]")
_JOINERS = "\u200c\u200d"
_PLAIN = re.compile(r"[ -~]*")
# Where the two code pages place Polish letters differently, each column is a letter in one only.
_ISO_8859_2 = frozenset(b"\xa1\xb1\xa6\xb6\xac\xbc")
_WINDOWS_1250 = frozenset(b"\xa5\xb9\x8c\x9c\x8f\x9f") | frozenset(range(0x80, 0xA0))


def clean(text: str, limit: int = LIMIT) -> str:
    """`text` as one readable line of at most `limit` characters."""
    if not _PLAIN.fullmatch(text):
        text = unicodedata.normalize("NFC", decode(text[: limit * 8]))
        if not text.isprintable():
            text = "".join(_visible(char) for char in text)
    text = " ".join(text.split())
    return text if len(text) <= limit else text[: limit - 1].rstrip() + "…"


def decode(text: str) -> str:
    """`text` with its surrogate escapes read as the bytes that they were."""
    if not _SURROGATES.search(text):
        return text
    raw = text.encode("utf-8", "surrogateescape" if _only_escapes(text) else "replace")
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        kept = raw[: error.start]
        if error.reason == "unexpected end of data" and not kept.isascii():
            return kept.decode()
    return raw.decode(code_page(raw), "replace")


def code_page(raw: bytes) -> str:
    """In which of the two code pages `raw` is, if not in UTF-8."""
    found = set(raw)
    windows = found & _WINDOWS_1250 and not found & _ISO_8859_2
    return "cp1250" if windows else "iso-8859-2"


def has_right_to_left(text: str) -> bool:
    """Whether any letter of `text` is written from right to left."""
    return not text.isascii() and any(
        unicodedata.bidirectional(char) in ("R", "AL") for char in text
    )


def _only_escapes(text: str) -> bool:
    return all("\udc80" <= char <= "\udcff" for char in _SURROGATES.findall(text))


def _visible(char: str) -> str:
    category = unicodedata.category(char)
    if category in ("Cc", "Zs", "Zl", "Zp"):
        return " "
    # Cf holds the bidirectional controls; emoji and some scripts need the joiners among them.
    if category[0] == "C":
        return char if char in _JOINERS else ""
    return char
