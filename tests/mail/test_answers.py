"""Answers of a server that never stops talking, and of one that speaks something else."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.mail.conftest import ANNA
from tests.mail.scripted import HELLO, Script, Scripted
from tests.mail.sending import Deliver, envelope

MANY = "\r\n".join(["250-and"] * 999)
TOO_MANY = "\r\n".join(["250-and"] * 1000)


@pytest.mark.parametrize(
    ("script", "answer"),
    [
        ([*HELLO, ("MAIL", f"{TOO_MANY}\r\n250 ok")], "an answer has more than 1000 lines"),
        ([*HELLO, ("MAIL", f"{MANY}\r\n450 later")], "450 and and"),
        ([(None, "abc")], "the answer is no SMTP"),
    ],
)
def test_an_answer_has_an_end(
    scripted: Callable[..., Scripted], deliver: Deliver, script: Script, answer: str
) -> None:
    outcome = deliver(scripted(script)).send(envelope(ANNA))[ANNA]
    assert (outcome.ok, outcome.temporary) == (False, True)
    assert answer in outcome.answer
