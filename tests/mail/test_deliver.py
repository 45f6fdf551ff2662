"""SMTP against aiosmtpd and against a server that misbehaves on purpose."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from sipmail.mail.deliver import one_line
from sipmail.mail.smtp import SmtpDelivery
from tests.mail.scripted import BODY, CLOSE, HANG, HELLO, MESSAGE, Script, Scripted
from tests.mail.sending import ANNA, DATA, EVA, JAN, Deliver, MakeScripted, envelope, said, settings
from tests.support.smtp import SmtpServer


@pytest.mark.parametrize(
    "text",
    [
        "no dot at all\r\n",
        "a dot. And another.\r\n",
        ".\r\n..\r\n...three\r\n",
        "a.b\r\n.c\r\nd.\r\n",
        "the last line has no end.",
        "a line\r\n" * 9_000 + ".after the first chunk\r\n",
    ],
)
def test_dots_come_as_they_are(text: str, smtp_server: SmtpServer, deliver: Deliver) -> None:
    data = b"Subject: x\r\n\r\n" + text.encode()
    assert deliver(smtp_server).send(envelope(ANNA, data=data))[ANNA].ok
    assert smtp_server.delivered[0].data == data.removesuffix(b"\r\n") + b"\r\n"


def test_a_dot_at_the_very_beginning_comes(smtp_server: SmtpServer, deliver: Deliver) -> None:
    assert deliver(smtp_server).send(envelope(ANNA, data=b".\r\n"))[ANNA].ok
    assert smtp_server.delivered[0].data == b".\r\n"


def test_everybody_gets_it_as_it_is(smtp_server: SmtpServer, deliver: Deliver) -> None:
    outcomes = deliver(smtp_server).send(envelope(ANNA, JAN))
    assert [(address, one.ok, one.answer) for address, one in outcomes.items()] == [
        (ANNA, True, "250 OK"),
        (JAN, True, "250 OK"),
    ]
    (message,) = smtp_server.delivered
    assert message.sender == "voicemail@sipmail.test"
    assert message.recipients == (ANNA, JAN)
    assert message.data == DATA


def test_each_recipient_has_its_own_answer(smtp_server: SmtpServer, deliver: Deliver) -> None:
    answers = {ANNA: "250 OK", JAN: "451 4.7.1 greylisted", EVA: "550 5.1.1 no such user"}
    smtp_server.on_recipient = lambda address: answers[address]
    outcomes = deliver(smtp_server).send(envelope(ANNA, JAN, EVA))
    assert {address: (one.ok, one.temporary) for address, one in outcomes.items()} == {
        ANNA: (True, False),
        JAN: (False, True),
        EVA: (False, False),
    }
    assert not any(one.server for one in outcomes.values())
    assert outcomes[EVA].answer == "550 5.1.1 no such user"
    assert smtp_server.delivered[0].recipients == (ANNA,)


def test_nobody_accepted_sends_nothing_and_keeps_the_connection(
    smtp_server: SmtpServer, deliver: Deliver
) -> None:
    delivery = deliver(smtp_server)
    smtp_server.on_recipient = lambda address: "452 full"
    assert not delivery.send(envelope(ANNA))[ANNA].ok
    assert smtp_server.attempts == 0
    smtp_server.on_recipient = lambda address: "250 OK"
    assert delivery.send(envelope(ANNA))[ANNA].ok


@pytest.mark.parametrize(("answer", "temporary"), [("451 later", True), ("554 spam", False)])
def test_the_answer_to_the_data_counts_for_those_who_were_accepted(
    smtp_server: SmtpServer, deliver: Deliver, answer: str, temporary: bool
) -> None:
    smtp_server.on_recipient = lambda address: "450 later" if address == JAN else "250 OK"
    smtp_server.on_data = lambda recipients: answer
    outcomes = deliver(smtp_server).send(envelope(ANNA, JAN))
    assert (outcomes[ANNA].ok, outcomes[ANNA].temporary) == (False, temporary)
    assert outcomes[ANNA].answer == answer
    assert outcomes[JAN].temporary


def test_a_connection_serves_many_and_ends_with_quit(scripted: MakeScripted) -> None:
    server = scripted([*HELLO, *MESSAGE, *MESSAGE, ("QUIT", "221 bye")])
    delivery = SmtpDelivery(settings(server))
    for _ in range(2):
        assert delivery.send(envelope(ANNA))[ANNA].answer == "250 taken"
    delivery.close()
    delivery.close()
    assert server.connections == 1
    server.stop()
    assert "quit" in said(server)


@pytest.mark.parametrize(
    "end",
    [
        [("MAIL", CLOSE)],
        [("MAIL", "421 closing")],
        [("MAIL", "250 ok"), ("RCPT", "421 closing")],
        [("MAIL", "250 ok"), ("RCPT", CLOSE)],
    ],
)
def test_a_connection_that_grew_old_is_replaced_silently(
    scripted: MakeScripted, deliver: Deliver, end: Script
) -> None:
    server = scripted([*HELLO, *MESSAGE, *end], [*HELLO, *MESSAGE])
    delivery = deliver(server)
    for _ in range(2):
        outcome = delivery.send(envelope(ANNA))[ANNA]
        assert (outcome.ok, outcome.answer) == (True, "250 taken")
    assert server.connections == 2


def test_a_fresh_connection_is_not_tried_again(scripted: MakeScripted, deliver: Deliver) -> None:
    server = scripted([*HELLO, ("MAIL", "421 too busy")])
    outcome = deliver(server).send(envelope(ANNA))[ANNA]
    assert (outcome.temporary, outcome.server, outcome.answer) == (True, True, "421 too busy")


def test_no_answer_to_the_data_is_never_repeated_silently(
    scripted: MakeScripted, deliver: Deliver
) -> None:
    lost: Script = [("MAIL", "250 ok"), ("RCPT", "250 ok"), ("DATA", "354 go"), (BODY, CLOSE)]
    server = scripted([*HELLO, *MESSAGE, *lost], [*HELLO, *MESSAGE])
    delivery = deliver(server)
    assert delivery.send(envelope(ANNA))[ANNA].ok
    outcome = delivery.send(envelope(ANNA))[ANNA]
    assert (outcome.ok, outcome.temporary, outcome.server) == (False, True, True)
    assert outcome.answer.startswith("no answer to the message:")
    assert server.connections == 1


@pytest.mark.parametrize(
    ("script", "answer"),
    [
        ([(None, "554 go away")], "554 go away"),
        ([(None, "421 too many")], "421 too many"),
        ([*HELLO, ("MAIL", "530 authenticate first")], "530 authenticate first"),
        ([*HELLO, ("MAIL", "451 database")], "451 database"),
    ],
)
def test_trouble_with_everything_is_temporary(
    scripted: MakeScripted, deliver: Deliver, script: Script, answer: str
) -> None:
    outcomes = deliver(scripted(script)).send(envelope(ANNA, JAN))
    assert {(one.ok, one.temporary, one.answer) for one in outcomes.values()} == {
        (False, True, answer)
    }


def test_a_refused_sender_or_size_is_final(scripted: MakeScripted, deliver: Deliver) -> None:
    server = scripted([*HELLO, ("MAIL", "552 5.3.4 too big")])
    outcome = deliver(server).send(envelope(ANNA))[ANNA]
    assert (outcome.ok, outcome.temporary) == (False, False)


def test_a_slow_server_is_left_after_the_timeout(scripted: MakeScripted, deliver: Deliver) -> None:
    server = scripted([*HELLO, ("MAIL", HANG)])
    outcome = deliver(server, timeout=0.2).send(envelope(ANNA))[ANNA]
    assert (outcome.temporary, outcome.server) == (True, True)
    assert "did not answer in time" in outcome.answer


def test_no_server_is_temporary(smtp_server: SmtpServer, deliver: Deliver) -> None:
    smtp_server.go()
    outcome = deliver(smtp_server).send(envelope(ANNA))[ANNA]
    assert (outcome.temporary, outcome.server) == (True, True)
    assert "Connection refused" in outcome.answer
    smtp_server.come()


def test_no_such_host_is_temporary(smtp_server: SmtpServer, deliver: Deliver) -> None:
    outcome = deliver(smtp_server, host="mail.invalid").send(envelope(ANNA))[ANNA]
    assert (outcome.temporary, outcome.server) == (True, True)


def test_eight_bits_and_the_size_are_announced(scripted: MakeScripted, deliver: Deliver) -> None:
    hello: Script = [(None, "220 x"), ("EHLO", "250-x\r\n250-SIZE 100\r\n250 8BITMIME")]
    server = scripted([*hello, *MESSAGE])
    deliver(server).send(envelope(ANNA, data="Subject: x\r\n\r\nżółć\r\n".encode()))
    assert "mail from:<voicemail@sipmail.test> size=24 body=8bitmime" in said(server)


def test_an_address_beyond_ascii_needs_a_server_that_takes_it(
    scripted: MakeScripted, deliver: Deliver
) -> None:
    server = scripted([*HELLO, *MESSAGE])
    outcomes = deliver(server).send(envelope("łoś@sipmail.test", ANNA))
    assert (outcomes["łoś@sipmail.test"].ok, outcomes["łoś@sipmail.test"].temporary) == (
        False,
        False,
    )
    assert outcomes[ANNA].ok
    hello: Script = [(None, "220 x"), ("EHLO", "250-x\r\n250 SMTPUTF8")]
    server = scripted([*hello, *MESSAGE])
    assert deliver(server).send(envelope("łoś@sipmail.test"))["łoś@sipmail.test"].ok
    assert "rcpt to:<łoś@sipmail.test>" in said(server)
    server = scripted([*hello, *MESSAGE])
    to_both = "To: łoś@sipmail.test, anna@sipmail.test\r\n\r\nx\r\n".encode()
    assert deliver(server).send(envelope(ANNA, data=to_both))[ANNA].ok
    assert said(server)[1].endswith(" smtputf8")


def test_a_sender_beyond_ascii_needs_such_a_server(
    scripted: MakeScripted, deliver: Deliver
) -> None:
    server = scripted([*HELLO, ("RSET", "250 ok")])
    sent = replace(envelope(ANNA), sender="łoś@sipmail.test")
    outcome = deliver(server).send(sent)[ANNA]
    assert (outcome.ok, outcome.temporary) == (False, True)
    assert outcome.answer.startswith("the server does not take a sender")


def test_an_answer_is_one_printable_line() -> None:
    assert one_line(b"2.0.0 ok\r\n second \x1b[31mline\xff") == "2.0.0 ok second ?[31mline\ufffd"
    assert len(one_line("x" * 5000)) == 400


def test_delivery_status_notifications_where_the_server_has_them(
    scripted: Callable[..., Scripted], deliver: Callable[..., SmtpDelivery]
) -> None:
    hello: Script = [HELLO[0], ("EHLO", "250-scripted\r\n250 DSN")]
    server = scripted([*hello, *MESSAGE], [*HELLO, *MESSAGE])
    delivery = deliver(server)
    assert delivery.send(envelope(ANNA))[ANNA].ok
    delivery.close()
    assert delivery.send(envelope(ANNA))[ANNA].ok
    commands = [line for line in said(server) if line.startswith(("mail", "rcpt"))]
    assert "ret=hdrs envid=20261123t120000000000-ab" in commands[0]
    assert commands[1].endswith("notify=failure,delay")
    assert "envid" not in commands[2]
    assert "notify" not in commands[3]
