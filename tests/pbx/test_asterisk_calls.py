"""Calls that Asterisk sends on to sipmail: whose they are, who calls, why, and what was said."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.interop import baresip
from tests.interop.conftest import Sound
from tests.pbx.asterisk import RING, USER
from tests.pbx.conftest import Office, check_sound, leave_message, text_of

README = Path(__file__).parents[2] / "README.md"
WHY = {
    "201": "nobody answered",
    "202": "the line was busy",
    "203": "could not be reached",
    "204": "nobody answered",  # Asterisk takes a 480 for that
    "205": "the line was busy",
    "*202": "calls are forwarded to voicemail",
}


@pytest.mark.parametrize("number", WHY)
def test_why_a_call_came(shared: Office, sound: Callable[..., Sound], number: str) -> None:
    shared.pbx.configure()
    before = len(shared.smtp.delivered)
    spoken = sound("PCMU")
    leave_message(shared, number, spoken)
    mail = shared.mail(before)
    text = text_of(mail)
    assert WHY[number] in text
    assert number.removeprefix("*") in text
    assert "+48600111222" in text.replace(" ", "")
    assert "Zofia" in text
    check_sound(mail, spoken)


@pytest.mark.parametrize("number", ["201", "202", "203"])
def test_the_dialplan_of_the_readme(
    shared: Office, sound: Callable[..., Sound], number: str
) -> None:
    readme = README.read_text(encoding="utf-8")
    (block,) = re.findall(r"^```\n(\[sipmail\]\n.*?)^```$", readme, re.M | re.S)
    # 200 is sipmail's extension there.
    voicemail = block.replace("PJSIP/200,", f"PJSIP/{USER},")
    assert voicemail != block
    extensions = f"""[extensions](+)
exten => {number},1,Dial(PJSIP/${{EXTEN}},{RING})
 same => n,Goto(sipmail,${{EXTEN}},1)
"""
    shared.pbx.configure(dialplan=f"{voicemail}\n{extensions}")
    before = len(shared.smtp.delivered)
    spoken = sound("PCMU")
    leave_message(shared, number, spoken)
    mail = shared.mail(before)
    assert WHY[number] in text_of(mail)
    assert number in text_of(mail)
    check_sound(mail, spoken)


def test_a_law_is_kept_to_the_sample(
    office: Callable[..., Office], sound: Callable[..., Sound]
) -> None:
    one = office(rtp={"codecs": ["PCMA"]})
    spoken = sound("PCMA")
    leave_message(one, "202", spoken, "PCMA")
    check_sound(one.mail(), spoken)


@pytest.mark.parametrize("encryption", ["", "srtp-mand"])
def test_a_phone_that_proves_its_password(
    shared: Office,
    sound: Callable[..., Sound],
    program: Callable[[str], str],
    tmp_path: Path,
    encryption: str,
) -> None:
    shared.pbx.configure()
    before = len(shared.smtp.delivered)
    spoken = sound("PCMU", before=3.0)
    baresip.leave_message(
        program("baresip"),
        tmp_path,
        shared.pbx.address,
        "202",
        spoken.wav,
        codec="PCMU",
        user="210",
        display="Marek Lis",
        password="phone-secret",
        encryption=encryption,
    )
    mail = shared.mail(before)
    assert str(mail.message["X-Sipmail-Caller"]) == "210"
    assert "Marek Lis" in text_of(mail)
    check_sound(mail, spoken)


TOLD = {
    "P-Asserted-Identity": ("send_pai=yes", "send_rpid=no"),
    "Remote-Party-ID": ("send_pai=no", "send_rpid=yes"),
    "both": ("send_pai=yes", "send_rpid=yes"),
    "From alone": ("send_pai=no", "send_rpid=no"),
    "not trusted": ("send_pai=yes", "send_rpid=yes", "trust_id_outbound=no"),
    "from_user": ("send_pai=yes", "from_user=sipmail", "from_domain=pbx.example.com"),
    "History-Info": ("send_diversion=no", "send_history_info=yes"),
}
CALLERS = {
    "plain": ("", "+48600111222", "Zofia"),
    "UTF-8": ("CALLERID(name)=Żaneta Łoś", "+48600111222", "Żaneta Łoś"),
    "quotes": ('CALLERID(name)=Bar "U Zosi"', "+48600111222", 'Bar "U Zosi"'),
    "national": ("CALLERID(num)=600111222", "+48600111222", "Zofia"),
    "withheld": ("CALLERID(pres)=prohib", "", ""),
    "number withheld": ("CALLERID(num-pres)=prohib", "", ""),
    "no number": ("CALLERID(num)=", "", "Zofia"),
}


@pytest.mark.parametrize("who", CALLERS)
@pytest.mark.parametrize("told", TOLD)
def test_who_calls(shared: Office, told: str, who: str) -> None:
    setting, number, name = CALLERS[who]
    step = f"Set({setting})" if setting else "NoOp()"
    target = "Set(REDIRECTING(to-num,i)=sipmail)"  # for the reason in History-Info
    dialplan = f"exten => 902,1,{step}\n same => n,{target}\n same => n,Goto(202,1)\n"
    shared.pbx.configure(endpoint=TOLD[told], dialplan=dialplan)
    since = len(shared.agent.lines)
    call = shared.carrier.call("902")
    call.hang_up()
    assert "(busy)" in shared.agent.wait_log("for sales", since=since)
    known = shared.newest_message()
    assert known["called"] == "202"
    said = (known["caller"]["number"], known["caller"]["name"])
    if told == "from_user" and who == "no number":
        number = "sipmail@pbx.example.com"  # it is all that Asterisk says then
    assert said == (number or None, name or None)
