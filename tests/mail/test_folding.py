"""Which missed calls are mailed at once, and which wait for others."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from sipmail.mail.folding import Folding, Turn
from sipmail.spool.message import Caller, Delivery, Kind, Message

START = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
NOW = START.timestamp()


def missed(number: int, seconds: float = 0.0, caller: str | None = "+48600123456") -> Message:
    return Message(
        id=f"m{number}",
        mailbox="sales",
        called="201",
        received=START + timedelta(seconds=seconds),
        kind=Kind.MISSED,
        caller=Caller(caller, withheld=caller is None),
    )


def test_the_first_is_mailed_and_the_rest_becomes_one() -> None:
    folding = Folding()
    assert folding.turn(missed(1), 300, NOW) == Turn()
    assert folding.turn(missed(2, 10), 300, NOW + 10) == Turn(NOW + 300)
    assert folding.turn(missed(3, 20), 300, NOW + 20) == Turn(NOW + 300)
    turn = folding.turn(missed(2, 10), 300, NOW + 300)
    assert turn == Turn(None, (("m3", START + timedelta(seconds=20)),))
    # That e-mail opens a window of its own.
    assert folding.turn(missed(4, 310), 300, NOW + 310) == Turn(NOW + 600)
    assert folding.turn(missed(4, 310), 300, NOW + 600) == Turn()


def test_what_another_mail_stands_for_is_forgotten() -> None:
    folding = Folding()
    folding.turn(missed(1), 300, NOW)
    folding.turn(missed(2), 300, NOW + 1)
    folding.done(missed(2))
    folding.done(missed(9, caller=None))
    assert folding.turn(missed(3), 300, NOW + 300) == Turn()


def test_a_call_after_the_window_is_mailed_at_once() -> None:
    folding = Folding()
    folding.turn(missed(1), 300, NOW)
    assert folding.turn(missed(2), 300, NOW + 301) == Turn()


@pytest.mark.parametrize(
    "other",
    [
        replace(missed(2), mailbox="service"),
        missed(2, caller="+48600999999"),
        missed(2, caller=None),
        replace(missed(2), kind=Kind.MESSAGE),
        replace(missed(2), delivery=Delivery(attempts=1)),
        replace(missed(2), repeats=(START,)),
    ],
)
def test_what_is_never_folded(other: Message) -> None:
    folding = Folding()
    folding.turn(missed(1), 300, NOW)
    assert folding.turn(other, 300, NOW + 1) == Turn()


def test_withheld_callers_have_nothing_in_common() -> None:
    folding = Folding()
    assert folding.turn(missed(1, caller=None), 300, NOW) == Turn()
    assert folding.turn(missed(2, caller=None), 300, NOW) == Turn()


def test_a_mailbox_that_folds_nothing() -> None:
    folding = Folding()
    assert folding.turn(missed(1), 0, NOW) == Turn()
    assert folding.turn(missed(2), 0, NOW) == Turn()
