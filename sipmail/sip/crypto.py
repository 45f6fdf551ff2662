"""SDES: the keys of SRTP in SDP's crypto attributes (RFC 4568, suites of RFC 4568 and RFC 7714).

    a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:<master key and salt, base64>|2^20

Rules:
- Whoever writes an attribute says which key it sends with. The answer repeats the tag of the
  attribute that it takes (section 5.1.2), of those that can be used the offer's first.
- What can't be used is passed over: unknown suites, keys of a wrong length, several keys or an MKI,
  session parameters that ask for less than full protection (section 6.3).
- Keys travel in SDP, so who sees signalling can listen: whether that is acceptable is for
  `Encryption` to say. They are in no log and in no `repr`.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum

SUITES = {
    "AES_CM_128_HMAC_SHA1_80": 30,
    "AES_CM_128_HMAC_SHA1_32": 30,
    "AEAD_AES_128_GCM": 28,
    "AEAD_AES_256_GCM": 44,
}
"""What can be used, with the bytes of master key and salt."""
SECRET_BYTES = max(SUITES.values())
"""How much secret `Crypto.ours` wants: enough for the longest key."""

_OFFERED = ("AES_CM_128_HMAC_SHA1_80", "AES_CM_128_HMAC_SHA1_32")
_CRYPTO = re.compile(
    r"([0-9]{1,9})[ \t]+([^ \t]+)[ \t]+inline:([A-Za-z0-9+/]+={0,2})(\|[^ \t;]*)?"
    r"((?:[ \t]+[^ \t]+)*)",
    re.IGNORECASE,
)
_LIFETIME = re.compile(r"\|(?:2\^)?[0-9]{1,15}")


class Encryption(Enum):
    """Whether the media of a call may, must or must not be encrypted."""

    OFF = "off"
    OPTIONAL = "optional"
    REQUIRED = "required"

    @classmethod
    def of(cls, wish: str, transport: str) -> Encryption:
        """For a trunk's `srtp` and the transport that signalling came by: `auto` is optional
        where nobody on the way sees the keys, else off."""
        if wish == "auto":
            return cls.OPTIONAL if transport == "tls" else cls.OFF
        return cls(wish)


@dataclass(frozen=True)
class Keys:
    """What encrypts a stream: the suite, and the master keys with salt of each direction."""

    suite: str
    ours: bytes = field(repr=False)
    theirs: bytes = field(repr=False)


@dataclass(frozen=True)
class Crypto:
    """One crypto attribute that can be used."""

    tag: str
    suite: str
    key: bytes = field(repr=False)

    @classmethod
    def parse(cls, value: str) -> Crypto | None:
        """None where it can't be used."""
        found = _CRYPTO.fullmatch(value.strip())
        if found is None:
            return None
        tag, suite, text, lifetime, parameters = found.groups()
        suite = suite.upper()
        if lifetime is not None and not _LIFETIME.fullmatch(lifetime):
            return None  # an MKI
        if any(not one.startswith(("-", "WSH=", "wsh=")) for one in parameters.split()):
            return None
        try:
            key = base64.b64decode(text, validate=True)
        except binascii.Error:
            return None
        return cls(tag, suite, key) if len(key) == SUITES.get(suite) else None

    def __str__(self) -> str:
        return f"{self.tag} {self.suite} inline:{base64.b64encode(self.key).decode()}"

    def answer(self, secret: bytes) -> Crypto:
        """Ours for this one of the peer's."""
        return Crypto(self.tag, self.suite, secret[: SUITES[self.suite]])


def usable(values: Iterable[str]) -> Crypto | None:
    """The first of these attributes that can be used."""
    return next((one for value in values if (one := Crypto.parse(value)) is not None), None)


def offered(secret: bytes) -> list[Crypto]:
    """What we offer. One secret serves them all, since only one is ever used."""
    return [
        Crypto(str(tag), suite, secret[: SUITES[suite]]) for tag, suite in enumerate(_OFFERED, 1)
    ]
