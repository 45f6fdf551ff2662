"""The questions of `sipmail init`: what a flag says is taken, the rest is asked or has a default.

Every answer is checked as the configuration would check it, and where it can be also against the
world: names are looked up, the registrar and the mail server tried.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from sipmail.cli import terminal
from sipmail.cli.interview_words import (
    EN,
    PL,
    login_step,
    name_step,
    registration_step,
    wrong,
)
from sipmail.cli.options import FAILED, WRONG_USE, fail
from sipmail.cli.questions import agree, ask

if TYPE_CHECKING:
    from sipmail.agent.step import Step
    from sipmail.cli.draft import Answers

T = TypeVar("T")

SIP_ADDRESS = "udp://0.0.0.0:5060"
_OTHER_ADDRESS = "udp://0.0.0.0:5070"
_SMTP_PORTS = {"starttls": 587, "tls": 465, "none": 25}


class Interview:
    """One conversation: what the flags say is taken, the rest is asked or has a default."""

    def __init__(self, given: dict[str, Any], *, asks: bool, test: bool | None) -> None:
        self._given = given
        self._asks = asks
        self._test = test
        self._words = EN
        self._polish = False
        self._country: str | None = None
        self._said: dict[str, str] = {}

    def run(self) -> Answers:
        from sipmail.cli.draft import Answers
        from sipmail.config.fields import Country, HttpAddress, OpeningHours, TimeZone

        language = self._language()
        polish = language == "pl"
        country = self._answer("country", self._or_none(Country), "PL" if polish else "")
        self._country = country
        timezone = str(self._answer("timezone", self._of(TimeZone), _zone(country)))
        sip = self._sip()
        listen = self._listen()
        mail = self._mail()
        admin = self._answer("admin", _or_empty(_email), "")
        name = self._answer("mailbox", _some_text, self._words["mailbox_default"])
        numbers = self._answer("number", self._numbers, "*")
        recipients = self._answer("to", _people, None)
        hours = self._answer("hours", self._or_none(OpeningHours), "")
        spool = self._answer("spool", _some_text, _default_spool(), asked=False)
        http = self._answer("http", self._or_none(HttpAddress), "", asked=False)
        return Answers(
            language=language,
            country=country,
            timezone=timezone,
            listen=listen,
            mailbox=name,
            numbers=numbers,
            recipients=recipients,
            admin=admin,
            hours=hours,
            spool=spool,
            http=None if http is None else str(http),
            **sip,
            **mail,
        )

    # One answer

    def _answer(
        self,
        key: str,
        check: Callable[[str], T],
        default: str | None,
        *,
        asked: bool = True,
        secret: bool = False,
        afresh: bool = False,
    ) -> T:
        """The flag `key`, or what the person says, or `default`; `afresh` asks in any case."""
        given = self._given.get(key)
        if given is not None and not afresh:
            text = ", ".join(given) if isinstance(given, list) else str(given)
            try:
                return check(text)
            except ValueError as error:
                fail(f"{_flag(key)}: {error}", WRONG_USE)
        if self._asks and (asked or afresh):

            def remember(text: str) -> T:
                try:
                    value = check(text)
                except ValueError as error:
                    raise ValueError(wrong(self._polish, key, text, error)) from None
                self._said[key] = text
                return value

            before = None if secret else self._said.get(key)
            needed = self._words["needed"]
            return ask(self._words[key], remember, before or default, secret=secret, needed=needed)
        if default is None:
            missing = "--registrar, or --accept-from," if key == "accept_from" else _flag(key)
            fail(f"{missing} is missing: write it, or answer at a terminal", WRONG_USE)
        try:
            return check(default)
        except ValueError as error:
            fail(f"{_flag(key)}: {error}", WRONG_USE)

    def _of(self, kind: Any) -> Callable[[str], Any]:
        """A check by a type of the configuration."""
        from pydantic import TypeAdapter, ValidationError

        from sipmail.config.fields import Surroundings

        def check(text: str) -> Any:
            context = Surroundings(Path.cwd(), self._country)
            try:
                return TypeAdapter(kind).validate_python(text, context=context)
            except ValidationError as invalid:
                error = invalid.errors(include_url=False)[0]
                said = error.get("ctx", {}).get("error", error["msg"])
                raise ValueError(str(said)) from None

        return check

    def _or_none(self, kind: Any) -> Callable[[str], Any]:
        return _or_empty(self._of(kind))

    def _numbers(self, text: str) -> tuple[str, ...]:
        from sipmail.config.fields import Number

        check = self._of(Number)
        written = [one.strip().strip('"') for one in text.split(",") if one.strip()]
        for one in written:
            check(one)
        if not written:
            raise ValueError(self._words["no_numbers"])
        return tuple(written)

    # The parts

    def _language(self) -> str:
        def check(text: str) -> str:
            if text.casefold() in ("en", "pl"):
                return text.casefold()
            raise ValueError(f"{text!r} is neither en nor pl")

        language = self._answer("language", check, _locale())
        self._polish = language == "pl"
        self._words = PL if self._polish else EN
        return language

    def _sip(self) -> dict[str, Any]:
        """The trunk; asked again as long as the registrar refuses and the person wants to."""
        from sipmail.agent.reach import name_of_trunk
        from sipmail.config.fields import SipServer

        def server(text: str) -> str | None:
            if not text:
                return None
            return str(
                self._of(SipServer)(text if text.lower().startswith("sip") else f"sip:{text}")
            )

        afresh = False
        while True:
            registrar = self._answer("registrar", server, "", afresh=afresh)
            if registrar is None:
                networks = self._answer("accept_from", _networks, None, afresh=afresh)
                return {"accept_from": networks}
            if not self._is_found(partial(name_of_trunk, self._words["name"], registrar)):
                afresh = True
                continue
            username = self._answer("username", _some_text, None, afresh=afresh)
            password = self._answer("password", _password_or_none, "", secret=True, afresh=afresh)
            networks = self._answer("accept_from", _networks_or_none, "", asked=False)
            answers = {
                "registrar": registrar,
                "username": username,
                "password": password,
                "accept_from": networks,
            }
            if not self._again(
                self._words["try_sip"], partial(_try_sip, answers), registration_step
            ):
                return answers
            afresh = True

    def _listen(self) -> tuple[str, ...]:
        from sipmail.agent.machine import cannot_bind
        from sipmail.config.values import parse_listen

        def check(text: str) -> tuple[str, ...]:
            written = (one.strip() for one in text.split(",") if one.strip())
            urls = tuple(f"udp://0.0.0.0:{one}" if one.isdecimal() else one for one in written)
            for url in urls:
                transport, host, port = parse_listen(url)
                if transport == "tls":
                    raise ValueError(self._words["no_tls"])
                if self._asks and (error := cannot_bind(transport, host, port)):
                    raise ValueError(f"{url}: {error.strerror}")
            if not urls:
                raise ValueError(self._words["needed"])
            return urls

        free = cannot_bind("udp", "0.0.0.0", 5060) is None  # noqa: S104
        return self._answer("listen", check, SIP_ADDRESS if free else _OTHER_ADDRESS)

    def _mail(self) -> dict[str, Any]:
        from sipmail.agent.reach import name_of_mail_server
        from sipmail.config.values import parse_address, parse_host

        sender = self._answer("sender", parse_address, None)
        afresh = False
        while True:
            host = self._answer("smtp_host", _or_empty(parse_host), "", afresh=afresh)
            if host is None:
                folder = self._answer("maildir", _some_text, "./mail")
                return {"sender": sender, "maildir": folder}
            if not self._is_found(partial(name_of_mail_server, host)):
                afresh = True
                continue
            security = self._answer("smtp_security", _security, "starttls", afresh=afresh)
            standard = str(_SMTP_PORTS[security])
            port = self._answer("smtp_port", _port, standard, afresh=afresh)
            username = self._answer("smtp_username", _or_empty(_some_text), "", afresh=afresh)
            password = None
            if username is not None:
                password = self._answer(
                    "smtp_password", _password, None, secret=True, afresh=afresh
                )
            answers = {
                "smtp_host": host,
                "smtp_port": port,
                "smtp_security": security,
                "smtp_username": username,
                "smtp_password": password,
            }
            if not self._again(self._words["try_mail"], partial(_try_mail, answers), login_step):
                return {"sender": sender, **answers}
            afresh = True

    def _is_found(self, look_up: Callable[[], Step]) -> bool:
        """Shows a person where a name leads to; False where it is to be answered anew."""
        if not self._asks:
            return True
        step = replace(name_step(self._polish, look_up()), what=self._words["name"])
        _show(step)
        return step.verdict.value != "failed" or not agree(
            self._words["again"], self._words["yes_no"]
        )

    def _again(
        self, question: str, probe: Callable[[], Step], in_words: Callable[[bool, Step], Step]
    ) -> bool:
        """Tries what was answered, where that is wanted; whether to ask for it anew."""
        wanted = self._test
        if wanted is None:
            wanted = self._asks and agree(question, self._words["yes_no"])
        if not wanted:
            return False
        with terminal.console().status("…"):
            step = in_words(self._polish, probe())
        _show(step)
        if step.verdict.value != "failed":
            return False
        if not self._asks:
            fail("nothing was written", FAILED)
        return agree(self._words["again"], self._words["yes_no"])


# Checks of single answers


def _or_empty(check: Callable[[str], T]) -> Callable[[str], T | None]:
    return lambda text: check(text) if text else None


def _some_text(text: str) -> str:
    if not text or not text.isprintable():
        raise ValueError(f"{text!r} is no text on one line")
    return text


def _password(text: str) -> str:
    if not text or "\n" in text or "\r" in text:
        raise ValueError("a password is one line")
    return text


def _password_or_none(text: str) -> str | None:
    return _password(text) if text else None


def _email(text: str) -> str:
    from sipmail.config.values import parse_email

    return parse_email(text)


def _people(text: str) -> tuple[Any, ...]:
    """Addresses, separated by commas that are in no quotes."""
    from sipmail.config.values import parse_address

    parts = re.split(r',(?=(?:[^"]*"[^"]*")*[^"]*$)', text)
    people = tuple(parse_address(part.strip()) for part in parts if part.strip())
    if not people:
        raise ValueError("write an address like name@example.com")
    return people


def _networks(text: str) -> tuple[str, ...]:
    from sipmail.config.values import parse_network

    networks = tuple(str(parse_network(one)) for one in text.split(",") if one.strip())
    if not networks:
        raise ValueError("write a network like 198.51.100.0/24")
    return networks


def _networks_or_none(text: str) -> tuple[str, ...]:
    return _networks(text) if text else ()


def _security(text: str) -> str:
    if text not in _SMTP_PORTS:
        raise ValueError(f"{text!r} is unknown: write starttls, tls or none")
    return text


def _port(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 65535:
        raise ValueError(f"{text!r} is no port: write 1 to 65535")
    return int(text)


# The world


def _try_sip(answers: dict[str, Any]) -> Step:
    from sipmail.agent.reach import registration
    from sipmail.sip.trunk import Trunk

    return registration(
        Trunk("pbx", answers["registrar"], answers["username"], password=answers["password"])
    )


def _try_mail(answers: dict[str, Any]) -> Step:
    from sipmail.agent.reach import mail_server
    from sipmail.config.model import Smtp

    keys = ("host", "port", "security", "username", "password")
    said = {key: answers[f"smtp_{key}"] for key in keys}
    return mail_server(Smtp(**{key: value for key, value in said.items() if value is not None}))


def _show(step: Step) -> None:
    from sipmail.cli.check import print_step

    print_step(terminal.console(), step)


def _locale() -> str:
    for name in ("LC_ALL", "LC_MESSAGES", "LANG"):
        if value := os.environ.get(name):
            return "pl" if value.startswith("pl") else "en"
    return "en"


def _zone(country: str | None) -> str:
    """This machine's time zone. A server that keeps UTC says nothing about its people."""
    from sipmail.config.timezones import local_timezone

    zone = str(local_timezone())
    return "Europe/Warsaw" if country == "PL" and zone in ("UTC", "Etc/UTC") else zone


def _default_spool() -> str:
    """The usual place where we may make it, else a folder beside the configuration."""
    usual = Path("/var/lib/sipmail")
    place = usual if usual.exists() else usual.parent
    return str(usual) if os.access(place, os.W_OK | os.X_OK) else "./spool"


def _flag(key: str) -> str:
    return "--from" if key == "sender" else f"--{key.replace('_', '-')}"
