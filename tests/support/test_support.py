"""The tests' own tools, tried on independent programs: smtplib, pyVoIP's REGISTER, each other."""

from __future__ import annotations

import json
import random
import smtplib
import subprocess
import sys
from itertools import groupby
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.support.caller import Caller, CallFailed
from tests.support.order import spread
from tests.support.ports import free_range
from tests.support.registrar import Registrar
from tests.support.rtp import (
    Packet,
    digit,
    dropped,
    paused,
    reordered,
    repeated,
    schedule,
)
from tests.support.smtp import SmtpServer

_MAIL = b"From: a@sipmail.test\r\nSubject: hello\r\n\r\ntext\r\n"


def test_the_mail_server_keeps_what_it_takes_and_refuses_as_told(smtp_server: SmtpServer) -> None:
    smtp_server.on_recipient = lambda address: "550 no" if address.startswith("x") else "250 OK"
    with smtplib.SMTP(smtp_server.host, smtp_server.port, timeout=10) as client:
        refused = client.sendmail("a@sipmail.test", ["b@sipmail.test", "x@sipmail.test"], _MAIL)
    assert set(refused) == {"x@sipmail.test"}
    (mail,) = smtp_server.wait(1)
    assert mail.recipients == ("b@sipmail.test",)
    assert mail.message["Subject"] == "hello"
    assert smtp_server.to("x@sipmail.test") == []


def test_the_mail_server_goes_and_returns_on_its_port(smtp_server: SmtpServer) -> None:
    smtp_server.go()
    with pytest.raises(OSError, match="refused"):
        smtplib.SMTP(smtp_server.host, smtp_server.port, timeout=10)
    smtp_server.come()
    with smtplib.SMTP(smtp_server.host, smtp_server.port, timeout=10) as client:
        smtp_server.on_data = lambda recipients: "451 later"
        with pytest.raises(smtplib.SMTPDataError):
            client.sendmail("a@sipmail.test", ["b@sipmail.test"], _MAIL)
    assert smtp_server.delivered == []


@pytest.mark.parametrize("processes", [2, 3, 6, 24])
def test_the_order_of_the_tests_loses_none_and_keeps_modules_whole(processes: int) -> None:
    def tests(folder: str, module: int, count: int, marked: tuple[int, ...] = ()) -> list[Any]:
        path = Path("tests", folder, f"test_{module}.py")
        return [
            SimpleNamespace(
                path=path, number=n, get_closest_marker=lambda _, long=n in marked: long or None
            )
            for n in range(count)
        ]

    items = [
        *(one for module in range(9) for one in tests("e2e", module, 1 + module, marked=(3,))),
        *(one for module in range(30) for one in tests("sip", module, 7)),
    ]
    ordered: list[Any] = spread(items, processes)
    assert sorted(map(id, ordered)) == sorted(map(id, items))
    usual = [one.path for one in ordered if one.get_closest_marker("long") is None]
    waiting = [path for path in usual if path.parent.name == "e2e"]
    assert len(list(groupby(waiting))) == 9
    assert ordered[0].get_closest_marker("long")


def test_ranges_of_any_size_are_found_for_as_long_as_the_tests_last() -> None:
    sizes = random.Random(1)
    for _ in range(200):
        count = sizes.choice([1, 4, 7, 50, 250, 500, 600])
        first, last = free_range(count)
        assert first % 2 == 0
        assert last - first == count - 1


def test_processes_that_run_at_once_never_share_a_port() -> None:
    script = (
        "import json, random, sys\nfrom tests.support.ports import free_range\n"
        "sizes = random.Random(int(sys.argv[1]))\n"
        "ranges = [free_range(sizes.choice([2, 50, 600])) for _ in range(30)]\n"
        "print(json.dumps(ranges), flush=True)\n"
        "sys.stdin.read()\n"
    )
    pipe = subprocess.PIPE
    others = [
        subprocess.Popen([sys.executable, "-c", script, str(n)], stdin=pipe, stdout=pipe, text=True)
        for n in range(3)
    ]
    held: set[int] = set()
    for other in others:
        assert other.stdout is not None
        ranges = json.loads(other.stdout.readline())
        ports = {port for first, last in ranges for port in range(first, last + 1)}
        assert len(ranges) == 30
        assert not held & ports
        held |= ports
    for other in others:
        other.communicate(timeout=30)
        assert other.returncode == 0


def test_packets_survive_their_bytes() -> None:
    packets = schedule(bytes(range(250)) * 4, 8)
    assert [Packet.parse(bytes(p)).payload for p in packets] == [p.payload for p in packets]
    assert b"".join(p.payload for p in packets) == bytes(range(250)) * 4


def test_a_bad_network_is_the_same_one_every_time() -> None:
    packets = schedule(bytes(160 * 100))
    assert len(dropped(packets, 0.05)) == 95
    assert len(repeated(packets, 0.03)) == 103
    assert dropped(packets, 0.05) == dropped(packets, 0.05)
    late = reordered(packets, 0.05)
    assert sorted(p.sequence for p in late) == [p.sequence for p in packets]
    assert late != packets
    assert paused(packets, 1.0, 2.0)[-1].timestamp - packets[-1].timestamp == 16_000


def test_a_digit_ends_three_times() -> None:
    pressed = digit(11, schedule(bytes(160))[0])
    assert [p.payload[1] >> 7 for p in pressed] == [0, 0, 0, 0, 1, 1, 1]
    assert {p.timestamp for p in pressed} == {(2**32 - 4000) + 160}


@pytest.mark.parametrize("status", [200, 486])
def test_two_callers_understand_each_other(status: int) -> None:
    with Caller(("127.0.0.1", 9)) as callee, Caller(("127.0.0.1", callee.port)) as phone:
        contact = ("Contact", f"<sip:b@127.0.0.1:{callee.port}>")
        body = "c=IN IP4 127.0.0.1\r\nm=audio 9 RTP/AVP 0\r\n"
        callee.on_invite = lambda request: callee.answer(request, status, [contact], body)
        if status == 486:
            with pytest.raises(CallFailed, match="486"):
                phone.call("b")
            return
        call = phone.call("b")
        assert call.remote == ("127.0.0.1", 9)
        assert call.hang_up().status == 200


@pytest.mark.filterwarnings("ignore:.*audioop.*:DeprecationWarning")
# pyVoIP's own thread may register once more over the socket that it has closed.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize("right", [True, False])
def test_the_registrar_knows_the_password(registrar: Registrar, right: bool) -> None:
    from pyVoIP.VoIP import VoIPPhone

    password = registrar.password if right else "wrong"
    phone = VoIPPhone(registrar.host, registrar.port, "200", password, myIP="127.0.0.1", sipPort=0)
    phone.sip.register_timeout = 5
    try:
        phone.start()
        if right:
            registrar.wait(lambda registrations: len(registrations) == 1, 5)
            assert registrar.contact.startswith("sip:200@127.0.0.1")
        else:
            assert registrar.registrations == []
            assert registrar.refused >= 2
    finally:
        phone.sip.NSD = False
        if phone.sip.registerThread is not None:
            phone.sip.registerThread.cancel()
        phone.sip._close_sockets()
