"""What sipmail can do, as it says in Allow, Accept and Supported (RFC 3261 section 20)."""

from __future__ import annotations

METHODS = (
    "INVITE",
    "ACK",
    "CANCEL",
    "BYE",
    "OPTIONS",
    "INFO",
    "NOTIFY",
    "PRACK",
    "UPDATE",
)
OPTION_TAGS = frozenset({"100rel", "replaces", "timer"})

ALLOW = ("Allow", ", ".join(METHODS))
ACCEPT = ("Accept", "application/sdp")
ACCEPT_INFO = ("Accept", "application/dtmf-relay, application/dtmf")
ACCEPT_ENCODING = ("Accept-Encoding", "identity")
SUPPORTED = ("Supported", ", ".join(sorted(OPTION_TAGS)))
SUPPORTED_BY_BINDINGS = ("Supported", ", ".join(sorted({"path", *OPTION_TAGS})))
"""In a REGISTER: proxies on its way may ask to stay on the way of calls (RFC 3327 section 5.1)."""
