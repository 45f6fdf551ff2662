"""`sipmail init`: from flags and from answers to a file that loads, with its passwords apart."""

from __future__ import annotations

import stat
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from sipmail.agent.step import Step, failed, right
from sipmail.cli.draft import Answers, passwords, render, slug, users
from sipmail.cli.scalar import flow, scalar
from sipmail.config.loader import load
from sipmail.config.values import Address
from tests.cli.conftest import Sipmail
from tests.support.registrar import Registrar
from tests.support.smtp import SmtpServer

ANSWERS = Answers(
    language="en",
    timezone="Europe/Warsaw",
    listen=("udp://0.0.0.0:5060",),
    sender=Address("Voicemail", "voicemail@example.com"),
    mailbox="Sales & service",
    numbers=("201", "+48 22 123 45 67"),
    recipients=(Address("Anna Łoś", "anna@example.com"), Address("", "office@example.com")),
    spool="/var/lib/sipmail",
    country="PL",
    registrar="sip:pbx.example.com;transport=tcp",
    username="200",
    password="p$w: #'\"\\ ${HOME}",
    smtp_host="smtp.example.com",
    smtp_username="voicemail@example.com",
    smtp_password=" secret ",
    admin="admin@example.com",
    hours="Mo-Fr 08:00-16:00; PH off",
    http="127.0.0.1:8080",
)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LANG", "C.UTF-8")
    monkeypatch.delenv("LC_ALL", raising=False)
    return tmp_path


def write(answers: Answers) -> Path:
    for name, text in passwords(answers).items():
        Path(name).write_text(text)
        Path(name).chmod(0o600)
    Path("sipmail.yaml").write_text(render(answers), encoding="utf-8")
    return Path("sipmail.yaml")


# The text


def test_every_answer_comes_back() -> None:
    config = load(write(ANSWERS))
    assert config.warnings == ()
    trunk = config.sip.trunks["pbx"]
    assert trunk.registrar == ANSWERS.registrar
    assert (trunk.username, trunk.password and trunk.password.get_secret_value()) == (
        "200",
        ANSWERS.password,
    )
    smtp = config.mail.smtp
    assert smtp is not None
    assert smtp.password is not None
    assert smtp.password.get_secret_value() == " secret "
    assert (smtp.host, smtp.port, smtp.security) == ("smtp.example.com", 587, "starttls")
    assert config.mail.from_ == ANSWERS.sender
    assert config.mail.admin == "admin@example.com"
    mailbox = config.mailboxes["sales-service"]
    assert mailbox.name == "Sales & service"
    assert mailbox.numbers == ("201", "+48221234567")
    assert [member.user for member in mailbox.users] == [Address("Anna Łoś", "anna@example.com")]
    assert mailbox.emails == ("office@example.com",)
    assert mailbox.hours == ANSWERS.hours
    assert str(config.http) == "127.0.0.1:8080"
    assert (config.country, str(config.timezone), config.language) == ("PL", "Europe/Warsaw", "en")


@pytest.mark.parametrize("language", ["en", "pl"])
def test_the_least_that_is_needed(language: str) -> None:
    least = replace(
        ANSWERS,
        language=language,
        country=None,
        registrar=None,
        username=None,
        password=None,
        accept_from=("198.51.100.0/24", "2001:db8::/32"),
        smtp_host=None,
        smtp_username=None,
        smtp_password=None,
        admin=None,
        hours=None,
        http=None,
        numbers=("*",),
        recipients=(Address("", "office@example.com"),),
    )
    assert passwords(least) == {}
    config = load(write(least))
    assert config.warnings == ()
    assert list(map(str, config.sip.trunks["pbx"].accept_from)) == list(least.accept_from)
    assert config.mail.maildir == Path("mail").absolute()
    assert config.mailboxes["sales-service"].language == language


def test_every_line_is_commented_in_both_languages() -> None:
    english = render(ANSWERS).splitlines()
    polish = render(replace(ANSWERS, language="pl")).splitlines()
    assert len(english) == len(polish)
    for one, other in zip(english, polish, strict=True):
        assert ("#" in one) == ("#" in other)
        if "  # " in one and not one.startswith("#"):
            assert one.partition("  # ")[2] != other.partition("  # ")[2]
    assert max(map(len, english + polish)) <= 110


def test_what_is_commented_out_is_right_too() -> None:
    """A line that a person switches on by taking the # away must load."""
    answers = replace(ANSWERS, admin=None, hours=None, http=None, country=None)
    Path("greetings").mkdir()
    Path("greetings/main.wav").write_bytes(b"")
    switched = "\n".join(
        line.replace("# ", "", 1) if ":" in line and line.lstrip().startswith("# ") else line
        for line in render(answers).splitlines()[3:]
    )
    write(answers).write_text(switched, encoding="utf-8")
    config = load(Path("sipmail.yaml"))
    assert config.mail.admin == "admin@example.com"
    assert str(config.http) == "127.0.0.1:8080"
    assert config.sip.public_address == "203.0.113.7"
    assert [box.operator for box in config.mailboxes.values()] == ["100"]


@given(st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Zl", "Zp"])))
def test_any_text_is_written_so_that_it_is_read(text: str) -> None:
    if text.isprintable():
        read = yaml.safe_load(f"x: {scalar(text)}\ny: {flow([text, text])}")
        assert read == {"x": text.replace("$", "$$"), "y": [text.replace("$", "$$")] * 2}


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("Anna Łoś <anna@example.com>", "Anna Łoś <anna@example.com>"),
        ("/var/lib/sipmail", "/var/lib/sipmail"),
        ("./mail", "./mail"),
        ("sip:pbx.example.com:5061;transport=tls", "sip:pbx.example.com:5061;transport=tls"),
        ("yes", '"yes"'),
        ("NULL", '"NULL"'),
        ("0201", '"0201"'),
        ("a: b", '"a: b"'),
        ("a #b", '"a #b"'),
        ("a$b", '"a$$b"'),
        ("", '""'),
        ("2026-11-23", '"2026-11-23"'),
    ],
)
def test_quotes_stand_where_they_are_needed(text: str, written: str) -> None:
    assert scalar(text) == written


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("Poczta głosowa", "poczta-glosowa"),
        ("Łódź – Żółć", "lodz-zolc"),
        ("  Sales! ", "sales"),
        ("日本", "main"),
        ("24/7", "24-7"),
    ],
)
def test_keys_of_mailboxes(name: str, key: str) -> None:
    assert slug(name, "main") == key


def test_two_people_of_one_name_have_two_keys() -> None:
    one, two = Address("Anna Łoś", "a@example.com"), Address("Anna Nowak", "b@example.com")
    assert users((one, two, Address("", "c@example.com"))) == {"anna": one, "anna2": two}


# From flags

FLAGS = (
    *("init", "--no-input", "--language", "pl", "--registrar", "sip:127.0.0.1:1"),
    *("--username", "200", "--from", "Poczta <poczta@example.com>", "--to", "jan@example.com"),
)


@pytest.fixture
def secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIPMAIL_SIP_PASSWORD", "tajne")


@pytest.mark.usefixtures("secrets")
def test_without_questions(sipmail: Sipmail) -> None:
    result = sipmail(*FLAGS, "--number", "201", "--number", "202", "--to", "Ewa <ewa@example.com>")
    assert (result.status, result.err) == (0, "")
    assert result.out.splitlines()[:2] == [
        f"zapisano: {Path('pbx.password').absolute()} (0600)",
        "zapisano: sipmail.yaml",
    ]
    assert "sipmail check --online" in result.out
    assert stat.S_IMODE(Path("pbx.password").stat().st_mode) == 0o600
    config = load(Path("sipmail.yaml"))
    assert config.warnings == ()
    assert config.country == "PL"
    password = config.sip.trunks["pbx"].password
    assert password is not None
    assert password.get_secret_value() == "tajne"
    assert "tajne" not in Path("sipmail.yaml").read_text()
    mailbox = config.mailboxes["poczta-glosowa"]
    assert mailbox.numbers == ("201", "202")
    assert mailbox.emails == ("jan@example.com",)


@pytest.mark.usefixtures("secrets")
def test_nothing_is_written_over(sipmail: Sipmail) -> None:
    Path("pbx.password").write_text("old\n")
    result = sipmail(*FLAGS)
    assert result.status == 1
    assert "pbx.password is there already: --force writes over it" in result.err
    assert Path("pbx.password").read_text() == "old\n"
    assert not Path("sipmail.yaml").exists()
    Path("sipmail.yaml").write_text("old")
    assert "sipmail.yaml is there already" in sipmail(*FLAGS).err
    assert sipmail(*FLAGS, "--force").status == 0
    assert Path("pbx.password").read_text() == "tajne\n"
    assert stat.S_IMODE(Path("pbx.password").stat().st_mode) == 0o600


def test_another_place(sipmail: Sipmail) -> None:
    result = sipmail(*FLAGS, "-c", "etc/voice/mail.yaml")
    assert result.status == 0
    assert "sipmail run -c etc/voice/mail.yaml" in result.out
    assert load(Path("etc/voice/mail.yaml")).mailboxes


@pytest.mark.parametrize(
    ("flags", "why"),
    [
        (("--from", "nobody"), "--from: 'nobody' is no e-mail address"),
        (("--registrar", "http://x"), "--registrar: "),
        (("--number", "2 0 x@1"), "--number: "),
        (("--hours", "Mo-So 25"), "--hours: 'Mo-So 25' cannot be understood"),
        (("--country", "pl"), "--country: countries are written in capital letters: write PL"),
        (("--timezone", "Warsaw"), "--timezone: the time zone 'Warsaw' is unknown"),
        (("--listen", "tls://0.0.0.0"), "--listen: tls:// wymaga certyfikatu"),
        (("--to", "a, b"), "--to: 'a' is no e-mail address"),
        (("--smtp-host", "x y"), "--smtp-host: "),
        (("--admin", "x"), "--admin: 'x' is no e-mail address"),
        (("--http", "8080"), "--http: "),
    ],
)
def test_a_wrong_flag(sipmail: Sipmail, flags: tuple[str, ...], why: str) -> None:
    result = sipmail(*FLAGS, *flags)
    assert result.status == 2
    assert result.err.startswith(f"sipmail: {why}")
    assert list(Path.cwd().iterdir()) == []


def test_a_missing_flag(sipmail: Sipmail) -> None:
    result = sipmail("init", "--no-input")
    assert result.err.startswith("sipmail: --registrar, or --accept-from, is missing: write it")
    result = sipmail("init", "--no-input", "--registrar", "sip:127.0.0.1")
    assert result.status == 2
    assert result.err == "sipmail: --username is missing: write it, or answer at a terminal\n"


# Against the world


@pytest.mark.usefixtures("secrets")
@pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS")
def test_the_registrar_and_the_mail_server_are_tried(
    sipmail: Sipmail, registrar: Registrar, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = SmtpServer(username="me", password="pw").start()
    try:
        registrar.password = "tajne"
        flags = (
            *(*FLAGS, "--test", "--registrar", f"sip:127.0.0.1:{registrar.port}"),
            *("--smtp-host", "127.0.0.1", "--smtp-port", server.port, "--smtp-security", "none"),
            *("--smtp-username", "me"),
        )
        monkeypatch.setenv("SIPMAIL_SMTP_PASSWORD", "wrong")
        result = sipmail(*flags)
        assert result.status == 1
        assert "535" in result.out
        assert result.err == "sipmail: nothing was written\n"
        assert list(Path.cwd().iterdir()) == []
        monkeypatch.setenv("SIPMAIL_SMTP_PASSWORD", "pw")
        result = sipmail(*flags)
        assert result.status == 0
        assert "rejestracja   działa: udp 127.0.0.1:" in result.out
        assert "serwer poczty  działa: 127.0.0.1:" in result.out
        assert "zalogowano jako me" in result.out
        assert registrar.registrations[-1].expires == 0
    finally:
        server.stop()


# With a person

Asked = list[tuple[str, str]]


@pytest.fixture
def person(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Asked]]:
    """`person(*answers)` sits at a terminal; what it was asked comes back, with the defaults."""
    answers: list[str] = []
    asked: Asked = []

    def prompt(text: str, default: str = "", **_: object) -> str:
        asked.append((text, default))
        return answers.pop(0) or default

    def sit_down(*given: str) -> Asked:
        answers.extend(given)
        return asked

    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    monkeypatch.setattr("sipmail.cli.questions.typer.prompt", prompt)
    yield sit_down
    assert answers == []


def world(monkeypatch: pytest.MonkeyPatch, registrations: list[Step]) -> None:
    monkeypatch.setattr("sipmail.agent.reach.registration", lambda trunk: registrations.pop(0))
    monkeypatch.setattr("sipmail.agent.reach.name_of_trunk", lambda what, uri: right(what, uri))
    monkeypatch.setattr("sipmail.agent.machine.cannot_bind", lambda *address: None)


def test_with_questions(
    sipmail: Sipmail, person: Callable[..., Asked], monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = failed("trunk pbx", "says 403", "check the password")
    world(monkeypatch, [wrong, right("trunk pbx", "registered")])
    asked = person(
        *("pl", "", ""),  # language, country, time zone
        *("pbx.example.com", "200", "wrong", "tak", "t"),  # try it, failed, once more
        *("", "", "right", ""),
        "5070",
        *("nobody", "Poczta <poczta@example.com>", "", ""),  # mail goes into ./mail
        *("", "Sprzedaż", "201", "", "jan@example.com", ""),
    )
    result = sipmail("init")
    assert result.status == 0
    config = load(Path("sipmail.yaml"))
    assert config.sip.trunks["pbx"].registrar == "sip:pbx.example.com"
    assert Path("pbx.password").read_text() == "right\n"
    assert config.sip.listen[0].port == 5070
    assert config.mail.maildir == Path("mail").absolute()
    assert config.mailboxes["sprzedaz"].numbers == ("201",)
    assert "says 403" in result.out
    assert "sprawdź numer wewnętrzny (konto) i hasło" in result.out
    assert "potrzebna jest odpowiedź" in result.out  # for the recipients
    assert "'nobody': to nie jest adres e-mail; wpisz np. nazwa@example.com" in result.out
    questions = [text for text, _ in asked]
    assert questions[0] == "Language, język (en, pl)"
    assert all("Extension" not in text for text in questions)
    # What was said before is the default the second time, but never a password.
    again = [default for text, default in asked if text.startswith("Adres SIP")]
    assert again == ["", "pbx.example.com"]
    assert [default for text, default in asked if text.startswith("Hasło")] == ["", ""]


@pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS")
def test_names_are_asked_for_until_they_are_found_and_no_login_is_tried_without_a_user(
    sipmail: Sipmail, person: Callable[..., Asked], monkeypatch: pytest.MonkeyPatch
) -> None:
    world(monkeypatch, [right("trunk pbx", "registered")])
    found = [failed("mail", "cannot be resolved", "check it"), right("mail", "127.0.0.1")]
    monkeypatch.setattr("sipmail.agent.reach.name_of_mail_server", lambda host: found.pop(0))
    server = SmtpServer().start()
    try:
        person(
            *("en", "", "", "pbx.example.com", "200", "right", "", "5070", "v@example.com"),
            *("x", "y", "127.0.0.1", "none", str(server.port), "", "y"),
            *("", "", "", "jan@example.com", ""),
        )
        result = sipmail("init")
    finally:
        server.stop()
    assert (result.status, result.err) == (0, "")
    assert "connected, no login" in result.out
    smtp = load(Path("sipmail.yaml")).mail.smtp
    assert smtp is not None
    assert (smtp.host, smtp.username) == ("127.0.0.1", None)


def test_a_tick_is_a_tick_while_something_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """rich's proxy of stdout knows no encoding; the tick must not become a word for that."""
    from rich.console import Console

    from sipmail.cli import terminal

    with Path("screen").open("w+", encoding="utf-8") as screen:
        monkeypatch.setattr(sys, "stdout", screen)
        with Console(file=screen, force_terminal=True).status("…"):
            assert terminal.tick(True) == "✓"


def test_what_is_there_is_said_before_the_first_question(
    sipmail: Sipmail, person: Callable[..., Asked]
) -> None:
    Path("sipmail.yaml").write_text("old")
    asked = person()
    assert sipmail("init").status == 1
    assert asked == []
