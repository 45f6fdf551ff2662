"""The types of the configuration's fields: how YAML writes each one, and what becomes of it.

Every type pairs a parser (from `values`, or one here) with the JSON Schema of its written form.
Where a value needs its surroundings (the folder that paths start from, the users, the country),
the parser finds them in the `Surroundings` that the loader hands to pydantic as context; a model
that is built directly in Python has none, and its values are taken as they are.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Annotated, Final, Literal
from zoneinfo import ZoneInfo, available_timezones

from pydantic import BeforeValidator, SecretStr, ValidationInfo, WithJsonSchema

from sipmail.config import values
from sipmail.config.suggest import did_you_mean

Language = Literal["pl", "en"]
Codec = Literal["PCMA", "PCMU"]
Security = Literal["starttls", "tls", "none"]
DigestAlgorithm = Literal["MD5", "SHA-256", "SHA-512-256"]
Srtp = Literal["auto", "optional", "required", "off"]
AudioFormat = Literal["mp3", "wav", "ulaw", "alaw", "flac", "opus"]
After = Literal["thanks", "menu", "nothing"]
Source = Literal[
    "trunk", "target", "request-uri", "diversion", "history-info", "p-called-party-id", "to"
]

# The places of a call that may name a mailbox, in the order in which they are asked.
ROUTING: Final[tuple[Source, ...]] = (
    "trunk",
    "target",
    "request-uri",
    "diversion",
    "history-info",
    "p-called-party-id",
    "to",
)

_DURATION_PATTERN = r"^\s*([0-9]+(\.[0-9]+)?|([0-9]+(\.[0-9]+)?(ms|s|m|h|d)\s*)+)\s*$"


@dataclass
class Surroundings:
    """What the value of a field may depend on; `users` fills while the file is being read."""

    folder: Path
    country: str | None = None
    user_names: frozenset[str] = frozenset()
    users: dict[str, values.Address] = field(default_factory=dict)
    country_is_wrong: bool = False


def surroundings(info: ValidationInfo) -> Surroundings | None:
    """The surroundings of the file being read; None for a model that Python code builds."""
    return info.context if isinstance(info.context, Surroundings) else None


def _path(value: object, info: ValidationInfo) -> Path:
    """A path, relative to the configuration file; `~` is the home of the user."""
    if isinstance(value, Path):
        return value
    if not isinstance(value, str) or not value.strip() or "\0" in value:
        raise ValueError("a path is wanted here: write it like ./mail or /var/lib/sipmail")
    where = surroundings(info)
    path = Path(value).expanduser()
    return Path(os.path.normpath(where.folder / path)) if where else path


def _file(value: object, info: ValidationInfo) -> Path:
    """A path of a file that is there and can be read."""
    path = _path(value, info)
    if surroundings(info) is not None:
        if path.is_dir():
            raise ValueError(f"{path} is a folder: write the path of a file")
        try:
            with path.open("rb"):
                pass
        except FileNotFoundError:
            raise ValueError(
                f"there is no file {path}: write a path relative to the configuration file"
            ) from None
        except OSError as error:
            raise ValueError(f"{path} cannot be read: {error.strerror}") from None
    return path


def _timezone(value: object) -> ZoneInfo:
    if isinstance(value, ZoneInfo):
        return value
    if isinstance(value, str):
        try:
            return ZoneInfo(value)
        except (ValueError, OSError, LookupError):
            pass
        known = available_timezones()
        if not known:
            raise ValueError("this machine knows no time zones: install tzdata (apt or pip)")
        hint = did_you_mean(value, known)
        raise ValueError(f"the time zone {value!r} is unknown{hint or ': write Europe/Warsaw'}")
    raise ValueError("a time zone is wanted here: write it like Europe/Warsaw")


def _country(value: object) -> str:
    from sipmail.config import numbers

    if isinstance(value, str) and value in numbers.countries():
        return value
    if isinstance(value, str) and value.upper() in numbers.countries():
        raise ValueError(f"countries are written in capital letters: write {value.upper()}")
    if isinstance(value, bool):  # Norway's NO, of all countries
        raise ValueError('YAML reads this as true or false: put it in quotes, like "NO"')
    raise ValueError(f"the country {value!r} is unknown: write its two letters, like PL")


def _text(value: object) -> object:
    """Text for people, on one line."""
    if isinstance(value, str) and any(ord(letter) < 32 or ord(letter) == 127 for letter in value):
        raise ValueError("has a line break or a control character: write it on one line")
    return value


def _template(value: object) -> object:
    if isinstance(_text(value), str):
        from sipmail.config import templates

        return templates.check(str(value))
    return value


def _template_file(value: object, info: ValidationInfo) -> object:
    path = _file(value, info)
    if surroundings(info) is not None:
        from sipmail.config import templates

        templates.check_file(path)
    return path


def _argument(value: object) -> object:
    """One argument of a command: numbers are meant as they are written."""
    if isinstance(value, str) and "\0" in value:
        raise ValueError("has a zero byte, which no argument of a command can have")
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


def _secret(value: object) -> object:
    if value is None or value == "":
        # Not "no password": a template that was half filled in must not open a trunk.
        raise ValueError("is empty: write the password, or leave the key out")
    if isinstance(value, str) and ("\n" in value or "\r" in value):
        raise ValueError("has a line break: a password is one line")
    return value


def _pin(value: object) -> object:
    if isinstance(value, str) and not re.fullmatch(r"[0-9]{4,12}", value):
        raise ValueError("a PIN has 4 to 12 digits: write others, in quotes")
    return value


def _finish_keys(value: object) -> object:
    if isinstance(value, str) and (wrong := re.sub(r"[0-9*#A-D]", "", value)):
        raise ValueError(f"{wrong[0]!r} is no key of a telephone: write keys of 0-9 * #, like '#'")
    return value


def _key(value: object) -> object:
    if isinstance(value, str) and re.fullmatch(r"[0-9*#]", value):
        return value
    raise ValueError(f'{value!r} is no key of a telephone: write one of 0-9 * #, like "1"')


def _mailbox_number(value: object, info: ValidationInfo) -> object:
    """A number in the form for comparing; "*" is any."""
    if isinstance(value, str):
        from sipmail.config import numbers

        text = value.strip()
        if not text or re.search(r"[\s<>\"@]", re.sub(r"(?<=[0-9]) (?=[0-9])", "", text)):
            raise ValueError(f'{value!r} is no number: write it like "201" or "+48221234567"')
        where = surroundings(info)
        return text if text == "*" or where is None else numbers.normalize(text, where.country)
    return value


def _registrar(value: object) -> object:
    from sipmail.config.sip_uri import parse_server

    return parse_server(value) if isinstance(value, str) else value


def _operator(value: object) -> object:
    from sipmail.config.sip_uri import parse_operator

    return parse_operator(value) if isinstance(value, str) else value


def _hours(value: object, info: ValidationInfo) -> object:
    where = surroundings(info)
    if isinstance(value, str) and where is not None:
        from sipmail.config import hours

        # A wrong country is reported at its own place.
        if not (where.country_is_wrong and hours.mean_holidays(value)):
            hours.check(value, where.country)
    return value


def _count(value: object) -> object:
    """No number is meant by true or false."""
    if isinstance(value, bool):
        raise ValueError(f"{str(value).lower()} is no number: write one in digits")
    return value


def _workers(value: object) -> object:
    if value == "auto" or (isinstance(value, int) and not isinstance(value, bool) and value > 0):
        return value
    raise ValueError("the number of media workers is wanted here: write auto, or 1 or more")


_TEXT_SCHEMA = WithJsonSchema({"type": "string"})

Text = Annotated[str, BeforeValidator(_text)]
Count = Annotated[int, BeforeValidator(_count)]
Duration = Annotated[
    float,
    BeforeValidator(values.parse_duration),
    WithJsonSchema({"type": ["string", "number"], "pattern": _DURATION_PATTERN, "minimum": 0}),
]
Size = Annotated[
    int,
    BeforeValidator(values.parse_size),
    WithJsonSchema(
        {
            "type": ["string", "integer"],
            "pattern": r"^\s*[0-9]+(\.[0-9]+)?\s*[kKmMgGtT]?([iI]?[bB])?\s*$",
            "minimum": 0,
        }
    ),
]
Ports = Annotated[
    values.PortRange,
    BeforeValidator(values.parse_port_range),
    WithJsonSchema({"type": "string", "pattern": r"^\s*[0-9]{1,5}\s*-\s*[0-9]{1,5}\s*$"}),
]
Url = Annotated[
    str,
    BeforeValidator(values.parse_url),
    WithJsonSchema({"type": "string", "pattern": "^https?://"}),
]
Host = Annotated[str, BeforeValidator(values.parse_host), _TEXT_SCHEMA]
IpAddress = Annotated[str, BeforeValidator(values.parse_ip_address), _TEXT_SCHEMA]
HttpAddress = Annotated[
    values.HostPort,
    BeforeValidator(values.parse_host_port),
    WithJsonSchema({"type": "string", "pattern": r"^\s*(\[.+\]|[^\[\]:]+):[0-9]{1,5}\s*$"}),
]
Network = Annotated[values.Network, BeforeValidator(values.parse_network), _TEXT_SCHEMA]
Person = Annotated[values.Address, BeforeValidator(values.parse_address), _TEXT_SCHEMA]
Email = Annotated[str, BeforeValidator(values.parse_email), _TEXT_SCHEMA]
Folder = Annotated[Path, BeforeValidator(_path), _TEXT_SCHEMA]
File = Annotated[Path, BeforeValidator(_file), _TEXT_SCHEMA]
TimeZone = Annotated[ZoneInfo, BeforeValidator(_timezone), _TEXT_SCHEMA]
Country = Annotated[
    str, BeforeValidator(_country), WithJsonSchema({"type": "string", "pattern": "^[A-Z]{2}$"})
]
Secret = Annotated[SecretStr, BeforeValidator(_secret), _TEXT_SCHEMA]
OptionalSecret = Annotated[SecretStr | None, BeforeValidator(_secret), _TEXT_SCHEMA]
Pin = Annotated[
    SecretStr,
    BeforeValidator(_pin),
    WithJsonSchema({"type": "string", "pattern": "^(\\$\\{.*|[0-9]{4,12})$"}),
]
FinishKeys = Annotated[
    str,
    BeforeValidator(_finish_keys),
    WithJsonSchema({"type": "string", "pattern": "^[0-9*#A-D]*$"}),
]
Number = Annotated[str, BeforeValidator(_mailbox_number), _TEXT_SCHEMA]
SipServer = Annotated[
    str, BeforeValidator(_registrar), WithJsonSchema({"type": "string", "pattern": "^[sS][iI][pP]"})
]
Operator = Annotated[str, BeforeValidator(_operator), _TEXT_SCHEMA]
OpeningHours = Annotated[str, BeforeValidator(_hours), _TEXT_SCHEMA]
Template = Annotated[str, BeforeValidator(_template), _TEXT_SCHEMA]
TemplateFile = Annotated[Path, BeforeValidator(_template_file), _TEXT_SCHEMA]
Argument = Annotated[str, BeforeValidator(_argument), _TEXT_SCHEMA]
Key = Annotated[
    str, BeforeValidator(_key), WithJsonSchema({"type": "string", "pattern": "^[0-9*#]$"})
]
Until = Annotated[
    datetime,
    BeforeValidator(values.parse_until),
    WithJsonSchema(
        {
            "type": "string",
            "pattern": r"^\s*[0-9]{4}-[0-9]{2}-[0-9]{2}([ T][0-9]{2}:[0-9]{2}(:[0-9]{2})?)?\s*$",
        }
    ),
]
Workers = Annotated[
    int | Literal["auto"],
    BeforeValidator(_workers),
    WithJsonSchema({"anyOf": [{"type": "integer", "minimum": 1}, {"const": "auto"}]}),
]
