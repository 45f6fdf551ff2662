"""Access tokens for SMTP AUTH XOAUTH2, by client credentials (RFC 6749 section 4.4).

For mail servers that refuse passwords, as Microsoft 365 does. One token serves all connections of
the process until shortly before it expires; a server that refuses one gets a new one.
"""

from __future__ import annotations

import base64
import json
import threading
import time
import urllib.parse
from collections.abc import Callable
from dataclasses import dataclass
from http.client import HTTPException

from sipmail.config.model import OAuth
from sipmail.errors import DeliveryError
from sipmail.mail.post import Answer, post

_EARLY_SECONDS = 300.0
"""A token is renewed so long before its end: clocks differ, and an e-mail takes its time."""
_SHORTEST_SECONDS = 30.0
_USUAL_SECONDS = 3600.0
_LARGEST_ANSWER = 1 << 20
_LONGEST_REASON = 200


@dataclass(frozen=True, slots=True)
class _Token:
    text: str
    until: float


class Tokens:
    """The tokens of one set of credentials; for any number of threads."""

    def __init__(
        self,
        settings: OAuth,
        timeout: float = 30.0,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._timeout = timeout
        self._now = now
        self._lock = threading.Lock()
        self._token: _Token | None = None

    def token(self) -> str:
        """A token that is good for now. Raises DeliveryError (temporary) when there is none."""
        with self._lock:
            if self._token is None or self._now() >= self._token.until:
                self._token = self._fetch()
            return self._token.text

    def refuse(self, token: str) -> None:
        """The mail server did not take `token`: it is not used again."""
        with self._lock:
            if self._token is not None and self._token.text == token:
                self._token = None

    def _fetch(self) -> _Token:
        settings = self._settings
        form = {
            "grant_type": "client_credentials",
            "client_id": settings.client_id,
            "client_secret": settings.client_secret.get_secret_value(),
            "scope": settings.scope,
        }
        try:
            answer = post(
                settings.endpoint,
                urllib.parse.urlencode(form).encode(),
                {"Accept": "application/json"},
                self._timeout,
                most=_LARGEST_ANSWER,
            )
        except (OSError, HTTPException) as error:
            raise self._trouble(f"cannot be reached: {getattr(error, 'reason', error)}") from None
        if not 200 <= answer.status < 300:
            raise self._trouble(f"says {answer.status}: {_reason(answer)}")
        try:
            found = json.loads(answer.body)
            text = str(found["access_token"])
            seconds = float(found.get("expires_in", _USUAL_SECONDS))
        except (ValueError, KeyError, TypeError, AttributeError):
            raise self._trouble("answered with no access token") from None
        lasts = max(seconds - _EARLY_SECONDS, min(seconds / 2, _SHORTEST_SECONDS))
        return _Token(text, self._now() + lasts)

    def _trouble(self, text: str) -> DeliveryError:
        host = urllib.parse.urlsplit(self._settings.endpoint).netloc
        return DeliveryError(f"no OAuth token: {host} {text}", temporary=True)


def xoauth2(username: str, token: str) -> str:
    """The initial response of the mechanism XOAUTH2."""
    return base64.b64encode(f"user={username}\x01auth=Bearer {token}\x01\x01".encode()).decode()


def _reason(answer: Answer) -> str:
    """What the endpoint says is wrong (RFC 6749 section 5.2)."""
    try:
        found = json.loads(answer.body)
        said = str(found.get("error_description") or found["error"])
    except (ValueError, KeyError, TypeError, AttributeError):
        said = answer.reason
    return " ".join(said.split())[:_LONGEST_REASON]
