"""The e-mail about a call: its structure, headers and words, and what strangers can't do to it."""

from __future__ import annotations

import binascii
import re
import time
import wave
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from html.parser import HTMLParser
from io import BytesIO
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sipmail.config.values import Address
from sipmail.mail.compose import Attachment, compose, compose_notice
from sipmail.spool.message import Caller, Kind, Message, Notice
from tests.mail.post import (
    CONFIG,
    MESSAGE,
    MP3,
    PNG,
    READERS,
    called_by,
    html_of,
    mailbox,
    read,
    text_of,
    written,
)

WITHHELD = replace(MESSAGE, caller=Caller(withheld=True))
MISSED = replace(MESSAGE, kind=Kind.MISSED, recorded=False, duration=None)
NASTY = (
    '"quotes" and \\ backslashes',
    "line\r\nBcc: victim@example.com\r\n\r\nbody",
    "<script>alert(1)</script><img src=x onerror=alert(1)>",
    "{{ 7 * 7 }}{% raw %}${x}",
    "x" * 1000,
    "ż" * 1000,
    "👩‍💻 🎉 Ola 🇵🇱",
    "\u202egnp.exe \u2066bidi\u2069",
    "שרה כהן",
    "=?utf-8?q?=0D=0ABcc=3A?=",
    "Wies\udcb3aw \udcaf\udcf3\udcb3\udce6",
    "../../etc/passwd\x00",
    "\ud800x",
    "",
)


# --- structure ----------------------------------------------------------------------------------


def test_the_parts() -> None:
    message = read(written(audio=replace(MP3, waveform=PNG)))
    assert [part.get_content_type() for part in message.walk()] == [
        "multipart/mixed",
        "multipart/related",
        "multipart/alternative",
        "text/plain",
        "text/html",
        "image/png",
        "audio/mpeg",
    ]
    related = next(part for part in message.walk() if part.get_content_subtype() == "related")
    assert related.get_param("type") == "multipart/alternative"


def test_without_a_picture() -> None:
    message = read(written())
    assert [part.get_content_type() for part in message.walk()] == [
        "multipart/mixed",
        "multipart/alternative",
        "text/plain",
        "text/html",
        "audio/mpeg",
    ]
    assert "cid:" not in html_of(message)


def test_a_missed_call_has_no_attachment() -> None:
    message = read(written(MISSED, None))
    assert [part.get_content_type() for part in message.walk()] == [
        "multipart/alternative",
        "text/plain",
        "text/html",
    ]


def test_the_recording_arrives_byte_for_byte() -> None:
    sound = BytesIO()
    with wave.open(sound, "wb") as file:
        file.setparams((1, 2, 8000, 0, "NONE", ""))
        file.writeframes(bytes(range(256)) * 100)
    audio = Attachment(sound.getvalue(), "audio/wav", "wav", 1.6)
    part = next(read(written(audio=audio)).iter_attachments())
    assert part.get_content() == sound.getvalue()
    assert part.get_filename() == "2026-11-23_14-30-12_+48600123456.wav"
    assert part.get_param("name") == part.get_filename()
    assert part.get_content_disposition() == "attachment"
    assert part["Content-Duration"] == "2"


def test_the_picture_is_found_by_its_cid() -> None:
    message = read(written(audio=replace(MP3, waveform=PNG)))
    picture = next(part for part in message.walk() if part.get_content_type() == "image/png")
    assert picture.get_content() == PNG
    assert picture.get_content_disposition() == "inline"
    assert f'src="cid:{picture["Content-ID"].strip("<>")}"' in html_of(message)


def test_the_wire_form() -> None:
    data = written(audio=replace(MP3, waveform=PNG))
    assert b"\n" not in data.replace(b"\r\n", b"")
    assert b"\r" not in data.replace(b"\r\n", b"")
    assert max(map(len, data.split(b"\r\n"))) <= 78
    assert data.isascii()
    assert data.endswith(b"--\r\n")


def test_the_same_again_is_the_same_bytes() -> None:
    assert written() == written()


# --- headers ------------------------------------------------------------------------------------


def test_headers() -> None:
    message = read(written())
    assert message["From"] == "Poczta głosowa <voicemail@example.com>"
    assert [str(one) for one in message["To"].addresses] == [
        "Anna Kowalska <anna@example.com>",
        "Łukasz Żółć <lukasz@example.com>",
        "biuro@example.com",
    ]
    assert message["Reply-To"] == "biuro@example.com"
    assert message["Subject"] == (
        "Katarzyna Wiśniewska, +48600123456 · Poczta – sprzedaż · nagranie 42 s"
    )
    assert message["Message-ID"] == "<20261123T133012000000-0123456789ab@example.com>"
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["Message-Context"] == "voice-message"
    assert message["X-Sipmail-ID"] == MESSAGE.id
    assert message["X-Sipmail-Mailbox"] == "sales"
    assert message["X-Sipmail-Caller"] == "+48600123456"
    assert message["MIME-Version"] == "1.0"
    assert message["Importance"] is None


def test_the_date_is_that_of_the_call() -> None:
    message = read(written())
    assert message["Date"] == "Mon, 23 Nov 2026 14:30:12 +0100"
    assert parsedate_to_datetime(message["Date"]) == MESSAGE.received


def test_every_header_that_may_occur_once_does() -> None:
    names = [name.lower() for name in read(written())]
    assert len(names) == len(set(names))


def test_urgent() -> None:
    message = read(written(replace(MESSAGE, urgent=True)))
    assert message["Importance"] == "high"
    assert message["Subject"].startswith("Pilne: Katarzyna")
    assert "Pilna wiadomość głosowa" in html_of(message)


def test_without_reply_to() -> None:
    assert read(written(reply_to=None))["Reply-To"] is None


def test_a_missed_call_says_so() -> None:
    message = read(written(MISSED, None))
    assert message["Subject"] == (
        "Nieodebrane: Katarzyna Wiśniewska, +48600123456 · Poczta – sprzedaż"
    )
    assert message["Message-Context"] is None
    for body in (text_of(message), html_of(message)):
        assert "nie zostawiła wiadomości" in body


def test_one_caller_in_one_mailbox_is_one_thread() -> None:
    def thread(message: Message) -> str:
        return str(read(written(message))["References"])

    later = replace(MESSAGE, id="20261124T080000000000-aaaaaaaaaaaa", called="201")
    assert thread(later) == thread(MESSAGE)
    assert re.fullmatch(r"<[0-9a-f]{32}\.caller@example\.com>", thread(MESSAGE))
    assert thread(called_by("+48600123457")) != thread(MESSAGE)
    assert thread(replace(MESSAGE, mailbox="service")) != thread(MESSAGE)


@pytest.mark.parametrize(
    "caller",
    [Caller(withheld=True), Caller(), Caller("+48600123456", "A", True)],
)
def test_callers_who_are_not_known_are_no_thread(caller: Caller) -> None:
    assert read(written(replace(MESSAGE, caller=caller)))["References"] is None


def test_a_message_id_without_its_brackets_gets_them() -> None:
    delivery = replace(MESSAGE.delivery, message_id="abc@example.com")
    assert read(written(replace(MESSAGE, delivery=delivery)))["Message-ID"] == "<abc@example.com>"


# --- what it says -------------------------------------------------------------------------------


def untied(text: str) -> str:
    """`text` with usual spaces in place of those that keep words together."""
    return text.replace("\u00a0", " ")


def test_the_text_says_it_all() -> None:
    assert untied(text_of(read(written()))).replace("\r\n", "\n") == (
        "Nowa wiadomość głosowa: Katarzyna Wiśniewska\n"
        "poniedziałek, 14:30 · 42 sekundy · nikt nie odebrał\n"
        "\n"
        "Kto dzwonił:   Katarzyna Wiśniewska\n"
        "Numer:         +48 600 123 456 (Polska)  tel:+48600123456\n"
        "Skrzynka:      Poczta – sprzedaż\n"
        "Wybrany numer: +48 22 123 45 67\n"
        "Powód:         nikt nie odebrał\n"
        "Kiedy:         poniedziałek, 23 listopada 2026 r., godz. 14:30 (UTC+01:00)\n"
        "Długość:       42 sekundy\n"
        "\n"
        "Nagranie jest w załączniku:\n"
        "2026-11-23_14-30-12_+48600123456.mp3\n"
        "\n"
        "Oddzwaniasz? Odpowiedz wszystkim, aby inni o tym wiedzieli.\n"
    )


@pytest.mark.parametrize(
    "fact",
    [
        "Katarzyna Wiśniewska",
        "+48 600 123 456",
        'href="tel:+48600123456"',
        "Polska",
        "Poczta – sprzedaż",
        "+48 22 123 45 67",
        "nikt nie odebrał",
        "poniedziałek, 23 listopada 2026 r., godz. 14:30",
        "UTC+01:00",
        "42 sekundy",
        "0:42",
        "2026-11-23_14-30-12_+48600123456.mp3",
    ],
)
def test_the_html_says_it_all(fact: str) -> None:
    assert fact in untied(html_of(read(written())))


def test_in_english() -> None:
    message = read(written(language="en", name="Sales"))
    assert message["Subject"] == "Katarzyna Wiśniewska, +48600123456 · Sales · message 42 s"
    for body in (text_of(message), html_of(message)):
        assert "Monday, 23 November 2026, 14:30" in body
        assert "nobody answered" in body
        assert "Poland" in body


def test_the_list_shows_the_preheader_first() -> None:
    body = html_of(read(written())).partition("<body")[2]
    words = untied(re.sub(r"<[^>]*>", " ", body.partition(">")[2])).split("͏")[0]
    assert words.split("&#847;")[0].strip() == (
        "poniedziałek, 14:30 · 42 sekundy · nikt nie odebrał"
    )


@pytest.mark.parametrize(
    ("message", "subject", "file", "header"),
    [
        (WITHHELD, "Numer zastrzeżony · ", "zastrzezony", "anonymous"),
        (called_by(None), "Numer nieznany · ", "nieznany", "unknown"),
        (called_by("205", "Recepcja"), "Recepcja, 205 · ", "205", "205"),
        (
            called_by("zofia@example.org"),
            "zofia@example.org · ",
            "zofia_example_org",
            "zofia@example.org",
        ),
        (called_by(None, "Zofia"), "Zofia · ", "Zofia", "Zofia"),
        (called_by("*97"), "*97 · ", "97", "*97"),
    ],
)
def test_other_callers(message: object, subject: str, file: str, header: str) -> None:
    found = read(written(message))  # type: ignore[arg-type]
    assert found["Subject"].startswith(subject)
    assert next(found.iter_attachments()).get_filename() == f"2026-11-23_14-30-12_{file}.mp3"
    assert found["X-Sipmail-Caller"] == header


def test_a_withheld_number_is_nowhere() -> None:
    data = written(replace(MESSAGE, caller=Caller("+48600123456", "Katarzyna", withheld=True)))
    for part in read(data).walk():
        assert "600123456" not in str(part)
        assert "tel:" not in str(part)


def test_an_english_file_of_a_withheld_number() -> None:
    found = next(read(written(WITHHELD, language="en")).iter_attachments())
    assert found.get_filename() == "2026-11-23_14-30-12_anonymous.mp3"


@pytest.mark.parametrize(
    ("change", "sound", "words"),
    [
        ({"ending": "interrupted"}, {}, "może brakować końcówki"),
        ({"ending": "shutdown"}, {}, "może brakować końcówki"),
        ({"ending": "media"}, {}, "może brakować końcówki"),
        ({"ending": "timeout"}, {}, "Połączenie urwało się"),
        ({"ending": "max"}, {}, "największą dozwoloną długość"),
        ({}, {"lost": 0.08}, "utracono około 8% dźwięku"),
        ({}, {"silent": True}, "prawie nic nie słychać"),
        ({"notes": ("fax",)}, {}, "faks"),
        ({"notes": ("message.json was missing",)}, {}, "message.json was missing"),
    ],
)
def test_remarks(change: dict[str, object], sound: dict[str, object], words: str) -> None:
    message = read(written(replace(MESSAGE, **change), replace(MP3, **sound)))  # type: ignore[arg-type]
    assert words in untied(text_of(message))
    assert words in untied(html_of(message))


@pytest.mark.parametrize("ending", ["caller", "key", "silence", None])
def test_no_remark_when_all_is_well(ending: str | None) -> None:
    message = read(written(replace(MESSAGE, ending=ending), replace(MP3, lost=0.01)))
    assert "Uwaga" not in text_of(message)
    assert 'class="remark"' not in html_of(message)


def test_i_call_back_writes_to_everybody() -> None:
    html = html_of(read(written()))
    link = next(link for link in links(html) if link.startswith("mailto:"))
    parts = urlsplit(link)
    assert [unquote(one) for one in parts.path.split(",")] == [one.email for one in READERS]
    query = parse_qs(parts.query)
    assert query["subject"] == ["Oddzwonię: Katarzyna Wiśniewska, +48600123456 · Poczta – sprzedaż"]
    assert query["body"] == [
        "Oddzwonię w sprawie połączenia: Katarzyna Wiśniewska, +48600123456, "
        "poniedziałek, 23 listopada 2026 r., godz. 14:30."
    ]


def test_nobody_else_needs_to_know_of_a_call_back() -> None:
    one = (READERS[0],)
    assert "mailto:" not in html_of(read(written(readers=one, reply_to=None)))
    assert "mailto:" in html_of(read(written(readers=one)))
    assert "mailto:" not in html_of(read(written(WITHHELD)))


def test_nothing_is_loaded_from_elsewhere() -> None:
    html = html_of(read(written(audio=replace(MP3, waveform=PNG))))
    assert "color-scheme" in html
    assert "<script" not in html
    assert not re.search(r"(src|href|url)\s*[=(]\s*[\"']?https?:", html)


# --- what a stranger can't do -------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name in NASTY if name])
def test_a_stranger_shapes_nothing(name: str) -> None:
    plain, nasty = written(called_by("+48600123456", "A")), written(called_by("+48600123456", name))
    assert max(map(len, nasty.split(b"\r\n"))) <= 998
    found, expected = read(nasty), read(plain)
    assert list(found) == list(expected)
    for header in ("From", "To", "Reply-To", "Message-ID", "References", "X-Sipmail-Caller"):
        assert found[header] == expected[header]
    assert tags(html_of(found)) == tags(html_of(expected))
    assert next(found.iter_attachments()).get_filename() == ("2026-11-23_14-30-12_+48600123456.mp3")
    for shown in (found["Subject"], text_of(found), html_of(found)):
        assert not re.search("[\x00-\x08\x0b\x0c\x0e-\x1f\u202a-\u202e\ud800-\udfff]", shown)


@pytest.mark.parametrize("number", NASTY)
def test_nor_with_the_number(number: str) -> None:
    found = read(written(called_by(number, "A")))
    assert list(found) == [name for name in read(written()) if number or name != "References"]
    assert all(link.startswith(("mailto:", "tel:+")) for link in links(html_of(found)))
    file = next(found.iter_attachments()).get_filename()
    assert file is not None
    assert re.fullmatch(r"2026-11-23_14-30-12_[A-Za-z0-9+][A-Za-z0-9+_]{0,31}\.mp3", file)


def test_html_is_shown_as_text() -> None:
    html = html_of(read(written(called_by("+48600123456", "<b>&\"'"))))
    assert "<bdi>&lt;b&gt;&amp;&#34;&#39;</bdi>" in html


def test_polish_letters_of_another_encoding() -> None:
    name = "Wiesław Żółć".encode("iso-8859-2").decode("utf-8", "surrogateescape")
    assert read(written(called_by("+48600123456", name)))["Subject"].startswith("Wiesław Żółć, ")


def test_a_name_from_right_to_left_turns_nothing_round() -> None:
    message = read(written(called_by("+972501234567", "שרה כהן")))
    assert message["Subject"].startswith("\u2068שרה כהן\u2069, +972501234567 · ")
    assert "\u2068שרה כהן\u2069" in text_of(message)


@given(st.binary(max_size=300), st.binary(max_size=100))
@settings(max_examples=60, deadline=None)
def test_any_caller(name: bytes, number: bytes) -> None:
    decoded = [one.decode("utf-8", "surrogateescape") for one in (name, number)]
    message = read(written(called_by(decoded[1], decoded[0], called=decoded[1])))
    assert message["From"] == "Poczta głosowa <voicemail@example.com>"
    assert tags(html_of(message))[:3] == ["html", "head", "meta"]


# --- notices ------------------------------------------------------------------------------------


def test_a_notice() -> None:
    notice = Notice(
        "failed", "Nie dostarczono wiadomości", "Serwer odpowiedział:\n550 no such user"
    )
    message = replace(MESSAGE, kind=Kind.NOTICE, notice=notice)
    found = read(compose_notice(message, CONFIG, [Address("", "admin@example.com")]))
    assert found["Subject"] == "Nie dostarczono wiadomości"
    assert found["To"] == "admin@example.com"
    assert found["Auto-Submitted"] == "auto-generated"
    assert found["X-Sipmail-ID"] == MESSAGE.id
    assert found["X-Sipmail-Caller"] is None
    assert found.get_content_type() == "text/plain"
    assert found.get_content().splitlines() == ["Serwer odpowiedział:", "550 no such user"]


def test_a_notice_without_words_is_a_mistake_of_ours() -> None:
    with pytest.raises(ValueError, match="no notice"):
        compose_notice(MESSAGE, CONFIG, READERS)


# --- speed --------------------------------------------------------------------------------------


def test_composing_costs_little_more_than_base64_itself() -> None:
    """One millisecond for a WAV of 20 s, on a machine that takes 0.3 ms for its base64; measured
    as a ratio, because machines differ. The bound leaves room for one that is busy."""
    audio = Attachment(bytes(320_044), "audio/wav", "wav", 20.0)
    box = mailbox()

    def best(work: object) -> float:
        times = []
        for _ in range(15):
            start = time.process_time()
            work()  # type: ignore[operator]
            times.append(time.process_time() - start)
        return min(times)

    base64 = best(lambda: binascii.b2a_base64(audio.data))
    composed = best(lambda: compose(MESSAGE, box, CONFIG, audio, READERS))
    assert composed < 10 * base64


def test_a_day_that_is_another_one_here() -> None:
    message = replace(MESSAGE, received=datetime(2026, 12, 31, 23, 30, tzinfo=UTC))
    found = read(written(message))
    assert "piątek, 1 stycznia 2027 r., godz. 00:30" in untied(text_of(found))
    assert next(found.iter_attachments()).get_filename() == "2027-01-01_00-30-00_+48600123456.mp3"


class _Reader(HTMLParser):
    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value for name, value in attrs if name == "href" and value]


def tags(html: str) -> list[str]:
    return _Reader(html).tags


def links(html: str) -> list[str]:
    return _Reader(html).links


def test_further_calls_of_a_missed_one() -> None:
    times = tuple(MESSAGE.received + timedelta(minutes=late) for late in (1, 3, 12 * 60))
    text = text_of(read(written(replace(MESSAGE, repeats=times), None)))
    assert re.search(r"Ponowne próby: +14:31; 14:33; wtorek, 02:30\r?\n", text)


def test_a_recording_in_a_smaller_format() -> None:
    text = untied(text_of(read(written(audio=replace(MP3, smaller=True)))))
    assert "dlatego załączono je w formacie, który zajmuje mniej miejsca." in text
