"""`/healthz` of the running program: 200 while all is well, and 503 with what is not, in words."""

from __future__ import annotations

import socket
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import StartAgent
from tests.e2e.conftest import own_number, short_sections, wait_settled
from tests.e2e.telephone import message, noise, opening, until, wait_recording
from tests.e2e.test_signals import trunk
from tests.support.agent import Agent
from tests.support.caller import Caller
from tests.support.ports import free_port
from tests.support.registrar import Registrar
from tests.support.smtp import SmtpServer

pytestmark = pytest.mark.e2e


def health(running: Agent) -> tuple[int, str]:
    """Status and text."""
    try:
        with urllib.request.urlopen(f"http://{running.settings['http']}/healthz") as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def says(running: Agent, status: int, text: str) -> Callable[[], bool]:
    """Whether it answers so now, to be asked again and again."""
    return lambda: health(running) == (status, text)


def leave(running: Agent, phone: Caller) -> None:
    """A message that the mail server refuses for everyone."""
    call = phone.call()
    call.send(opening())
    wait_recording(running, call)
    call.send(message(noise(0.3, 95)))
    call.hang_up()
    wait_settled(running, call.call_id, "failed")


def test_what_is_wrong_stands_there(
    agent: StartAgent,
    smtp_server: SmtpServer,
    registrar: Registrar,
    caller: Callable[..., Caller],
    tmp_path: Path,
) -> None:
    sections = short_sections(tmp_path, sip={"trunks": {"pbx": trunk(registrar)}})
    http = f"127.0.0.1:{free_port(socket.SOCK_STREAM)}"
    running = agent(smtp=smtp_server, http=http, **sections)
    until(says(running, 200, "ok\n"), "a healthy agent")

    smtp_server.on_recipient = lambda address: "550 5.1.1 no such user"
    phone = caller(running.address, user=own_number())
    for count in ("1 message", "2 messages"):
        leave(running, phone)
        problem = f"{count} could not be delivered: see `sipmail queue`\n"
        until(says(running, 503, problem), problem)
