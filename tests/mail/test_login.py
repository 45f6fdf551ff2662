"""Logging in with letters that are not ASCII, at servers that offer one way or another."""

from __future__ import annotations

import base64
import smtplib
from collections.abc import Callable, Iterator

import pytest

from sipmail.mail.login import log_in
from tests.mail.scripted import Script, Scripted
from tests.support.smtp import SmtpServer

USER, PASSWORD = "poczta@firma.test", "tajne hasło"
PLAIN = base64.b64encode(b"\0poczta@firma.test\0tajne has\xc5\x82o").decode()
LOGIN = base64.b64encode(b"tajne has\xc5\x82o").decode()


@pytest.fixture
def session() -> Iterator[Callable[..., smtplib.SMTP]]:
    """`session(host, port)`: a connection that has been greeted."""
    made: list[smtplib.SMTP] = []

    def connect(host: str, port: int) -> smtplib.SMTP:
        client = smtplib.SMTP(host, port, timeout=10)
        client.ehlo()
        made.append(client)
        return client

    yield connect
    for client in made:
        client.close()


@pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS")
@pytest.mark.parametrize(("password", "known"), [(PASSWORD, True), ("tajne hasla", False)])
def test_a_server_reads_the_password_as_utf8(
    session: Callable[..., smtplib.SMTP], password: str, known: bool
) -> None:
    server = SmtpServer(username=USER, password=PASSWORD).start()
    try:
        client = session(server.host, server.port)
        if known:
            log_in(client, USER, password)
            assert client.mail(USER)[0] == 250
        else:
            with pytest.raises(smtplib.SMTPAuthenticationError) as refused:
                log_in(client, USER, password)
            assert refused.value.smtp_code == 535
    finally:
        server.stop()


@pytest.mark.parametrize(
    ("ways", "script", "said"),
    [
        ("LOGIN PLAIN", [("AUTH PLAIN ", "235 in")], [f"AUTH PLAIN {PLAIN}"]),
        ("LOGIN", [("AUTH LOGIN ", "334 UGFzc3dvcmQ6"), ("", "235 in")], [LOGIN]),
        ("LOGIN", [("AUTH LOGIN ", "535 no")], None),
        ("CRAM-MD5", [], None),
    ],
)
def test_each_way(
    session: Callable[..., smtplib.SMTP], ways: str, script: Script, said: list[str] | None
) -> None:
    server = Scripted([(None, "220 x"), ("EHLO", f"250-x\r\n250 AUTH {ways}"), *script])
    try:
        client = session(server.host, server.port)
        if said is None:
            with pytest.raises(smtplib.SMTPException):
                log_in(client, USER, PASSWORD)
        else:
            log_in(client, USER, PASSWORD)
            assert server.lines[-len(said) :] == said
        client.close()
    finally:
        server.stop()
