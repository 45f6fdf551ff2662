"""Privacy: what a caller wants withheld (RFC 3323 section 4.2, `id` of RFC 3325, RFC 7044)."""

from __future__ import annotations

import re
from collections.abc import Iterable

from sipmail.sip.grammar import TOKEN
from sipmail.sip.headers import Headers

_VALUE = re.compile(TOKEN)


def parse_privacy(lines: Iterable[str]) -> frozenset[str]:
    """The values in header lines, in lower case. Some phones separate them by commas."""
    return frozenset(value.lower() for line in lines for value in _VALUE.findall(line))


def privacy(headers: Headers) -> frozenset[str]:
    """The privacy values of a message: none, header, session, user, id, critical, history."""
    return parse_privacy(headers.all("Privacy"))


def identity_withheld(headers: Headers) -> bool:
    """Whether the caller's identity must not be shown to the called person.

    `none` says that it may, whatever else is written (RFC 3323 section 4.2).
    """
    values = privacy(headers)
    return "none" not in values and bool(values & {"id", "user", "header"})
