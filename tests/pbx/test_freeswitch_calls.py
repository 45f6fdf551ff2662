"""Calls that FreeSWITCH bridges to sipmail when nobody takes them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.interop.conftest import Sound
from tests.pbx.conftest import Office, check_sound, leave_message, text_of

WHY = {
    "201": "nobody answered",
    "202": "the line was busy",
    "203": "could not be reached",
    "204": "could not be reached",
    "205": "the line was busy",
}


@pytest.mark.parametrize("codec", ["PCMU", "PCMA"])
def test_why_a_call_came(
    fs_office: Callable[..., Office], sound: Callable[..., Sound], codec: str
) -> None:
    one = fs_office(rtp={"codecs": [codec]})
    spoken = sound(codec)
    for count, (number, why) in enumerate(WHY.items()):
        leave_message(one, number, spoken, codec)
        mail = one.mail(count)
        text = text_of(mail)
        assert why in text, number
        assert number in text
        assert str(mail.message["X-Sipmail-Caller"]) == "+48600111222"
        assert "Zofia" in text
        check_sound(mail, spoken)
