"""The first configuration of a site: answers in, the text of a commented sipmail.yaml out.

Pure. Passwords are not in the text: each has a file of its own that the text names with `!file`.
Comments are in the language of the answers; both stand side by side here, so that they say the
same.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from sipmail.cli.scalar import flow, scalar
from sipmail.config.values import Address

SIP_PASSWORD = "pbx.password"  # noqa: S105 - the name of a file
SMTP_PASSWORD = "smtp.password"  # noqa: S105
_COMMENT_COLUMN = 46


@dataclass(frozen=True)
class Answers:
    """What `sipmail init` has to know; every text is one that the configuration takes."""

    language: str
    timezone: str
    listen: tuple[str, ...]
    sender: Address
    mailbox: str
    """The name of the first mailbox."""
    numbers: tuple[str, ...]
    recipients: tuple[Address, ...]
    spool: str
    country: str | None = None
    registrar: str | None = None
    username: str | None = None
    password: str | None = None
    accept_from: tuple[str, ...] = ()
    smtp_host: str | None = None
    smtp_port: int = 587
    smtp_security: str = "starttls"
    smtp_username: str | None = None
    smtp_password: str | None = None
    maildir: str | None = None
    admin: str | None = None
    hours: str | None = None
    http: str | None = None


def passwords(answers: Answers) -> dict[str, str]:
    """The files that the configuration names with `!file`: their names and contents."""
    known = {SIP_PASSWORD: answers.password, SMTP_PASSWORD: answers.smtp_password}
    return {name: text + "\n" for name, text in known.items() if text is not None}


def render(answers: Answers) -> str:
    """The text of sipmail.yaml."""
    words = _PL if answers.language == "pl" else _EN
    lines = []
    for line in _lines(answers, words):
        text, _, comment = line.partition("\t")
        lines.append(f"{text:<{_COMMENT_COLUMN - 2}}  # {comment}" if comment else text)
    return "\n".join(lines) + "\n"


def slug(name: str, default: str) -> str:
    """A key for `name`: letters, digits and hyphens of ASCII."""
    plain = unicodedata.normalize("NFKD", name.casefold().replace("ł", "l"))
    ascii_only = plain.encode("ascii", "ignore").decode()
    return re.sub(r"[^a-z0-9]+", "-", ascii_only).strip("-") or default


def users(recipients: tuple[Address, ...]) -> dict[str, Address]:
    """Those with a name, by a short key that no other has."""
    found: dict[str, Address] = {}
    for person in recipients:
        if person.name:
            key = base = slug(person.name.split()[0], "user")
            number = 2
            while key in found:
                key, number = f"{base}{number}", number + 1
            found[key] = person
    return found


def _lines(answers: Answers, words: Mapping[str, str]) -> Iterator[str]:
    """The file, a line each; what follows a tab is a comment."""
    yield from (f"# {line}" for line in words["head"].splitlines())
    yield ""
    yield f"language: {answers.language}\t{words['language']}"
    if answers.country is not None:
        yield f"country: {scalar(answers.country)}\t{words['country']}"
    else:
        yield f"# country: PL\t{words['country']}"
    yield f"timezone: {scalar(answers.timezone)}\t{words['timezone']}"
    yield ""
    yield "sip:"
    yield f"  listen: {flow(list(answers.listen))}\t{words['listen']}"
    yield f"  # public_address: 203.0.113.7\t{words['public_address']}"
    yield "  trunks:"
    yield from _trunk(answers, words)
    yield ""
    yield "rtp:"
    yield f"  ports: 20000-20999\t{words['ports']}"
    yield ""
    yield "mail:"
    yield f"  from: {scalar(str(answers.sender))}\t{words['from']}"
    yield from _way(answers, words)
    if answers.admin is not None:
        yield f"  admin: {scalar(answers.admin)}\t{words['admin']}"
    else:
        yield f"  # admin: admin@example.com\t{words['admin']}"
    yield ""
    yield f"spool: {scalar(answers.spool)}\t{words['spool']}"
    yield f"keep: 7d\t{words['keep']}"
    http = f"http: {scalar(answers.http)}" if answers.http else "# http: 127.0.0.1:8080"
    yield f"{http}\t{words['http']}"
    yield ""
    yield from _people(answers, words)


def _trunk(answers: Answers, words: Mapping[str, str]) -> Iterator[str]:
    yield "    pbx:"
    if answers.registrar is not None:
        yield f"      registrar: {scalar(answers.registrar)}\t{words['registrar']}"
        yield f"      username: {scalar(answers.username or '')}\t{words['username']}"
        if answers.password is not None:
            yield f"      password: !file {SIP_PASSWORD}\t{words['password']}"
    if answers.accept_from:
        yield f"      accept_from: {flow(list(answers.accept_from))}\t{words['accept_from']}"
    elif answers.registrar is not None:
        yield f"      # accept_from: [198.51.100.0/24]\t{words['accept_from']}"


def _way(answers: Answers, words: Mapping[str, str]) -> Iterator[str]:
    if answers.smtp_host is None:
        yield f"  maildir: {scalar(answers.maildir or './mail')}\t{words['maildir']}"
        return
    yield f"  smtp:\t{words['smtp']}"
    yield f"    host: {scalar(answers.smtp_host)}"
    yield f"    port: {answers.smtp_port}"
    yield f"    security: {answers.smtp_security}\t{words['security']}"
    if answers.smtp_username is not None:
        yield f"    username: {scalar(answers.smtp_username)}"
        yield f"    password: !file {SMTP_PASSWORD}\t{words['password']}"


def _people(answers: Answers, words: Mapping[str, str]) -> Iterator[str]:
    people = users(answers.recipients)
    if people:
        yield f"users:\t{words['users']}"
        for key, person in people.items():
            yield f"  {scalar(key)}: {scalar(str(person))}"
        yield ""
    yield f"mailboxes:\t{words['mailboxes']}"
    yield f"  {scalar(slug(answers.mailbox, 'main'))}:"
    yield f"    name: {scalar(answers.mailbox)}\t{words['name']}"
    numbers = ", ".join(f'"{number}"' for number in answers.numbers)
    yield f"    numbers: [{numbers}]\t{words['numbers']}"
    if people:
        yield f"    users: {flow(list(people))}\t{words['members']}"
    others = [person.email for person in answers.recipients if not person.name]
    if others:
        yield f"    emails: {flow(others)}\t{words['emails' if people else 'members']}"
    if answers.hours is not None:
        yield f"    hours: {scalar(answers.hours)}\t{words['hours']}"
    else:
        yield f'    # hours: "Mo-Fr 08:00-16:00"\t{words["hours"]}'
    yield f"    # greeting: greetings/main.wav\t{words['greeting']}"
    yield f'    # operator: "100"\t{words["operator"]}'
    yield f"    attachment: mp3\t{words['attachment']}"
    yield f"    missed_calls: true\t{words['missed_calls']}"


_EN = {
    "head": "The configuration of sipmail, begun by `sipmail init`. `sipmail check` says what is\n"
    "wrong in it, with line and column; docs/configuration.md has every key. Passwords are in\n"
    "files beside this one. Numbers and codes belong in quotes.",
    "language": "prompts and e-mails: en or pl",
    "country": "how national numbers are read; whose holidays PH means",
    "timezone": "of times in e-mails and of opening hours",
    "listen": "where SIP is taken",
    "public_address": "where sipmail is behind NAT",
    "registrar": "sipmail registers here, as an extension",
    "username": "the extension or account",
    "password": "the first line of that file",
    "accept_from": "where the calls come from, if not from the registrar",
    "ports": "UDP, for the sound; open them in the firewall",
    "from": "the sender of every e-mail",
    "smtp": "the server that takes the e-mails",
    "security": "starttls, tls or none",
    "maildir": "the e-mails go into this Maildir",
    "admin": "told when something stays undelivered or unregistered",
    "spool": "messages on their way; on a durable disk",
    "keep": "delivered messages are deleted after this",
    "http": "a status page, health and metrics",
    "users": "people, by a short name",
    "mailboxes": "where the messages for some numbers go",
    "name": "for the e-mails",
    "numbers": "whose calls these are; * takes the rest",
    "members": "who gets every message",
    "emails": "more addresses that get it",
    "hours": "outside: the greeting for closed",
    "greeting": "your own recording: `sipmail greeting import`",
    "operator": "the extension that callers reach by the key 0",
    "attachment": "mp3, wav, ulaw, alaw, flac or opus",
    "missed_calls": "an e-mail also when no message was left",
}

_PL = {
    "head": "Konfiguracja sipmaila, rozpoczęta przez `sipmail init`. Co jest w niej nie tak, mówi\n"
    "`sipmail check`, z numerem wiersza i kolumny; każdy klucz opisuje docs/configuration.md.\n"
    "Hasła są w plikach obok tego. Numery i kody pisz w cudzysłowie.",
    "language": "język zapowiedzi i e-maili: pl albo en",
    "country": "jak czytać numery krajowe; czyje święta oznacza PH",
    "timezone": "strefa czasowa e-maili i godzin otwarcia",
    "listen": "adresy, na których sipmail odbiera SIP",
    "public_address": "gdy sipmail jest za NAT-em",
    "registrar": "tu sipmail się rejestruje, jak telefon",
    "username": "numer wewnętrzny albo konto",
    "password": "pierwszy wiersz tego pliku",
    "accept_from": "skąd przychodzą połączenia, jeśli nie z centrali",
    "ports": "UDP, dla dźwięku; otwórz je w zaporze sieciowej",
    "from": "nadawca każdego e-maila",
    "smtp": "serwer, który przyjmuje e-maile",
    "security": "starttls, tls albo none",
    "maildir": "e-maile trafiają do tego folderu Maildir",
    "admin": "dowie się, gdy coś nie dojdzie lub rejestracja zawiedzie",
    "spool": "miejsce na wiadomości; na trwałym dysku",
    "keep": "po tym czasie dostarczone wiadomości są usuwane",
    "http": "strona stanu, kontrola działania i metryki",
    "users": "osoby, pod krótkimi nazwami",
    "mailboxes": "dokąd trafiają wiadomości dla danych numerów",
    "name": "nazwa w e-mailach",
    "numbers": "czyje to połączenia; * przyjmuje pozostałe",
    "members": "kto dostaje każdą wiadomość",
    "emails": "dalsze adresy, które ją dostają",
    "hours": "poza nimi: zapowiedź „nieczynne”",
    "greeting": "własne nagranie: `sipmail greeting import`",
    "operator": "numer, z którym łączy klawisz 0",
    "attachment": "mp3, wav, ulaw, alaw, flac albo opus",
    "missed_calls": "e-mail także wtedy, gdy dzwoniący nic nie nagrał",
}
