"""Digest authentication of servers: challenges and their verification (RFC 7616, RFC 8760).

Rules:
- A nonce carries its own time and a keyed hash, so that challenges cost no memory and nobody can
  invent one; it is good for `lifetime` seconds.
- Only a nonce that was used with the right password is remembered, with its greatest nc: a
  repeated or lower nc is a replay. Without qop (RFC 2069) a nonce is good once.
- One challenge an algorithm, the strongest first (RFC 8760 section 2.2).
- The `uri` of the credentials is what was hashed; it isn't compared with the Request-URI, which
  proxies rewrite on the way.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Sequence
from enum import Enum

from sipmail.errors import ProtocolError
from sipmail.sip.digest import ALGORITHMS, digest, is_digest, parse_parameters
from sipmail.sip.grammar import quote

_NONCE = re.compile(r"([0-9a-f]{1,16})\.([A-Za-z0-9_\-]{1,64})\.([0-9a-f]{32})")
_NC = re.compile(r"[0-9A-Fa-f]{8}")
_PRUNE_ABOVE = 1024


class Verdict(Enum):
    """What credentials are worth. STALE: the password is right, the nonce is used up."""

    ACCEPTED = "accepted"
    STALE = "stale"
    REFUSED = "refused"


class DigestServer:
    """Challenges for one realm. `secret` keys the nonces and must not be guessable."""

    def __init__(
        self,
        realm: str,
        secret: bytes,
        *,
        algorithms: Sequence[str] = ("SHA-512-256", "SHA-256", "MD5"),
        lifetime: float = 300.0,
    ) -> None:
        self._realm = realm
        self._secret = secret
        self._algorithms = tuple(algorithms)
        self._lifetime = lifetime
        self._used: dict[str, tuple[float, int]] = {}

    def challenges(self, now: float, token: str, *, stale: bool = False) -> tuple[str, ...]:
        """The values of WWW-Authenticate (401) or Proxy-Authenticate (407), one an algorithm.

        `token` makes the nonce unique: letters, digits, `-` and `_`, at most 64.
        """
        nonce = self._nonce(f"{max(0, int(now * 1000)):x}", token)
        suffix = ", stale=true" if stale else ""
        return tuple(
            f'Digest realm={quote(self._realm)}, nonce="{nonce}", qop="auth", '
            f"algorithm={algorithm}{suffix}"
            for algorithm in self._algorithms
        )

    def verify(
        self, credentials: str, *, method: str, username: str, password: str, now: float
    ) -> Verdict:
        """Whether an Authorization header proves that its sender knows the password.

        Raises ProtocolError(400) for malformed credentials.
        """
        if not is_digest(credentials):
            return Verdict.REFUSED
        _, found = parse_parameters(credentials)
        missing = {"username", "realm", "nonce", "uri", "response"} - found.keys()
        if missing:
            raise ProtocolError(400, f"Credentials without {', '.join(sorted(missing))}")
        algorithm = found.get("algorithm", "MD5").upper()
        qop = found["qop"].lower() if "qop" in found else None
        nc = found.get("nc", "")
        if qop is not None and _NC.fullmatch(nc) is None:
            raise ProtocolError(400, "Credentials with a malformed nc")
        offered = {name.upper() for name in self._algorithms}
        if (
            algorithm not in offered
            or algorithm not in ALGORITHMS
            or qop not in (None, "auth")
            or found["username"] != username
            or found["realm"] != self._realm
        ):
            return Verdict.REFUSED
        expected = digest(
            algorithm=algorithm,
            username=username,
            realm=self._realm,
            password=password,
            method=method,
            uri=found["uri"],
            nonce=found["nonce"],
            qop=qop,
            nc=nc,
            cnonce=found.get("cnonce", ""),
        )
        given = found["response"].lower().encode("utf-8", "surrogateescape")
        if not hmac.compare_digest(expected.encode(), given):
            return Verdict.REFUSED
        return self._use(found["nonce"], None if qop is None else int(nc, 16), now)

    def _use(self, nonce: str, nc: int | None, now: float) -> Verdict:
        match = _NONCE.fullmatch(nonce)
        if match is None or not hmac.compare_digest(self._nonce(match[1], match[2]), nonce):
            return Verdict.STALE
        issued = int(match[1], 16) / 1000
        if not issued - 1 <= now <= issued + self._lifetime:
            return Verdict.STALE
        _, greatest = self._used.get(nonce, (0.0, 0))
        if nc is None:
            nc = 1 if greatest == 0 else 0
        if nc <= greatest:
            return Verdict.STALE
        if len(self._used) > _PRUNE_ABOVE:
            self._used = {key: value for key, value in self._used.items() if value[0] >= now}
        self._used[nonce] = (issued + self._lifetime, nc)
        return Verdict.ACCEPTED

    def _nonce(self, time: str, token: str) -> str:
        content = f"{time}.{token}"
        mac = hmac.new(self._secret, f"{content}.{self._realm}".encode(), hashlib.sha256)
        return f"{content}.{mac.hexdigest()[:32]}"
