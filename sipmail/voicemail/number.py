"""The number that a URI stands for, in the one form that sipmail compares and shows.

Rules: `config.numbers` decides what is the same number. Added here is what only the network does:
many carriers send international numbers without their plus (`491701234567`), which are read so
where they can be nothing else. Parameters of a number (RFC 3966: `phone-context`, `isub`, `npdi`,
`cpc`) don't belong to it, also where they stand in the user of a SIP URI (RFC 3261 section 19.1.6).
"""

from __future__ import annotations

import re
from functools import lru_cache

from sipmail.config.numbers import normalize
from sipmail.sip.uri import OtherUri, SipUri, TelUri
from sipmail.voicemail.display import clean

_DIALABLE = re.compile(r"\+?[0-9*#A-D]*[0-9][0-9*#A-D]*")
_WITHOUT_PLUS = re.compile(r"[1-9][0-9]{8,14}")
_LONGEST_USER = 128


def number_of(uri: SipUri | TelUri | OtherUri, country: str | None) -> str:
    """E.164 with its plus, or an extension, or the user as it is; "" where there is none."""
    text = uri.user_text
    if isinstance(uri, TelUri) and (context := uri.params.get("phone-context")):
        text = f"{text};phone-context={context}"
    return number(text, country)


@lru_cache(maxsize=4096)
def number(text: str, country: str | None) -> str:
    """The normal form of what somebody wrote as a number; other texts are only cleaned."""
    normal = clean(normalize(clean(text, _LONGEST_USER), country))
    if _WITHOUT_PLUS.fullmatch(normal):
        return _international(normal) or normal
    return normal


def is_number(text: str) -> bool:
    """Whether a telephone can dial `text`, a number in its normal form."""
    return _DIALABLE.fullmatch(text) is not None


def _international(digits: str) -> str | None:
    """`digits` with their plus, None where no such international number can exist."""
    import phonenumbers

    try:
        parsed = phonenumbers.parse(f"+{digits}", None)
    except phonenumbers.NumberParseException:
        return None
    return f"+{digits}" if phonenumbers.is_valid_number(parsed) else None
