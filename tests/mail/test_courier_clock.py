"""The courier on a machine whose clock is set back."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from sipmail.channel import Channel
from sipmail.mail.courier import Courier
from sipmail.mail.log_lines import LogLines
from sipmail.spool.message import Delivery
from sipmail.spool.spool import Spool
from tests.mail.conftest import MakeConfig
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
        dispatch._encoders.shutdown()
        dispatch.close()
        for end in (courier._wake_in, courier._wake_out, ours):
            end.close()
