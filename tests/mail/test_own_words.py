"""Subjects and bodies in a company's own words, and what happens when its templates fail."""

from __future__ import annotations

from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest

from sipmail.config import templates
from sipmail.config.model import Body, Mailbox
from sipmail.config.templates import VARIABLES
from sipmail.mail import own_words
from sipmail.mail.compose import composed
from sipmail.mail.view import Attachment, view
from sipmail.spool.message import Message
from tests.mail import post
from tests.mail.post import CONFIG, MESSAGE, MP3, PNG, READERS, called_by, html_of, mailbox, read


def written(
    message: Message = MESSAGE, audio: Attachment | None = MP3, **box: Any
) -> tuple[bytes, str]:
    return composed(message, mailbox(**box), CONFIG, audio, READERS)


def text_of(message: EmailMessage) -> str:
    return post.text_of(message).replace("\r\n", "\n").rstrip("\n")


def body(tmp_path: Path, text: str | None = None, html: str | None = None) -> Body:
    files = {}
    for kind, content in (("text", text), ("html", html)):
        if content is not None:
            files[kind] = tmp_path / f"mail.{kind}"
            files[kind].write_text(content, encoding="utf-8")
    return Body.model_validate(files)


def test_every_variable_has_a_value() -> None:
    shown = view(MESSAGE, mailbox(), MP3, READERS)
    assert set(own_words.variables(shown, "cid:x", "s")) == set(VARIABLES)


def test_a_subject() -> None:
    data, wrong = written(
        subject="[{{ mailbox_key }}] {{ who }} {{ received.strftime('%d.%m.') }} {{ length }}"
    )
    assert (read(data)["Subject"], wrong) == ("[sales] Katarzyna Wiśniewska 23.11. 0:42", "")


def test_a_subject_stays_one_line_whoever_calls() -> None:
    message = called_by("+48600123456", "Eve\r\nBcc: all@example.com {{ 7 * 7 }}")
    data, _ = written(message, subject="{{ who }}{{ '\\n' }}{{ number }}")
    found = read(data)
    assert found["Subject"] == "Eve Bcc: all@example.com {{ 7 * 7 }} +48 600 123 456"
    assert found["Bcc"] is None


def test_a_text_of_ones_own_is_what_the_html_shows(tmp_path: Path) -> None:
    own = "{{ who }} <b>\n{% if not missed %}\n{{ duration }}\n{% endif %}\n{{ call_link }}\n"
    data, wrong = written(body=body(tmp_path, own))
    found = read(data)
    assert wrong == ""
    assert text_of(found) == "Katarzyna Wiśniewska <b>\n42\u00a0sekundy\ntel:+48600123456"
    html = html_of(found).replace("\r\n", "\n")
    assert "Katarzyna Wiśniewska &lt;b&gt;<br>\n42\u00a0sekundy<br>\n" in html
    assert '<a href="tel:+48600123456">tel:+48600123456</a>' in html


def test_html_of_ones_own_is_escaped_and_shows_the_picture(tmp_path: Path) -> None:
    audio = Attachment(b"x", "audio/mpeg", "mp3", 42.0, PNG)
    message = called_by("+48600123456", "<script>alert(1)</script>")
    data, wrong = written(
        message, audio, body=body(tmp_path, html="<i>{{ who }}</i>{{ waveform }}")
    )
    found = read(data)
    assert wrong == ""
    html = html_of(found)
    assert "<i>&lt;script&gt;alert(1)&lt;/script&gt;</i>" in html
    (picture,) = (part for part in found.walk() if part.get_content_type() == "image/png")
    assert f"cid:{picture['Content-ID'][1:-1]}" in html
    assert "Kto dzwonił" in text_of(found)  # the built-in text beside it


def test_a_missed_call(tmp_path: Path) -> None:
    own = body(tmp_path, "{{ 'missed' if missed }}{{ duration }}{{ file_name }}{{ seconds }}")
    data, _ = written(audio=None, body=own)
    assert text_of(read(data)) == "missed0"


@pytest.mark.parametrize(
    "broken",
    [
        "{{ 1 / 0 }}",
        "{{ nobody }}",
        "{{ who.__class__.__mro__ }}",
        "{% if %}",
        "{% for a in range(99999) %}{% for b in range(99999) %}x{% endfor %}{% endfor %}",
        "{{ 'x' * 2000000 }}",
        "{% include '/etc/passwd' %}",
        "  ",
    ],
)
def test_a_broken_template_gives_the_built_in_mail(tmp_path: Path, broken: str) -> None:
    usual = written()[0]
    data, wrong = written(body=body(tmp_path, broken))
    assert data == usual
    assert wrong.startswith(f"body.text: {tmp_path}")
    assert "\n" not in wrong


def test_a_broken_subject_gives_the_built_in_one() -> None:
    usual = read(written()[0])["Subject"]
    data, wrong = written(subject="{{ 1 / 0 }}")
    assert read(data)["Subject"] == usual
    assert wrong == "subject: division by zero"
    assert written(subject="{{ '' }}")[1] == "subject: gives 0 characters"


def test_a_missing_file_gives_the_built_in_mail(tmp_path: Path) -> None:
    data, wrong = written(body=Body(html=tmp_path / "gone.html"))
    assert data == written()[0]
    assert "No such file" in wrong


def test_a_changed_file_is_read_again(tmp_path: Path) -> None:
    own = body(tmp_path, "one")
    assert text_of(read(written(body=own)[0])) == "one"
    body(tmp_path, "two and")
    assert text_of(read(written(body=own)[0])) == "two and"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{{ whoo }}", "there is no {{ whoo }}: did you mean who?"),
        ("{{ xyzzy }}", "there is no {{ xyzzy }}: there are kind, who"),
        ("a\n{% if %}", "line 2 of the template: Expected an expression"),
        ("{{ who | shout }}", "line 1 of the template: No filter named 'shout'"),
    ],
)
def test_mistakes_are_found_when_the_configuration_is_read(text: str, problem: str) -> None:
    with pytest.raises(ValueError, match=r"\w") as caught:
        templates.check(text)
    assert str(caught.value).startswith(problem)


def test_names_of_its_own_are_no_mistakes() -> None:
    text = "{% set x = who %}{% for one in remarks %}{{ loop.index }} {{ one }}{{ x }}{% endfor %}"
    assert templates.check(text) == text


def test_the_model_has_no_templates_of_its_own() -> None:
    assert Mailbox().subject is None
