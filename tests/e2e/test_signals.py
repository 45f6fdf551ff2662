"""SIGTERM and SIGHUP while calls are in progress, as an administrator's systemctl sends them."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import StartAgent
from tests.e2e.conftest import (
    PLAIN,
    SHORT,
    facts,
    own_number,
    short_sections,
    wait_mail,
    write_greeting,
)
from tests.e2e.telephone import (
    STEP,
    body,
    decoded,
    message,
    noise,
    opening,
    payload_of,
    recording,
    same,
    say,
    until,
    wait_recording,
)
from tests.support.agent import ROOT, Agent, merged
from tests.support.caller import Call, Caller, CallFailed
from tests.support.ports import free_port
from tests.support.registrar import Registrar
from tests.support.smtp import SmtpServer

pytestmark = pytest.mark.e2e

Phone = Callable[..., Caller]


def begin(agent: Agent, phone: Caller, number: str = "201") -> Call:
    """A call that is being recorded."""
    call = phone.call(number)
    call.send(opening())
    wait_recording(agent, call)
    return call


def trunk(registrar: Registrar, **changes: Any) -> dict[str, Any]:
    """How an agent registers there."""
    return {
        "registrar": f"sip:{registrar.host}:{registrar.port}",
        "username": registrar.username,
        "password": registrar.password,
        **changes,
    }


class Monologue:
    """One caller who speaks until told to stop; `spoken` is all that was said."""

    def __init__(self, call: Call, seed: int, seconds: float = 15.0) -> None:
        self._call = call
        self._packets = message(noise(seconds, seed))
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._speak)
        self.sent: list[tuple[float, bytes]] = []
        self._thread.start()

    def _speak(self) -> None:
        turn = (self._call, self._packets)
        for when, packet in say(turn, stop=self._over.is_set)[self._call]:
            self.sent.append((when, packet.payload))

    def stop(self) -> bytes:
        """Falls silent; returns what was said."""
        self._over.set()
        self._thread.join()
        return b"".join(payload for _, payload in self.sent)

    def said_before(self, moment: float) -> bytes:
        return b"".join(payload for when, payload in self.sent if when <= moment)


# --- SIGTERM ---------------------------------------------------------------------------------


def test_a_stop_unregisters_turns_callers_away_and_lets_the_call_end(
    agent: StartAgent,
    smtp_server: SmtpServer,
    registrar: Registrar,
    caller: Phone,
    tmp_path: Path,
) -> None:
    running = agent(
        smtp=smtp_server,
        **short_sections(tmp_path, sip={"trunks": {"pbx": trunk(registrar)}}),
    )
    registrar.wait(lambda known: len(known) == 1)
    phone = caller(running.address, user=own_number())
    call = begin(running, phone)
    first, second = noise(0.5, 71), noise(1.0, 72)
    call.send(message(first))
    running.signal(signal.SIGTERM)
    registrar.wait(lambda known: known[-1].expires == 0)
    assert registrar.registrations[-1].contact == registrar.registrations[0].contact
    with pytest.raises(CallFailed, match="480"):
        phone.call()
    call.send(message(second, since=0.5))
    call.hang_up()
    assert running.wait() == 0
    assert running.processes() == {}
    # The mail server is well, so what the last call left went out before the end.
    same(recording(wait_mail(smtp_server, phone.user, 0)), decoded(first + second))
    assert running.messages("queue") == []


def test_a_second_stop_ends_the_calls_and_keeps_what_was_said(
    agent: StartAgent, smtp_server: SmtpServer, caller: Phone, tmp_path: Path
) -> None:
    running = agent(smtp=smtp_server, **short_sections(tmp_path))
    phone = caller(running.address, user=own_number())
    call = begin(running, phone)
    talk = Monologue(call, 73)
    start = time.monotonic()
    until(lambda: time.monotonic() - start > 1.0, "a second of speech")
    running.signal(signal.SIGTERM)
    running.wait_log("told to stop")
    again = time.monotonic()
    running.signal(signal.SIGTERM)
    call.wait_bye()
    talk.stop()
    assert running.wait() == 0
    mail = wait_mail(smtp_server, phone.user, 0)
    recorded = recording(mail)
    whole = decoded(b"".join(payload for _, payload in talk.sent))
    same(recorded, whole[: len(recorded)])
    # Up to the second signal all was kept, but for what was under way between two processes.
    assert len(recorded) >= len(talk.said_before(again)) - 10 * STEP
    assert "shut down" in body(mail)


def test_the_grace_of_a_stop_ends(
    agent: StartAgent, smtp_server: SmtpServer, caller: Phone, tmp_path: Path
) -> None:
    running = agent(smtp=smtp_server, **short_sections(tmp_path, shutdown_grace="1s"))
    phone = caller(running.address, user=own_number())
    call = begin(running, phone)
    talk = Monologue(call, 74)
    asked = time.monotonic()
    running.signal(signal.SIGTERM)
    call.wait_bye()
    assert 0.9 <= time.monotonic() - asked <= 15  # a busy machine takes some
    talk.stop()
    assert running.wait() == 0
    recorded = recording(wait_mail(smtp_server, phone.user, 0))
    assert len(recorded) >= len(talk.said_before(asked + 0.9)) - 10 * STEP


def test_a_stop_without_calls_is_quick(agent: StartAgent) -> None:
    running = agent(fresh=True)
    asked = time.monotonic()
    assert running.stop() == 0
    assert time.monotonic() - asked < 10  # a busy machine takes some
    assert running.processes() == {}


def test_a_stop_leaves_what_the_mail_server_does_not_take_to_the_next_start(
    agent: StartAgent, smtp_server: SmtpServer, caller: Phone, tmp_path: Path
) -> None:
    running = agent(smtp=smtp_server, **short_sections(tmp_path))
    smtp_server.go()
    phone, said = caller(running.address, user=own_number()), noise(0.5, 70)
    call = begin(running, phone)
    running.signal(signal.SIGTERM)
    call.send(message(said))
    call.hang_up()
    assert running.wait() == 0
    assert len(running.messages("queue")) == 1
    smtp_server.come()
    running.start()
    (waiting,) = running.messages("queue")
    retried = subprocess.run(
        [sys.executable, "-m", "sipmail", "queue", "retry", waiting.name, "-c", str(running.file)],
        cwd=ROOT,
        capture_output=True,
        timeout=30,
        check=False,
    )
    assert retried.returncode == 0, retried.stderr
    same(recording(wait_mail(smtp_server, phone.user)), decoded(said))


# --- SIGHUP ----------------------------------------------------------------------------------


def test_a_new_file_holds_for_new_calls(
    agent: StartAgent,
    smtp_server: SmtpServer,
    registrar: Registrar,
    caller: Phone,
    tmp_path: Path,
) -> None:
    running = agent(smtp=smtp_server, **short_sections(tmp_path))
    before = caller(running.address, user=own_number())
    call = begin(running, before)
    first, second = noise(0.5, 75), noise(0.5, 76)
    call.send(message(first))
    listening = running.settings["sip"]["listen"]
    new_greeting = write_greeting(tmp_path / "new.wav", 2 * SHORT, 600.0)
    running.write(
        merged(
            running.settings,
            {
                "sip": {
                    "listen": [f"udp://127.0.0.1:{free_port()}"],
                    "trunks": {"pbx": trunk(registrar)},
                },
                "spool": "elsewhere",
                "http": "127.0.0.1:0",
                "rtp": {"ports": "40000-40099"},
                "mailboxes": {
                    "support": {
                        "name": "Support",
                        "numbers": ["301"],
                        "emails": ["support@sipmail.test"],
                        "attachment": "wav",
                        "after": "nothing",
                        "greeting": str(new_greeting),
                        "record": {**PLAIN},
                    }
                },
            },
        )
    )
    running.signal(signal.SIGHUP)
    running.wait_log("configuration reloaded")
    for key in ("sip.listen", "rtp.ports", "spool", "http"):
        assert any(f"{key} needs a restart" in line for line in running.lines), key
    registrar.wait(lambda known: len(known) == 1)

    call.send(message(second, since=0.5))
    call.hang_up()
    # Until the restart both are where they were, for the helpers here too.
    running.settings["sip"]["listen"], running.settings["spool"] = listening, "spool"
    same(recording(wait_mail(smtp_server, before.user)), decoded(first + second))

    said = noise(0.5, 77)
    after = caller(running.address, user=own_number())
    called = begin(running, after, "301")
    heard = sum(bool(set(packet.payload) - {0xFF}) for _, packet in list(called.heard))
    assert heard * 0.02 >= 2 * SHORT  # the greeting of the new file, and the beep
    called.send(message(said))
    called.hang_up()
    mail = wait_mail(smtp_server, after.user)
    assert mail.recipients == ("support@sipmail.test",)
    same(recording(mail), decoded(said))


def test_a_wrong_file_is_reported_and_the_old_one_stays(
    agent: StartAgent, smtp_server: SmtpServer, caller: Phone, tmp_path: Path
) -> None:
    running = agent(smtp=smtp_server, **short_sections(tmp_path))
    phone = caller(running.address, user=own_number())
    call = begin(running, phone)
    first, second = noise(0.5, 78), noise(0.5, 79)
    call.send(message(first))
    good = running.file.read_text(encoding="utf-8")
    broken = good + "surprise: true\n"
    running.file.write_text(broken, encoding="utf-8")
    running.signal(signal.SIGHUP)
    line = running.wait_log("surprise")
    assert f"{running.file}:{broken.count(chr(10))}:1: surprise" in line
    running.wait_log("the old one stays")
    call.send(message(second, since=0.5))
    call.hang_up()
    same(recording(wait_mail(smtp_server, phone.user)), decoded(first + second))

    since = len(running.lines)
    running.file.write_text(good.replace("Sales", "Verkauf"), encoding="utf-8")
    running.signal(signal.SIGHUP)
    running.wait_log("configuration reloaded", since=since)
    later = caller(running.address, user=own_number())
    missed = later.call()
    missed.hang_up()
    assert "Verkauf" in str(wait_mail(smtp_server, later.user).message["Subject"])
    assert [state for state, _ in facts(running, missed.call_id).values()] in (["queue"], ["done"])


def test_two_reloads_at_once_lose_no_call(
    agent: StartAgent, smtp_server: SmtpServer, caller: Phone, tmp_path: Path
) -> None:
    running = agent(smtp=smtp_server, **short_sections(tmp_path))
    phone = caller(running.address, user=own_number())
    call = begin(running, phone)
    packets = message(noise(1.0, 80))
    for packet in packets[::10]:
        index = packets.index(packet)
        running.signal(signal.SIGHUP)
        call.send(packets[index : index + 10])
    call.hang_up()
    same(recording(wait_mail(smtp_server, phone.user)), decoded(payload_of(packets)))
    assert running.running()
