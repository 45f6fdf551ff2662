"""Calls that are refused, and those who get no answer: limits, unknown numbers, strangers."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.conftest import (
    Office,
    own_number,
    short_sections,
    wait_mail,
)
from tests.e2e.telephone import (
    decoded,
    message,
    noise,
    opening,
    recording,
    same,
    until,
    wait_recording,
)
from tests.support.agent import Agent, configuration
from tests.support.caller import Caller, CallFailed
from tests.support.smtp import SmtpServer

pytestmark = pytest.mark.e2e


def test_a_number_without_a_mailbox(phone: Caller) -> None:
    with pytest.raises(CallFailed, match="404"):
        phone.call("299")


def test_options_says_what_we_can_do(office: Office, phone: Caller) -> None:
    host, port = office.agent.address
    answer = phone.request("OPTIONS", f"sip:{host}:{port}")
    assert answer.status == 200
    assert {"INVITE", "ACK", "BYE", "CANCEL", "OPTIONS"} <= set(
        answer.get("Allow").replace(" ", "").split(",")
    )
    assert "application/sdp" in answer.get("Accept")


@pytest.fixture(scope="module")
def narrow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Agent, SmtpServer]]:
    """An agent with room for two calls, one from each of the addresses that it knows."""
    folder = tmp_path_factory.mktemp("narrow")
    smtp = SmtpServer().start()
    known = ["127.0.0.1/32", "127.0.0.2/32", "127.0.0.3/32"]
    settings = configuration(
        folder,
        smtp,
        calls=50,
        **short_sections(
            folder,
            sip={"trunks": {"local": {"accept_from": known}}},
            limits={"calls": 2, "calls_per_source": 1},
        ),
    )
    agent = Agent(folder, settings).start()
    try:
        yield agent, smtp
    finally:
        agent.close()
        smtp.stop()


def test_limits_refuse_and_the_calls_before_go_on(narrow: tuple[Agent, SmtpServer]) -> None:
    agent, smtp = narrow
    number, said = own_number(), noise(0.5, 34)
    with (
        Caller(agent.address, user=number) as first,
        Caller(agent.address, host="127.0.0.2") as second,
        Caller(agent.address, host="127.0.0.3") as third,
    ):
        call = first.call()
        with pytest.raises(CallFailed, match="486"):
            first.call()
        other = second.call()
        with pytest.raises(CallFailed, match="503"):
            third.call()
        assert "Retry-After: " in third.trace[-2] + third.trace[-1]
        call.send(opening())
        wait_recording(agent, call)
        call.send(message(said))
        call.hang_up()
        other.hang_up()
        same(recording(wait_mail(smtp, number)), decoded(said))
        until(lambda: agent.messages("recording") == [], "the end of both calls")
        assert third.call().hang_up().status == 200


def test_a_stranger_gets_no_answer_and_the_log_says_who(
    narrow: tuple[Agent, SmtpServer],
) -> None:
    agent, _ = narrow
    with Caller(agent.address, host="127.0.0.9") as stranger:
        call = stranger.invite()
        line = agent.wait_log("no answer to INVITE from 127.0.0.9")
        assert "accept_from" in line
        assert "127.0.0.9" in line.partition("accept_from")[2]
        # A known caller is served meanwhile, the stranger is not.
        with Caller(agent.address) as known:
            assert known.request("OPTIONS", "sip:201@127.0.0.1").status == 200
        assert call.responses == []
