"""The section `mail`: how e-mails leave. See `model` for the rules of all sections."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from sipmail.config.fields import (
    Count,
    Duration,
    Email,
    Folder,
    Host,
    OptionalSecret,
    Person,
    Secret,
    Security,
    Text,
    Url,
)
from sipmail.config.section import Section, without_default

_SMTP_PORTS = {"starttls": 587, "tls": 465, "none": 25}


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
        json_schema_extra=without_default,
    )
    security: Security = Field(
        default="starttls", description="starttls, tls (from the start) or none"
    )
    username: Text | None = Field(
        default=None, description="for the login; without it there is none"
    )
    password: OptionalSecret = Field(default=None, description="for the login")
    oauth: OAuth | None = Field(
        default=None, description="a login by token in place of the password"
    )
    timeout: Duration = Field(default=30.0, gt=0, description="for each whole answer of the server")

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
