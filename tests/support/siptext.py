"""SIP messages as a test reads them: split into lines, nothing interpreted."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

_COMPACT = {
    "v": "via",
    "f": "from",
    "t": "to",
    "i": "call-id",
    "m": "contact",
    "l": "content-length",
}
# What an answer repeats of its request, spelled as every phone expects it.
_ECHOED = {"via": "Via", "from": "From", "to": "To", "call-id": "Call-ID", "cseq": "CSeq"}


@dataclass(frozen=True)
class Message:
    """A request (`method`, `uri`) or a response (`status`); header names in lower case."""

    method: str
    uri: str
    status: int | None
    headers: tuple[tuple[str, str], ...]
    body: str
    source: tuple[str, int]

    def get(self, name: str) -> str:
        """The first header of that name; empty without one."""
        return next((value for key, value in self.headers if key == name.lower()), "")

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key == name.lower()]


def parse(text: str, source: tuple[str, int]) -> Message:
    """Reads one message; ValueError when even its first line is not SIP."""
    head, _, body = text.partition("\r\n\r\n")
    first, *lines = head.replace("\r\n ", " ").replace("\r\n\t", " ").split("\r\n")
    headers = []
    for line in lines:
        name, _, value = line.partition(":")
        key = name.strip().lower()
        headers.append((_COMPACT.get(key, key), value.strip()))
    parts = first.split(" ", 2)
    if len(parts) != 3:
        raise ValueError(f"not SIP: {first!r}")
    if parts[0] == "SIP/2.0":
        return Message("", "", int(parts[1]), tuple(headers), body, source)
    return Message(parts[0], parts[1], None, tuple(headers), body, source)


def response(
    request: Message,
    status: int,
    headers: Iterable[tuple[str, str]] = (),
    body: str = "",
    *,
    to_tag: str = "",
) -> str:
    """An answer to `request`; `to_tag` is added to a To that has none."""
    lines = [f"SIP/2.0 {status} Answer"]
    for name, value in request.headers:
        if name in _ECHOED:
            tag = f";tag={to_tag}" if name == "to" and to_tag and ";tag=" not in value else ""
            lines.append(f"{_ECHOED[name]}: {value}{tag}")
    lines += [f"{name}: {value}" for name, value in headers]
    return "\r\n".join([*lines, f"Content-Length: {len(body)}", "", body])
