"""SIP URIs in the configuration: `registrar:` and `outbound_proxy:` (servers), `operator:`."""

from __future__ import annotations

import re

from sipmail.errors import ProtocolError
from sipmail.sip.uri import SipUri

_TRANSPORTS = ("udp", "tcp", "tls")
_DIALLED = re.compile(r"\+?[0-9*#]+")
_USER = re.compile(r"[A-Za-z0-9_.+-]+")


def parse_server(text: str) -> str:
    """`sip:pbx.example.com`, with port and transport as usual, `sips:` too → the URI as written.

    Raises ValueError with what to write instead.
    """
    text = text.strip()
    if not text.lower().startswith(("sip:", "sips:")):
        if ":" in text.split("@")[-1].split(":")[0] or "//" in text or " " in text:
            raise ValueError(f"{text!r} is no SIP URI: write it like sip:pbx.example.com")
        raise ValueError(f"a SIP URI is wanted here: write sip:{text}")
    try:
        uri = SipUri.parse(text)
    except ProtocolError:
        raise ValueError(
            f"{text!r} is no SIP URI: write it like sip:pbx.example.com:5060;transport=tcp"
        ) from None
    if uri.user is not None:
        server = str(SipUri(uri.scheme, None, uri.host, uri.port, uri.params))
        raise ValueError(f"names a server, not an account: write {server} and username: apart")
    if uri.headers is not None:
        raise ValueError("a server's URI has no headers: leave out the ? and what follows")
    transport = uri.params.get("transport")
    if transport is not None and transport.lower() not in _TRANSPORTS:
        raise ValueError(f"the transport {transport} is not supported: write udp, tcp or tls")
    return text


def parse_operator(text: str) -> str:
    """`100`, `+48 22 123 45 67` (→ `+48221234567`) or `sip:desk@pbx.example.com`, as it goes into
    a Refer-To.

    Raises ValueError with what to write instead.
    """
    text = text.strip()
    if text.lower().startswith(("sip:", "sips:")):
        try:
            uri = SipUri.parse(text)
        except ProtocolError:
            uri = None
        if uri is None or not uri.user or uri.headers is not None:
            raise ValueError(f"{text!r} names nobody: write it like sip:100@pbx.example.com")
        return text
    dialled = re.sub(r"(?<=[0-9)])[ ()./-]+(?=[0-9(])", "", text)
    if text != "*" and (_DIALLED.fullmatch(dialled) or _USER.fullmatch(text)):
        return dialled if _DIALLED.fullmatch(dialled) else text
    raise ValueError(
        f'{text!r} cannot be dialled: write an extension like "100", or sip:100@pbx.example.com'
    )
