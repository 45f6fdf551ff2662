"""What the e-mail about a call says, in its text and in its HTML."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

from sipmail.spool.message import Caller, Kind
from tests.mail.html import links
from tests.mail.post import (
    MESSAGE,
    MP3,
    PNG,
    READERS,
    called_by,
    html_of,
    read,
    text_of,
    written,
)

WITHHELD = replace(MESSAGE, caller=Caller(withheld=True))
MISSED = replace(MESSAGE, kind=Kind.MISSED, recorded=False, duration=None)


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
        ({"notes": ("overrun",)}, {}, "fragmentów nagrania lub jego końcówki"),
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


def test_a_day_that_is_another_one_here() -> None:
    message = replace(MESSAGE, received=datetime(2026, 12, 31, 23, 30, tzinfo=UTC))
    found = read(written(message))
    assert "piątek, 1 stycznia 2027 r., godz. 00:30" in untied(text_of(found))
    assert next(found.iter_attachments()).get_filename() == "2027-01-01_00-30-00_+48600123456.mp3"


def test_further_calls_of_a_missed_one() -> None:
    times = tuple(MESSAGE.received + timedelta(minutes=late) for late in (1, 3, 12 * 60))
    text = text_of(read(written(replace(MESSAGE, repeats=times), None)))
    assert re.search(r"Ponowne próby: +14:31; 14:33; wtorek, 02:30\r?\n", text)


def test_a_recording_in_a_smaller_format() -> None:
    text = untied(text_of(read(written(audio=replace(MP3, smaller=True)))))
    assert "dlatego załączono je w formacie, który zajmuje mniej miejsca." in text


@pytest.mark.parametrize(
    ("ending", "told"),
    [("interrupted", True), ("shutdown", True), ("media", True), ("caller", False)],
)
def test_a_caller_whom_we_cut_off_did_not_just_leave_no_message(ending: str, told: bool) -> None:
    message = read(written(replace(MISSED, ending=ending), None))
    for body in (text_of(message), html_of(message)):
        assert ("ponowne uruchomienie systemu, zanim nagrano wiadomość" in untied(body)) is told
