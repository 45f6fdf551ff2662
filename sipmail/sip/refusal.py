"""From a ProtocolError to the response that says it, with the headers that its status asks for.

RFC 3261 sections 8.2.1 (405, Allow), 8.2.2.3 (420, Unsupported), 8.2.3 (415, Accept), 14.2 (500,
Retry-After), 20.43 (Warning), RFC 4028 section 6 (422, Min-SE). The reason phrase is the
status's own: what a peer wrote is never in it.
"""

from __future__ import annotations

from sipmail.errors import ProtocolError
from sipmail.sip.capabilities import ACCEPT, ACCEPT_ENCODING, ACCEPT_INFO, ALLOW, OPTION_TAGS
from sipmail.sip.context import Context
from sipmail.sip.extensions import unsupported
from sipmail.sip.grammar import quote
from sipmail.sip.message import Request, Response, response_to
from sipmail.sip.negotiation import NotAcceptable
from sipmail.sip.session_timer import IntervalTooSmall

_RETRY_SECONDS = 10


def check_required(request: Request) -> None:
    """Raises ProtocolError(420) where the request requires what we don't support."""
    if "Require" in request.headers and unsupported(request, OPTION_TAGS):
        raise ProtocolError(420, "Unsupported extension")


def refusal(
    context: Context, request: Request, error: ProtocolError, to_tag: str | None
) -> Response:
    """The response to `request` that `error` asks for."""
    status = error.status
    headers: list[tuple[str, str]] = [("Server", context.user_agent)]
    if isinstance(error, IntervalTooSmall):
        headers.append(("Min-SE", str(error.minimum)))
    elif status == 405:
        headers.append(ALLOW)
    elif status == 415:
        headers += [ACCEPT_INFO if request.method == "INFO" else ACCEPT, ACCEPT_ENCODING]
    elif status == 420:
        headers.append(("Unsupported", ", ".join(unsupported(request, OPTION_TAGS))))
    elif status == 500:
        headers.append(("Retry-After", str(int(context.jitter() * _RETRY_SECONDS))))
    if status in (400, 488):
        code = error.warning if isinstance(error, NotAcceptable) else 399
        text = "".join(char if char.isprintable() else "?" for char in error.text)
        headers.append(("Warning", f"{code} sipmail {quote(text)}"))
    return response_to(request, status, headers=headers, to_tag=to_tag)
