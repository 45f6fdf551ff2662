"""Why a call came to the voicemail, from the three ways in which networks say it.

- `Diversion` names it in words (RFC 5806 section 6; Asterisk and Cisco added some). Asterisk passes
  on any word that its dialplan sets, such as its own DIALSTATUS; `_` is as good as `-`.
- The `cause` parameter of a URI, in the Request-URI or History-Info, is a table of its own that
  only looks like SIP status codes (RFC 4458 section 9.3, RFC 7544 section 6.2): there 404 is "no
  reason given" and 480 is a person who sent the call away at once.
- A `Reason` header in a History-Info entry (RFC 3326) holds what really happened: a SIP status or a
  Q.850 cause; there 480 is a telephone that is not there.
"""

from __future__ import annotations

from enum import StrEnum


class Reason(StrEnum):
    """Why; the values stand in `message.json`."""

    NO_ANSWER = "no-answer"
    BUSY = "busy"
    """The line was busy, or the person sent the call away."""
    UNAVAILABLE = "unavailable"
    """The telephone could not be reached, or its user did not want to be."""
    UNCONDITIONAL = "unconditional"
    UNKNOWN = "unknown"


_DIVERSIONS = {
    "no-answer": Reason.NO_ANSWER,
    "no-reply": Reason.NO_ANSWER,
    "noanswer": Reason.NO_ANSWER,
    "cfnr": Reason.NO_ANSWER,
    "cfna": Reason.NO_ANSWER,
    "user-busy": Reason.BUSY,
    "busy": Reason.BUSY,
    "cfb": Reason.BUSY,
    "deflection": Reason.BUSY,
    "send-to-vm": Reason.BUSY,
    "unavailable": Reason.UNAVAILABLE,
    "do-not-disturb": Reason.UNAVAILABLE,
    "out-of-service": Reason.UNAVAILABLE,
    "away": Reason.UNAVAILABLE,
    "cf-dte": Reason.UNAVAILABLE,
    "dnd": Reason.UNAVAILABLE,
    "out-of-order": Reason.UNAVAILABLE,
    "chanunavail": Reason.UNAVAILABLE,
    "congestion": Reason.UNAVAILABLE,
    "unconditional": Reason.UNCONDITIONAL,
    "cfu": Reason.UNCONDITIONAL,
    "time-of-day": Reason.UNCONDITIONAL,
    "follow-me": Reason.UNCONDITIONAL,
}

_CAUSES = {
    302: Reason.UNCONDITIONAL,
    404: Reason.UNKNOWN,
    408: Reason.NO_ANSWER,
    480: Reason.BUSY,
    486: Reason.BUSY,
    487: Reason.BUSY,
    503: Reason.UNAVAILABLE,
}

_STATUSES = {
    302: Reason.UNCONDITIONAL,
    404: Reason.UNAVAILABLE,
    408: Reason.NO_ANSWER,
    410: Reason.UNAVAILABLE,
    480: Reason.UNAVAILABLE,
    486: Reason.BUSY,
    487: Reason.NO_ANSWER,
    500: Reason.UNAVAILABLE,
    502: Reason.UNAVAILABLE,
    503: Reason.UNAVAILABLE,
    504: Reason.UNAVAILABLE,
    600: Reason.BUSY,
    603: Reason.BUSY,
}

_Q850 = {
    17: Reason.BUSY,
    18: Reason.NO_ANSWER,
    19: Reason.NO_ANSWER,
    20: Reason.UNAVAILABLE,
    21: Reason.BUSY,
    27: Reason.UNAVAILABLE,
    31: Reason.UNKNOWN,
    38: Reason.UNAVAILABLE,
    41: Reason.UNAVAILABLE,
}


def from_diversion(text: str | None) -> Reason:
    """The `reason` parameter of a Diversion."""
    word = (text or "").strip().lower().replace("_", "-")
    return _DIVERSIONS.get(word, Reason.UNKNOWN)


def from_cause(cause: int | None) -> Reason:
    """The `cause` parameter of a URI (RFC 4458)."""
    return _CAUSES.get(cause or 0, Reason.UNKNOWN)


def from_status(protocol: str, cause: int | None) -> Reason:
    """The protocol and cause of a Reason header; protocols other than SIP and Q.850 say nothing."""
    table = {"sip": _STATUSES, "q.850": _Q850}.get(protocol.lower(), {})
    return table.get(cause or 0, Reason.UNKNOWN)
