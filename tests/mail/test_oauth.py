"""Logins by token: against a token endpoint on loopback and a mail server that wants XOAUTH2."""

from __future__ import annotations

import base64
import json
import threading
import urllib.parse
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from pydantic import SecretStr

from sipmail.config.model import OAuth, Smtp
from sipmail.errors import DeliveryError
from sipmail.mail.oauth import Tokens, xoauth2
from sipmail.mail.smtp import SmtpDelivery
from tests.mail.scripted import HELLO, MESSAGE, Scripted
from tests.mail.sending import envelope

USER = "voicemail@example.com"
SECRET = "s3cret+/="


class Endpoint:
    """Gives out `token-1`, `token-2` …; `answers` are (status, JSON) to be given first."""

    def __init__(self) -> None:
        self.forms: list[dict[str, str]] = []
        self.answers: list[tuple[int, Any]] = []
        endpoint = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                endpoint.forms.append(dict(urllib.parse.parse_qsl(body.decode())))
                status, found = (
                    endpoint.answers.pop(0)
                    if endpoint.answers
                    else (200, {"access_token": f"token-{len(endpoint.forms)}", "expires_in": 3600})
                )
                self.send_response(status)
                if status == 302:
                    self.send_header("Location", "/elsewhere")
                self.end_headers()
                self.wfile.write(found if isinstance(found, bytes) else json.dumps(found).encode())

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/token"

    def settings(self) -> OAuth:
        return OAuth(
            token_url=self.url, client_id="id", client_secret=SecretStr(SECRET), scope="all"
        )

    def stop(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    made = Endpoint()
    yield made
    made.stop()


def test_client_credentials(endpoint: Endpoint) -> None:
    assert Tokens(endpoint.settings()).token() == "token-1"
    assert endpoint.forms == [
        {
            "grant_type": "client_credentials",
            "client_id": "id",
            "client_secret": SECRET,
            "scope": "all",
        }
    ]


def test_microsoft_is_known_by_its_tenant() -> None:
    settings = OAuth(tenant="contoso.com", client_id="id", client_secret=SecretStr("x"))
    assert settings.endpoint == "https://login.microsoftonline.com/contoso.com/oauth2/v2.0/token"
    assert settings.scope == "https://outlook.office365.com/.default"


def test_a_token_is_renewed_before_it_expires(endpoint: Endpoint) -> None:
    now = 1000.0
    tokens = Tokens(endpoint.settings(), now=lambda: now)
    assert tokens.token() == "token-1"
    now += 3600 - 301
    assert tokens.token() == "token-1"
    now += 2
    assert tokens.token() == "token-2"


def test_a_refused_token_is_not_used_again(endpoint: Endpoint) -> None:
    tokens = Tokens(endpoint.settings())
    tokens.refuse(tokens.token())
    assert tokens.token() == "token-2"
    tokens.refuse("token-1")  # somebody else's late news
    assert tokens.token() == "token-2"


@pytest.mark.parametrize(
    ("status", "answer", "said"),
    [
        (
            401,
            {"error": "invalid_client", "error_description": "AADSTS7000215: Invalid secret\r\nx"},
            "says 401: AADSTS7000215: Invalid secret x",
        ),
        (400, {"error": "invalid_scope"}, "says 400: invalid_scope"),
        (500, b"<html>", "says 500: Internal Server Error"),
        (302, {}, "says 302: Found"),
        (200, {"no": "token"}, "answered with no access token"),
        (200, [], "answered with no access token"),
        (200, b"\xff", "answered with no access token"),
    ],
)
def test_what_goes_wrong_is_said(endpoint: Endpoint, status: int, answer: Any, said: str) -> None:
    endpoint.answers = [(status, answer)]
    with pytest.raises(DeliveryError, match=said) as caught:
        Tokens(endpoint.settings()).token()
    assert caught.value.temporary
    assert SECRET not in str(caught.value)
    assert len(endpoint.forms) == 1


def login(token: str) -> str:
    return f"AUTH XOAUTH2 {xoauth2(USER, token)}".upper()


def deliver(server: Scripted, endpoint: Endpoint) -> SmtpDelivery:
    return SmtpDelivery(
        Smtp(
            host=server.host,
            port=server.port,
            security="none",
            username=USER,
            oauth=endpoint.settings(),
            timeout=5.0,
        )
    )


def test_the_initial_response() -> None:
    # The example of Microsoft's documentation of XOAUTH2.
    text = base64.b64decode(xoauth2("test@contoso.onmicrosoft.com", "EwBAAl3BAAUFFpUAo7J3Ve"))
    assert text == (
        b"user=test@contoso.onmicrosoft.com\x01auth=Bearer EwBAAl3BAAUFFpUAo7J3Ve\x01\x01"
    )


def test_login_with_a_token(endpoint: Endpoint) -> None:
    server = Scripted([*HELLO, ("AUTH XOAUTH2", "235 ok"), *MESSAGE])
    delivery = deliver(server, endpoint)
    try:
        assert delivery.send(envelope("a@example.com"))["a@example.com"].ok
    finally:
        delivery.close()
        server.stop()
    assert server.lines[1].upper() == login("token-1")


def test_a_revoked_token_is_replaced_at_once(endpoint: Endpoint) -> None:
    server = Scripted(
        [
            *HELLO,
            ("AUTH XOAUTH2", "334 eyJzdGF0dXMiOiI0MDEifQ=="),
            ("", "535 5.7.3 Authentication unsuccessful"),
            ("AUTH XOAUTH2", "235 ok"),
            *MESSAGE,
        ]
    )
    delivery = deliver(server, endpoint)
    try:
        assert delivery.send(envelope("a@example.com"))["a@example.com"].ok
    finally:
        delivery.close()
        server.stop()
    assert [server.lines[1].upper(), server.lines[3].upper()] == [
        login("token-1"),
        login("token-2"),
    ]


def test_a_login_that_is_refused_for_good_is_temporary(endpoint: Endpoint) -> None:
    refused = ("AUTH XOAUTH2", "535 5.7.3 Authentication unsuccessful")
    server = Scripted([*HELLO, refused, refused])
    delivery = deliver(server, endpoint)
    try:
        outcome = delivery.send(envelope("a@example.com"))["a@example.com"]
    finally:
        delivery.close()
        server.stop()
    assert (outcome.ok, outcome.temporary, outcome.server) == (False, True, True)
    assert outcome.answer == "535 5.7.3 Authentication unsuccessful"


def test_no_token_no_login(endpoint: Endpoint) -> None:
    endpoint.answers = [(401, {"error": "invalid_client"})]
    server = Scripted(HELLO)
    delivery = deliver(server, endpoint)
    try:
        outcome = delivery.send(envelope("a@example.com"))["a@example.com"]
    finally:
        delivery.close()
        server.stop()
    assert (outcome.ok, outcome.temporary, outcome.server) == (False, True, True)
    assert "says 401: invalid_client" in outcome.answer
