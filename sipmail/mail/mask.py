"""Hides a password in what a mail server answers to it: some quote what they refuse.

Only answers to AUTH (RFC 4954) are looked at, which alone can hold it. A password of a few
characters is part of many words and numbers: it is hidden where it is a word of its own, and the
enhanced status codes of RFC 3463 are never touched.
"""

from __future__ import annotations

import base64
import re

from sipmail.config.model import Smtp

_HIDDEN = b"***"
_FEW = 4
"""Characters; a longer password is hidden wherever it stands."""
_STATUS_CODE = rb"\b[245]\.\d{1,3}\.\d{1,3}\b"


class Mask:
    """Of the password in `settings`; without one it hides nothing."""

    def __init__(self, settings: Smtp) -> None:
        self._pattern: re.Pattern[bytes] | None = None
        if settings.password is not None and (text := settings.password.get_secret_value()):
            self._pattern = _pattern(settings.username or "", text)

    def __call__(self, answer: bytes) -> bytes:
        if self._pattern is None:
            return answer
        return self._pattern.sub(lambda found: _HIDDEN if found[1] else found[0], answer)


def _pattern(username: str, password: str) -> re.Pattern[bytes]:
    """Finds the password, in its first group, as it is and as AUTH LOGIN and PLAIN send it."""
    plain = password.encode()
    both = b"\0".join((b"", username.encode(), plain))
    forms = b"|".join(map(re.escape, (plain, base64.b64encode(plain), base64.b64encode(both))))
    secret = b"(" + forms + b")"
    if len(password) < _FEW:
        secret = rb"(?<!\w)" + secret + rb"(?!\w)"
    return re.compile(_STATUS_CODE + b"|" + secret)
