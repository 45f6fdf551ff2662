"""The courier and its clock: one that is set back, and what happened before it was started."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest

from sipmail.channel import Channel
from sipmail.mail.courier import Courier
from sipmail.mail.dispatch import Dispatch
from sipmail.mail.log_lines import LogLines
from sipmail.spool.message import Delivery, RecipientState, RecipientStatus
from sipmail.spool.spool import Spool, State
from tests.mail.conftest import ADMIN, ANNA, MakeConfig
from tests.spool.conftest import a_message

NOW = 1_800_000_000.0


def test_what_waits_is_tried_when_the_clock_goes_back(
    make_config: MakeConfig, spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    again = datetime.fromtimestamp(NOW, UTC) + timedelta(hours=1)
    waiting = replace(
        a_message(ended=again, ending="caller"), delivery=Delivery(attempts=1, next_attempt=again)
    )
    spool.begin(waiting)
    spool.finish(waiting)
    clock = [NOW]
    monkeypatch.setattr(time, "time", lambda: clock[0])
    ours, theirs = Channel.pair()
    with theirs:
        courier = Courier(ours, make_config(), LogLines())
        dispatch = courier._dispatch
        dispatch.start()
        courier._work()
        assert (dispatch.in_hand, courier._patience()) == (0, 15.0)
        clock[0] -= 2.0  # a correction
        courier._work()
        assert dispatch.in_hand == 0
        clock[0] -= 100_000.0
        courier._work()
        assert dispatch.in_hand == 1
        assert courier._patience() <= 15.0
        dispatch._threads.shutdown()
        dispatch.senders.close()
        for end in (courier._wake_in, courier._wake_out, ours):
            end.close()


def test_a_leap_of_the_clock_deletes_nothing(
    make_config: MakeConfig, spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, passed = time.time(), [0.0]
    leap = [0.0]
    clock = SimpleNamespace(time=lambda: now + passed[0] + leap[0], monotonic=lambda: passed[0])
    monkeypatch.setattr("sipmail.mail.courier.time", clock)
    kept = a_message(ended=datetime.fromtimestamp(now, UTC), ending="caller")
    spool.begin(kept)
    spool.finish(kept)
    spool.move(kept.id, State.QUEUE, State.DONE)
    ours, theirs = Channel.pair()
    with theirs:
        courier = Courier(ours, make_config(keep="7d"), LogLines())
        dispatch = courier._dispatch

        def left() -> list[str]:
            courier._work()
            dispatch._threads.shutdown()
            dispatch._threads = ThreadPoolExecutor(1)
            return spool.ids(State.DONE)

        assert left() == [kept.id]
        leap[0] = 30 * 86400.0
        assert left() == [kept.id]
        passed[0] = 80_000.0
        assert left() == [kept.id]
        leap[0] = 0.0  # corrected
        assert left() == [kept.id]
        passed[0] = 8 * 86400.0
        assert left() == []
        dispatch._threads.shutdown()
        dispatch.senders.close()
        for end in (courier._wake_in, courier._wake_out, ours):
            end.close()


@pytest.mark.parametrize(("hours", "told"), [(1, True), (30, False)])
def test_what_was_given_up_just_before_a_crash_is_told_after_it(
    make_config: MakeConfig, spool: Spool, hours: int, told: bool
) -> None:
    """It was tried for five days before: when it began says nothing."""
    now = datetime.now(UTC)
    given_up = RecipientState(RecipientStatus.FAILED, "given up", now - timedelta(hours=hours))
    failed = replace(
        a_message(ended=now - timedelta(days=5), ending="caller"),
        delivery=Delivery(
            attempts=38, first_attempt=now - timedelta(days=5), recipients={ANNA: given_up}
        ),
    )
    spool.begin(failed)
    spool.finish(failed)
    spool.move(failed.id, State.QUEUE, State.FAILED)
    config = make_config(mail={"admin": ADMIN, "maildir": "mail"})
    dispatch = Dispatch(spool, config, lambda done: None, lambda word: None)
    dispatch.start()
    assert (dispatch.worry_deadline is not None) == told
    dispatch._threads.shutdown()
    dispatch.senders.close()
