"""Stopping, reloading, a registrar that goes and returns, a full disk: the administrator's view."""

from __future__ import annotations

import itertools
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import StartAgent, require_program
from tests.support.agent import Agent, merged
from tests.support.caller import Call, Caller, CallFailed
from tests.support.registrar import Registrar
from tests.support.rtp import PCMU, Packet, schedule
from tests.support.smtp import SmtpServer
from tests.support.sounds import RATE, greeting, read_wav, speech

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(150)]


def mailboxes(tmp_path: Path) -> dict[str, object]:
    return {"sales": {"greeting": str(greeting(tmp_path / "greeting.wav"))}}


def trunk(registrar: Registrar) -> dict[str, object]:
    """A trunk that registers, for the `trunks` of a configuration."""
    return {
        "registrar": f"sip:{registrar.host}:{registrar.port}",
        "username": registrar.username,
        "password": registrar.password,
    }


def words(seconds: float, folder: Path) -> list[Packet]:
    return schedule(speech(seconds, PCMU, require_program("sox"), folder), PCMU)


def begin(phone: Caller) -> Call:
    call = phone.call()
    call.wait_quiet()
    return call


def speak(call: Call, packets: list[Packet]) -> threading.Thread:
    thread = threading.Thread(target=call.send, args=(packets,), daemon=True)
    thread.start()
    return thread


def deliver_what_waits(started: Agent) -> None:
    """A stop does not wait for the mail server: what it left goes at the next start."""
    if started.messages("queue"):
        started.start()


# --- SIGTERM --------------------------------------------------------------------------------------


def test_a_stop_unregisters_refuses_new_calls_and_lets_the_call_finish(
    agent: StartAgent,
    smtp_server: SmtpServer,
    caller: Callable[..., Caller],
    registrar: Registrar,
    tmp_path: Path,
) -> None:
    started = agent(
        smtp=smtp_server, mailboxes=mailboxes(tmp_path), sip={"trunks": {"pbx": trunk(registrar)}}
    )
    registrar.wait(lambda registrations: bool(registrations))
    phone = caller(started.address)
    call = begin(phone)
    speaking = speak(call, words(5.0, tmp_path))
    started.signal(signal.SIGTERM)
    registrar.wait(lambda registrations: registrations[-1].expires == 0)
    with pytest.raises(CallFailed, match="480"):
        phone.call()
    speaking.join(10)
    call.hang_up()
    assert started.wait() == 0
    assert started.processes() == {}
    deliver_what_waits(started)
    (mail,) = smtp_server.wait(1)
    assert len(read_wav(mail.attachment()[1])) == pytest.approx(5.0 * RATE, abs=400)


def test_a_second_stop_ends_the_call_and_keeps_what_was_said(
    agent: StartAgent, smtp_server: SmtpServer, caller: Callable[..., Caller], tmp_path: Path
) -> None:
    started = agent(smtp=smtp_server, mailboxes=mailboxes(tmp_path))
    call = begin(caller(started.address))
    speak(call, words(20.0, tmp_path))
    call.wait(lambda: False, 3.0)
    started.signal(signal.SIGTERM)
    started.wait_log("told to stop")
    started.signal(signal.SIGTERM)
    call.wait_bye(5)
    assert started.wait(15) == 0
    deliver_what_waits(started)
    (mail,) = smtp_server.wait(1)
    assert len(read_wav(mail.attachment()[1])) >= 2.5 * RATE


# --- SIGHUP ---------------------------------------------------------------------------------------


def test_a_good_file_is_taken_while_a_call_goes_on(
    agent: StartAgent, smtp_server: SmtpServer, caller: Callable[..., Caller], tmp_path: Path
) -> None:
    started = agent(smtp=smtp_server, mailboxes=mailboxes(tmp_path))
    phone = caller(started.address)
    call = begin(phone)
    speaking = speak(call, words(4.0, tmp_path))
    support = {"name": "Support", "numbers": ["301"], "emails": ["support@sipmail.test"]}
    changes = {"mailboxes": {"support": {**support, "attachment": "wav", "after": "nothing"}}}
    started.write(merged(started.settings, changes))
    started.signal(signal.SIGHUP)
    started.wait_log("reloaded")
    speaking.join(10)
    call.hang_up()
    smtp_server.wait(1)
    later = phone.call("301")
    later.wait_quiet()
    later.send(words(2.0, tmp_path))
    later.hang_up()
    smtp_server.wait_until(lambda: bool(smtp_server.to("support@sipmail.test")))


def test_a_wrong_file_is_reported_and_the_old_one_stays(
    agent: StartAgent, smtp_server: SmtpServer, caller: Callable[..., Caller], tmp_path: Path
) -> None:
    started = agent(smtp=smtp_server, mailboxes=mailboxes(tmp_path))
    started.file.write_text(started.file.read_text() + "surprise: true\n")
    started.signal(signal.SIGHUP)
    assert str(started.file) in started.wait_log("surprise")
    started.wait_log("old one stays")
    call = begin(caller(started.address))
    call.send(words(2.0, tmp_path))
    call.hang_up()
    smtp_server.wait(1)


# --- the registrar --------------------------------------------------------------------------------


@pytest.mark.parametrize("algorithm", ["MD5", "SHA-256"])
def test_a_registrar_that_goes_away_and_returns_is_found_again(
    agent: StartAgent, registrar: Registrar, tmp_path: Path, algorithm: str
) -> None:
    registrar.algorithm = algorithm
    registrar.expires = 2
    started = agent(mailboxes=mailboxes(tmp_path), sip={"trunks": {"pbx": trunk(registrar)}})
    registrar.wait(lambda registrations: len(registrations) >= 2)
    registrar.stop()
    logged = len(started.lines)
    started.wait_log(lambda line: "pbx" in line, 40, "a word about the trunk", since=logged)
    known = len(registrar.registrations)
    registrar.start()
    registrar.wait(lambda registrations: len(registrations) > known, 60)
    assert started.running()


def test_a_wrong_password_is_told(agent: StartAgent, registrar: Registrar, tmp_path: Path) -> None:
    wrong = {**trunk(registrar), "password": "wrong"}
    started = agent(mailboxes=mailboxes(tmp_path), sip={"trunks": {"pbx": wrong}})
    line = started.wait_log(lambda line: "pbx" in line and ("401" in line or "password" in line))
    assert "wrong" not in line.split("password")[0]
    assert registrar.registrations == []


# --- the disk -------------------------------------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 4 MB; skips where this user may not mount one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)],
        capture_output=True,
        text=True,
        check=False,
        timeout=20,
    )
    if mounted.returncode != 0:
        pytest.skip(f"no tmpfs: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True, timeout=20)


def test_a_disk_that_fills_up_costs_no_message(
    agent: StartAgent,
    smtp_server: SmtpServer,
    caller: Callable[..., Caller],
    small_disk: Path,
    tmp_path: Path,
) -> None:
    """Below `limits.free_disk` calls are refused; what is recorded already is delivered, and when
    there is room again calls are taken.
    """
    started = agent(
        smtp=smtp_server,
        mailboxes=mailboxes(tmp_path),
        spool=str(small_disk / "spool"),
        limits={"free_disk": "1M"},
    )
    phone = caller(started.address)
    call = begin(phone)
    speaking = speak(call, words(6.0, tmp_path))
    ballast = small_disk / "ballast"
    _fill(ballast)
    speaking.join(15)
    call.hang_up()
    with pytest.raises(CallFailed, match="503"):
        phone.call()
    assert started.running()
    ballast.unlink()
    smtp_server.wait(1, 90)
    _until_taken(phone)


def _fill(path: Path) -> None:
    """Writes until there is no room left."""
    with path.open("wb", buffering=0) as file:
        for size in (65536, 4096, 1):
            for _ in itertools.count():
                try:
                    file.write(bytes(size))
                except OSError:
                    break


def _until_taken(phone: Caller) -> None:
    deadline = time.monotonic() + 20
    while True:
        try:
            phone.call().hang_up()
        except CallFailed:
            assert time.monotonic() < deadline, "calls are still refused"
            threading.Event().wait(0.5)
        else:
            return
