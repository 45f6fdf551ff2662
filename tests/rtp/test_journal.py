"""The rtpdump journal: round trips, damage, and what tshark reads in the same packets."""

from __future__ import annotations

import shutil
import struct
import subprocess
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sipmail.rtp import journal
from sipmail.rtp.packet import RtpPacket

HEAD = journal.header(1_700_000_000.25, "127.0.0.1", 20000)


def sound(n: int, size: int = 160, **fields: object) -> RtpPacket:
    payload = bytes((n + k) & 0xFF for k in range(size))
    values: dict[str, object] = {"payload_type": 8, "ssrc": 0xCAFE, **fields}
    return RtpPacket(
        sequence=n & 0xFFFF,
        timestamp=160 * n & 0xFFFFFFFF,
        payload=payload,
        **values,  # type: ignore[arg-type]
    )


def written(packets: list[RtpPacket], step: int = 20) -> bytes:
    return HEAD + b"".join(journal.frame([bytes(p)], n * step) for n, p in enumerate(packets))


def payloads(index: journal.Journal) -> list[bytes]:
    ends = index.offset + index.length
    return [index.data[a:b] for a, b in zip(index.offset, ends, strict=True)]


def test_head_is_that_of_rtptools() -> None:
    line, rest = HEAD.split(b"\n", 1)
    assert line == b"#!rtpplay1.0 127.0.0.1/20000"
    assert rest == struct.pack(">IIIHH", 1_700_000_000, 250_000, 0x7F000001, 20000, 0)
    assert journal.start_of(HEAD) == 1_700_000_000.25
    assert journal.start_of(HEAD[:-1]) is None
    assert journal.header(0.0, "2001:db8::1", 1).startswith(b"#!rtpplay1.0 0.0.0.0/1\n")


def test_record_is_that_of_rtptools() -> None:
    assert journal.frame([b"abc"], 258) == b"\x00\x0b\x00\x03\x00\x00\x01\x02abc"


def test_every_field_comes_back() -> None:
    packets = [
        sound(65535, marker=True),
        sound(0, payload_type=0, ssrc=0xFFFFFFFF),
        sound(1, csrc=(1, 2, 3)),
        sound(2, extension=(0xBEDE, bytes(8))),
        sound(3, padding=4),
        sound(4, csrc=(9,), extension=(1, b""), padding=1),
        sound(5, size=0),
        sound(6, size=1400),
    ]
    index = journal.read(written(packets))
    assert index.malformed == 0
    assert index.start == 1_700_000_000.25
    assert index.sequence.tolist() == [p.sequence for p in packets]
    assert index.timestamp.tolist() == [p.timestamp for p in packets]
    assert index.payload_type.tolist() == [p.payload_type for p in packets]
    assert index.ssrc.tolist() == [p.ssrc for p in packets]
    assert index.marker.tolist() == [p.marker for p in packets]
    assert index.arrival.tolist() == [n * 0.02 for n in range(len(packets))]
    assert payloads(index) == [p.payload for p in packets]
    kinds = [a.dtype for a in (index.sequence, index.timestamp, index.payload_type, index.length)]
    assert kinds == [np.uint16, np.uint32, np.uint8, np.int32]


@pytest.mark.parametrize("sizes", [[160], [160, 4], [160, 160, 1], [160] * 70 + [80] * 3])
def test_runs_and_alternations(sizes: list[int]) -> None:
    packets = [sound(n, sizes[n % len(sizes)]) for n in range(700)]
    index = journal.read(written(packets))
    assert index.malformed == 0
    assert payloads(index) == [p.payload for p in packets]


def test_cut_at_every_byte() -> None:
    data = written([sound(n, 20) for n in range(4)])
    record = 8 + 12 + 20
    for end in range(len(data) + 1):
        index = journal.read(data[:end])
        whole = max(0, end - len(HEAD)) // record
        assert len(index) == whole
        assert index.malformed == (end != len(HEAD) + whole * record and end > 0)


def test_zeros_in_the_middle_cost_only_what_they_cover() -> None:
    packets = [sound(n) for n in range(100)]
    data = bytearray(written(packets))
    start = len(HEAD) + 180 * 40 + 60  # within packet 40
    data[start : start + 400] = bytes(400)  # to within packet 42
    index = journal.read(bytes(data))
    kept = set(index.sequence.tolist())
    assert set(range(40)) | set(range(43, 100)) <= kept
    assert index.malformed >= 1


@given(st.integers(0, 179), st.binary(min_size=1, max_size=300))
@settings(max_examples=60)
def test_garbage_between_records(cut: int, garbage: bytes) -> None:
    packets = [sound(n) for n in range(30)]
    head, tail = written(packets[:10]), written(packets[10:])[len(HEAD) :]
    index = journal.read(head + garbage + tail)
    assert index.sequence.tolist()[:10] == list(range(10))
    assert set(range(15, 30)) <= set(index.sequence.tolist())


def test_a_lost_head_loses_no_packet() -> None:
    data = written([sound(n) for n in range(50)])
    index = journal.read(data[7:])
    assert index.sequence.tolist() == list(range(50))
    assert index.start == 0.0
    assert index.malformed == 1


def test_rtcp_is_passed_over() -> None:
    report = bytes.fromhex("80c8000600000001") + bytes(20)
    bye = bytes.fromhex("80cb0000 00000000".replace(" ", ""))
    by_zero = journal.RECORD.pack(8 + len(report), 0, 40) + report  # as rtpdump marks RTCP
    data = (
        written([sound(0)])
        + journal.frame([report, bye], 30)
        + by_zero
        + journal.frame([bytes(sound(1))], 50)
    )
    index = journal.read(data)
    assert index.sequence.tolist() == [0, 1]
    assert index.malformed == 0


def test_malformed_packets_are_counted() -> None:
    bad = [
        b"\x80\x08\x00",  # shorter than a header
        b"\x40" + bytes(30),  # version 1
        b"\x8f" + bytes(11) + bytes(8),  # fifteen CSRCs do not fit
        b"\x90" + bytes(11) + b"\x00\x00\x00\x09",  # an extension that does not fit
        b"\x90" + bytes(11) + b"\x00",  # not even its header
        b"\xa0" + bytes(12),  # no padding of zero bytes
        b"\xa0" + bytes(11) + b"\x09",  # more padding than packet
    ]
    index = journal.read(written([sound(0)]) + journal.frame(bad, 0) + written([sound(1)])[44:])
    assert index.malformed >= len(bad)
    assert index.sequence.tolist()[0] == 0


def test_empty_and_missing(tmp_path: Path) -> None:
    assert len(journal.read(b"")) == 0
    assert journal.read(b"").malformed == 0
    assert journal.read(b"nothing of the kind").malformed >= 1
    path = tmp_path / "audio.rtp"
    path.write_bytes(written([sound(0)]))
    assert len(journal.read(path)) == 1
    assert len(journal.read(str(path))) == 1
    with pytest.raises(FileNotFoundError):
        journal.read(tmp_path / "none")


@given(st.binary(max_size=400))
def test_nothing_raises(data: bytes) -> None:
    journal.read(data)
    journal.read(HEAD + data)
    index = journal.read(written([sound(1)]) + data)
    assert index.sequence[0] == 1


@pytest.mark.interop
@pytest.mark.skipif(shutil.which("tshark") is None, reason="tshark is not installed")
def test_tshark_reads_the_same_fields(tmp_path: Path) -> None:
    packets = [
        sound(65534, marker=True),
        sound(65535, csrc=(1, 2)),
        sound(0, extension=(0xBEDE, bytes(4))),
        sound(1, padding=3),
        sound(2, payload_type=0, ssrc=1),
        sound(3, size=80),
    ]
    index = journal.read(written(packets))
    capture = tmp_path / "packets.pcap"
    capture.write_bytes(pcap([bytes(p) for p in packets]))
    names = ["seq", "timestamp", "ssrc", "p_type", "marker", "payload"]
    fields = [part for name in names for part in ("-e", f"rtp.{name}")]
    shown = subprocess.run(
        ["tshark", "-r", capture, "-d", "udp.port==20000,rtp", "-T", "fields", *fields],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    ours = [
        (int(s), int(t), int(c), int(p), int(m), payload.hex())
        for s, t, c, p, m, payload in zip(
            index.sequence,
            index.timestamp,
            index.ssrc,
            index.payload_type,
            index.marker,
            payloads(index),
            strict=True,
        )
    ]
    theirs = []
    for line in shown.splitlines():
        s, t, c, p, m, payload = line.split("\t")
        truth = {"True": 1, "False": 0}.get(m)
        marker = int(m) if truth is None else truth
        theirs.append((int(s), int(t), int(c, 16), int(p), marker, payload.replace(":", "")))
    assert ours == theirs


def pcap(datagrams: list[bytes]) -> bytes:
    """A capture file with each datagram in UDP in IPv4 (link type 228)."""
    data = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 228)
    for n, payload in enumerate(datagrams):
        udp = struct.pack(">HHHH", 20000, 20000, 8 + len(payload), 0) + payload
        ip = struct.pack(
            ">BBHHHBBHII", 0x45, 0, 20 + len(udp), n, 0, 64, 17, 0, 0x7F000001, 0x7F000001
        )
        data += struct.pack("<IIII", n, 0, len(ip + udp), len(ip + udp)) + ip + udp
    return data
