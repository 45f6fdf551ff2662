"""message.json: both directions, and what a person or a disk may have done to it."""

from __future__ import annotations

import contextlib
import json
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipmail.errors import SpoolError
from sipmail.spool.message import (
    Caller,
    Delivery,
    Kind,
    Message,
    Notice,
    RecipientState,
    RecipientStatus,
    Sound,
    check_id,
    new_id,
    torn,
)
from tests.spool.conftest import NOON, a_message

times = st.datetimes(
    datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)
) | st.datetimes(
    datetime(2000, 1, 1),
    datetime(2100, 1, 1),
    timezones=st.just(timezone(timedelta(hours=5, minutes=45))),
)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
states = st.builds(
    RecipientState, st.sampled_from(RecipientStatus), st.none() | texts, st.none() | times
)
deliveries = st.builds(
    Delivery,
    message_id=st.none() | texts,
    attempts=st.integers(0, 1000),
    first_attempt=st.none() | times,
    next_attempt=st.none() | times,
    on_call_at=st.none() | times,
    recipients=st.dictionaries(texts, states, max_size=3),
    last_answer=st.none() | texts,
    sound=st.none()
    | st.builds(
        Sound,
        st.just("message.mp3"),
        st.integers(0, 1 << 40),
        st.just("audio/mpeg"),
        st.none() | st.just("waveform.png"),
        st.integers(0, 1 << 40),
        st.floats(0, 1),
        st.booleans(),
    ),
    told=st.lists(texts, max_size=2).map(tuple),
)
messages = st.builds(
    Message,
    id=st.from_regex(r"[0-9A-Za-z][0-9A-Za-z-]{0,20}", fullmatch=True),
    mailbox=texts,
    called=texts,
    received=times,
    caller=st.builds(Caller, st.none() | texts, st.none() | texts, st.booleans()),
    called_name=st.none() | texts,
    reason=texts.filter(bool),
    answered=st.none() | times,
    ended=st.none() | times,
    ending=st.none() | texts,
    recorded=st.booleans(),
    payloads=st.dictionaries(st.integers(0, 127), texts, max_size=3),
    urgent=st.booleans(),
    duration=st.none() | st.floats(0, 1e6),
    kind=st.sampled_from(Kind),
    notes=st.lists(texts, max_size=2).map(tuple),
    notice=st.none() | st.builds(Notice, texts, texts, texts),
    delivery=deliveries,
)


@given(messages)
def test_what_is_written_is_read(message: Message) -> None:
    assert Message.loads(message.dumps()) == message
    assert Message.loads(message.dumps()).dumps() == message.dumps()


@given(messages, st.data())
def test_a_torn_or_changed_file_is_refused_or_read_but_never_raises_anything_else(
    message: Message, data: st.DataObject
) -> None:
    whole = bytearray(message.dumps())
    at = data.draw(st.integers(0, len(whole) - 1))
    whole[at] = data.draw(st.integers(0, 255))
    for damaged in (bytes(whole), bytes(whole[:at])):
        with contextlib.suppress(SpoolError):
            Message.loads(damaged)


@given(messages, st.data())
def test_what_breaks_off_is_told_from_what_is_damaged(
    message: Message, data: st.DataObject
) -> None:
    whole = message.dumps()
    begun = whole[: data.draw(st.integers(0, len(whole) - 1))]
    assert torn(begun)
    assert torn(begun + bytes(data.draw(st.integers(0, 9))))
    assert not torn(whole)
    assert not torn(b"x" + whole)
    assert not torn(whole.replace(b'"received"', b"received"))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("id", "../../etc/passwd"),
        ("id", ""),
        ("id", 7),
        ("received", None),
        ("received", "2026-11-23T12:00:00"),  # without a zone
        ("received", "yesterday"),
        ("kind", "fax"),
        ("payloads", {"x": "PCMU"}),
        ("payloads", ["PCMU"]),
        ("recorded", "yes"),
        ("duration", "long"),
        ("duration", True),
        ("notes", "text"),
        ("caller", "Jan"),
        ("delivery", {"recipients": {"a@b": 1}}),
        ("delivery", {"recipients": {"a@b": {"state": "lost"}}}),
        ("delivery", {"sound": {"file": "../../etc/passwd"}}),
        ("delivery", {"sound": {"file": ".hidden"}}),
        ("notice", {"event": "x"}),
    ],
)
def test_wrong_values_are_refused(key: str, value: object) -> None:
    raw = json.loads(a_message().dumps())
    raw[key] = value
    with pytest.raises(SpoolError, match="not a message"):
        Message.loads(json.dumps(raw).encode())


def test_another_versions_keys_do_not_matter() -> None:
    raw = json.loads(a_message().dumps())
    raw["emotion"] = "angry"
    for key in ("notice", "urgent", "notes", "delivery", "caller"):
        del raw[key]
    message = Message.loads(json.dumps(raw).encode())
    assert message.delivery == Delivery()
    assert message.caller == Caller()


def test_ids_sort_by_time_and_cannot_be_guessed() -> None:
    ids = [new_id(NOON + timedelta(microseconds=step)) for step in (0, 1, 999_999, 1_000_000)]
    assert ids == sorted(ids)
    assert len({new_id(NOON) for _ in range(100)}) == 100
    assert ids[0].startswith("20261123T120000000000-")
    east = NOON.astimezone(timezone(timedelta(hours=9)))
    assert new_id(east)[:21] == ids[0][:21]
    for one in ids:
        assert check_id(one) == one


@pytest.mark.parametrize("text", ["", ".", "..", "a/b", "-x", "a\n", "a\0", "x" * 101, "ą", ".x"])
def test_what_leads_out_of_the_spool_is_no_id(text: str) -> None:
    with pytest.raises(SpoolError):
        check_id(text)
