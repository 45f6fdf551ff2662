"""What is said about registrations and strangers, on a moved clock."""

from __future__ import annotations

import logging

import pytest

from sipmail.agent.trunks import TrunkWatch
from sipmail.sip.actions import Hop, Ignored, Registered, RegistrationFailed


class Office:
    """A watch, its clock, and what the administrator was told."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.told: list[str] = []
        self.watch = TrunkWatch(lambda: self.now, lambda subject, _: self.told.append(subject))
        self.watch.follow(["pbx"])


@pytest.fixture
def office(caplog: pytest.LogCaptureFixture) -> Office:
    logging.getLogger("sipmail").propagate = True
    caplog.set_level(logging.DEBUG, "sipmail")
    return Office()


def test_a_trunk_that_stays_unregistered_is_told_once_and_so_is_its_return(office: Office) -> None:
    office.watch.on_action(RegistrationFailed("pbx", 403, "Forbidden", 30.0))
    office.now += 899
    office.watch.look()
    assert office.told == []
    office.now += 1
    office.watch.look()
    office.watch.look()
    assert office.told == ["trunk pbx is not registered"]
    office.watch.on_action(Registered("pbx", 300.0))
    assert office.told[1:] == ["trunk pbx is registered again"]
    assert office.watch.states["pbx"].registered


def test_a_short_outage_is_not_told(office: Office) -> None:
    office.watch.on_action(Registered("pbx", 300.0))
    office.now += 5000
    office.watch.on_action(RegistrationFailed("pbx", None, "no answer", 30.0))
    office.now += 60
    office.watch.look()
    office.watch.on_action(Registered("pbx", 300.0))
    assert office.told == []


def test_a_renewal_is_no_news(office: Office, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(3):
        office.watch.on_action(Registered("pbx", 300.0))
    lines = [record for record in caplog.records if record.levelno >= logging.INFO]
    assert [line.getMessage() for line in lines] == ["trunk pbx: registered for 300 s"]


def test_strangers_get_one_hint_a_minute_with_their_number(
    office: Office, caplog: pytest.LogCaptureFixture
) -> None:
    stranger = Ignored(Hop("udp", "203.0.113.9", 5060), "INVITE", "accept_from: [203.0.113.9]")
    for second in range(130):
        office.now = 2000.0 + second
        office.watch.on_action(stranger)
    hints = [r.getMessage() for r in caplog.records if "no answer to INVITE" in r.getMessage()]
    assert len(hints) == 3
    assert "accept_from: [203.0.113.9]" in hints[0]
    assert "(60 such since" in hints[1]
    assert office.watch.strangers == 130


def test_who_probes_with_options_does_not_hide_calls(
    office: Office, caplog: pytest.LogCaptureFixture
) -> None:
    for host, method in (("198.51.100.7", "OPTIONS"), ("203.0.113.9", "INVITE")):
        hop = Hop("udp", host, 5060)
        office.watch.on_action(Ignored(hop, method, f"accept_from: [{host}] would accept it"))
        office.watch.on_action(Ignored(hop, method, f"accept_from: [{host}] would accept it"))
    hints = [r.getMessage().partition(":")[0] for r in caplog.records]
    assert hints == [
        "no answer to OPTIONS from 198.51.100.7",
        "no answer to INVITE from 203.0.113.9",
    ]
    assert office.watch.strangers == 4


def test_a_removed_trunk_is_forgotten(office: Office) -> None:
    office.watch.follow(["other"])
    office.now += 10_000
    office.watch.look()
    assert office.told == ["trunk other is not registered"]
