"""`sipmail init`: the first configuration of a site, from a few questions or from flags.

The finished file is read by the loader before anything is written; passwords go into files of their
own, mode 0600.
"""

from __future__ import annotations

import os
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sipmail.cli import terminal
from sipmail.cli.interview import SIP_ADDRESS, Interview
from sipmail.cli.options import WRONG_USE, fail
from sipmail.errors import ConfigError

if TYPE_CHECKING:
    from sipmail.cli.draft import Answers


class Language(StrEnum):
    EN = "en"
    PL = "pl"


class Security(StrEnum):
    STARTTLS = "starttls"
    TLS = "tls"
    NONE = "none"


_FILE = Path("sipmail.yaml")


def init(
    config: Annotated[
        Path, typer.Option("--config", "-c", metavar="FILE", help="What to write.")
    ] = _FILE,
    language: Annotated[
        Language | None, typer.Option(help="Of prompts, e-mails, questions and comments.")
    ] = None,
    country: Annotated[str | None, typer.Option(help="Two letters, like PL.")] = None,
    timezone: Annotated[str | None, typer.Option(help="Like Europe/Warsaw.")] = None,
    listen: Annotated[
        list[str] | None, typer.Option(metavar="URL", help=f"Like {SIP_ADDRESS}; may be repeated.")
    ] = None,
    registrar: Annotated[
        str | None, typer.Option(metavar="SIP-URI", help="Where to register; empty: nowhere.")
    ] = None,
    username: Annotated[str | None, typer.Option(help="The account or extension there.")] = None,
    password: Annotated[
        str | None,
        typer.Option(envvar="SIPMAIL_SIP_PASSWORD", help="Its password; rather as a variable."),
    ] = None,
    accept_from: Annotated[
        list[str] | None,
        typer.Option(metavar="NETWORK", help="Where calls come from; may be repeated."),
    ] = None,
    sender: Annotated[
        str | None, typer.Option("--from", metavar="ADDRESS", help="The sender of the e-mails.")
    ] = None,
    smtp_host: Annotated[
        str | None, typer.Option(help="The mail server; empty: a Maildir.")
    ] = None,
    smtp_port: Annotated[int | None, typer.Option(min=1, max=65535)] = None,
    smtp_security: Annotated[Security | None, typer.Option()] = None,
    smtp_username: Annotated[str | None, typer.Option(help="Empty: no login.")] = None,
    smtp_password: Annotated[
        str | None,
        typer.Option(envvar="SIPMAIL_SMTP_PASSWORD", help="Rather as a variable."),
    ] = None,
    maildir: Annotated[str | None, typer.Option(metavar="FOLDER")] = None,
    admin: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="Who hears of trouble; empty: nobody.")
    ] = None,
    mailbox: Annotated[str | None, typer.Option(help="Name of the first mailbox.")] = None,
    number: Annotated[
        list[str] | None,
        typer.Option(metavar="NUMBER", help="Whose calls it takes, * for all; may be repeated."),
    ] = None,
    to: Annotated[
        list[str] | None,
        typer.Option(metavar="ADDRESS", help="Who gets its messages; may be repeated."),
    ] = None,
    hours: Annotated[
        str | None, typer.Option(help='Opening hours, like "Mo-Fr 08:00-16:00; PH off".')
    ] = None,
    spool: Annotated[str | None, typer.Option(metavar="FOLDER", help="For the messages.")] = None,
    http: Annotated[
        str | None, typer.Option(metavar="HOST:PORT", help="A status page; empty: none.")
    ] = None,
    test: Annotated[
        bool | None,
        typer.Option(
            "--test/--no-test", help="Try the registrar and the mail server; else it asks."
        ),
    ] = None,
    no_input: Annotated[
        bool, typer.Option("--no-input", help="Ask nothing: take flags and defaults.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Write over what is there.")] = False,
) -> None:
    """Write a commented sipmail.yaml from a few questions, passwords in files beside it.

    What a flag says is not asked. Without a terminal nothing is asked at all.

    Example: sipmail init --language pl -c /etc/sipmail/sipmail.yaml
    """
    given = {name: value for name, value in locals().items() if value is not None}
    terminal.quiet_logs()
    interview = Interview(given, asks=not no_input and sys.stdin.isatty(), test=test)
    if not force:
        _must_not_be_there([config])
    answers = interview.run()
    _write(config, answers, force)
    _say_what_next(config, answers)


# The files


def _must_not_be_there(files: list[Path]) -> None:
    there = [str(file) for file in files if file.exists()]
    if there:
        fail(f"{', '.join(there)} is there already: --force writes over it, -c names another")


def _write(file: Path, answers: Answers, force: bool) -> None:
    """Writes configuration and passwords, once the loader has read them somewhere else."""
    from sipmail.cli.draft import passwords, render

    words = _PL if answers.language == "pl" else _EN
    folder = file.absolute().parent
    secrets = passwords(answers)
    text = render(answers)
    _must_load(text, secrets)
    if not force:
        _must_not_be_there([file, *(folder / name for name in secrets)])
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, secret in secrets.items():
            _put(folder / name, secret, 0o600)
            print(f"{words['written']}: {folder / name} (0600)")
        _put(folder / file.name, text, 0o644)
    except OSError as error:
        fail(f"{error.filename or folder} cannot be written: {error.strerror}")
    print(f"{words['written']}: {file}")


def _must_load(text: str, secrets: dict[str, str]) -> None:
    from tempfile import TemporaryDirectory

    from sipmail.config.loader import load

    with TemporaryDirectory(prefix="sipmail-") as folder:
        for name, secret in secrets.items():
            _put(Path(folder) / name, secret, 0o600)
        trial = Path(folder) / "sipmail.yaml"
        trial.write_text(text, encoding="utf-8")
        try:
            load(trial)
        except ConfigError as error:
            for problem in error.problems:
                print(f"{problem.key}: {problem.text}", file=sys.stderr)
            fail("nothing was written", WRONG_USE)


def _put(path: Path, text: str, mode: int) -> None:
    """Replaces `path` whole; what is secret is so from its first byte."""
    aside = path.with_name(f".{path.name}.new")
    aside.unlink(missing_ok=True)
    fd = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(fd, "w", encoding="utf-8") as stream:
        os.fchmod(fd, mode)
        stream.write(text)
    _give_to_service(aside)
    aside.replace(path)


def _give_to_service(path: Path) -> None:
    """Written by root, to be read by the service: its user, where deploy/'s unit has one."""
    import pwd

    if os.geteuid() != 0:
        return
    try:
        user = pwd.getpwnam("sipmail")
    except KeyError:
        return
    os.chown(path, user.pw_uid, user.pw_gid)


def _say_what_next(file: Path, answers: Answers) -> None:
    option = "" if file == _FILE else f" -c {file}"
    from sipmail.cli.draft import slug

    words = _PL if answers.language == "pl" else _EN
    print(f"\n{words['next']}:")
    commands = (
        (f"sipmail check --online{option}", words["check"]),
        (f"sipmail test-mail {slug(answers.mailbox, 'main')}{option}", words["mail"]),
        (f"sipmail run{option}", words["run"]),
    )
    width = max(len(command) for command, _ in commands)
    for command, what in commands:
        print(f"  {command:<{width}}  {what}")


_EN = {
    "written": "written",
    "next": "What next",
    "check": "tries everything, a tick a step",
    "mail": "sends a sample message",
    "run": "takes calls",
}
_PL = {
    "written": "zapisano",
    "next": "Co dalej",
    "check": "sprawdza wszystko, krok po kroku",
    "mail": "wysyła przykładową wiadomość",
    "run": "odbiera połączenia",
}
