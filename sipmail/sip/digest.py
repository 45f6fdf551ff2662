"""Digest authentication of clients (RFC 2617, 7616, 8760; RFC 3261 section 22).

Rules:
- Algorithms: MD5, SHA-256, SHA-512-256 and their -sess variants; qop `auth`, or none at all as
  in RFC 2069. A challenge that offers only `auth-int` is answered with auth-int.
- Of several challenges the topmost one that is supported is taken, since the server writes them
  in its order of preference (RFC 8760 section 2.3).
- nc counts the requests of a nonce; a `stale` challenge or a `nextnonce` starts a new count.
- Challenges with new nonces that are not stale mean that the password is wrong: asked once more
  would only lock the account, so `DigestClient.challenged` says no.

The server's half is in `digest_server.py`.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from sipmail.errors import ProtocolError
from sipmail.sip.grammar import QUOTED, quote, unquote
from sipmail.sip.headers import Headers

_SCHEME = re.compile(r"[ \t]*([A-Za-z0-9\-.!%*_+`'~]+)(?:[ \t]+|$)")
_PARAMETER = re.compile(
    rf'[ \t,]*([^ \t=,"]+)[ \t]*=[ \t]*({QUOTED}|[^ \t,"]*)[ \t]*(?=,|$)', re.DOTALL
)
_HASHES: dict[str, Callable[[bytes], str]] = {
    "MD5": lambda data: hashlib.md5(data, usedforsecurity=False).hexdigest(),
    "SHA-256": lambda data: hashlib.sha256(data).hexdigest(),
    "SHA-512-256": lambda data: hashlib.new("sha512_256", data).hexdigest(),
}
ALGORITHMS = {name: base for base in _HASHES for name in (base, f"{base}-SESS")}
_SPELLING = {name: name.replace("-SESS", "-sess") for name in ALGORITHMS}


def is_digest(text: str) -> bool:
    """Whether a challenge or credentials are of the Digest scheme."""
    found = _SCHEME.match(text)
    return found is not None and found[1].lower() == "digest"


def parse_parameters(text: str) -> tuple[str, dict[str, str]]:
    """The scheme and parameters of a challenge or of credentials, quotes resolved.

    Names are in lower case; of repeated ones the first counts. Raises ProtocolError(400).
    """
    found = _SCHEME.match(text)
    if found is None:
        raise ProtocolError(400, "Malformed authentication header")
    parameters: dict[str, str] = {}
    position, end = found.end(), len(text.rstrip(" \t,"))
    while position < end:
        match = _PARAMETER.match(text, position)
        if match is None:
            raise ProtocolError(400, "Malformed authentication parameter")
        parameters.setdefault(match[1].lower(), unquote(match[2]))
        position = match.end()
    return found[1], parameters


@dataclass(frozen=True)
class Challenge:
    """One Digest challenge. `algorithm` is in upper case, `qop` in lower case, both as offered."""

    realm: str
    nonce: str
    algorithm: str = "MD5"
    qop: tuple[str, ...] = ()
    opaque: str | None = None
    stale: bool = False
    explicit_algorithm: bool = False

    @classmethod
    def parse(cls, text: str) -> Challenge:
        """One line of WWW-Authenticate or Proxy-Authenticate; raises ProtocolError(400)."""
        if not is_digest(text):
            raise ProtocolError(400, "Authentication scheme not supported")
        _, parameters = parse_parameters(text)
        if "realm" not in parameters or not parameters.get("nonce"):
            raise ProtocolError(400, "Digest challenge without realm or nonce")
        return cls(
            parameters["realm"],
            parameters["nonce"],
            parameters.get("algorithm", "MD5").upper(),
            tuple(
                name
                for part in parameters.get("qop", "").split(",")
                if (name := part.strip().lower())
            ),
            parameters.get("opaque"),
            parameters.get("stale", "").lower() == "true",
            "algorithm" in parameters,
        )

    @property
    def supported(self) -> bool:
        """Whether an answer to it can be computed."""
        return self.algorithm in ALGORITHMS and (
            not self.qop or "auth" in self.qop or "auth-int" in self.qop
        )


def challenges(lines: Iterable[str]) -> tuple[Challenge, ...]:
    """The Digest challenges in header lines, topmost first; other schemes are left out."""
    found = []
    for line in lines:
        for part in _split_challenges(line):
            try:
                found.append(Challenge.parse(part))
            except ProtocolError:
                continue
    return tuple(found)


_NEXT_CHALLENGE = re.compile(
    rf'({QUOTED}|".*)|,[ \t]*+(?=[A-Za-z]+[ \t]+[^ \t=,]+[ \t]*=)', re.DOTALL
)


def _split_challenges(line: str) -> list[str]:
    """Several challenges in one line, which HTTP allows and some servers write."""
    cuts = [match.end() for match in _NEXT_CHALLENGE.finditer(line) if match[1] is None]
    return [line[a:b].rstrip(", \t") for a, b in zip([0, *cuts], [*cuts, len(line)], strict=True)]


def choose(offered: Iterable[Challenge]) -> Challenge | None:
    """The topmost challenge that is supported (RFC 8760 section 2.3), None where none is."""
    return next((challenge for challenge in offered if challenge.supported), None)


def digest(
    *,
    algorithm: str,
    username: str,
    realm: str,
    password: str,
    method: str,
    uri: str,
    nonce: str,
    qop: str | None = None,
    nc: str = "",
    cnonce: str = "",
    body: bytes = b"",
) -> str:
    """The `response` of RFC 7616 section 3.4.1 in hexadecimal; `algorithm` in any case."""
    name = algorithm.upper()
    hash_ = _HASHES[ALGORITHMS[name]]

    def h(text: str) -> str:
        return hash_(text.encode("utf-8", "surrogateescape"))

    secret = h(f"{username}:{realm}:{password}")
    if name.endswith("-SESS"):
        secret = h(f"{secret}:{nonce}:{cnonce}")
    request = f"{method}:{uri}"
    if qop == "auth-int":
        request = f"{request}:{hash_(body)}"
    if qop is None:
        return h(f"{secret}:{nonce}:{h(request)}")
    return h(f"{secret}:{nonce}:{nc}:{cnonce}:{qop}:{h(request)}")


def authorization(
    challenge: Challenge,
    *,
    method: str,
    uri: str,
    username: str,
    password: str,
    nc: int,
    cnonce: str,
    body: bytes = b"",
) -> str:
    """The value of Authorization or Proxy-Authorization that answers a challenge."""
    qop = None
    if challenge.qop:
        qop = "auth" if "auth" in challenge.qop else "auth-int"
    response = digest(
        algorithm=challenge.algorithm,
        username=username,
        realm=challenge.realm,
        password=password,
        method=method,
        uri=uri,
        nonce=challenge.nonce,
        qop=qop,
        nc=f"{nc:08x}",
        cnonce=cnonce,
        body=body,
    )
    parts = [
        f"username={quote(username)}",
        f"realm={quote(challenge.realm)}",
        f"nonce={quote(challenge.nonce)}",
        f"uri={quote(uri)}",
        f'response="{response}"',
    ]
    if challenge.explicit_algorithm:
        parts.append(f"algorithm={_SPELLING[challenge.algorithm]}")
    if qop is not None:
        parts += [f"cnonce={quote(cnonce)}", f"qop={qop}", f"nc={nc:08x}"]
    elif challenge.algorithm.endswith("-SESS"):
        parts.append(f"cnonce={quote(cnonce)}")
    if challenge.opaque is not None:
        parts.append(f"opaque={quote(challenge.opaque)}")
    return f"Digest {', '.join(parts)}"


class DigestClient:
    """The credentials of one account and what its server last asked for.

    `tokens` gives unguessable cnonces. One realm limits the answers to this realm, None answers
    any. WWW-Authenticate and Proxy-Authenticate are answered independently of each other.
    """

    def __init__(
        self, username: str, password: str, *, tokens: Callable[[], str], realm: str | None = None
    ) -> None:
        self._username = username
        self._password = password
        self._realm = realm
        self._tokens = tokens
        self._current: dict[str, tuple[Challenge, int]] = {}

    def challenged(self, status: int, headers: Headers, *, answered: bool) -> bool:
        """Takes the challenge of a 401 or 407; whether trying again makes sense.

        `answered` says whether the request that was refused already carried an answer to a
        challenge of the same kind: then only a stale nonce is worth another try.
        """
        name = "Proxy-Authenticate" if status == 407 else "WWW-Authenticate"
        offered = challenges(headers.all(name))
        if self._realm is not None:
            offered = tuple(one for one in offered if one.realm == self._realm)
        chosen = choose(offered)
        if chosen is None:
            return False
        header = "Proxy-Authorization" if status == 407 else "Authorization"
        previous = self._current.get(header)
        self._current[header] = (chosen, 0)
        if not answered or chosen.stale:
            return True
        return previous is not None and previous[0].realm != chosen.realm

    def authenticated(self, headers: Headers) -> None:
        """Takes the `nextnonce` of a successful response (RFC 7616 section 3.5)."""
        for name, header in (
            ("Authentication-Info", "Authorization"),
            ("Proxy-Authentication-Info", "Proxy-Authorization"),
        ):
            value = headers.get(name)
            current = self._current.get(header)
            if value is None or current is None:
                continue
            try:
                _, parameters = parse_parameters(f"Digest {value}")
            except ProtocolError:
                continue
            if parameters.get("nextnonce"):
                challenge = replace(current[0], nonce=parameters["nextnonce"], stale=False)
                self._current[header] = (challenge, 0)

    def authorization(
        self, method: str, uri: str, *, body: bytes = b""
    ) -> tuple[tuple[str, str], ...]:
        """The headers (name, value) that answer everything asked so far; counts nc on."""
        answers = []
        for header, (challenge, used) in self._current.items():
            self._current[header] = (challenge, used + 1)
            value = authorization(
                challenge,
                method=method,
                uri=uri,
                username=self._username,
                password=self._password,
                nc=used + 1,
                cnonce=self._tokens(),
                body=body,
            )
            answers.append((header, value))
        return tuple(answers)
