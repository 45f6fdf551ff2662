"""The last messages on the status page: newest first, what became of each, nothing to click."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any
from wsgiref.util import setup_testing_defaults

import pytest

from sipmail.agent.latest import MessageLine, latest_messages
from sipmail.agent.status import Snapshot
from sipmail.agent.web import Pages
from sipmail.mail.queue import DROPPED
from sipmail.spool.layout import State
from sipmail.spool.message import (
    Caller,
    Delivery,
    Kind,
    Message,
    Notice,
    RecipientState,
    RecipientStatus,
    new_id,
)
from sipmail.spool.spool import Spool

TAKEN = Delivery(recipients={"anna@example.com": RecipientState(RecipientStatus.DELIVERED)})
NOON = datetime(2026, 11, 23, 12, 0, 0, tzinfo=UTC)
CALM = Snapshot(
    version="1",
    started=NOON,
    trunks=(),
    calls=(),
    calls_taken=0,
    calls_refused=0,
    strangers=0,
    sip_received=0,
    sip_sent=0,
    queue=0,
    queue_oldest=0.0,
    failed=0,
    trouble="",
    delivered=0,
    delivery_failures=0,
    restarts=0,
    free_disk=2,
    least_disk=1,
)


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    spool = Spool(tmp_path / "spool")
    spool.open()
    yield spool
    spool.close()


def put(spool: Spool, minute: int, state: State = State.DONE, **facts: Any) -> None:
    received = NOON + timedelta(minutes=minute)
    message = Message(
        **{
            "id": new_id(received),
            "mailbox": "sales",
            "called": "201",
            "received": received,
            "caller": Caller("+48600123456"),
            "duration": 42.4,
            "delivery": TAKEN,
        }
        | facts
    )
    spool.begin(message)
    spool.finish(message)
    if state is not State.QUEUE:
        spool.move(message.id, State.QUEUE, state)


def test_newest_first_and_what_became_of_each(spool: Spool) -> None:
    put(spool, 0)
    put(spool, 1, State.QUEUE, caller=Caller("201", "Anna"), duration=3723.4)
    put(spool, 2, State.FAILED, caller=Caller(withheld=True), kind=Kind.MISSED, duration=None)
    put(spool, 3, notes=(DROPPED,), caller=Caller())
    put(spool, 5, kind=Kind.MISSED, duration=None, delivery=Delivery())
    put(spool, 6, kind=Kind.MISSED, duration=None, delivery=Delivery(), notes=("mailed with 1",))
    put(spool, 4, kind=Kind.NOTICE, notice=Notice("failed", "x", "y"))
    shown = [(one.caller, one.what, one.fate) for one in latest_messages(spool)]
    assert shown == [
        ("+48600123456", "missed", "in another e-mail"),
        ("+48600123456", "missed", "not mailed"),
        ("unknown", "0:42", "dropped"),
        ("withheld", "missed", "given up"),
        ("Anna", "1:02:03", "waiting"),
        ("+48600123456", "0:42", "delivered"),
    ]


def test_ten_are_enough_and_what_cannot_be_read_is_left_out(spool: Spool) -> None:
    for minute in range(12):
        put(spool, minute)
    newest = spool.ids(State.DONE)[-1]
    (spool.folder(State.DONE, newest) / "message.json").write_text("{")
    found = latest_messages(spool)
    assert [one.received.minute for one in found] == list(range(10, 0, -1))


def test_before_the_first_start_there_are_none(tmp_path: Path) -> None:
    assert latest_messages(Spool(tmp_path / "none")) == ()


def page(*lines: MessageLine) -> str:
    environ: dict[str, Any] = {}
    setup_testing_defaults(environ)
    pages = Pages(lambda: CALM, partial(tuple, lines))
    return b"".join(pages(environ, lambda *_: lambda _: None)).decode()


def test_the_page_shows_them_as_text() -> None:
    shown = page(MessageLine(NOON, "sales", "<b>Eve</b>", None, "waiting"))
    assert "&lt;b&gt;Eve&lt;/b&gt;" in shown
    assert '<td>missed, <span class="soft">waiting</span></td>' in shown
    assert "<a " not in shown
    assert "<audio" not in shown
