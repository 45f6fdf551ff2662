"""While an operator's telephone rings: what a caller may do meanwhile, through the whole program.

The phone answers our REFER with 200, as a phone system would, and says nothing more by itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import (
    LONG,
    PLAIN,
    facts,
    own_number,
    wait_mail,
    wait_settled,
    write_greeting,
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
from tests.e2e.test_calls import info
from tests.support.agent import Agent, configuration
from tests.support.caller import Call, Caller
from tests.support.patience import PATIENCE
from tests.support.smtp import SmtpServer

pytestmark = pytest.mark.e2e

RTP_TIMEOUT = 4.0


@pytest.fixture(scope="module")
def smtp(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SmtpServer]:
    server = SmtpServer().start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory, smtp: SmtpServer) -> Iterator[Agent]:
    """An agent whose mailbox has an operator and a short patience with silent lines."""
    folder: Path = tmp_path_factory.mktemp("desk")
    sales = {
        "greeting": str(write_greeting(folder / "long.wav", LONG)),
        "operator": "100",
        "record": PLAIN,
    }
    settings = configuration(
        folder, smtp, rtp={"timeout": f"{RTP_TIMEOUT:g}s"}, mailboxes={"sales": sales}
    )
    agent = Agent(folder, settings).start()
    yield agent
    agent.close()
    print(agent.log())


@pytest.fixture
def phone(desk: Agent) -> Iterator[Caller]:
    with Caller(desk.address, user=own_number()) as caller:
        yield caller


def put_through(phone: Caller) -> Call:
    """A call that has pressed 0 and waits for the operator."""
    call = phone.call("201")
    call.send(opening(packets=10))
    info(call, "0")
    refer = phone.requests.get(timeout=PATIENCE)
    while refer.method != "REFER":
        refer = phone.requests.get(timeout=PATIENCE)
    assert refer.get("Refer-To") == f"<sip:100@{phone.host}:{phone.port}>"
    return call


def notify(call: Call, line: str, state: str) -> None:
    headers = [
        ("Event", "refer"),
        ("Subscription-State", state),
        ("Content-Type", "message/sipfrag"),
    ]
    call.send_request("NOTIFY", headers=headers, body=f"SIP/2.0 {line}\r\n")
    assert call.wait_response("NOTIFY").status == 200


def test_a_silent_line_is_no_reason_to_hang_up(
    desk: Agent, phone: Caller, smtp: SmtpServer
) -> None:
    call = put_through(phone)
    assert not call.wait(lambda: call.bye is not None, RTP_TIMEOUT + 1.5)
    notify(call, "480 Temporarily Unavailable", "terminated;reason=noresource")
    said = noise(0.5, 81)
    call.send(opening())
    wait_recording(desk, call)
    call.send(message(said))
    call.hang_up()
    same(recording(wait_mail(smtp, phone.user)), decoded(said))
    assert wait_settled(desk, call.call_id)["ending"] == "caller"


def test_a_caller_who_does_not_wait_for_the_operator_has_called(
    desk: Agent, phone: Caller, smtp: SmtpServer
) -> None:
    call = put_through(phone)
    notify(call, "100 Trying", "active;expires=60")
    notify(call, "180 Ringing", "active;expires=60")
    call.hang_up()
    mail = wait_mail(smtp, phone.user)
    assert str(mail.message["Subject"]).startswith("Missed call")
    assert wait_settled(desk, call.call_id)["kind"] == "missed"


def test_a_phone_system_that_takes_the_call_back_has_put_it_through(
    desk: Agent, phone: Caller
) -> None:
    call = put_through(phone)
    notify(call, "100 Trying", "active;expires=60")
    call.hang_up()
    desk.wait_log(f"{call.call_id}: the operator has taken it")
    until(lambda: not facts(desk, call.call_id), "nothing to tell of")
