"""The configuration as values: what the rest of sipmail reads. Frozen and picklable.

Attribute names are the keys of the YAML file (`from` is `from_`). Durations are seconds as floats,
sizes are bytes, paths are absolute, numbers are normalised, and `defaults` is already merged into
every mailbox.

Passwords are `SecretStr | None`: `trunk.password.get_secret_value()` is the text; printing or
logging a model shows asterisks. (A pickle of it does hold the text.)

Every class is a section of the file; `schema.py` makes the JSON Schema from the same fields.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic.json_schema import SkipJsonSchema, WithJsonSchema

from sipmail.config.fields import (
    ROUTING,
    After,
    Argument,
    AudioFormat,
    Codec,
    Count,
    Country,
    Duration,
    Email,
    File,
    FinishKeys,
    Folder,
    Host,
    HttpAddress,
    IpAddress,
    Key,
    Language,
    Network,
    Number,
    OpeningHours,
    Person,
    Pin,
    Ports,
    Secret,
    Security,
    SipServer,
    Size,
    Source,
    Srtp,
    Template,
    TemplateFile,
    Text,
    TimeZone,
    Until,
    Url,
    Workers,
    surroundings,
)
from sipmail.config.suggest import did_you_mean
from sipmail.config.timezones import local_timezone
from sipmail.config.values import Address, HostPort, PortRange, Transport, parse_listen
from sipmail.errors import Problem

_SMTP_PORTS = {"starttls": 587, "tls": 465, "none": 25}


def _without_default(schema: dict[str, Any]) -> None:
    """For a field whose default comes from another one."""
    schema.pop("default", None)


def _file_or_section(schema: dict[str, Any]) -> None:
    """For a section that may be written as one file."""
    schema["anyOf"] = [{"type": "string"}, {"$ref": schema.pop("$ref")}]


class Section(BaseModel):
    """A mapping of the file: no unknown keys, no changes afterwards."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", populate_by_name=True, arbitrary_types_allowed=True
    )


class Listen(Section):
    """An address to take SIP at: in the file a URL, or a mapping where TLS has own certificates."""

    transport: SkipJsonSchema[Transport] = "udp"
    host: SkipJsonSchema[str] = "0.0.0.0"  # noqa: S104 - a voicemail listens to its PBX
    port: SkipJsonSchema[int] = 5060
    certificate: File | None = Field(
        default=None, description="PEM file with the certificate chain (tls)"
    )
    private_key: File | None = Field(
        default=None, description="PEM file with the private key (tls)"
    )

    @property
    def url(self) -> str:
        """As the file has it: `udp://0.0.0.0:5060`."""
        return f"{self.transport}://{HostPort(self.host, self.port)}"


def _listen(value: object) -> object:
    if isinstance(value, str):
        transport, host, port = parse_listen(value)
        return {"transport": transport, "host": host, "port": port}
    if isinstance(value, dict) and "transport" not in value:
        if not isinstance(value.get("url"), str):
            raise ValueError("url: is missing: write url: tls://0.0.0.0:5061")
        transport, host, port = parse_listen(value["url"])
        rest = {key: entry for key, entry in value.items() if key != "url"}
        return {**rest, "transport": transport, "host": host, "port": port}
    if isinstance(value, dict | Listen):
        return value
    raise ValueError("an address to listen at is wanted here: write it like udp://0.0.0.0:5060")


_LISTEN_SCHEMA = {
    "anyOf": [
        {"type": "string", "pattern": "^(udp|tcp|tls)://"},
        {
            "type": "object",
            "properties": {
                "url": {"type": "string", "pattern": "^(udp|tcp|tls)://"},
                "certificate": {"type": "string"},
                "private_key": {"type": "string"},
            },
            "required": ["url"],
            "additionalProperties": False,
        },
    ]
}


class Trunk(Section):
    """Where calls come from: a PBX that sipmail registers with, or addresses that may call."""

    name: SkipJsonSchema[str] = ""
    registrar: SipServer | None = Field(
        default=None, description="SIP URI of the server to register with"
    )
    username: Text | None = Field(
        default=None, description="the account or extension at the registrar"
    )
    auth_username: Text | None = Field(
        default=None, description="for the login, where it is another one"
    )
    password: Secret | None = Field(
        default=None,
        description="of the account; without registrar: the caller must know it (digest)",
    )
    realm: Text | None = Field(default=None, description="answer only challenges of this realm")
    outbound_proxy: SipServer | None = Field(
        default=None, description="SIP URI that requests go through"
    )
    expires: Duration = Field(default=300.0, ge=30, description="lifetime of a registration")
    keepalive: Duration = Field(
        default=25.0, description="between packets that hold a NAT open; 0s: none"
    )
    accept_from: tuple[Network, ...] = Field(
        default=(), description="networks whose calls belong to this trunk"
    )
    mailbox: Text | None = Field(
        default=None, description="all calls of this trunk go to this mailbox"
    )
    verify: bool = Field(
        default=True, description="over TLS: the registrar's certificate must be valid"
    )
    srtp: Srtp = Field(
        default="auto",
        description="encrypted media: auto (where signalling is TLS), optional, required, off",
    )


class Sip(Section):
    """Signalling."""

    listen: tuple[
        Annotated[Listen, BeforeValidator(_listen), WithJsonSchema(_LISTEN_SCHEMA)], ...
    ] = Field(default=(Listen(),), min_length=1, description="addresses to take SIP at")
    certificate: File | None = Field(
        default=None, description="PEM certificate chain for tls:// listeners"
    )
    private_key: File | None = Field(
        default=None, description="PEM private key for tls:// listeners"
    )
    ca_file: File | None = Field(
        default=None,
        description="PEM file with the CAs that registrars' certificates must be of; without it "
        "those that the system trusts",
    )
    public_address: IpAddress | None = Field(
        default=None, description="the address that peers see, where sipmail is behind NAT"
    )
    trunks: dict[str, Trunk] = Field(min_length=1, description="where calls come from, by name")

    @field_validator("trunks", mode="before")
    @classmethod
    def _name_trunks(cls, value: object) -> object:
        return _named(value, "name")

    @model_validator(mode="after")
    def _share_certificate(self) -> Self:
        """The certificate of the section serves every tls listener that has none of its own."""
        own = {"certificate": self.certificate, "private_key": self.private_key}
        listen = tuple(
            one.model_copy(update=own)
            if one.transport == "tls" and one.certificate is None and one.private_key is None
            else one
            for one in self.listen
        )
        object.__setattr__(self, "listen", listen)
        return self


class Rtp(Section):
    """Media."""

    ports: Ports = Field(default=PortRange(20000, 20999), description="UDP ports; a call takes two")
    codecs: tuple[Codec, ...] = Field(
        default=("PCMA", "PCMU"), min_length=1, description="in order of preference"
    )
    timeout: Duration = Field(
        default=30.0, gt=0, description="no packets for this long: hang up and keep the message"
    )
    workers: Workers = Field(
        default="auto", description="media processes; auto: as the machine needs"
    )


class OAuth(Section):
    """A login without password (XOAUTH2, client credentials): Microsoft 365 takes no other."""

    tenant: Text | None = Field(
        default=None, description="Microsoft 365: the directory (tenant) ID or domain"
    )
    token_url: Url | None = Field(
        default=None, description="elsewhere: the address that gives out tokens"
    )
    client_id: Text = Field(
        description="the application (client) ID", examples=["00000000-0000-0000-0000-000000000000"]
    )
    client_secret: Secret = Field(
        description="the application's secret", examples=["${OAUTH_SECRET}"]
    )
    scope: Text = Field(
        default="https://outlook.office365.com/.default", description="what the token is for"
    )

    @property
    def endpoint(self) -> str:
        """The address that gives out tokens."""
        if self.token_url is not None:
            return self.token_url
        return f"https://login.microsoftonline.com/{self.tenant}/oauth2/v2.0/token"


class Smtp(Section):
    """The server that takes the e-mails."""

    host: Host = Field(description="name of the server", examples=["smtp.example.com"])
    port: Count = Field(
        default=0,
        ge=1,
        le=65535,
        description="587, or 465 for tls, or 25 for none",
        json_schema_extra=_without_default,
    )
    security: Security = Field(
        default="starttls", description="starttls, tls (from the start) or none"
    )
    username: Text | None = Field(
        default=None, description="for the login; without it there is none"
    )
    password: Secret | None = Field(default=None, description="for the login")
    oauth: OAuth | None = Field(
        default=None, description="a login by token in place of the password"
    )
    timeout: Duration = Field(default=30.0, gt=0, description="for each answer of the server")

    def model_post_init(self, context: Any, /) -> None:
        if not self.port:
            object.__setattr__(self, "port", _SMTP_PORTS[self.security])


class Mail(Section):
    """How e-mails leave."""

    from_: Person = Field(
        validation_alias="from",
        description="the sender of every e-mail",
        examples=["Voicemail <voicemail@example.com>"],
    )
    envelope_from: Email | None = Field(
        default=None, description="where bounces go; without it the address in from"
    )
    smtp: Smtp | None = Field(default=None, description="without it the e-mails go to maildir")
    maildir: Folder | None = Field(default=None, description="a Maildir that takes the e-mails")
    admin: Email | None = Field(
        default=None,
        description="told when a message cannot be delivered or a trunk stays unregistered",
    )

    @property
    def sender(self) -> str:
        """The address in the envelope."""
        return self.envelope_from or self.from_.email


class Limits(Section):
    """What one machine takes on."""

    calls: Count = Field(default=200, ge=1, description="at once; more are answered with 503")
    calls_per_source: Count = Field(default=50, ge=1, description="at once from one address")
    message: Duration = Field(default=600.0, gt=0, description="the longest that record.max may be")
    free_disk: Size = Field(
        default=500 * 1024**2, description="refuse calls below this in the spool"
    )


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
    secret: Secret | None = Field(
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


class Contacts(Section):
    """Who calls from which number; a name here comes before what the network says."""

    numbers: dict[Number, Text] = Field(default={}, description="names by number")
    files: tuple[File, ...] = Field(
        default=(), description="CSV files with names and numbers, read again when they change"
    )


def _contacts(value: object) -> object:
    """A file, a list of files, or names by number, for short."""
    if isinstance(value, str):
        return {"files": [value]}
    if isinstance(value, list | tuple):
        return {"files": value}
    if isinstance(value, dict) and not set(value) <= set(Contacts.model_fields):
        return {"numbers": value}
    return value


def _several_forms(schema: dict[str, Any]) -> None:
    """For contacts, which may be written in short."""
    names = {
        "type": "object",
        "propertyNames": {"pattern": "[0-9]"},
        "additionalProperties": {"type": "string"},
    }
    files = {"type": "array", "items": {"type": "string"}}
    schema["anyOf"] = [{"type": "string"}, files, {"$ref": schema.pop("$ref")}, names]


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
        json_schema_extra=_without_default,
    )
    greeting: Annotated[Greeting, BeforeValidator(_greeting)] = Field(
        default=Greeting(),
        description="a file, or a file for each case",
        json_schema_extra=_file_or_section,
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
    record: Record = Field(default=Record(), description="how a message is recorded")
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


class Config(Section):
    """The whole file."""

    path: SkipJsonSchema[Path] = Path("sipmail.yaml")
    warnings: SkipJsonSchema[tuple[Problem, ...]] = ()
    language: Language = Field(default="en", description="of prompts and e-mails: pl or en")
    country: Country | None = Field(
        default=None,
        description="how national numbers are read, and whose public holidays PH means",
    )
    timezone: TimeZone = Field(
        default_factory=local_timezone, description="of times in e-mails and opening hours"
    )
    sip: Sip
    rtp: Rtp = Rtp()
    mail: Mail
    spool: Folder = Field(default=Path("/var/lib/sipmail"), description="folder for the messages")
    keep: Duration = Field(default=7 * 86400.0, description="how long delivered messages are kept")
    http: HttpAddress | None = Field(
        default=None, description="health, metrics and status; absent: none"
    )
    limits: Limits = Limits()
    shutdown_grace: Duration = Field(
        default=30.0, description="for calls in progress after SIGTERM"
    )
    routing: tuple[Source, ...] = Field(
        default=ROUTING, min_length=1, description="where the mailbox is looked for, in this order"
    )
    contacts: Annotated[Contacts, BeforeValidator(_contacts)] = Field(
        default=Contacts(),
        description="names of callers: by number, or CSV files",
        json_schema_extra=_several_forms,
    )
    users: dict[str, Person] = Field(
        default={}, description="people and their e-mail addresses, by name"
    )
    defaults: Mailbox = Field(
        default=Mailbox(), description="any key of a mailbox, for those that don't set it"
    )
    mailboxes: dict[str, Mailbox] = Field(min_length=1, description="mailboxes, by name")

    @field_validator("users", mode="after")
    @classmethod
    def _share_users(cls, value: dict[str, Address], info: ValidationInfo) -> dict[str, Address]:
        if where := surroundings(info):
            where.users.update(value)
        return value

    @field_validator("mailboxes", mode="before")
    @classmethod
    def _name_mailboxes(cls, value: object) -> object:
        return _named(value, "key")


def _named(value: object, attribute: str) -> object:
    """The entries of a mapping, each told its own name."""
    if not isinstance(value, dict):
        return value
    return {
        name: {**entry, attribute: name} if isinstance(entry, dict) else entry
        for name, entry in value.items()
    }


__all__ = [
    "Address",
    "Body",
    "Choice",
    "Command",
    "Config",
    "Contacts",
    "Greeting",
    "HostPort",
    "Limits",
    "Listen",
    "Mail",
    "Mailbox",
    "Member",
    "OAuth",
    "PortRange",
    "Record",
    "Rtp",
    "Section",
    "Sip",
    "Smtp",
    "Temporary",
    "Trunk",
    "Webhook",
]
