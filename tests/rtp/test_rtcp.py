"""RTCP against the layouts of RFC 3550 section 6, hand-assembled."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipmail.rtp import rtcp
from sipmail.rtp.rtcp import Goodbye, ReceiverReport, ReportBlock, SenderReport, SourceDescription

SR = bytes.fromhex(
    "81 c8 000c 00000001 83aa7e80 80000000 000000a0 00000002 00000140"
    "00000002 40fffffe 00010005 00000010 7e808000 00010000"
)
SDES = bytes.fromhex("81 ca 0003 00000001 01 04 61626364 00 00")
BYE = bytes.fromhex("81 cb 0001 00000001")


def test_sender_report() -> None:
    report = SenderReport(
        ssrc=1,
        ntp=0x83AA7E80_80000000,
        timestamp=160,
        packets=2,
        octets=320,
        blocks=(ReportBlock(2, 64, -2, 0x10005, 16, 0x7E808000, 65536),),
    )
    assert rtcp.parse(SR) == (report,)
    assert bytes(report) == SR


def test_compound() -> None:
    packets = (ReceiverReport(1), SourceDescription(1, "abcd"), Goodbye((1,)))
    data = bytes.fromhex("80 c9 0001 00000001") + SDES + BYE
    assert rtcp.compound(packets) == data
    assert rtcp.parse(data) == packets


def test_bye_with_reason_and_padding() -> None:
    assert rtcp.parse(bytes(Goodbye((1, 2), "done"))) == (Goodbye((1, 2), "done"),)
    padded = bytes.fromhex("a1 cb 0002 00000001 00000004")
    assert rtcp.parse(padded) == (Goodbye((1,)),)


def test_ntp_time() -> None:
    # 1970-01-01 is 2208988800 s after 1900 (RFC 5905); half a second is 2**31 units
    assert rtcp.ntp_time(0.5) == (2_208_988_800 << 32) + (1 << 31)


def test_unknown_types_are_passed_over() -> None:
    assert rtcp.parse(bytes.fromhex("80 cc 0001 00000001") + BYE) == (Goodbye((1,)),)


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"\x80\xc9\x00", "shorter than its header"),
        (BYE[:-1], "longer than its datagram"),
        (b"\x00" + BYE[1:], "version 0"),
        (b"\x82" + BYE[1:], "BYE of 4 bytes is shorter than the 8"),
        (b"\x82" + SR[1:], "SR of 48 bytes is shorter than the 72"),
        (BYE + b"\x80", "ends within a header"),
    ],
)
def test_malformed(data: bytes, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        rtcp.parse(data)


@given(st.binary(max_size=120))
def test_anything_is_parsed_or_refused(tail: bytes) -> None:
    for data in (tail, SR + tail, SDES[:1] + tail):
        try:
            rtcp.parse(data)
        except ValueError:
            continue
