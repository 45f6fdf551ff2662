"""`sipmail greeting`: what callers hear, and new recordings for it.

The configuration is never rewritten: a new greeting is put beside it, and the lines that switch it
on are printed.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import typer

from sipmail.cli import terminal
from sipmail.cli.options import FAILED, WRONG_USE, ConfigOption, fail, read_config
from sipmail.cli.scalar import scalar
from sipmail.cli.terminal import JsonOption, hand_on_json

if TYPE_CHECKING:
    from sipmail.audio.greeting import Greeting
    from sipmail.config.model import Config, Mailbox

app = typer.Typer(
    help="What callers hear: list it, import a recording, make one from text.",
    epilog="Example: sipmail greeting import recording.mp3 --mailbox sales",
    context_settings={"help_option_names": ["-h", "--help"]},
)


class Case(StrEnum):
    """The cases that a mailbox may have a greeting for; the values are its keys."""

    TEMPORARY = "temporary"
    DEFAULT = "default"
    BUSY = "busy"
    NO_ANSWER = "no_answer"
    UNAVAILABLE = "unavailable"
    CLOSED = "closed"


MailboxOption = Annotated[
    str, typer.Option("--mailbox", "-m", metavar="KEY", help="The mailbox that it is for.")
]
CaseOption = Annotated[Case, typer.Option("--case", help="When it is to be heard.")]
UntilOption = Annotated[
    str | None,
    typer.Option(metavar="DAY", help="For --case temporary: the last day, like 2026-12-27."),
]
ForceOption = Annotated[
    bool, typer.Option("--force", help="Write over a greeting that is there already.")
]
TrimOption = Annotated[
    bool, typer.Option("--trim/--no-trim", help="Cut the silence at both ends, or keep it.")
]


@dataclass(frozen=True, slots=True)
class _Line:
    """What one mailbox plays in one case."""

    mailbox: str
    case: Case
    path: Path
    built_in: bool
    now: bool
    why: str
    seconds: float | None
    problem: str


@app.callback(invoke_without_command=True)
def _greeting(
    context: typer.Context, config: ConfigOption = None, as_json: JsonOption = False
) -> None:
    context.obj = config
    hand_on_json(context, as_json)
    if context.invoked_subcommand is None:
        list_greetings(context, config=config, as_json=as_json)


@app.command("list", epilog="Example: sipmail greeting list")
def list_greetings(
    context: typer.Context, config: ConfigOption = None, as_json: JsonOption = False
) -> None:
    """Show what each mailbox plays in each case, and now; exits with 1 when a file cannot be."""
    from sipmail.agent.greetings import recorded

    settings = read_config(config or context.obj)
    settings = recorded(settings, settings.spool)
    lines = list(_lines(settings, datetime.now(UTC)))
    if as_json:
        terminal.print_json(
            [
                {
                    "mailbox": line.mailbox,
                    "case": line.case.value,
                    "file": str(line.path),
                    "built_in": line.built_in,
                    "duration": line.seconds,
                    "now": line.now,
                    "why": line.why,
                    "problem": line.problem or None,
                }
                for line in lines
            ]
        )
    else:
        _print_table(lines, settings)
    if any(line.problem for line in lines):
        raise typer.Exit(FAILED)


@app.command(
    "import", epilog="Example: sipmail greeting import recording.mp3 --mailbox sales --case closed"
)
def import_greeting(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="A sound file: WAV, MP3, FLAC, Ogg, Opus …")],
    mailbox: MailboxOption,
    case: CaseOption = Case.DEFAULT,
    until: UntilOption = None,
    trim: TrimOption = True,
    force: ForceOption = False,
    config: ConfigOption = None,
) -> None:
    """Check a recording, convert it to what callers hear, and say how to switch it on."""
    from sipmail.audio.greeting import read

    settings = read_config(config or context.obj)
    place = _place(settings, mailbox, case, until)
    _keep(read(file, trim=trim), settings, place, force)


@app.command(
    epilog="Example: sipmail greeting say 'Nasze biuro jest zamknięte.' --mailbox sales"
    " --case closed --language pl"
)
def say(
    context: typer.Context,
    text: Annotated[str, typer.Argument(help="What is to be said; - reads it from stdin.")],
    mailbox: MailboxOption,
    case: CaseOption = Case.DEFAULT,
    until: UntilOption = None,
    language: Annotated[
        str | None, typer.Option(help="Of the text; without it the mailbox's.", metavar="pl|en|…")
    ] = None,
    command: Annotated[
        str | None,
        typer.Option(
            envvar="SIPMAIL_SAY",
            help="The speech program, with {file} for the sound file that it writes, {language}, "
            "and {text} where it does not read stdin. Without it: speech in the configuration, or "
            "espeak-ng.",
        ),
    ] = None,
    force: ForceOption = False,
    config: ConfigOption = None,
) -> None:
    """Make a greeting from text with a speech program, and say how to switch it on."""
    from sipmail.audio.greeting import read
    from sipmail.cli import speech

    settings = read_config(config or context.obj)
    place = _place(settings, mailbox, case, until)
    words = (sys.stdin.read() if text == "-" else text).strip()
    if not words:
        fail("there is nothing to say: the text is empty", WRONG_USE)
    with TemporaryDirectory(prefix="sipmail-") as folder:
        file = Path(folder) / "spoken.wav"
        program = command or settings.speech or speech.installed()
        speech.speak(words, language or place.mailbox.language, program, file)
        greeting = read(file)
    _keep(greeting, settings, place, force)


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a new greeting is to be heard."""

    mailbox: Mailbox
    case: Case
    until: str | None

    @property
    def name(self) -> str:
        """Of its file."""
        key, case = self.mailbox.key, self.case
        return key if case is Case.DEFAULT else f"{key}-{case.value.replace('_', '-')}"


def _place(config: Config, key: str, case: Case, until: str | None) -> _Place:
    box = config.mailboxes.get(key)
    if box is None:
        fail(f"there is no mailbox {key!r}: there are {', '.join(config.mailboxes)}", WRONG_USE)
    if (case is Case.TEMPORARY) != (until is not None):
        fail("a temporary greeting has an end: --case temporary --until 2026-12-27", WRONG_USE)
    if until is not None:
        from sipmail.config.values import parse_until

        try:
            parse_until(until)
        except ValueError as error:
            fail(f"--until: {error}", WRONG_USE)
    return _Place(box, case, until)


# What is played


def _lines(config: Config, moment: datetime) -> Iterable[_Line]:
    """Each mailbox, and its cases: as they are heard once a temporary greeting is over."""
    from sipmail.voicemail.greeting import choose, for_case
    from sipmail.voicemail.reason import Reason

    reasons = {
        Case.BUSY: Reason.BUSY,
        Case.NO_ANSWER: Reason.NO_ANSWER,
        Case.UNAVAILABLE: Reason.UNAVAILABLE,
    }
    known: dict[Path, tuple[float | None, str]] = {}
    for mailbox in config.mailboxes.values():
        now = moment.astimezone(mailbox.timezone)
        closed = _is_closed(mailbox, now, config.country)
        temporary = choose(mailbox, Reason.UNKNOWN, now, config.country).case == "temporary"
        usual = mailbox.model_copy(
            update={"greeting": mailbox.greeting.model_copy(update={"temporary": None})}
        )
        for case in Case:
            if case is Case.TEMPORARY:
                if not temporary:
                    continue
                choice = choose(mailbox, Reason.UNKNOWN, now, config.country)
            elif case is Case.CLOSED:
                if mailbox.hours is None:
                    continue
                choice = for_case(mailbox, "closed", f"outside the opening hours {mailbox.hours!r}")
            else:
                always = usual.model_copy(update={"hours": None})
                reason = reasons.get(case, Reason.UNKNOWN)
                choice = choose(always, reason, now, config.country)
            if choice.path not in known:
                known[choice.path] = _measured(choice.path)
            seconds, problem = known[choice.path]
            heard = case is Case.TEMPORARY or (not temporary and (case is Case.CLOSED) == closed)
            yield _Line(
                *(mailbox.key, case, choice.path, choice.built_in, heard),
                *(choice.why, seconds, problem),
            )


def _is_closed(mailbox: Mailbox, now: datetime, country: str | None) -> bool:
    from sipmail.config.hours import is_open

    return mailbox.hours is not None and not is_open(mailbox.hours, now, country)


def _measured(path: Path) -> tuple[float | None, str]:
    from sipmail.audio.prompt import PromptError, decode
    from sipmail.audio.speech import RATE

    try:
        return len(decode(path)) / RATE, ""
    except PromptError as error:
        return None, str(error)


def _print_table(lines: list[_Line], config: Config) -> None:
    table = terminal.table()
    table.add_column("mailbox", no_wrap=True)
    table.add_column("case", no_wrap=True)
    table.add_column("plays", overflow="fold")
    table.add_column("length", no_wrap=True, justify="right")
    table.add_column("now", no_wrap=True)
    before = ""
    for line in lines:
        plays = (
            f"built in ({line.path.parent.name})" if line.built_in else _relative(line.path, config)
        )
        table.add_row(
            terminal.safe(line.mailbox if line.mailbox != before else ""),
            line.case.value,
            terminal.safe(plays),
            terminal.tick(False) if line.problem else terminal.length(line.seconds),
            terminal.tick(True) if line.now else "",
        )
        before = line.mailbox
    terminal.console().print(table)
    for problem in dict.fromkeys(line.problem for line in lines if line.problem):
        print(f"\n{problem}")
    if any(line.built_in for line in lines):
        print("\nbuilt in: spoken by a program; record your own with `sipmail greeting import`")


def _relative(path: Path, config: Config) -> str:
    """A path as the configuration has it: relative to its folder where it lies below."""
    folder = config.path.absolute().parent
    return str(path.relative_to(folder)) if path.is_relative_to(folder) else str(path)


# What is new


def _keep(greeting: Greeting, config: Config, place: _Place, force: bool) -> None:
    """Writes the greeting beside the configuration and prints what to write there."""
    path = config.path.absolute().parent / "greetings" / f"{place.name}.wav"
    _write(path, greeting.wav(), force)
    print(f"{_relative(path, config)}: {terminal.length(greeting.seconds)}, at the usual level")
    for remark in greeting.remarks:
        print(f"note: {remark}")
    own: Mapping[str, object] = dict(place.mailbox.greeting)
    if own.get(place.case.value) == path:
        print(f"{config.path} names it already: reload sipmail (SIGHUP), and callers hear it")
        return
    files = {one: file for one in Case if isinstance(file := own.get(one.value), Path)}
    files[place.case] = path
    print(f"To use it, write in {config.path}, and reload sipmail (SIGHUP):\n")
    print("\n".join(_yaml(place, files, config)))


def _write(path: Path, data: bytes, force: bool) -> None:
    try:
        path.parent.mkdir(exist_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | (os.O_TRUNC if force else os.O_EXCL)
        with os.fdopen(os.open(path, flags, 0o644), "wb") as file:
            file.write(data)
    except FileExistsError:
        fail(f"{path} is there already: --force writes over it")
    except OSError as error:
        fail(f"{path} cannot be written: {error.strerror}")


def _yaml(place: _Place, files: Mapping[Case, Path], config: Config) -> Iterable[str]:
    yield "mailboxes:"
    yield f"  {scalar(place.mailbox.key)}:"
    written = {case: scalar(_relative(files[case], config)) for case in Case if case in files}
    others = [
        key for key, value in place.mailbox.greeting if value is not None and key not in written
    ]
    if list(written) == [Case.DEFAULT] and not others:
        yield f"    greeting: {written[Case.DEFAULT]}"
        return
    yield "    greeting:"
    for case, path in written.items():
        if case is Case.TEMPORARY:
            yield f'      temporary: {{file: {path}, until: "{place.until}"}}'
        else:
            yield f"      {case.value}: {path}"
    for key in others:
        yield f"      # {key}: stays as it is"
