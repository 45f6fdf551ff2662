"""What `sipmail init` says, in English and in Polish."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sipmail.agent.step import Step

EN = {
    "needed": "an answer is needed",
    "yes_no": "Y/n",
    "language": "Language, język (en, pl)",
    "country": "Country, two letters (how national numbers are read, and whose public holidays)",
    "timezone": "Time zone",
    "registrar": "SIP address of the phone system where sipmail registers (empty: it does not)",
    "name": "name",
    "username": "Extension or account there",
    "password": "Its password (not shown; empty: none)",
    "accept_from": "IP addresses that calls come from, separated by commas",
    "try_sip": "Try to register now?",
    "listen": "Address and port where sipmail takes SIP",
    "no_tls": "tls:// needs a certificate: add it to the file afterwards",
    "sender": "Sender of the e-mails (like Voicemail <voicemail@example.com>)",
    "smtp_host": "Mail server, SMTP (empty: put the e-mails into a Maildir)",
    "smtp_security": "Security of the line (starttls, tls, none)",
    "smtp_port": "Port",
    "smtp_username": "User name for the login (empty: no login)",
    "smtp_password": "Password (not shown)",
    "try_mail": "Try the login now?",
    "maildir": "Folder of the Maildir",
    "admin": "Administrator's e-mail address, to hear of trouble (empty: nobody)",
    "mailbox": "Name of the first mailbox",
    "mailbox_default": "Voicemail",
    "number": "Numbers whose calls it takes, separated by commas (*: all)",
    "no_numbers": "a number is wanted, or *",
    "to": "Who gets its messages: e-mail addresses, also like Anna Kowalska <anna@example.com>",
    "hours": "Opening hours, like Mo-Fr 08:00-16:00; PH off (empty: none)",
    "again": "Answer these questions again?",
    "try_registration": "registration",
    "try_login": "mail server",
}

PL = {
    "needed": "potrzebna jest odpowiedź",
    "yes_no": "T/n",
    "language": "Język, language (pl, en)",
    "country": "Kraj, dwie litery (jak czytać numery krajowe i czyje są święta)",
    "timezone": "Strefa czasowa",
    "registrar": "Adres SIP centrali, w której sipmail się rejestruje (puste: bez rejestracji)",
    "name": "nazwa",
    "username": "Numer wewnętrzny albo konto w centrali",
    "password": "Hasło do niego (nie będzie widoczne; puste: bez hasła)",
    "accept_from": "Adresy IP, z których przychodzą połączenia, oddzielone przecinkami",
    "try_sip": "Sprawdzić teraz rejestrację?",
    "listen": "Adres i port, na którym sipmail odbiera SIP",
    "no_tls": "tls:// wymaga certyfikatu: dopisz go później w pliku",
    "sender": "Nadawca e-maili (np. Poczta głosowa <poczta@example.com>)",
    "smtp_host": "Serwer pocztowy SMTP (puste: e-maile do folderu Maildir)",
    "smtp_security": "Zabezpieczenie połączenia (starttls, tls, none)",
    "smtp_port": "Port",
    "smtp_username": "Nazwa użytkownika do logowania (puste: bez logowania)",
    "smtp_password": "Hasło (nie będzie widoczne)",
    "try_mail": "Sprawdzić teraz logowanie?",
    "maildir": "Folder Maildir",
    "admin": "E-mail administratora, który dowie się o kłopotach (puste: nikt)",
    "mailbox": "Nazwa pierwszej skrzynki",
    "mailbox_default": "Poczta głosowa",
    "number": "Numery, których połączenia przyjmuje, oddzielone przecinkami (*: wszystkie)",
    "no_numbers": "potrzebny jest numer albo *",
    "to": "Kto dostaje wiadomości: adresy e-mail, także w postaci Anna Kowalska <anna@example.com>",
    "hours": "Godziny otwarcia, np. Mo-Fr 08:00-16:00; PH off (puste: bez godzin)",
    "again": "Odpowiedzieć na te pytania jeszcze raz?",
    "try_registration": "rejestracja",
    "try_login": "serwer poczty",
}

_EMAIL = "to nie jest adres e-mail; wpisz np. nazwa@example.com"
_TEXT = "wpisz tekst w jednym wierszu"
_WRONG = {
    "language": "wpisz pl albo en",
    "country": "wpisz dwie wielkie litery, np. PL",
    "timezone": "nie ma takiej strefy czasowej; wpisz np. Europe/Warsaw",
    "registrar": "wpisz adres, np. centrala.example.com albo 192.0.2.10:5060;transport=tcp",
    "username": _TEXT,
    "password": "wpisz hasło w jednym wierszu",
    "accept_from": "wpisz adres IP albo sieć, np. 198.51.100.0/24",
    "listen": "wpisz wolny adres tego komputera i port, np. udp://0.0.0.0:5060, albo sam port",
    "sender": _EMAIL,
    "smtp_host": "wpisz nazwę serwera, np. smtp.example.com, bez portu",
    "smtp_security": "wpisz starttls, tls albo none",
    "smtp_port": "wpisz liczbę od 1 do 65535",
    "smtp_username": _TEXT,
    "smtp_password": "wpisz hasło w jednym wierszu",
    "admin": _EMAIL,
    "mailbox": _TEXT,
    "number": "wpisz numer, np. 201 albo +48221234567, albo *",
    "to": _EMAIL,
    "hours": "wpisz np. Mo-Fr 08:00-16:00; PH off (Mo do Su: dni od poniedziałku do niedzieli, "
    "PH: święta)",
}
"""What to write instead of an answer that cannot be used."""


def wrong(polish: bool, key: str, text: str, error: ValueError) -> str:
    """What is wrong with the answer `text` to the question `key`."""
    if not polish or key not in _WRONG:
        return str(error)
    return f"{text!r}: {_WRONG[key]}" if text and "password" not in key else _WRONG[key]


def name_step(polish: bool, step: Step) -> Step:
    """How a name was looked up."""
    if not polish or step.verdict.value != "failed":
        return step
    cure = "sprawdź, czy nazwa jest napisana bez błędu i czy ten komputer ma DNS"
    return replace(step, text="nie można znaleźć adresu dla tej nazwy", cure=cure)


def registration_step(polish: bool, step: Step) -> Step:
    """How registering went; who answers questions knows no keys of the configuration yet."""
    words = PL if polish else EN
    step = replace(step, what=words["try_registration"])
    if step.verdict.value != "failed":
        found = re.fullmatch(r"(.+) registered at (.+) for \d+ s, and left", step.text)
        if not polish or found is None:
            return step
        return replace(step, text=f"działa: {found[2]} przyjmuje konto {found[1]}")
    if "says 40" not in step.text and not polish:
        return step
    cure = "check the extension or account, and its password"
    if polish:
        cure = "sprawdź numer wewnętrzny (konto) i hasło"
        if "says 40" not in step.text:
            cure = "sprawdź adres, port i transport centrali oraz zaporę sieciową"
    return replace(step, cure=cure)


def login_step(polish: bool, step: Step) -> Step:
    """How talking to the mail server went."""
    words = PL if polish else EN
    step = replace(step, what=words["try_login"])
    if not polish:
        return step
    if step.verdict.value != "failed":
        place, _, user = step.text.partition(": connected, ")
        user = user.removeprefix("logged in as ")
        login = "bez logowania" if user == "no login" else f"zalogowano jako {user}"
        return replace(step, text=f"działa: {place}, {login}")
    cure = "sprawdź nazwę serwera, port, zabezpieczenie połączenia i zaporę sieciową"
    if "certificate" in step.text:
        cure = (
            "wpisz nazwę serwera z jego certyfikatu; certyfikat własnego serwera dodaj "
            "do zaufanych na tym komputerze (Debian: /usr/local/share/ca-certificates, "
            "update-ca-certificates)"
        )
    elif ": 53" in step.text:
        cure = "sprawdź nazwę użytkownika i hasło; wielu dostawców wymaga hasła dla aplikacji"
    return replace(step, cure=cure)
