"""How SMTP is secured: TLS, certificates, logins, and passwords that a server quotes."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from sipmail.config.model import Smtp
from sipmail.mail.smtp import SmtpDelivery
from tests.mail.scripted import Script
from tests.mail.sending import ANNA, Deliver, MakeScripted, envelope
from tests.support.patience import PATIENCE
from tests.support.smtp import SmtpServer

CERTIFICATE = Path(__file__).parent / "data" / "localhost.crt"


@pytest.fixture
def trusted(monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
    """The server's context; its certificate is trusted here."""
    monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATE))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE, CERTIFICATE.with_suffix(".key"))
    return context


@pytest.fixture
def secure_server(trusted: ssl.SSLContext) -> Iterator[SmtpServer]:
    """A server that wants STARTTLS and a login."""
    server = SmtpServer(username="voicemail", password="s3cret", tls=trusted).start()
    yield server
    server.stop()


def test_starttls_and_login(secure_server: SmtpServer, deliver: Deliver) -> None:
    delivery = deliver(
        secure_server,
        host="localhost",
        security="starttls",
        username="voicemail",
        password=SecretStr("s3cret"),
    )
    outcome = delivery.send(envelope(ANNA))[ANNA]
    assert (outcome.ok, outcome.answer) == (True, "250 OK")


def test_a_refused_login_is_temporary_and_the_password_is_not_said(
    secure_server: SmtpServer, deliver: Deliver
) -> None:
    delivery = deliver(
        secure_server,
        host="localhost",
        security="starttls",
        username="voicemail",
        password=SecretStr("wrong-password"),
    )
    outcome = delivery.send(envelope(ANNA))[ANNA]
    assert (outcome.ok, outcome.temporary, outcome.server) == (False, True, True)
    assert outcome.answer.startswith("535 ")
    assert "wrong-password" not in outcome.answer


def test_a_server_that_quotes_the_password_is_cut_short(
    scripted: MakeScripted, deliver: Deliver
) -> None:
    hello: Script = [(None, "220 x"), ("EHLO", "250-x\r\n250 AUTH PLAIN")]
    # base64 of NUL "voicemail" NUL "s3cret"
    quoted = "AHZvaWNlbWFpbABzM2NyZXQ="
    server = scripted([*hello, ("AUTH", f"535 no: {quoted} is s3cret")])
    delivery = deliver(server, username="voicemail", password=SecretStr("s3cret"))
    assert delivery.send(envelope(ANNA))[ANNA].answer == "535 no: *** is ***"


@pytest.mark.parametrize(
    ("password", "answer", "shown"),
    [
        ("5", "535-5.7.8 no\r\n535 5.7.8 5555 is not 5", "535 5.7.8 no 5.7.8 5555 is not ***"),
        ("no", "535 nothing like no, not now", "535 nothing like ***, not now"),
        ("abc", "535 YWJj is abc.", "535 *** is ***."),
        ("ż", "535 żar: ż", "535 żar: ***"),
    ],
)
def test_a_password_of_a_few_characters_garbles_no_answer(
    scripted: MakeScripted, deliver: Deliver, password: str, answer: str, shown: str
) -> None:
    hello: Script = [(None, "220 x"), ("EHLO", "250-x\r\n250 AUTH PLAIN")]
    server = scripted([*hello, ("AUTH", answer)])
    delivery = deliver(server, username="v", password=SecretStr(password))
    assert delivery.send(envelope(ANNA))[ANNA].answer == shown


def test_a_password_of_a_few_characters_is_not_looked_for_where_it_cannot_stand(
    scripted: MakeScripted, deliver: Deliver
) -> None:
    hello: Script = [(None, "220 x"), ("EHLO", "250-x\r\n250 AUTH PLAIN"), ("AUTH", "235 ok")]
    server = scripted([*hello, ("MAIL", "250 ok"), ("RCPT", "550 no such user"), ("RSET", "250 k")])
    delivery = deliver(server, username="v", password=SecretStr("no"))
    assert delivery.send(envelope(ANNA))[ANNA].answer == "550 no such user"


def test_a_certificate_of_somebody_else_is_refused(
    secure_server: SmtpServer, deliver: Deliver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")
    outcome = deliver(secure_server, host="localhost", security="starttls").send(envelope(ANNA))
    assert outcome[ANNA].temporary
    assert "is not trusted" in outcome[ANNA].answer


def test_what_is_slipped_in_before_tls_is_forgotten(
    trusted: ssl.SSLContext, deliver: Deliver
) -> None:
    """RFC 3207 section 4.2: it would be taken for the answer to the first command within TLS."""
    heard: list[bytes] = []

    def serve() -> None:
        connection, _ = server.accept()
        with connection, connection.makefile("rb") as lines:
            connection.sendall(b"220 x\r\n")
            for answer in (b"250-x\r\n250 STARTTLS", b"220 go\r\n250-evil\r\n250 AUTH PLAIN"):
                lines.readline()
                connection.sendall(answer + b"\r\n")
            with trusted.wrap_socket(connection, server_side=True) as secure:
                for line in secure.makefile("rb"):
                    heard.append(line.split()[0].lower() if line.strip() else b"")
                    if heard[-1] == b"data":
                        secure.sendall(b"354 go\r\n")
                    elif heard[-1] == b"." or b"data" not in heard:
                        secure.sendall(b"250 ok\r\n")
                    if heard[-1] == b".":
                        break

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=serve)
        thread.start()
        port = server.getsockname()[1]
        settings = Smtp.model_validate({"host": "localhost", "port": port, "security": "starttls"})
        delivery = SmtpDelivery(settings)
        assert delivery.send(envelope(ANNA))[ANNA].answer == "250 ok"
        thread.join(PATIENCE)
        delivery.close()
    assert heard[:4] == [b"ehlo", b"mail", b"rcpt", b"data"]


def test_no_starttls_no_mail(smtp_server: SmtpServer, deliver: Deliver) -> None:
    outcome = deliver(smtp_server, security="starttls").send(envelope(ANNA))[ANNA]
    assert (outcome.temporary, outcome.server) == (True, True)
    assert "does not offer STARTTLS" in outcome.answer
    assert smtp_server.attempts == 0
