"""The test phone: where it calls, what it says when a call is not taken, and a whole call."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from sipmail.cli.call import CallError, order_for, place
from sipmail.cli.order import Order
from tests.support.caller import Caller
from tests.support.registrar import Registrar
from tests.support.siptext import Message


@pytest.mark.parametrize(
    ("uri", "number", "port"),
    [
        ("sip:201@127.0.0.1:5070", "201", 5070),
        ("201@127.0.0.1", "201", 5060),
        ("sip:+48221234567@127.0.0.1;transport=udp", "+48221234567", 5060),
        ("sip:127.0.0.1", "sipmail", 5060),
    ],
)
def test_an_address_is_read(uri: str, number: str, port: int) -> None:
    order = order_for(uri)
    assert (order.number, order.host, order.port) == (number, "127.0.0.1", port)
    assert order.local_host == "127.0.0.1"
    assert order.rtp_port % 2 == 0


def test_the_registrar_is_where_the_call_goes() -> None:
    order = order_for("sip:201@pbx.example.com", "sip:127.0.0.1:5099")
    assert (order.number, order.host, order.port) == ("201", "127.0.0.1", 5099)


def test_what_is_no_address_is_refused() -> None:
    with pytest.raises(CallError, match="not a SIP address"):
        order_for("mailto:anna@example.com:x:y")


def test_an_order_survives_the_way_to_the_phone() -> None:
    order = Order("192.0.2.1", 5060, "201", "192.0.2.2", 5062, 20000, codecs=(8, 0), keys="1#")
    assert Order.from_json(order.to_json()) == order


def quick(callee: Caller) -> Order:
    return order_for(f"sip:201@127.0.0.1:{callee.port}")


@pytest.mark.e2e
@pytest.mark.parametrize("status", [404, 486, 503, 407])
def test_every_refusal_is_told(caller: Callable[..., Caller], status: int) -> None:
    callee = caller(("127.0.0.1", 9))
    callee.on_invite = lambda request: callee.answer(request, status)
    with pytest.raises(CallError, match=f"refused with {status}"):
        place(quick(callee), lambda event, details: None)


@pytest.mark.e2e
def test_a_call_to_nobody_ends(
    caller: Callable[..., Caller], monkeypatch: pytest.MonkeyPatch
) -> None:
    callee = caller(("127.0.0.1", 9))
    callee.on_invite = lambda request: None
    monkeypatch.setattr("sipmail.cli.call._ANSWER", 2.0)
    with pytest.raises(CallError, match=r"no answer from 127\.0\.0\.1"):
        place(quick(callee), lambda event, details: None)


@pytest.mark.e2e
def test_a_login_that_is_refused_is_told_as_one() -> None:
    """pyVoIP does not say why it is not registered, so neither status nor phrase is made up."""
    registrar = Registrar().start()
    address = f"{registrar.host}:{registrar.port}"
    order = replace(
        order_for("sip:201@127.0.0.1", address), register=True, username="200", password="wrong"
    )
    try:
        with pytest.raises(CallError) as told:
            place(order, lambda event, details: None)
    finally:
        registrar.stop()
    assert str(told.value) == (
        f"not registered with {address}: it does not answer there,"
        " or refuses the username 200 or its password"
    )


@pytest.mark.e2e
def test_the_command_says_what_happens(caller: Callable[..., Caller], tmp_path: Path) -> None:
    callee = caller(("127.0.0.1", 9))

    def take(request: Message) -> None:
        callee.answer(request, 180)
        body = (
            "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
            "m=audio 9 RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\n"
        )
        contact = ("Contact", f"<sip:callee@127.0.0.1:{callee.port}>")
        callee.answer(request, 200, [contact, ("Content-Type", "application/sdp")], body)

    callee.on_invite = take
    heard = tmp_path / "heard.wav"
    command = ["call", f"sip:201@127.0.0.1:{callee.port}", "--wait", "0.1", "--linger", "0.1"]
    ran = subprocess.run(
        [sys.executable, "-m", "sipmail", *command, "--dtmf", "1", "--save", str(heard)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.split("\n")[:2] == ["calling 201", "answered (PCMU)"]
    assert "pressed 1" in ran.stdout
    assert "hung up" in ran.stdout
    assert heard.is_file()
    assert {request.method for request in list(callee.requests.queue)} >= {"INVITE", "ACK", "BYE"}
