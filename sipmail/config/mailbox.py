"""The sections `mailboxes` and `defaults`: what callers hear, who gets the messages, and how.

See `model` for the rules of all sections.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Field, ValidationInfo
from pydantic.json_schema import SkipJsonSchema, WithJsonSchema

from sipmail.config.fields import (
    After,
    Argument,
    AudioFormat,
    Duration,
    Email,
    File,
    FinishKeys,
    Key,
    Language,
    Number,
    OpeningHours,
    Operator,
    OptionalSecret,
    Pin,
    Size,
    Template,
    TemplateFile,
    Text,
    TimeZone,
    Until,
    Url,
    surroundings,
)
from sipmail.config.section import Section, file_or_section, without_default
from sipmail.config.suggest import did_you_mean
from sipmail.config.timezones import local_timezone
from sipmail.config.values import Address


class Temporary(Section):
    """A greeting for some days: holidays, a fair, an illness."""

    file: File = Field(description="the recording", examples=["greetings/holidays.wav"])
    until: Until = Field(
        description="the last day, or the moment when the usual greetings come back",
        examples=['"2026-12-27"'],
    )


class Greeting(Section):
    """What the caller hears first; None is the built-in greeting (of `default`, for the others).

    `{language}` in a path stands for the language of the mailbox.
    """

    temporary: Temporary | None = Field(
        default=None, description="in place of all the others, until it is over"
    )
    default: File | None = Field(
        default=None, description="where no other greeting is for the case"
    )
    busy: File | None = Field(default=None, description="the called phone is busy")
    no_answer: File | None = Field(default=None, description="nobody answered")
    unavailable: File | None = Field(default=None, description="the called phone cannot be reached")
    closed: File | None = Field(default=None, description="outside opening hours")


class Record(Section):
    """How a message is recorded."""

    max: Duration = Field(default=180.0, gt=0, description="the recording ends after this")
    warning: Duration = Field(
        default=10.0, description="a tone so long before the maximum; 0s: none"
    )
    min: Duration = Field(default=1.0, description="less speech than this is a missed call")
    silence: Duration = Field(
        default=8.0, description="the recording ends after silence; 0s: never"
    )
    finish_keys: FinishKeys = Field(default="#", description="any of these keys ends the recording")
    beep: bool = Field(default=True, description="a beep before the recording")
    trim: bool = Field(default=True, description="cut silence at both ends")
    normalize: bool = Field(default=False, description="lift quiet callers")


class Choice(Section):
    """What a caller may choose at the beginning, by key; who presses none stays in this mailbox."""

    prompt: File | None = Field(
        default=None,
        description="the recording that names the keys; without it the built-in one: "
        "urgent 1, quote 2, service 3",
    )
    keys: dict[Key, Text] = Field(
        min_length=1,
        description="the mailbox that each key leads to",
        examples=['{"1": urgent}'],
    )


class Body(Section):
    """Templates for what stands in the e-mail; where only `text` is given, the HTML shows it."""

    text: TemplateFile | None = Field(default=None, description="of the plain text")
    html: TemplateFile | None = Field(default=None, description="of the HTML")


class Webhook(Section):
    """An address that is told of each message once its e-mail is delivered."""

    url: Url = Field(
        description="takes a POST of JSON", examples=["https://crm.example.com/voicemail"]
    )
    secret: OptionalSecret = Field(
        default=None,
        description="signs it: X-Sipmail-Signature is sha256= and HMAC-SHA256 of timestamp.body",
    )
    timeout: Duration = Field(default=10.0, gt=0, le=300, description="for its answer")
    recording: bool = Field(default=False, description="it stands in the JSON, too, in base64")


class Command(Section):
    """A program that is run for each message once its e-mail is delivered, without a shell."""

    run: tuple[Argument, ...] = Field(
        min_length=1,
        description="the program and its arguments; it reads JSON from its standard input",
        examples=["[/usr/local/bin/ticket, new]"],
    )
    timeout: Duration = Field(default=30.0, gt=0, le=600, description="it is ended after this")


def _body(value: object) -> object:
    """A file by its name: HTML or text."""
    if isinstance(value, str):
        kind = "html" if value.removesuffix(".j2").endswith((".html", ".htm")) else "text"
        return {kind: value}
    return value


def _command(value: object) -> object:
    return {"run": value} if isinstance(value, list | tuple) else value


def _list_or_section(schema: dict[str, Any]) -> None:
    """For a section that may be written as a list of texts."""
    schema["anyOf"] = [{"type": "array", "items": {"type": "string"}}, *schema["anyOf"]]


def _file_or_optional_section(schema: dict[str, Any]) -> None:
    schema["anyOf"] = [{"type": "string"}, *schema["anyOf"]]


class Member(Section):
    """A user of a mailbox: in the file its name, or a mapping with the hours of being on call."""

    key: str
    user: Address
    hours: OpeningHours | None = None


def _member(value: object, info: ValidationInfo) -> object:
    """`anna` or `{user: anna, hours: …}` → the fields of a Member."""
    where = surroundings(info)
    if where is None or isinstance(value, Member):
        return value
    entry: dict[str, Any] = dict(value) if isinstance(value, dict) else {"user": value}
    name = entry.get("user")
    if not isinstance(name, str) or "key" in entry:
        raise ValueError("a user is wanted here: write its name, or {user: NAME, hours: …}")
    if name not in where.user_names:
        hint = did_you_mean(name, where.user_names) or ": add it under users:"
        raise ValueError(f"there is no user {name!r}{hint}")
    # A user whose own address is wrong is reported there; the placeholder never leaves the loader.
    return {**entry, "key": name, "user": where.users.get(name, Address("", ""))}


_MEMBER_SCHEMA = {
    "anyOf": [
        {"type": "string"},
        {
            "type": "object",
            "properties": {"user": {"type": "string"}, "hours": {"type": "string"}},
            "required": ["user"],
            "additionalProperties": False,
        },
    ]
}


def _greeting(value: object) -> object:
    return {"default": value} if isinstance(value, str) else value


class Mailbox(Section):
    """Where the messages for some numbers go."""

    key: SkipJsonSchema[str] = ""
    name: Text = Field(default="", description="for the e-mails; without it the mailbox's key")
    numbers: tuple[Number, ...] = Field(
        default=(), description='what was dialled, or who diverted the call; "*" takes the rest'
    )
    users: tuple[
        Annotated[Member, BeforeValidator(_member), WithJsonSchema(_MEMBER_SCHEMA)], ...
    ] = Field(default=(), description="who gets the messages, always or at some hours")
    emails: tuple[Email, ...] = Field(
        default=(), description="more addresses that get the messages"
    )
    reply_to: Email | None = Field(default=None, description="where an answer to the e-mail goes")
    answer_after: Duration = Field(
        default=0.0, le=180, description="ring this long first: for phones that ring in parallel"
    )
    language: Language = Field(
        default="en",
        description="of prompts and e-mails, where it differs",
        json_schema_extra=without_default,
    )
    timezone: TimeZone = Field(
        default_factory=local_timezone,
        description="of its opening hours, on-call hours and e-mails, where it differs",
        json_schema_extra=without_default,
    )
    greeting: Annotated[Greeting, BeforeValidator(_greeting)] = Field(
        default=Greeting.model_construct(),
        description="a file, or a file for each case",
        json_schema_extra=file_or_section,
    )
    greeting_number: Number | None = Field(
        default=None, description="who calls this number may record the greeting"
    )
    greeting_pin: Pin | None = Field(
        default=None, description="4 to 12 digits that prove that it is theirs to record"
    )
    hours: OpeningHours | None = Field(
        default=None,
        description="opening hours in OpenStreetMap's notation; outside: greeting.closed",
    )
    announcement: bool = Field(
        default=False, description="only the greeting is played, nothing is recorded"
    )
    choice: Choice | None = Field(
        default=None, description="keys that lead to other mailboxes, before the greeting"
    )
    operator: Operator | None = Field(
        default=None,
        description="whom the key 0 leads to, in the greeting and in menus (REFER): an extension "
        "at the call's trunk, or a SIP URI; where that fails, the caller goes on",
        examples=['"100"', "sip:desk@pbx.example.com"],
    )
    record: Record = Field(
        default=Record.model_construct(), description="how a message is recorded"
    )
    urgent: bool = Field(default=False, description="every message of this mailbox is urgent")
    attachment: AudioFormat = Field(default="mp3", description="the format of the recording")
    after: After = Field(default="thanks", description="what follows the message")
    missed_calls: bool = Field(default=True, description="an e-mail also when no message was left")
    fold_missed_calls: Duration = Field(
        default=300.0,
        le=600,
        description="further missed calls of the same caller within this are one e-mail; 0s: never",
    )
    max_attachment: Size = Field(
        default=10 * 1024**2,
        description="a larger recording is mailed in a smaller format",
    )
    one_mail_each: bool = Field(
        default=False, description="an e-mail for each recipient, in place of one to all"
    )
    subject: Template | None = Field(
        default=None, description="a template for the subject, in place of the built-in one"
    )
    body: Annotated[Body, BeforeValidator(_body)] | None = Field(
        default=None,
        description="templates for the e-mail, in place of the built-in one",
        json_schema_extra=_file_or_optional_section,
    )
    webhook: Webhook | None = Field(
        default=None, description="an address that is told of each message"
    )
    command: Annotated[Command, BeforeValidator(_command)] | None = Field(
        default=None,
        description="a program that is run for each message",
        json_schema_extra=_list_or_section,
    )

    def model_post_init(self, context: Any, /) -> None:
        if not self.name:
            object.__setattr__(self, "name", self.key)
