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

from pydantic import BeforeValidator, Field, ValidationInfo, field_validator, model_validator
from pydantic.json_schema import SkipJsonSchema, WithJsonSchema

from sipmail.config.fields import (
    ROUTING,
    Codec,
    Count,
    Country,
    DigestAlgorithm,
    Duration,
    File,
    Folder,
    HttpAddress,
    IpAddress,
    Language,
    Network,
    Number,
    OptionalSecret,
    Person,
    Ports,
    SipServer,
    Size,
    Source,
    Srtp,
    Text,
    TimeZone,
    Workers,
    surroundings,
)
from sipmail.config.mail_model import Mail, OAuth, Smtp
from sipmail.config.mailbox import (
    Body,
    Choice,
    Command,
    Greeting,
    Mailbox,
    Member,
    Record,
    Temporary,
    Webhook,
)
from sipmail.config.section import Section
from sipmail.config.timezones import local_timezone
from sipmail.config.values import Address, HostPort, PortRange, Transport, parse_listen
from sipmail.errors import Problem


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
    password: OptionalSecret = Field(
        default=None,
        description="of the account; without registrar: the caller must know it (digest)",
    )
    digest: tuple[DigestAlgorithm, ...] = Field(
        default=("MD5", "SHA-256"),
        min_length=1,
        description="how callers may prove the password, in this order: MD5, SHA-256, SHA-512-256; "
        "old telephones fail where there is more than MD5",
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
    ] = Field(
        default=(Listen.model_construct(),), min_length=1, description="addresses to take SIP at"
    )
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


class Limits(Section):
    """What one machine takes on."""

    calls: Count = Field(default=200, ge=1, description="at once; more are answered with 503")
    calls_per_source: Count = Field(default=50, ge=1, description="at once from one address")
    message: Duration = Field(default=600.0, gt=0, description="the longest that record.max may be")
    free_disk: Size = Field(
        default=500 * 1024**2, description="refuse calls below this in the spool"
    )


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
    rtp: Rtp = Rtp.model_construct()
    mail: Mail
    spool: Folder = Field(default=Path("/var/lib/sipmail"), description="folder for the messages")
    keep: Duration = Field(default=7 * 86400.0, description="how long delivered messages are kept")
    http: HttpAddress | None = Field(
        default=None, description="health, metrics and status; absent: none"
    )
    limits: Limits = Limits.model_construct()
    shutdown_grace: Duration = Field(
        default=30.0, description="for calls in progress after SIGTERM"
    )
    routing: tuple[Source, ...] = Field(
        default=ROUTING, min_length=1, description="where the mailbox is looked for, in this order"
    )
    contacts: Annotated[Contacts, BeforeValidator(_contacts)] = Field(
        default=Contacts.model_construct(),
        description="names of callers: by number, or CSV files",
        json_schema_extra=_several_forms,
    )
    speech: Text | None = Field(
        default=None,
        description="the program of `sipmail greeting say`, with {file} for the sound file that it "
        "writes, {language}, and {text} where it does not read stdin; without it espeak-ng",
        examples=["piper --model voices/{language}.onnx --output_file {file}"],
    )
    users: dict[str, Person] = Field(
        default={}, description="people and their e-mail addresses, by name"
    )
    defaults: Mailbox = Field(
        default=Mailbox.model_construct(),
        description="any key of a mailbox, for those that don't set it",
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
