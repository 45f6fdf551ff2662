"""Parameters: the `;name=value` list after a header value or in a URI (RFC 3261 section 7.3.1).

Rules: names are case-insensitive and keep their order; a repeated name keeps its first value; a
parameter without a value has the value None; values of headers are held without their quotes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import TypeVar, overload

from sipmail.errors import ProtocolError
from sipmail.sip.grammar import QUOTED, quote, unquote

T = TypeVar("T")

_PARAMETER = re.compile(
    rf'[ \t]*;[ \t]*([^ \t;=,"<>]+)(?:[ \t]*=[ \t]*({QUOTED}|[^ \t;,"<>]*))?[ \t]*', re.DOTALL
)
_NEEDS_NO_QUOTES = re.compile(r"[A-Za-z0-9\-.!%*_+`'~\[\]:/@]+")


class Parameters(Mapping[str, str | None]):
    """An immutable, ordered, case-insensitive mapping of parameter names to values."""

    __slots__ = ("_pairs",)

    def __init__(self, pairs: Iterable[tuple[str, str | None]] = ()) -> None:
        self._pairs: dict[str, tuple[str, str | None]] = {}
        for name, value in pairs:
            self._pairs.setdefault(name.lower(), (name, value))

    @classmethod
    def parse(cls, text: str, start: int = 0) -> Parameters:
        """The parameters of a header: `text` from `start`, which must be their first semicolon.

        Raises ProtocolError(400) for anything else in it, an empty parameter included.
        """
        end = len(text)
        if start >= end:
            return EMPTY
        parameters = cls.__new__(cls)
        pairs: dict[str, tuple[str, str | None]] = {}
        parameters._pairs = pairs
        match = _PARAMETER.match
        while start < end:
            found = match(text, start)
            if found is None:
                raise ProtocolError(400, f"Malformed parameter at {text[start : start + 20]!r}")
            name, value = found.groups()
            if value is not None and value[:1] == '"':
                value = unquote(value)
            pairs.setdefault(name.lower(), (name, value))
            start = found.end()
        return parameters

    def __getitem__(self, name: str) -> str | None:
        return self._pairs[name.lower()][1]

    @overload
    def get(self, name: str, /) -> str | None: ...

    @overload
    def get(self, name: str, /, default: str | None) -> str | None: ...

    @overload
    def get(self, name: str, /, default: T) -> str | T | None: ...

    def get(self, name: str, /, default: object = None) -> object:
        """The value of a parameter; `default` where there is no such parameter."""
        pair = self._pairs.get(name.lower())
        return default if pair is None else pair[1]

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name.lower() in self._pairs

    def __iter__(self) -> Iterator[str]:
        return (name for name, _ in self._pairs.values())

    def __len__(self) -> int:
        return len(self._pairs)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Parameters):
            return NotImplemented
        return {name: value for name, (_, value) in self._pairs.items()} == {
            name: value for name, (_, value) in other._pairs.items()
        }

    def __hash__(self) -> int:
        return hash(frozenset((name, value) for name, (_, value) in self._pairs.items()))

    def __repr__(self) -> str:
        return f"Parameters({list(self._pairs.values())!r})"

    def __str__(self) -> str:
        """As written after a header value, with the leading semicolon."""
        return "".join(
            f";{name}"
            if value is None
            else f";{name}={value if _NEEDS_NO_QUOTES.fullmatch(value) else quote(value)}"
            for name, value in self._pairs.values()
        )

    def with_(self, name: str, value: str | None) -> Parameters:
        """A copy in which `name` has `value`, in its old place or at the end."""
        copy = Parameters()
        copy._pairs = {**self._pairs, name.lower(): (name, value)}
        return copy

    def without(self, *names: str) -> Parameters:
        """A copy without these parameters."""
        gone = {name.lower() for name in names}
        copy = Parameters()
        copy._pairs = {name: pair for name, pair in self._pairs.items() if name not in gone}
        return copy


EMPTY = Parameters()
