"""RTP packets against the layout of RFC 3550 section 5.1, hand-assembled."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipmail.rtp.packet import RtpPacket, is_rtcp, is_rtp

# V=2, M=1, PT=8, sequence 0x1234, timestamp 0x00000140, SSRC 0xDEADBEEF, two bytes of sound
PLAIN = bytes.fromhex("80 88 1234 00000140 deadbeef d5d5")
# P, X, CC=1: a CSRC, an extension of one word (RFC 8285 profile), payload aa, three of padding
FULL = bytes.fromhex("b1 00 0001 00000000 00000001 0000000a bede0001 10203040 aa 000003")


def test_plain_packet() -> None:
    packet = RtpPacket.parse(PLAIN)
    assert packet == RtpPacket(8, 0x1234, 0x140, 0xDEADBEEF, b"\xd5\xd5", marker=True)
    assert bytes(packet) == PLAIN


def test_csrc_extension_and_padding() -> None:
    packet = RtpPacket.parse(FULL)
    assert packet.csrc == (10,)
    assert packet.extension == (0xBEDE, b"\x10\x20\x30\x40")
    assert packet.payload == b"\xaa"
    assert packet.padding == 3
    assert bytes(packet) == FULL


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (PLAIN[:11], "shorter than its header"),
        (b"\x40" + PLAIN[1:], "RTP version 1 is not 2"),
        (FULL[:14], "within its CSRC list"),
        (FULL[:18], "within its extension header"),
        (FULL[:22], "within its extension"),
        (FULL[:-1] + b"\x00", "padding of 0 bytes"),
        (FULL[:-1] + b"\x05", "padding of 5 bytes"),
    ],
)
def test_malformed(data: bytes, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        RtpPacket.parse(data)


@given(st.binary(max_size=80))
def test_anything_is_parsed_or_refused(data: bytes) -> None:
    try:
        packet = RtpPacket.parse(data)
    except ValueError:
        return
    assert RtpPacket.parse(bytes(packet)) == packet


def test_muxed_ports_are_told_apart() -> None:
    # RFC 5761 section 4: payload types 64-95 with the marker read as RTCP packet types 192-223
    assert is_rtp(PLAIN)
    assert not is_rtcp(PLAIN)
    for kind in (192, 200, 207, 223):
        report = bytes([0x80, kind]) + PLAIN[2:]
        assert is_rtcp(report)
        assert not is_rtp(report)
    assert not is_rtp(b"\x00\x01" + bytes(18))  # STUN
    assert not is_rtp(b"\x16\xfe" + bytes(18))  # DTLS
    assert not is_rtp(b"")
    assert not is_rtcp(b"\x80")
