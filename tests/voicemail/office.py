"""The configuration of an office that the tests of this folder call."""

from __future__ import annotations

from datetime import datetime
from ipaddress import ip_network
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from sipmail.config.model import Config, Greeting, Mail, Mailbox, Sip, Trunk
from sipmail.config.values import Address
from sipmail.sip.message import Request, parse

DATA = Path(__file__).parents[1] / "data" / "invites"
WARSAW = ZoneInfo("Europe/Warsaw")
MONDAY_NOON = datetime(2026, 11, 23, 12, 0, tzinfo=WARSAW)
MONDAY_NIGHT = datetime(2026, 11, 23, 22, 0, tzinfo=WARSAW)

PBX = Trunk(name="pbx", registrar="sip:pbx.example.com", username="200")
CARRIER = Trunk(name="carrier", accept_from=(ip_network("192.0.2.0/24"),))


def mailbox(key: str = "sales", *numbers: str, **fields: Any) -> Mailbox:
    return Mailbox(
        **{"key": key, "numbers": numbers, "language": "pl", "timezone": WARSAW, **fields}
    )


def office(*mailboxes: Mailbox, **fields: Any) -> Config:
    """Sales (201), service (202) and home; `mailboxes` are added or put in their place."""
    usual = (
        mailbox("sales", "201", "+48221234567", "sprzedaz", name="Poczta – sprzedaż"),
        mailbox("service", "202", "+48223334455", name="Serwis"),
        mailbox("home", "**622"),
    )
    return Config(
        **{
            "language": "pl",
            "country": "PL",
            "timezone": WARSAW,
            "sip": Sip(trunks={"pbx": PBX, "carrier": CARRIER}),
            "mail": Mail(from_=Address("Poczta głosowa", "voicemail@example.com")),
            "mailboxes": {one.key: one for one in (*usual, *mailboxes)},
            **fields,
        }
    )


def own_greeting(**files: str) -> Greeting:
    return Greeting.model_validate({case: Path(file) for case, file in files.items()})


def invite(
    *headers: str,
    uri: str = "sip:Qm7Zk2@203.0.113.10",
    sender: str = '"Anna" <sip:600123456@pbx.example.com>',
    to: str = "<sip:Qm7Zk2@203.0.113.10>",
) -> Request:
    """A small INVITE with these header lines added."""
    lines = (
        f"INVITE {uri} SIP/2.0",
        "Via: SIP/2.0/UDP 198.51.100.5:5060;branch=z9hG4bK1",
        f"From: {sender};tag=1",
        f"To: {to}",
        "Call-ID: 1@198.51.100.5",
        "CSeq: 1 INVITE",
        "Max-Forwards: 70",
        *headers,
        "Content-Length: 0",
        "",
        "",
    )
    request = parse("\r\n".join(lines).encode("utf-8", "surrogateescape"))
    assert isinstance(request, Request)
    return request


def recorded(name: str) -> Request:
    """One of the INVITEs in `tests/data/invites`."""
    request = parse((DATA / f"{name}.sip").read_bytes())
    assert isinstance(request, Request)
    return request
