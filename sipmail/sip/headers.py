"""Headers: the immutable, ordered multimap of header fields (RFC 3261 section 7.3).

Rules: names are compared without case and compact forms are expanded; names and values are kept
as written, lines in their order; values are unfolded. Nothing is split or parsed until it is read.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from sipmail.sip.grammar import split_commas

COMPACT = {
    "a": "accept-contact",
    "b": "referred-by",
    "c": "content-type",
    "d": "request-disposition",
    "e": "content-encoding",
    "f": "from",
    "i": "call-id",
    "j": "reject-contact",
    "k": "supported",
    "l": "content-length",
    "m": "contact",
    "n": "identity-info",
    "o": "event",
    "r": "refer-to",
    "s": "subject",
    "t": "to",
    "u": "allow-events",
    "v": "via",
    "x": "session-expires",
    "y": "identity",
}

_USUAL = """
    Accept Accept-Contact Accept-Encoding Accept-Language Alert-Info Allow Allow-Events
    Authorization Call-ID Call-Info Contact Content-Disposition Content-Encoding Content-Language
    Content-Length Content-Type CSeq Date Diversion Event Expires From History-Info Max-Forwards
    MIME-Version Min-Expires Min-SE Organization P-Asserted-Identity P-Preferred-Identity Path
    Privacy Proxy-Authenticate Proxy-Authorization Proxy-Require RAck Reason Record-Route
    Remote-Party-ID Require Retry-After Route RSeq Server Service-Route Session-Expires Subject
    Supported Timestamp To Unsupported User-Agent Via Warning WWW-Authenticate
"""

_KEYS = {spelling: name.lower() for name in _USUAL.split() for spelling in (name, name.lower())}
_KEYS |= {spelling: key for name, key in COMPACT.items() for spelling in (name, name.upper())}


def key(name: str) -> str:
    """The full name of a header in lower case, as headers are looked up."""
    known = _KEYS.get(name)
    if known is None:
        known = name.lower()
    return known


class Headers:
    """An immutable, ordered multimap of header names to values, one entry a line."""

    __slots__ = ("_index", "_pairs")

    def __init__(self, pairs: Iterable[tuple[str, str]] = ()) -> None:
        self._pairs = tuple(pairs)
        self._index: dict[str, list[str]] | None = None

    def _lines(self) -> dict[str, list[str]]:
        index = self._index
        if index is None:
            self._index = index = {}
            known = _KEYS.get
            for name, value in self._pairs:
                lower = known(name) or name.lower()
                if lower in index:
                    index[lower].append(value)
                else:
                    index[lower] = [value]
        return index

    def _of(self, name: str) -> Sequence[str]:
        # Asked dozens of times a call, so without going through `_lines` and `key`.
        index = self._index
        if index is None:
            index = self._lines()
        return index.get(_KEYS.get(name) or name.lower(), ())

    def get(self, name: str, default: str | None = None) -> str | None:
        """The value of the first line called `name`."""
        lines = self._of(name)
        return lines[0] if lines else default

    def all(self, name: str) -> tuple[str, ...]:
        """The values of all lines called `name`, in order."""
        return tuple(self._of(name))

    def values(self, name: str) -> tuple[str, ...]:
        """The elements of a header that is a comma separated list, over all its lines.

        Not for headers whose single value has bare commas: Date, WWW-Authenticate and its kin.
        """
        lines = self._of(name)
        if not lines:
            return ()
        if len(lines) == 1:
            return split_commas(lines[0])
        return tuple(element for line in lines for element in split_commas(line))

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and bool(self._of(name))

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(self._pairs)

    def __len__(self) -> int:
        return len(self._pairs)

    def __eq__(self, other: object) -> bool:
        return self._pairs == other._pairs if isinstance(other, Headers) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._pairs)

    def __repr__(self) -> str:
        return f"Headers({list(self._pairs)!r})"

    def with_(self, name: str, *values: str) -> Headers:
        """A copy with exactly these lines of `name`, where its first line was, or at the end."""
        wanted = key(name)
        pairs: list[tuple[str, str]] = []
        placed = False
        for pair in self._pairs:
            if key(pair[0]) != wanted:
                pairs.append(pair)
            elif not placed:
                placed = True
                pairs.extend((name, value) for value in values)
        if not placed:
            pairs.extend((name, value) for value in values)
        return Headers(pairs)

    def add(self, name: str, value: str) -> Headers:
        """A copy with one more line at the end."""
        return Headers((*self._pairs, (name, value)))

    def prepend(self, name: str, value: str) -> Headers:
        """A copy with one more line before all others."""
        return Headers(((name, value), *self._pairs))

    def without(self, *names: str) -> Headers:
        """A copy without any line called by one of `names`."""
        gone = {key(name) for name in names}
        return Headers(pair for pair in self._pairs if key(pair[0]) not in gone)
