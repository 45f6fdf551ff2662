"""The e-mail about a call: its structure and its headers; notices; what composing costs."""

from __future__ import annotations

import binascii
import re
import time
import wave
from dataclasses import replace
from email.utils import parsedate_to_datetime
from io import BytesIO

import pytest

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
