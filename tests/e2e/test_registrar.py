"""A phone system that comes late, goes away, returns or refuses: sipmail is registered again."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import StartAgent
from tests.e2e.conftest import own_number, short_sections, wait_mail
from tests.e2e.telephone import (
    decoded,
    message,
    new_socket,
    noise,
    opening,
    recording,
    same,
    wait_recording,
)
from tests.e2e.test_signals import trunk
from tests.support.agent import Agent
from tests.support.caller import Caller
from tests.support.ports import free_port
from tests.support.registrar import Registrar
from tests.support.smtp import SmtpServer

pytestmark = pytest.mark.e2e


def registering(tmp_path: Path, registrar: Registrar, **changes: Any) -> dict[str, Any]:
    """Sections of an agent that knows nobody but this registrar."""
    trunks = {"local": None, "pbx": trunk(registrar, **changes)}
    return short_sections(tmp_path, sip={"trunks": trunks})


def leave_by_contact(
    running: Agent, registrar: Registrar, smtp: SmtpServer, caller: Callable[..., Caller], seed: int
) -> None:
    """The PBX sends a call to the Contact that was registered, and its e-mail comes."""
    phone, said = caller(running.address, user=own_number()), noise(0.3, seed)
    call = phone.call(uri=registrar.contact)
    call.send(opening())
    wait_recording(running, call)
    call.send(message(said))
    call.hang_up()
    same(recording(wait_mail(smtp, phone.user)), decoded(said))


@pytest.mark.parametrize("algorithm", ["MD5", "SHA-256"])
def test_it_registers_refreshes_and_takes_calls_at_its_contact(
    agent: StartAgent,
    smtp_server: SmtpServer,
    registrar: Registrar,
    caller: Callable[..., Caller],
    tmp_path: Path,
    algorithm: str,
) -> None:
    registrar.algorithm = algorithm
    registrar.expires = 10
    running = agent(smtp=smtp_server, **registering(tmp_path, registrar))
    registrar.wait(lambda known: len(known) >= 1)
    leave_by_contact(running, registrar, smtp_server, caller, 81)
    registrar.wait(lambda known: len(known) >= 2)
    first, second = registrar.registrations
    assert second.at - first.at < 10.0, "it ran out"
    assert len({known.contact for known in registrar.registrations}) == 1
    assert len(registrar.contact.partition(":")[2].partition("@")[0]) >= 16, "guessable"


def test_a_registrar_that_goes_away_and_returns(
    agent: StartAgent,
    smtp_server: SmtpServer,
    registrar: Registrar,
    caller: Callable[..., Caller],
    tmp_path: Path,
) -> None:
    registrar.expires = 10
    running = agent(smtp=smtp_server, **registering(tmp_path, registrar))
    registrar.wait(lambda known: len(known) >= 1)
    registrar.stop()
    running.wait_log("trunk pbx: not registered: the registrar can't be reached", 20)
    before = len(registrar.registrations)
    registrar.start()
    # What a PBX does when it is back: it looks after its peers.
    qualify(running, registrar)
    registrar.wait(lambda known: len(known) > before)
    running.wait_log("trunk pbx: registered", since=1 + find(running, "trunk pbx: not registered"))
    leave_by_contact(running, registrar, smtp_server, caller, 82)


def find(running: Agent, text: str) -> int:
    return next(index for index, line in enumerate(running.lines) if text in line)


def qualify(running: Agent, registrar: Registrar) -> None:
    """An OPTIONS from the registrar's address."""
    with new_socket(registrar.host) as sock:
        host, port = sock.getsockname()
        sock.sendto(
            (
                f"OPTIONS {registrar.contact} SIP/2.0\r\n"
                f"Via: SIP/2.0/UDP {host}:{port};branch=z9hG4bKqualify;rport\r\n"
                f"From: <sip:pbx@{host}>;tag=1\r\nTo: <{registrar.contact}>\r\n"
                "Call-ID: qualify\r\nCSeq: 1 OPTIONS\r\nMax-Forwards: 70\r\n"
                "Content-Length: 0\r\n\r\n"
            ).encode(),
            running.address,
        )
        assert sock.recv(4096).startswith(b"SIP/2.0 200 ")


def test_a_registrar_that_is_dumb_for_a_moment_is_reached_by_a_retransmission(
    agent: StartAgent, registrar: Registrar, tmp_path: Path
) -> None:
    registrar.stop()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as dumb:
        dumb.bind((registrar.host, registrar.port))
        dumb.settimeout(10)
        running = agent(**registering(tmp_path, registrar))
        lost = [dumb.recv(4096) for _ in range(2)]
    assert lost[0] == lost[1], "a retransmission is the same request"
    registrar.start()
    registrar.wait(lambda known: len(known) == 1)
    running.wait_log("trunk pbx: registered for 60 s")


def test_a_registrar_that_is_overloaded_is_asked_again(
    agent: StartAgent, registrar: Registrar, tmp_path: Path
) -> None:
    refusals = iter([500, 503])
    registrar.intercept = lambda request: next(refusals, None)
    running = agent(**registering(tmp_path, registrar))
    line = running.wait_log("trunk pbx: not registered: 500")
    assert "next try in" in line
    assert registrar.registrations == []
    assert running.running()


def test_a_wrong_password_is_told_and_never_logged(
    agent: StartAgent, registrar: Registrar, tmp_path: Path
) -> None:
    running = agent(**registering(tmp_path, registrar, password="open sesame"))
    running.wait_log("trunk pbx: not registered: 401")
    assert registrar.registrations == []
    assert registrar.refused == 2, "one answer to the challenge, and no guessing"
    assert "sesame" not in running.log()


@pytest.mark.parametrize("http", [False, True], ids=["alone", "with http"])
def test_a_stop_ends_once_the_registrar_has_answered(
    agent: StartAgent,
    registrar: Registrar,
    smtp_server: SmtpServer,
    tmp_path: Path,
    http: bool,
) -> None:
    sections = registering(tmp_path, registrar)
    if http:
        sections["http"] = f"127.0.0.1:{free_port(socket.SOCK_STREAM)}"
    running = agent(smtp=smtp_server, **sections)
    running.wait_log("trunk pbx: registered")
    assert running.stop() == 0
    last = registrar.registrations[-1]
    assert last.expires == 0
    # It takes 0.3 s; what waited for a poll or a timer took 4 to 5.
    assert time.monotonic() - last.at < 3.5


def test_a_stop_with_a_registrar_that_is_away_does_not_wait_for_long(
    agent: StartAgent, registrar: Registrar, tmp_path: Path
) -> None:
    running = agent(**registering(tmp_path, registrar))
    registrar.wait(lambda known: len(known) == 1)
    registrar.stop()
    asked = time.monotonic()
    assert running.stop() == 0
    assert time.monotonic() - asked < 10
