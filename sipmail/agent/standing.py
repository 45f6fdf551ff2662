"""How the trunks of a running agent stand with their registrars, as `check --online` asks it.

A registrar that keeps one Contact for an account would forget the agent's for a second one. So
where an agent runs, its own registration is the check; only a trunk that was changed in the file
since the agent read it is registered anew.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from sipmail.agent.trunks import TrunkWatch
from sipmail.config.model import Config, Trunk
from sipmail.errors import SpoolError
from sipmail.spool.control import ask

COMMAND = "trunks"


@dataclass(frozen=True, slots=True)
class Standing:
    """A trunk of the running agent; `where` is in words."""

    registered: bool
    where: str
    last_error: str


async def report(config: Config, watch: TrunkWatch) -> object:
    """The agent's answer: each trunk that registers, by name."""
    return {
        name: {
            "account": _account(config.sip.trunks[name]),
            "registered": state.registered,
            "where": state.where,
            "last_error": state.last_error,
        }
        for name, state in watch.states.items()
        if name in config.sip.trunks
    }


def running(config: Config) -> Mapping[str, Standing]:
    """How those trunks of `config` stand that an agent in its spool keeps registered with the same
    account; none where no agent answers."""
    try:
        answer = ask(config.spool, COMMAND)
    except SpoolError:
        return {}
    known = answer if isinstance(answer, dict) else {}
    return {
        name: Standing(said["registered"] is True, said["where"], said["last_error"])
        for name, said in known.items()
        if name in config.sip.trunks and said["account"] == _account(config.sip.trunks[name])
    }


def _account(trunk: Trunk) -> str:
    """A mark of all that a registration depends on; the password cannot be read from it."""
    password = "" if trunk.password is None else trunk.password.get_secret_value()
    facts = (
        *(trunk.registrar, trunk.outbound_proxy, trunk.realm, trunk.verify),
        *(trunk.username, trunk.auth_username, password),
    )
    return hashlib.scrypt(repr(facts).encode(), salt=b"sipmail", n=1 << 12, r=8, p=1).hex()
