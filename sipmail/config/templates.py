"""The templates of a company's own e-mails: what they may say, and whether they can be read.

A template is Jinja in a sandbox. What is wrong in its syntax, and every name that it uses and
nobody gives it, is found when the configuration is read; `mail.own_words` fills it in.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Final

from jinja2 import Environment, StrictUndefined, TemplateError, TemplateSyntaxError, meta
from jinja2.sandbox import ImmutableSandboxedEnvironment

from sipmail.config.suggest import did_you_mean

VARIABLES: Final[dict[str, str]] = {
    "kind": "what the e-mail is: new voice message, urgent voice message, missed call",
    "who": "the caller's name; without one the number; without both that it is withheld or unknown",
    "name": "the caller's name, or nothing",
    "number": "the caller's number as people write it, or nothing",
    "country": "the country of that number, or nothing",
    "mailbox": "the mailbox's name",
    "mailbox_key": "the mailbox's key in the configuration",
    "called": "the number that was called",
    "called_name": "the name that the phone system gave with it, or nothing",
    "reason": "why the call came, in words, or nothing",
    "date": "day, date and time in words",
    "day": "day of the week and time",
    "time": "the time: 14:30",
    "zone": "the offset of these times: UTC+01:00",
    "received": "the same as a value, for received.strftime('%d.%m.%Y')",
    "duration": "how long the recording is, in words; nothing for a missed call",
    "length": "the same as players show it: 0:42",
    "seconds": "the same as a number",
    "urgent": "true for an urgent message",
    "missed": "true for a missed call",
    "repeats": "the other calls that a missed call stands for, each in words",
    "remarks": "sentences about a bad line or an interrupted recording",
    "subject": "the subject (in body.text and body.html)",
    "file_name": "the name of the attached recording, or nothing",
    "call_link": "dials the caller (tel:), or nothing",
    "call_back_link": "prepares the note that one calls back (mailto:), or nothing",
    "waveform": "the address of the picture of the recording for <img src>, or nothing (body.html)",
    "id": "the message's ID, for sipmail messages",
    "language": "pl or en",
}


@cache
def environment(*, html: bool) -> Environment:
    """Where templates live: sandboxed, undefined names are errors, escaped where it is HTML."""
    return ImmutableSandboxedEnvironment(
        autoescape=html, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )


def check(text: str) -> str:
    """Returns `text` when it is a template that can be used; raises ValueError."""
    try:
        tree = environment(html=False).parse(text)
        # What the parser takes but the compiler does not, like an unknown filter.
        environment(html=False).from_string(text)
    except TemplateSyntaxError as error:
        raise ValueError(f"line {error.lineno} of the template: {error.message}") from None
    except TemplateError as error:
        raise ValueError(f"the template cannot be used: {error}") from None
    for name in sorted(meta.find_undeclared_variables(tree) - set(VARIABLES)):
        hint = did_you_mean(name, VARIABLES) or f": there are {', '.join(VARIABLES)}"
        raise ValueError(f"there is no {{{{ {name} }}}}{hint}")
    return text


def check_file(path: Path) -> Path:
    """Returns `path` when the template in it can be used; raises ValueError."""
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise ValueError(f"{path} is not UTF-8: save it as UTF-8") from None
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from None
    try:
        check(text)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    return path
