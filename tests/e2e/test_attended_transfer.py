"""Somebody calls voicemail for somebody else, and hands the caller over (RFC 5589 section 7).

A PBX that stays in the way says so in the same call, by a re-INVITE or UPDATE with another
P-Asserted-Identity; telephones by a new INVITE that replaces the call (RFC 3891).
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.e2e.conftest import Office, facts, own_number
from tests.e2e.telephone import (
    body,
    decoded,
    message,
    noise,
    opening,
    payload_of,
    recording,
    same,
    say,
    until,
    wait_recording,
)
from tests.support.caller import Call, Caller, CallFailed
from tests.support.siptext import Message

pytestmark = pytest.mark.e2e

Phones = Callable[..., Caller]


def replaces(call: Call, changed: str = "") -> tuple[str, str]:
    """The header by which another call takes the place of this one."""
    tag = changed or tag_of(answer_to(call))
    return "Replaces", f"{call.call_id};to-tag={tag};from-tag={call.tag}"


def answer_to(call: Call) -> Message:
    assert call.answer is not None
    return call.answer


def tag_of(answer: Message) -> str:
    return answer.get("To").partition("tag=")[2]


def contact_of(call: Call) -> str:
    """Where a telephone refers the caller to: our end of the call."""
    return answer_to(call).get("Contact").partition("<")[2].partition(">")[0]


@pytest.mark.parametrize("method", ["INVITE", "UPDATE"])
def test_the_email_names_who_took_the_call_over(
    method: str, office: Office, phones: Phones
) -> None:
    secretary, number = phones(display="Sekretariat"), own_number()
    call = office.dial(secretary)
    before = len(call.responses)
    call.send_request(
        method,
        headers=[("P-Asserted-Identity", f'"Marek Lis" <sip:{number}@pbx.example.com>')],
        body=call.offer() if method == "INVITE" else "",
    )
    until(lambda: any(one.status == 200 for one in call.responses[before:]), "a 200")
    said = message(noise(0.6, 1))
    say((call, said))
    call.hang_up()
    mail = office.mail(number)
    assert "Marek Lis" in str(mail.message["Subject"])
    assert "Marek Lis" in body(mail)
    assert "Sekretariat" not in body(mail)
    same(recording(mail), decoded(payload_of(said)))
    ((_, known),) = facts(office.agent, call.call_id).values()
    assert known["caller"] == {"number": number, "name": "Marek Lis", "withheld": False}


def test_a_caller_who_is_handed_over_reaches_the_same_mailbox(
    office: Office, phones: Phones
) -> None:
    """The greeting is heard anew, and the e-mail is about this caller alone."""
    secretary, caller = phones(), phones()
    asking = secretary.call("206", headers=[("Diversion", "<sip:206@x>;reason=user-busy")])
    asking.send(opening())
    asking.wait_heard(10)  # the greeting plays for seconds
    call = caller.call("nobody", uri=contact_of(asking), headers=[replaces(asking)])
    asking.wait_bye()
    call.send(opening())
    call.wait_heard(10)
    key = "Signal=#\r\nDuration=160\r\n"  # no need to hear it all
    call.send_request("INFO", headers=[("Content-Type", "application/dtmf-relay")], body=key)
    wait_recording(office.agent, call)
    said = message(noise(0.6, 2))
    say((call, said))
    call.hang_up()
    mail = office.mail(caller.user)
    assert mail.message["X-Sipmail-Mailbox"] == "talkative"
    assert "the line was busy" in body(mail)
    same(recording(mail), decoded(payload_of(said)))
    assert facts(office.agent, asking.call_id) == {}, "this was no missed call"


def test_what_was_said_before_is_kept(office: Office, phones: Phones) -> None:
    secretary, caller = phones(), phones()
    asking = office.dial(secretary)
    said = message(noise(0.6, 3))
    say((asking, said))
    call = caller.call("nobody", uri=contact_of(asking), headers=[replaces(asking)])
    asking.wait_bye()
    same(recording(office.mail(secretary.user)), decoded(payload_of(said)))
    call.hang_up()


def test_a_call_that_is_to_replace_another_than_ours(office: Office, phones: Phones) -> None:
    """It is refused, and the call goes on."""
    secretary, caller = phones(), phones()
    asking = office.dial(secretary)
    with pytest.raises(CallFailed) as failed:
        caller.call("201", headers=[replaces(asking, "another")])
    assert failed.value.status == 481
    said = message(noise(0.6, 4))
    say((asking, said))
    asking.hang_up()
    same(recording(office.mail(secretary.user)), decoded(payload_of(said)))
