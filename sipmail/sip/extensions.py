"""Option tags: the extensions that a peer requires of us (RFC 3261 sections 8.2.2.3 and 20.32)."""

from __future__ import annotations

from collections.abc import Container

from sipmail.sip.headers import Headers
from sipmail.sip.message import Request


def unsupported(request: Request, supported: Container[str]) -> tuple[str, ...]:
    """The required option tags that are not in `supported`, as written.

    They go into the Unsupported header of a 420. ACK and CANCEL are never refused for them.
    """
    if request.method in ("ACK", "CANCEL"):
        return ()
    return tuple(tag for tag in request.headers.values("Require") if tag.lower() not in supported)


def supports(headers: Headers, tag: str) -> bool:
    """Whether the sender supports (or requires) an extension."""
    tags = headers.values("Supported") + headers.values("Require")
    return any(one.lower() == tag for one in tags)
