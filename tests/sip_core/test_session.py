"""Offer and answer: RFC 3264 with its own examples, RFC 3605, 4733, 5761."""

from __future__ import annotations

import pytest

from sipmail.errors import ProtocolError
from sipmail.sip.negotiation import NotAcceptable
from sipmail.sip.sdp import SessionDescription
from sipmail.sip.session import LocalMedia, Media, Session

LOCAL = LocalMedia("192.0.2.1", 20000, ("PCMA", "PCMU"))


def offer(*lines: str, connection: str = "IN IP4 198.51.100.7") -> SessionDescription:
    head = ["v=0", "o=alice 1 1 IN IP4 198.51.100.7", "s=-", f"c={connection}", "t=0 0"]
    return SessionDescription.parse("\r\n".join([*head, *lines, ""]).encode())


def answer(*lines: str, local: LocalMedia = LOCAL, **options: str) -> tuple[list[str], Media]:
    session = Session(7, "198.51.100.7")
    body = session.answer(offer(*lines, **options), local)
    assert session.media is not None
    return body.decode().split("\r\n"), session.media


def test_the_whole_answer() -> None:
    lines, media = answer(
        "m=audio 49170 RTP/AVP 0 8 97 101 13",
        "a=rtpmap:97 iLBC/8000",
        "a=rtpmap:101 telephone-event/8000",
        "a=fmtp:101 0-16",
        "a=ptime:20",
    )
    assert lines == [
        "v=0",
        "o=sipmail 7 1 IN IP4 192.0.2.1",
        "s=-",
        "c=IN IP4 192.0.2.1",
        "t=0 0",
        "m=audio 20000 RTP/AVP 8 0 13 101",
        "a=rtpmap:8 PCMA/8000",
        "a=rtpmap:0 PCMU/8000",
        "a=rtpmap:13 CN/8000",
        "a=rtpmap:101 telephone-event/8000",
        "a=fmtp:101 0-15",
        "a=ptime:20",
        "a=sendrecv",
        "",
    ]
    assert media == Media(
        remote_host="198.51.100.7",
        remote_port=49170,
        rtcp_host="198.51.100.7",
        rtcp_port=49171,
        rtcp_mux=False,
        codec="PCMA",
        payload_type=8,
        event_payload_type=101,
        cn_payload_type=13,
        ptime=20,
        send=True,
        receive=True,
        payloads={8: "PCMA", 0: "PCMU", 13: "CN", 101: "telephone-event"},
    )


def test_our_order_of_preference_counts() -> None:
    local = LocalMedia("192.0.2.1", 20000, ("PCMU", "PCMA"))
    lines, media = answer("m=audio 49170 RTP/AVP 8 0", local=local)
    assert "m=audio 20000 RTP/AVP 0 8" in lines
    assert (media.codec, media.payload_type) == ("PCMU", 0)
    assert media.event_payload_type is None


def test_only_what_is_common() -> None:
    local = LocalMedia("192.0.2.1", 20000, ("PCMU",))
    lines, _ = answer("m=audio 49170 RTP/AVP 8 0 3", local=local)
    assert "m=audio 20000 RTP/AVP 0" in lines


def test_dynamic_payload_types_keep_their_numbers() -> None:
    lines, media = answer(
        "m=audio 49170 RTP/AVP 96 100",
        "a=rtpmap:96 pcma/8000/1",
        "a=rtpmap:100 Telephone-Event/8000",
    )
    assert "m=audio 20000 RTP/AVP 96 100" in lines
    assert (media.payload_type, media.event_payload_type) == (96, 100)


@pytest.mark.parametrize(
    ("formats", "mapping"),
    [
        ("96", "96 PCMA/16000"),
        ("96", "96 PCMA/8000/2"),
        ("96", "96 L16/8000"),
        ("8", "8 G729/8000"),
    ],
)
def test_what_only_looks_like_g711(formats: str, mapping: str) -> None:
    with pytest.raises(NotAcceptable) as error:
        answer(f"m=audio 49170 RTP/AVP {formats}", f"a=rtpmap:{mapping}")
    assert error.value.warning == 305


def test_wideband_telephone_events_are_not_ours() -> None:
    _, media = answer("m=audio 49170 RTP/AVP 0 101", "a=rtpmap:101 telephone-event/48000")
    assert media.event_payload_type is None


def test_video_and_a_second_audio_stream_are_refused_in_their_places() -> None:
    lines, media = answer(
        "m=video 51372 RTP/AVP 31 32",
        "m=audio 49170 RTP/AVP 0",
        "m=audio 49180/2 RTP/AVP 8",
        "m=image 5000 udptl t38",
    )
    assert [line for line in lines if line.startswith("m=")] == [
        "m=video 0 RTP/AVP 31 32",
        "m=audio 20000 RTP/AVP 0",
        "m=audio 0 RTP/AVP 8",
        "m=image 0 udptl t38",
    ]
    assert media.remote_port == 49170


def test_srtp_is_refused_where_there_is_plain_rtp_beside_it() -> None:
    lines, _ = answer("m=audio 1000 RTP/SAVP 0", "m=audio 1002 RTP/AVP 0")
    assert [line for line in lines if line.startswith("m=")] == [
        "m=audio 0 RTP/SAVP 0",
        "m=audio 20000 RTP/AVP 0",
    ]


@pytest.mark.parametrize(
    ("lines", "warning"),
    [
        ([], 304),
        (["m=video 51372 RTP/AVP 31"], 304),
        (["m=audio 0 RTP/AVP 0"], 304),
        (["m=audio 1000 RTP/SAVP 0"], 302),
        (["m=audio 1000 RTP/AVP 18"], 305),
        (["m=audio 1000 RTP/AVP"], 305),
        (["m=audio 1000 RTP/AVP 0", "c=IN IP4 224.2.1.1/127"], 330),
        (["m=audio 1000 RTP/AVP 0", "c=IN IP6 2001:db8::1"], 301),
    ],
)
def test_what_is_not_acceptable(lines: list[str], warning: int) -> None:
    with pytest.raises(NotAcceptable) as error:
        answer(*lines)
    assert error.value.status == 488
    assert error.value.warning == warning


def test_no_connection_is_not_acceptable() -> None:
    bare = SessionDescription.parse(
        b"v=0\r\no=a 1 1 IN IP4 1.2.3.4\r\ns=-\r\nm=audio 9 RTP/AVP 0\r\n"
    )
    with pytest.raises(NotAcceptable):
        Session(1, "198.51.100.7").answer(bare, LOCAL)


@pytest.mark.parametrize(
    ("theirs", "ours", "send", "receive"),
    [
        ("sendrecv", "sendrecv", True, True),
        ("sendonly", "recvonly", False, True),
        ("recvonly", "sendonly", True, False),
        ("inactive", "inactive", False, False),
    ],
)
def test_directions_mirror_each_other(theirs: str, ours: str, send: bool, receive: bool) -> None:
    lines, media = answer("m=audio 49170 RTP/AVP 0", f"a={theirs}")
    assert f"a={ours}" in lines
    assert (media.send, media.receive) == (send, receive)
    session = Session(1, "198.51.100.7")
    head = "v=0\r\no=a 1 1 IN IP4 1.2.3.4\r\ns=-\r\nc=IN IP4 1.2.3.4\r\n"
    text = f"{head}a={theirs}\r\nm=audio 9 RTP/AVP 0\r\n"
    session.answer(SessionDescription.parse(text.encode()), LOCAL)
    assert session.media is not None
    assert (session.media.send, session.media.receive) == (send, receive)


def test_the_null_address_is_hold_and_keeps_the_old_one() -> None:
    session = Session(1, "198.51.100.7")
    session.answer(offer("m=audio 49170 RTP/AVP 0"), LOCAL)
    session.answer(offer("m=audio 49170 RTP/AVP 0", connection="IN IP4 0.0.0.0"), LOCAL)
    assert session.media is not None
    assert not session.media.send
    assert session.media.remote_host == "198.51.100.7"
    session.answer(offer("m=audio 49172 RTP/AVP 8", connection="IN IP4 198.51.100.9"), LOCAL)
    assert session.media.send
    assert (session.media.remote_host, session.media.remote_port) == ("198.51.100.9", 49172)
    assert session.media.codec == "PCMA"


def test_a_host_name_stands_for_where_the_call_came_from() -> None:
    _, media = answer("m=audio 49170 RTP/AVP 0", connection="IN IP4 media.example.com")
    assert media.remote_host == "198.51.100.7"


@pytest.mark.parametrize(
    ("lines", "ptime"),
    [
        ([], 20),
        (["a=ptime:30"], 30),
        (["a=ptime:10"], 10),
        (["a=ptime:60"], 60),
        (["a=ptime:35"], 20),
        (["a=ptime:1000"], 20),
        (["a=maxptime:10"], 10),
        (["a=ptime:60", "a=maxptime:40"], 40),
        (["a=ptime:0"], 20),
    ],
)
def test_ptime(lines: list[str], ptime: int) -> None:
    described, media = answer("m=audio 49170 RTP/AVP 0", *lines)
    assert media.ptime == ptime
    assert f"a=ptime:{ptime}" in described


def test_rtcp_elsewhere() -> None:
    _, media = answer("m=audio 49170 RTP/AVP 0", "a=rtcp:53020")
    assert (media.rtcp_host, media.rtcp_port) == ("198.51.100.7", 53020)
    _, media = answer("m=audio 49170 RTP/AVP 0", "a=rtcp:53020 IN IP4 198.51.100.8")
    assert (media.rtcp_host, media.rtcp_port) == ("198.51.100.8", 53020)


def test_rtcp_mux() -> None:
    lines, media = answer("m=audio 49170 RTP/AVP 0", "a=rtcp-mux")
    assert "a=rtcp-mux" in lines
    assert (media.rtcp_mux, media.rtcp_port) == (True, 49170)
    lines, media = answer("m=audio 49170 RTP/AVP 0")
    assert "a=rtcp-mux" not in lines


def test_avpf_is_answered_as_it_was_offered() -> None:
    lines, _ = answer("m=audio 49170 RTP/AVPF 0")
    assert "m=audio 20000 RTP/AVPF 0" in lines


def test_ipv6() -> None:
    local = LocalMedia("2001:db8::1", 20000, ("PCMA",))
    lines, media = answer("m=audio 9000 RTP/AVP 8", "c=IN IP6 2001:db8::7", local=local)
    assert "c=IN IP6 2001:db8::1" in lines
    assert "o=sipmail 7 1 IN IP6 2001:db8::1" in lines
    assert media.remote_host == "2001:db8::7"


def test_the_times_are_those_of_the_offer() -> None:
    head = "v=0\r\no=a 1 1 IN IP4 1.2.3.4\r\ns=x\r\nc=IN IP4 1.2.3.4\r\n"
    text = f"{head}t=5 9\r\nm=audio 9 RTP/AVP 0\r\n"
    body = Session(1, "1.2.3.4").answer(SessionDescription.parse(text.encode()), LOCAL)
    assert b"\r\nt=5 9\r\n" in body


def test_a_closed_stream_in_a_later_offer() -> None:
    session = Session(1, "198.51.100.7")
    session.answer(offer("m=audio 49170 RTP/AVP 0"), LOCAL)
    body = session.answer(offer("m=audio 0 RTP/AVP 0"), LOCAL)
    assert b"m=audio 0 RTP/AVP 0" in body
    assert session.media is not None
    assert (session.media.send, session.media.receive) == (False, False)


def test_an_offer_of_ours_and_its_answer() -> None:
    session = Session(1, "198.51.100.7")
    body = session.offer(LOCAL).decode()
    assert "m=audio 20000 RTP/AVP 8 0 13 101\r\n" in body
    assert session.pending
    with pytest.raises(ProtocolError) as error:
        session.answer(offer("m=audio 49170 RTP/AVP 0"), LOCAL)
    assert error.value.status == 491
    session.accept(
        offer("m=audio 49170 RTP/AVP 0 96", "a=rtpmap:96 telephone-event/8000", "a=sendonly")
    )
    media = session.media
    assert not session.pending
    assert media is not None
    assert (media.codec, media.payload_type) == ("PCMU", 0)
    # The peer sends digits with the number that we offered (RFC 3264 section 5.1).
    assert media.event_payload_type == 101
    assert media.payloads == {8: "PCMA", 0: "PCMU", 13: "CN", 101: "telephone-event"}
    assert (media.send, media.receive) == (False, True)
    assert media.cn_payload_type is None


def test_a_later_offer_of_ours_keeps_streams_and_event_type() -> None:
    session = Session(1, "198.51.100.7")
    session.answer(
        offer(
            "m=video 5000 RTP/AVP 31", "m=audio 9 RTP/AVP 0 96", "a=rtpmap:96 telephone-event/8000"
        ),
        LOCAL,
    )
    lines = session.offer(LOCAL).decode().split("\r\n")
    assert [line for line in lines if line.startswith("m=")] == [
        "m=video 0 RTP/AVP 31",
        "m=audio 20000 RTP/AVP 8 0 13 96",
    ]
    session.accept(offer("m=video 0 RTP/AVP 31", "m=audio 49178 RTP/AVP 8"))
    assert session.media is not None
    assert session.media.remote_port == 49178


@pytest.mark.parametrize(
    "lines", [[], ["m=audio 0 RTP/AVP 0"], ["m=video 9 RTP/AVP 31"], ["m=audio 9 RTP/AVP 18"]]
)
def test_unusable_answers(lines: list[str]) -> None:
    session = Session(1, "198.51.100.7")
    session.offer(LOCAL)
    with pytest.raises(NotAcceptable):
        session.accept(offer(*lines))
    assert not session.pending


def test_a_refresh_offers_the_same_again() -> None:
    session = Session(1, "198.51.100.7")
    body = session.answer(offer("m=audio 49170 RTP/AVP 0"), LOCAL)
    assert session.reoffer() == body
    session.forget_offer()
    media = session.media
    session.reoffer()
    session.accept(offer("m=audio 49170 RTP/AVP 0"))
    assert session.media == media
