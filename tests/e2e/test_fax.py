"""A fax machine that calls: its tone, made by sox, ends the call, and people hear of no message."""

from __future__ import annotations

import subprocess

import pytest

from tests.conftest import require_program
from tests.e2e.conftest import Office, wait_settled
from tests.e2e.telephone import body, message, say
from tests.support.caller import Caller
from tests.support.rtp import RATE

pytestmark = pytest.mark.e2e

_TONE = ("synth", "0.5", "sine", "1100", "vol", "0.25")
_PERIOD = 3.5
_LONGEST = 20.0


def calling_tone(seconds: float) -> bytes:
    """CNG as a fax machine sends it (ITU-T T.30): 0.5 s of 1100 Hz, then 3 s of nothing."""
    ran = subprocess.run(
        [
            *(require_program("sox"), "-D", "-n", "-r", str(RATE), "-c", "1"),
            *("-t", "raw", "-e", "u-law", "-b", "8", "-", *_TONE, "pad", "0", str(_PERIOD - 0.5)),
            *("repeat", str(round(seconds / _PERIOD) - 1)),
        ],
        capture_output=True,
        check=True,
    )
    return ran.stdout


def test_a_fax_is_hung_up_and_mailed_as_a_call_without_a_message(
    office: Office, phone: Caller
) -> None:
    call = office.dial(phone)
    line = message(calling_tone(_LONGEST))
    sent = say((call, line), stop=lambda: call.bye is not None)[call]
    assert call.bye is not None, f"not hung up after {len(sent) / 50} s"
    assert _PERIOD < len(sent) / 50 < 3 * _PERIOD
    mail = office.mail(phone.user)
    assert not [part for part in mail.message.walk() if part.get_content_maintype() == "audio"]
    assert "faks" in body(mail) or "fax" in body(mail)
    kept = wait_settled(office.agent, call.call_id)
    assert kept["kind"] == "missed"
    assert kept["notes"] == ["fax"]
