"""Who gets the mail about a message: looked up in the configuration at each delivery, pure.

- The mailbox's users who are on call (whose `hours` are open, or who have none), then its emails.
- Nobody on call and no emails: all of the mailbox's users. A message is never held back until
  somebody comes on duty, and never lost because nobody is.
- The on-call list is that of now until the first recipient has the message, and from then on that
  of that moment: a change of shift does not send old messages around again, while a corrected
  address gets what it has not got yet.
- The mailbox's hooks (`hooks`) are recipients of their own kind, and stand in no e-mail.
- Whoever is not among them any more (removed, or another address now) is not waited for.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from sipmail.config.hours import is_open
from sipmail.config.model import Address, Config, Mailbox
from sipmail.mail.hooks import is_hook
from sipmail.spool.message import Delivery, RecipientState, RecipientStatus


def recipients(mailbox: Mailbox, config: Config, now: datetime) -> tuple[Address, ...]:
    """The addresses that a message for `mailbox` goes to at `now`, each once."""
    local = now.astimezone(mailbox.timezone)
    on_call = [
        member.user
        for member in mailbox.users
        if member.hours is None or is_open(member.hours, local, config.country)
    ]
    extra = [Address("", address) for address in mailbox.emails]
    return _each_once(on_call + extra or [member.user for member in mailbox.users])


def settle(delivery: Delivery, wanted: tuple[Address, ...]) -> Delivery:
    """`delivery` with everyone in `wanted` who is new as waiting, and without those who wait but
    are not wanted any more. What is delivered or refused for good stays."""
    wanted_keys = {_key(address.email) for address in wanted}
    known = {_key(address) for address in delivery.recipients}
    kept = {
        address: state
        for address, state in delivery.recipients.items()
        if state.state is not RecipientStatus.WAITING or _key(address) in wanted_keys
    }
    new = {
        address.email: RecipientState() for address in wanted if _key(address.email) not in known
    }
    return replace(delivery, recipients={**kept, **new})


def everyone(delivery: Delivery, wanted: tuple[Address, ...]) -> tuple[Address, ...]:
    """Who stands in To, the same over every attempt: who is wanted, and who has it already."""
    present = {_key(address.email) for address in wanted}
    earlier = (
        Address("", address)
        for address in delivery.delivered()
        if _key(address) not in present and not is_hook(address)
    )
    return (*wanted, *earlier)


def _each_once(addresses: list[Address]) -> tuple[Address, ...]:
    seen: dict[str, Address] = {}
    for address in addresses:
        seen.setdefault(_key(address.email), address)
    return tuple(seen.values())


def _key(address: str) -> str:
    return address.casefold()
