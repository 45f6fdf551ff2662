"""Logging in with user name and password: AUTH (RFC 4954) with PLAIN (RFC 4616) or LOGIN.

smtplib does this for ASCII alone. RFC 4616 has user name and password in UTF-8, and so have the
servers for LOGIN, which no RFC describes.
"""

from __future__ import annotations

import base64
import smtplib

_TAKEN = (235, 503)
"""Logged in, or so already."""
_GO_ON = 334


def log_in(server: smtplib.SMTP, username: str, password: str) -> None:
    """Logs in by the best way that the server offers.

    Raises smtplib.SMTPAuthenticationError where it refuses, SMTPNotSupportedError where it offers
    no way that carries these characters.
    """
    if username.isascii() and password.isascii():
        server.login(username, password)
        return
    ways = server.esmtp_features.get("auth", "").upper().split()
    if "PLAIN" in ways:
        both = f"\0{username}\0{password}"
        code, text = server.docmd("AUTH", f"PLAIN {_base64(both)}")
    elif "LOGIN" in ways:
        code, text = server.docmd("AUTH", f"LOGIN {_base64(username)}")
        if code == _GO_ON:
            code, text = server.docmd(_base64(password))
    else:
        raise smtplib.SMTPNotSupportedError(
            "the server offers neither AUTH PLAIN nor LOGIN, which the letters of this user name "
            "or password need"
        )
    if code not in _TAKEN:
        raise smtplib.SMTPAuthenticationError(code, text)


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()
