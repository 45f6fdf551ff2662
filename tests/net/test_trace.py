"""The SIP trace: what it shows, and what it never does."""

from __future__ import annotations

import logging

import pytest

from sipmail.net.trace import Trace, masked
from sipmail.sip.actions import Hop

PEER = Hop("udp", "192.0.2.1", 5060)
REGISTER = (
    b"REGISTER sip:pbx.example.com SIP/2.0\r\n"
    b"i: 7a@host\r\n"
    b'Authorization: Digest username="200", realm="pbx", nonce="ab12", uri="sip:x",\r\n'
    b' response="0123456789abcdef0123456789abcdef", cnonce="c", nc=00000001\r\n'
    b"Content-Length: 0\r\n\r\n"
)


def test_credentials_and_keys_are_masked() -> None:
    shown = masked(
        REGISTER + b"Proxy-Authorization: Basic QWxhZGRpbjpvcGVu\r\n"
        b'Authentication-Info: rspauth="cafe01"\r\n'
        b"a=crypto:1 AES_CM_128_HMAC_SHA1_80 "
        b"inline:PS1uQCVeeCFCanVmcjkpPywjNWhcYD0mXXtxaVBR|2^20|1:4\r\n"
        b"k=clear:secret\r\n"
    )
    for secret in ("0123456789abcdef", "QWxhZGRpbjpvcGVu", "cafe01", "PS1u", "secret"):
        assert secret not in shown
    for told in ('username="200"', 'nonce="ab12"', "inline:***|2^20", "AES_CM_128"):
        assert told in shown


def test_what_moves_a_terminal_is_not_shown() -> None:
    assert "\x1b" not in masked(b"INVITE \x1b[2J\x9b\xff SIP/2.0\r\n\r\n")


def test_a_message_is_one_record_with_its_direction(caplog: pytest.LogCaptureFixture) -> None:
    trace = Trace(lambda _: ["pbx"])
    trace.switch(True)
    with caplog.at_level(logging.INFO, "sipmail"):
        trace.received(REGISTER, PEER)
        trace.sent(b"SIP/2.0 200 OK\r\nCall-ID: 9\r\n\r\n", Hop("tls", "2001:db8::1", 5061))
    came, went = (record.getMessage().split("\n") for record in caplog.records)
    assert came[0] == "< udp 192.0.2.1:5060 Call-ID 7a@host"
    assert came[1] == "< REGISTER sip:pbx.example.com SIP/2.0"
    assert all(line.startswith("<") for line in came)
    assert went == [
        "> tls [2001:db8::1]:5061 Call-ID 9",
        "> SIP/2.0 200 OK",
        "> Call-ID: 9",
    ]


def test_keep_alives_are_left_out(caplog: pytest.LogCaptureFixture) -> None:
    trace = Trace(lambda _: [])
    trace.switch(True)
    with caplog.at_level(logging.INFO, "sipmail"):
        trace.sent(b"\r\n\r\n", PEER)
        trace.received(b"\0\0\0\0", PEER)
    assert caplog.records == []


def test_by_trunk(caplog: pytest.LogCaptureFixture) -> None:
    trace = Trace(lambda host: {"192.0.2.1": ["pbx"], "192.0.2.2": ["carrier"]}.get(host, []))
    assert not trace.on
    trace.switch(True, "pbx")
    trace.switch(True, "other")
    assert trace.trunks == ["other", "pbx"]
    with caplog.at_level(logging.INFO, "sipmail"):
        trace.received(REGISTER, Hop("udp", "192.0.2.2", 5060))
        assert caplog.records == []
        trace.received(REGISTER, PEER)
        assert len(caplog.records) == 1
        trace.switch(False, "pbx")
        trace.received(REGISTER, PEER)
        assert len(caplog.records) == 1
        trace.switch(False)
        assert not trace.on
