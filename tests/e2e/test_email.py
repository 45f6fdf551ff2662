"""What the e-mail about a call says: each point through the whole program.

One agent for all, each mailbox called by its name; every caller has a number of its own.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from html.parser import HTMLParser
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit
from zoneinfo import ZoneInfo

import pytest
from PIL import Image

from tests.e2e.conftest import (
    LONG,
    PLAIN,
    SHORT,
    mails_from,
    own_number,
    wait_mail,
    write_greeting,
)
from tests.e2e.telephone import body, message, noise, opening, wait_recording
from tests.support.agent import Agent, configuration
from tests.support.caller import Caller
from tests.support.smtp import Delivered, SmtpServer

pytestmark = pytest.mark.e2e

ANNA, JAN, OFFICE = "anna@sipmail.test", "jan@sipmail.test", "office@sipmail.test"
SENDER, BOUNCES = "voicemail@sipmail.test", "bounces@sipmail.test"
FRIEND = "+48601000007"
HTML = '<p title="{{ number }}">{{ who }}</p><img src="{{ waveform }}">\n'
SAID = noise(1.1, 51)


@dataclass(frozen=True)
class House:
    """The agent and the server that gets its e-mails."""

    agent: Agent
    smtp: SmtpServer

    def leave(
        self,
        mailbox: str,
        said: bytes = SAID,
        *,
        number: str | None = None,
        name: str = "Jan Nowak",
        headers: tuple[tuple[str, str], ...] = (),
        keep: Callable[[int], bool] = lambda index: True,
    ) -> Delivered:
        """The e-mail about a message that consists of those packets that `keep` lets through."""
        user = number or own_number()
        before = len(mails_from(self.smtp, user))
        with Caller(self.agent.address, user=user, display=name) as phone:
            call = phone.call(mailbox, headers=headers)
            call.send(opening())
            wait_recording(self.agent, call)
            packets = message(said)
            call.send([packet for index, packet in enumerate(packets) if keep(index)])
            call.hang_up()
        shown = "anonymous" if headers and headers[-1][0] == "Privacy" else user
        if shown == "anonymous":
            before = len(mails_from(self.smtp, shown))
        self.smtp.wait_until(lambda: len(mails_from(self.smtp, shown)) > before, what=mailbox)
        return mails_from(self.smtp, shown)[before]


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    folder = tmp_path_factory.mktemp("house")
    (folder / "own.html").write_text(HTML)
    smtp = SmtpServer().start()
    boxes: dict[str, Any] = {
        "english": {"name": "Sales"},
        "polish": {"name": "Sprzedaż", "language": "pl"},
        "tokyo": {"timezone": "Asia/Tokyo"},
        "alone": {"users": ["anna"], "emails": []},
        "answered": {"reply_to": "desk@sipmail.test"},
        "small": {"max_attachment": "12k"},
        "urgent": {"urgent": True},
        "own": {"body": "own.html"},
        "missed": {"greeting": str(write_greeting(folder / "long.wav", LONG))},
    }
    usual = {
        "users": ["anna", "jan"],
        "emails": [OFFICE],
        "attachment": "wav",
        "after": "nothing",
        "greeting": str(write_greeting(folder / "short.wav", SHORT)),
        "record": PLAIN,
    }
    settings = configuration(
        folder,
        smtp,
        mail={"envelope_from": BOUNCES},
        contacts={"numbers": {FRIEND: "Zofia Wiśniewska"}},
        mailboxes={key: {**usual, "numbers": [key], **box} for key, box in boxes.items()},
    )
    agent = Agent(folder, settings).start()
    yield House(agent, smtp)
    agent.close()
    smtp.stop()
    print(agent.log())


def html(mail: Delivered) -> str:
    part = mail.message.get_body(("html",))
    assert part is not None
    return str(part.get_content())


def lines(mail: Delivered) -> list[str]:
    """Of the text."""
    return body(mail).splitlines()


# --- what it says ---------------------------------------------------------------------------------


def test_the_words_are_those_of_the_mailboxs_language(house: House) -> None:
    no_answer = ("Diversion", "<sip:{}@127.0.0.1>;reason=no-answer")
    polish = house.leave("polish", headers=((no_answer[0], no_answer[1].format("polish")),))
    english = house.leave("english", headers=((no_answer[0], no_answer[1].format("english")),))
    assert str(polish.message["Subject"]).endswith(" · Sprzedaż · nagranie 1 s")
    assert str(english.message["Subject"]).endswith(" · Sales · message 1 s")
    assert lines(polish)[0] == "Nowa wiadomość głosowa: Jan Nowak"
    assert lines(english)[0] == "New voice message: Jan Nowak"
    assert ("nikt nie odebrał" in body(polish), "1\u00a0sekunda" in body(polish)) == (True, True)
    assert ("nobody answered" in body(english), "1 second" in body(english)) == (True, True)
    assert '<html lang="pl"' in html(polish)
    assert '<html lang="en"' in html(english)


def test_who_called_by_name_number_and_country(house: House) -> None:
    number = own_number()
    shown = f"{number[:3]} {number[3:6]} {number[6:9]} {number[9:]}"
    named = house.leave("english", number=number)
    assert named.message["Subject"] == f"Jan Nowak, {number} · Sales · message 1 s"
    assert f"{shown} (Poland)  tel:{number}" in body(named)
    assert f'href="tel:{number}"' in html(named)
    unnamed = house.leave("english", number=number, name="")
    assert str(unnamed.message["Subject"]).startswith(f"{number} · ")
    assert lines(unnamed)[0] == f"New voice message: {shown}"
    friend = house.leave("english", number=FRIEND, name="Firma XYZ")
    assert str(friend.message["Subject"]).startswith(f"Zofia Wiśniewska, {FRIEND} · ")
    assert "Firma" not in body(friend)


def test_the_time_is_that_of_the_mailbox_with_its_offset(house: House) -> None:
    before = datetime.now(ZoneInfo("Asia/Tokyo"))
    said = lines(house.leave("tokyo"))
    after = datetime.now(ZoneInfo("Asia/Tokyo"))
    (line,) = [line for line in said if line.startswith("When:")]
    assert line.endswith(" (UTC+09:00)")
    assert any(f"{one.day} {one:%B %Y, %H:%M} " in line for one in (before, after)), line


def test_the_first_line_is_made_for_lists(house: House) -> None:
    mail = house.leave("english")
    first, second = lines(mail)[:2]
    assert first == "New voice message: Jan Nowak"
    assert second.endswith(" · 1 second")
    shown = html(mail)
    assert shown.index(second) < shown.index("<table")  # hidden, before all that is seen


def test_the_waveform_is_a_picture_in_the_mail(house: House) -> None:
    mail = house.leave("english")
    (picture,) = [part for part in mail.message.walk() if part.get_content_type() == "image/png"]
    assert picture.get_content_disposition() == "inline"
    cid = str(picture["Content-ID"]).strip("<>")
    assert f'src="cid:{cid}"' in html(mail)
    data = picture.get_payload(decode=True)
    assert isinstance(data, bytes)
    with Image.open(io.BytesIO(data)) as image:
        image.verify()


def test_a_bad_line_is_said_where_it_mattered(house: House) -> None:
    good = house.leave("english")
    bad = house.leave("english", noise(2.0, 52), keep=lambda index: index % 5 != 3)
    assert "The line was bad: about 20% of the sound was lost." in body(bad)
    assert "The line was bad" in html(bad)
    assert "The line was bad" not in body(good)


def test_i_will_call_back_writes_to_everybody(house: House) -> None:
    number = own_number()
    shown = html(house.leave("english", number=number))
    link = shown.partition('href="mailto:')[2].partition('"')[0].replace("&amp;", "&")
    address = urlsplit(f"mailto:{link}")
    assert unquote(address.path).split(",") == [ANNA, JAN, OFFICE]
    words = parse_qs(address.query)
    assert words["subject"] == [f"I'll call back: Jan Nowak, {number} · Sales"]
    assert words["body"][0].startswith(f"I'll call back about this call: Jan Nowak, {number}, ")
    assert "mailto:" not in html(house.leave("alone"))


def test_html_of_the_companys_own(house: House) -> None:
    mail = house.leave("own", name="Jan <b>Nowak</b>")
    number = mail.message["X-Sipmail-Caller"]
    shown = html(mail)
    assert "<b>" not in shown
    assert "Jan &lt;b&gt;Nowak&lt;/b&gt;" in shown
    assert 'src="cid:waveform.' in shown
    assert f'title="{number[:3]} {number[3:6]} ' in shown
    assert "New voice message" in body(mail)  # the text is the built-in one


# --- its headers and its recording ----------------------------------------------------------------


def test_what_one_caller_leaves_in_one_mailbox_is_a_thread(house: House) -> None:
    number = own_number()
    first, second = (house.leave("english", number=number) for _ in range(2))
    elsewhere = house.leave("polish", number=number)
    somebody = house.leave("english")
    threads = [mail.message["References"] for mail in (first, second, elsewhere, somebody)]
    assert threads[0] is not None
    assert threads[0] == threads[1]
    assert len(set(threads)) == 3
    assert first.message["Message-ID"] != second.message["Message-ID"]


def test_withheld_numbers_are_no_thread(house: House) -> None:
    private = (("Privacy", "id"),)
    for _ in range(2):
        mail = house.leave("english", name="Anonymous", headers=private)
        assert mail.message["References"] is None
        assert "Withheld number" in str(mail.message["Subject"])
        assert "tel:" not in body(mail)
        assert "mailto:" not in html(mail)


def test_urgent_is_said_in_subject_and_header(house: House) -> None:
    mail = house.leave("urgent")
    assert str(mail.message["Subject"]).startswith("Urgent: Jan Nowak, ")
    assert (mail.message["Importance"], mail.message["X-Priority"]) == ("high", "1")
    usual = house.leave("english")
    assert usual.message["Importance"] is None


def test_answers_go_to_reply_to_and_bounces_to_the_envelopes_sender(house: House) -> None:
    mail = house.leave("answered")
    assert mail.message["Reply-To"] == "desk@sipmail.test"
    assert mail.message["From"] == f"Voicemail <{SENDER}>"
    assert mail.sender == BOUNCES
    usual = house.leave("english", name="Boss <boss@sipmail.test>")
    assert usual.message["Reply-To"] is None
    assert usual.message["From"] == f"Voicemail <{SENDER}>"


def test_a_recording_that_is_too_large_is_mailed_in_a_smaller_format(house: House) -> None:
    small = house.leave("small", noise(0.5, 53))
    name, data = small.attachment()
    assert (name.endswith(".wav"), len(data) <= 12 * 1024) == (True, True)
    large = house.leave("small", noise(1.5, 53))
    name, data = large.attachment()
    assert not name.endswith(".wav")
    assert len(data) <= 12 * 1024
    assert "attached in a smaller format" in body(large)
    assert "smaller format" not in body(small)


def test_a_file_name_is_legal_everywhere(house: House) -> None:
    number = own_number()
    name, _ = house.leave("english", number=number, name='../../a:b*?\\"<>|').attachment()
    when, _, rest = name.partition(f"_{number}")
    assert datetime.strptime(when, "%Y-%m-%d_%H-%M-%S")
    assert rest == ".wav"


def test_a_missed_call_is_mailed_by_default(house: House) -> None:
    number = own_number()
    with Caller(house.agent.address, user=number) as phone:
        phone.call("missed").hang_up()
    mail = wait_mail(house.smtp, number)
    assert mail.message["Subject"] == f"Missed call: Jan Nowak, {number} · missed"
    assert "The caller left no message." in body(mail)
    with pytest.raises(LookupError):
        mail.attachment()


# --- callers who write what they like -----------------------------------------------------------


def latin2(text: str) -> str:
    """As a phone that knows no UTF-8 sends it."""
    return text.encode("iso-8859-2").decode("utf-8", "surrogateescape")


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        (r"Jan \"Johnny\" Nowak", 'Jan "Johnny" Nowak'),
        ("Jan\r\n Nowak", "Jan Nowak"),
        ("<script>alert(1)</script>", "<script>alert(1)</script>"),
        ("</td><img src=x onerror=y>&amp;", "</td><img src=x onerror=y>&amp;"),
        ("W" * 1000, "W" * 79 + "…"),
        ("Żaneta 🌻🎈", "Żaneta 🌻🎈"),
        ("שרה כהן", "\u2068שרה כהן\u2069"),
        ("evil\u202egpj.exe", "evilgpj.exe"),
        ("Zażółć gęślą jaźń", "Zażółć gęślą jaźń"),
        (latin2("Zażółć gęślą jaźń"), "Zażółć gęślą jaźń"),
        ("=?utf-8?q?Boss?=", "=?utf-8?q?Boss?="),
    ],
    ids=["quotes", "newline", "script", "html", "long", "emoji", "rtl", "override", "utf8",
         "latin2", "encoded"],
)  # fmt: skip
def test_a_name_is_only_ever_shown(house: House, name: str, shown: str) -> None:
    number = own_number()
    mail = house.leave("english", number=number, name=name)
    assert str(mail.message["Subject"]) == f"{shown}, {number} · Sales · message 1 s"
    assert lines(mail)[0] == f"New voice message: {shown}"
    assert_harmless(mail, shown)
    assert re.fullmatch(rf"[0-9_-]{{20}}{re.escape(number)}\.wav", mail.attachment()[0])


@pytest.mark.parametrize(
    "user",
    ["%22%0d%0aBcc%3a%20x%40example.com", "%3cb%3e1%3c%2fb%3e", "..%2f..%2fetc%2fpasswd",
     "9" * 1000, "%d8%a7%d9%84%d8%b9", "%e2%80%ae48"],
    ids=["newline", "html", "path", "long", "arabic", "override"],
)  # fmt: skip
def test_a_number_is_only_ever_shown(house: House, user: str) -> None:
    before = len(house.smtp.delivered)
    with Caller(house.agent.address, user=user, display="") as phone:
        call = phone.call("english")
        call.send(opening())
        wait_recording(house.agent, call)
        call.send(message(SAID))
        call.hang_up()
    mail = house.smtp.wait(before + 1)[before]
    assert_harmless(mail, "")
    assert re.fullmatch(r"[A-Za-z0-9_+-]{1,60}\.wav", mail.attachment()[0])


def assert_harmless(mail: Delivered, shown: str) -> None:
    """Every header is there once and is one line, and HTML shows the caller as text."""
    assert mail.recipients == (ANNA, JAN, OFFICE)
    assert not mail.message.defects
    names = [name.lower() for name in mail.message]
    assert len(names) == len(set(names))
    assert mail.message["Bcc"] is None
    for name in ("Subject", "From", "To", "X-Sipmail-Caller", "X-Sipmail-Mailbox"):
        assert not re.search(r"[\r\n\x00-\x1f\u202a-\u202e]", str(mail.message[name]))
    assert max(map(len, mail.data.split(b"\r\n"))) <= 998
    reader = Reader(html(mail))
    assert shown in reader.text
    assert not reader.tags & {"script", "iframe", "object", "form"}
    assert all(source.startswith("cid:") for source in reader.sources)


class Reader(HTMLParser):
    """What a mail program makes of HTML: its text, its tags and what pictures it loads."""

    def __init__(self, shown: str) -> None:
        super().__init__()
        self.text, self.tags, self.sources = "", set[str](), list[str]()
        self.feed(shown)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        known = dict(attributes)
        assert not any(name.startswith("on") for name in known)
        if "src" in known:
            self.sources.append(known["src"] or "")

    def handle_data(self, data: str) -> None:
        self.text += data
