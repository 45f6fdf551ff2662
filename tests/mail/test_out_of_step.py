"""A mail server whose answers are not to what it was asked: none of them may count."""

from __future__ import annotations

import smtplib
import socket

import pytest

from sipmail.mail.answers import Lines, OutOfStep, Smtp
from tests.mail.conftest import ANNA, JAN
from tests.mail.scripted import BODY, HELLO, MESSAGE, Script
from tests.mail.sending import Deliver, MakeScripted, envelope, said

TAKEN_TWICE: Script = [*MESSAGE[:-1], (BODY, "250 taken\r\n250 taken")]
MAIL_RCPT: Script = [("MAIL", "250 ok"), ("RCPT", "250 ok")]


@pytest.mark.parametrize("extra", ["250 and again", "421 idle for too long", "354 go", "?"])
def test_an_answer_to_nothing_ends_the_connection(
    scripted: MakeScripted, deliver: Deliver, extra: str
) -> None:
    server = scripted([*HELLO, *MESSAGE[:-1], (BODY, f"250 taken\r\n{extra}")], [*HELLO, *MESSAGE])
    delivery = deliver(server)
    for _ in range(2):
        assert delivery.send(envelope(ANNA))[ANNA].answer == "250 taken"
    assert server.connections == 2
    assert said(server).count(".") == 2


@pytest.mark.parametrize(
    "shifted",
    [
        # The answer to nothing came after MAIL was sent: each one is taken for the next.
        [("MAIL", "250 extra"), ("RCPT", "250 mail"), ("DATA", "250 rcpt")],
        [("MAIL", "250 extra"), ("RCPT", "354 go")],
        [("MAIL", "354 go")],
        [("MAIL", "220 hello again")],
        [*MAIL_RCPT, ("DATA", "550 this was rcpt's"), ("RSET", "354 this was data's")],
        [*MAIL_RCPT, ("DATA", "550 this was rcpt's"), ("RSET", "503 this was data's")],
        [*MAIL_RCPT, ("DATA", "550 this was rcpt's\r\n354 this is data's")],
        [*MAIL_RCPT, ("DATA", "354 go\r\n250 taken")],
    ],
)
def test_answers_that_belong_elsewhere_count_for_nothing(
    scripted: MakeScripted, deliver: Deliver, shifted: Script
) -> None:
    server = scripted([*HELLO, *MESSAGE, *shifted], [*HELLO, *MESSAGE])
    delivery = deliver(server)
    for _ in range(2):
        assert delivery.send(envelope(ANNA))[ANNA].answer == "250 taken"
    assert server.connections == 2


def test_on_a_new_connection_it_waits(scripted: MakeScripted, deliver: Deliver) -> None:
    server = scripted([*HELLO, ("MAIL", "250 ok\r\n250 ok")])
    outcome = deliver(server).send(envelope(ANNA))[ANNA]
    assert (outcome.ok, outcome.temporary, outcome.server) == (False, True, True)
    assert outcome.answer.endswith("the server spoke out of turn: 250 ok")


def test_what_comes_beside_the_answer_to_a_login_holds_no_password(
    scripted: MakeScripted, deliver: Deliver
) -> None:
    twice = "235 ok\r\n250-debug: AUTH PLAIN password hunter2\r\n250 ok"
    script: Script = [(None, "220 x"), ("EHLO", "250-x\r\n250 AUTH PLAIN"), ("AUTH", twice)]
    server = scripted(script)
    login = {"username": "voicemail", "password": "hunter2"}
    outcome = deliver(server, **login).send(envelope(ANNA))[ANNA]
    assert (outcome.ok, outcome.temporary) == (False, True)
    assert "out of turn: 250-debug: AUTH PLAIN password ***" in outcome.answer


@pytest.mark.parametrize("answer", ["354 go", "221 bye", "what?"])
def test_what_is_no_answer_to_the_message_is_none(
    scripted: MakeScripted, deliver: Deliver, answer: str
) -> None:
    server = scripted([*HELLO, *MAIL_RCPT, ("DATA", "354 go"), (BODY, answer)])
    outcome = deliver(server).send(envelope(ANNA))[ANNA]
    assert (outcome.ok, outcome.temporary, outcome.server) == (False, True, True)
    assert outcome.answer.startswith("no answer to the message: ")
    assert server.connections == 1


def test_a_message_that_is_refused_while_it_is_sent(
    scripted: MakeScripted, deliver: Deliver
) -> None:
    server = scripted([*HELLO, *MAIL_RCPT, ("DATA", "354 go\r\n552 5.3.4 too big")])
    outcome = deliver(server).send(envelope(ANNA, data=b"x" * 70 + b"\r\n"))[ANNA]
    assert (outcome.ok, outcome.temporary) == (False, False)
    assert outcome.answer == "552 5.3.4 too big"


@pytest.mark.parametrize("full", ["552 too many", "550 5.5.3 too many"])
def test_more_recipients_than_a_server_takes_get_their_own_turn(
    scripted: MakeScripted, deliver: Deliver, full: str
) -> None:
    """RFC 5321 section 4.5.3.1.10; alone the same answer is that of a full mailbox."""
    server = scripted(
        [*HELLO, *MAIL_RCPT, ("RCPT", full), ("DATA", "354 go"), (BODY, "250 taken")],
        [*HELLO, ("MAIL", "250 ok"), ("RCPT", full), ("RSET", "250 ok")],
    )
    delivery = deliver(server)
    outcomes = delivery.send(envelope(ANNA, JAN))
    assert (outcomes[ANNA].ok, outcomes[JAN].temporary) == (True, True)
    delivery.close()
    assert not delivery.send(envelope(JAN))[JAN].temporary


def test_a_sender_is_taken_with_any_yes(scripted: MakeScripted, deliver: Deliver) -> None:
    server = scripted([*HELLO, ("MAIL", "251 ok"), *MESSAGE[1:]])
    assert deliver(server).send(envelope(ANNA))[ANNA].answer == "250 taken"


def test_a_session_that_went_wrong_is_nobodys_fault(
    scripted: MakeScripted, deliver: Deliver
) -> None:
    server = scripted([*HELLO, ("MAIL", "503 5.5.1 nested MAIL"), ("RSET", "250 ok")])
    outcome = deliver(server).send(envelope(ANNA))[ANNA]
    assert (outcome.temporary, outcome.server) == (True, True)


class Dripping:
    """A socket that is given a byte a second."""

    def __init__(self, text: bytes) -> None:
        self.text = text
        self.now = 0.0
        self.timeout: float | None = 5.0

    def gettimeout(self) -> float | None:
        return self.timeout

    def settimeout(self, timeout: float | None) -> None:
        self.timeout = timeout

    def recv(self, size: int) -> bytes:
        if self.timeout is not None and self.timeout < 1.0:
            raise TimeoutError("timed out")
        self.now += 1.0
        byte, self.text = self.text[:1], self.text[1:]
        return byte


def dripping(text: bytes) -> tuple[Lines, Dripping]:
    sock = Dripping(text)
    return Lines(sock, lambda: sock.now), sock  # type: ignore[arg-type]


def test_an_answer_that_drips_is_too_late() -> None:
    lines, sock = dripping(b"250-a\r\n250 b\r\n")
    lines.begin()
    with pytest.raises(TimeoutError):
        lines.readline(100)
    assert (sock.now, sock.timeout) == (5.0, 5.0)


def test_the_time_is_that_of_all_its_lines() -> None:
    lines, sock = dripping(b"2\r\n2\r\n")
    lines.begin()
    assert lines.readline(100) == b"2\r\n"
    with pytest.raises(TimeoutError):
        lines.readline(100)
    lines.begin()
    assert lines.readline(100) == b"2\r\n"
    sock.timeout = None
    lines.begin()
    assert lines.readline(100) == b""


@pytest.mark.parametrize(
    ("text", "limit", "lines"),
    [
        (b"a\r\nb\n", 100, [b"a\r\n", b"b\n", b""]),
        (b"abcdef\n", 4, [b"abcd", b"ef\n", b""]),
        (b"abc\n", 4, [b"abc\n", b""]),
        (b"end", 100, [b"end", b""]),
    ],
)
def test_lines_are_those_of_a_file(text: bytes, limit: int, lines: list[bytes]) -> None:
    for size in (len(text), 1):
        ours, theirs = socket.socketpair()
        with ours, theirs:
            theirs.sendall(text[:size])
            found = Lines(ours)
            found.begin()
            theirs.sendall(text[size:])
            theirs.shutdown(socket.SHUT_WR)
            assert [found.readline(limit) for _ in lines] == lines
            assert found.unasked() == b""


def test_a_command_is_not_said_into_words() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        server = Smtp()
        server.sock = ours
        theirs.sendall(b"250 nobody asked\r\n")
        with pytest.raises(OutOfStep, match="out of turn: 250 nobody asked"):
            server.putcmd("NOOP")
        with pytest.raises(smtplib.SMTPServerDisconnected):
            server.putcmd("NOOP")
        assert theirs.recv(100) == b""
