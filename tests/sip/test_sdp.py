"""Session descriptions, and where they are found in a body."""

from __future__ import annotations

import pytest

from sipmail.errors import ProtocolError
from sipmail.sip.body import media_type, sdp_body
from sipmail.sip.headers import Headers
from sipmail.sip.message import Request, parse
from sipmail.sip.sdp import (
    MAX_MEDIA,
    MAX_SIZE,
    Connection,
    Direction,
    MediaDescription,
    Origin,
    RtpMap,
    SessionDescription,
)
from tests.sip.messages import NORMAL

# The example of RFC 8866 section 5, with lines of every kind.
RFC_8866 = (
    b"v=0\r\n"
    b"o=jdoe 3724394400 3724394405 IN IP4 198.51.100.1\r\n"
    b"s=Call to John Smith\r\n"
    b"i=SDP Offer #1\r\n"
    b"u=http://www.jdoe.example.com/home.html\r\n"
    b"e=Jane Doe <jane@jdoe.example.com>\r\n"
    b"p=+1 617 555-6011\r\n"
    b"c=IN IP4 198.51.100.1\r\n"
    b"t=0 0\r\n"
    b"m=audio 49170 RTP/AVP 0\r\n"
    b"m=audio 49180 RTP/AVP 0\r\n"
    b"m=video 51372 RTP/AVP 99\r\n"
    b"c=IN IP6 2001:db8::2\r\n"
    b"a=rtpmap:99 h263-1998/90000\r\n"
)


def described(*lines: str) -> SessionDescription:
    return SessionDescription.parse("\r\n".join(("v=0", *lines, "")).encode())


def media(*lines: str) -> MediaDescription:
    return described("m=audio 4000 RTP/AVP 0 8 101", *lines).media[0]


def test_the_example_of_rfc_8866_comes_back_as_it_was() -> None:
    description = SessionDescription.parse(RFC_8866)
    assert bytes(description) == RFC_8866
    assert description.origin == Origin("jdoe", "3724394400", "3724394405", "IP4", "198.51.100.1")
    assert description.name == "Call to John Smith"
    assert [one.port for one in description.media] == [49170, 49180, 51372]
    assert description.connection_of(description.media[0]) == Connection("IP4", "198.51.100.1")
    assert description.connection_of(description.media[2]) == Connection("IP6", "2001:db8::2")
    assert description.media[2].rtpmap == {99: RtpMap("h263-1998", 90000)}


def test_the_offer_of_an_asterisk() -> None:
    body = parse(NORMAL["invite-asterisk"]).body
    description = SessionDescription.parse(body)
    assert bytes(description) == body
    (audio,) = description.media
    assert (audio.kind, audio.port, audio.proto) == ("audio", 18000, "RTP/AVP")
    assert audio.payload_types == (8, 0, 101)
    assert audio.rtpmap[101] == RtpMap("telephone-event", 8000)
    assert audio.fmtp(101) == "0-16"
    assert audio.fmtp(8) is None
    assert (audio.ptime, audio.maxptime) == (20, 150)
    assert audio.direction is Direction.SENDRECV
    assert not audio.secure
    assert not audio.rtcp_mux


def test_the_offer_of_a_softphone() -> None:
    description = SessionDescription.parse(parse(NORMAL["invite-proxied"]).body)
    audio, video = description.media
    assert audio.rtpmap[96] == RtpMap("opus", 48000, 2)
    assert audio.rtcp == (53020, None)
    assert audio.rtcp_mux
    assert audio.direction is Direction.SENDONLY
    assert video.port == 0


def test_every_letter_keeps_its_place() -> None:
    body = (
        b"v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nb=AS:64\r\nt=0 0\r\nr=7d 1h 0 25h\r\n"
        b"z=2882844526 -1h\r\nk=prompt\r\na=tool:x\r\na=recvonly\r\n"
        b"m=audio 49232/2 RTP/AVP 0\r\ni=left\r\nc=IN IP4 233.252.0.1/127/3\r\nb=AS:32\r\n"
        b"k=clear:x\r\na=rtcp-mux\r\n"
    )
    description = SessionDescription.parse(body)
    assert bytes(description) == body
    assert description.media[0].count == 2
    assert description.media[0].connection == Connection("IP4", "233.252.0.1", "/127/3")
    assert description.attribute("tool") == "x"
    assert description.attribute("recvonly") == ""
    assert description.attribute("none") is None


def test_what_the_field_leaves_out_or_adds() -> None:
    description = SessionDescription.parse(
        b"v=0\nc=IN IP4 192.0.2.1\nq=unknown\nm=audio 4000 RTP/AVP 8 \na=sendrecv \n\n"
    )
    assert description.origin is None
    assert (description.name, description.times) == ("-", ("0 0",))
    assert description.media[0].formats == ("8",)
    assert description.direction(description.media[0]) is Direction.SENDRECV
    assert bytes(description) == (
        b"v=0\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 8\r\na=sendrecv\r\n"
    )


def test_latin_1_survives() -> None:
    body = b"v=0\r\ns=Caf\xe9\r\nt=0 0\r\n"
    assert bytes(SessionDescription.parse(body)) == body


@pytest.mark.parametrize("direction", list(Direction))
def test_directions(direction: Direction) -> None:
    assert media(f"a={direction.value}").direction is direction
    description = described(f"a={direction.value}", "m=audio 4000 RTP/AVP 0")
    assert description.media[0].direction is None
    assert description.direction(description.media[0]) is direction
    assert direction.sends == direction.value.startswith("send")
    assert direction.receives == direction.value.endswith(("recv", "recvonly"))


def test_without_a_direction_media_flow_both_ways() -> None:
    description = described("m=audio 4000 RTP/AVP 0")
    assert description.direction(description.media[0]) is Direction.SENDRECV


def test_the_medias_direction_wins_over_the_sessions() -> None:
    description = described("a=sendonly", "m=audio 4000 RTP/AVP 0", "a=recvonly")
    assert description.direction(description.media[0]) is Direction.RECVONLY


def test_hold_of_rfc_2543() -> None:
    assert Connection.parse("IN IP4 0.0.0.0").on_hold
    assert not Connection.parse("IN IP4 192.0.2.1").on_hold


@pytest.mark.parametrize(
    ("text", "rtcp"),
    [
        ("53020", (53020, None)),
        ("53020 IN IP4 126.16.64.4", (53020, "126.16.64.4")),
        ("53020 IN IP6 2001:db8::1", (53020, "2001:db8::1")),
        ("0", None),
        ("65536", None),
        ("x", None),
        ("1 IN IP4", None),
    ],
)
def test_rtcp_of_rfc_3605(text: str, rtcp: tuple[int, str | None] | None) -> None:
    assert media(f"a=rtcp:{text}").rtcp == rtcp


@pytest.mark.parametrize(
    ("text", "ptime"),
    [("20", 20), ("20.0", 20), (" 30 ", 30), ("0", None), ("x", None), ("-20", None), ("", None)],
)
def test_ptime(text: str, ptime: int | None) -> None:
    assert media(f"a=ptime:{text}").ptime == ptime
    description = described(f"a=ptime:{text}", "m=audio 4000 RTP/AVP 0", "m=audio 1 RTP/AVP 0")
    assert description.ptime_of(description.media[0]) == ptime


def test_malformed_maps_are_left_out_and_the_first_one_counts() -> None:
    one = media(
        "a=rtpmap:8 PCMA", "a=rtpmap:x PCMA/8000", "a=rtpmap:8 PCMA/8000", "a=rtpmap:8 G722/8000"
    )
    assert one.rtpmap == {8: RtpMap("PCMA", 8000)}


def test_payload_types_are_numbers_below_128() -> None:
    assert described("m=audio 1 RTP/AVP 0 127 128 x ٣ 0101").media[0].payload_types == (0, 127)


def test_secure_media() -> None:
    secure = described("m=audio 1 RTP/SAVP 0", "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:x")
    assert secure.media[0].secure
    assert secure.media[0].crypto == ("1 AES_CM_128_HMAC_SHA1_80 inline:x",)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\r\n",
        b"v=1\r\n",
        b"s=-\r\nv=0\r\n",
        b"v=0\r\nx\r\n",
        b"v=0\r\n m=audio 1 RTP/AVP 0\r\n",
        b"v=0\r\no=- 1 1 IN IP4\r\n",
        b"v=0\r\no=- 1 1 XX IP4 a\r\n",
        b"v=0\r\nc=IN IP4\r\n",
        b"v=0\r\nc=IN IP4 /1\r\n",
        b"v=0\r\nt=0\r\n",
        b"v=0\r\nt=a b\r\n",
        b"v=0\r\nm=audio\r\n",
        b"v=0\r\nm=audio x RTP/AVP 0\r\n",
        b"v=0\r\nm=audio 65536 RTP/AVP 0\r\n",
        b"v=0\r\nm=audio 1/0 RTP/AVP 0\r\n",
        b"v=0\r\nm =audio 1 RTP/AVP 0\r\n",
        b"v=0\r\n" + b"m=audio 1 RTP/AVP 0\r\n" * (MAX_MEDIA + 1),
    ],
)
def test_malformed_descriptions(body: bytes) -> None:
    with pytest.raises(ProtocolError) as error:
        SessionDescription.parse(body)
    assert error.value.status == 400


def test_descriptions_are_bounded() -> None:
    with pytest.raises(ProtocolError) as error:
        SessionDescription.parse(b"v=0\r\n" + b"a=x\r\n" * MAX_SIZE)
    assert error.value.status == 413


# Bodies

SDP = b"v=0\r\ns=-\r\nt=0 0\r\n"


def message(content_type: str | None, body: bytes, *headers: tuple[str, str]) -> Request:
    types = [] if content_type is None else [("Content-Type", content_type)]
    return Request("INVITE", "sip:a", Headers([*types, *headers]), body)


def multipart(*parts: bytes, kind: str = "mixed") -> Request:
    body = (
        b"preamble" + b"".join(b"\r\n--b\r\n" + part for part in parts) + b"\r\n--b--\r\nepilogue"
    )
    return message(f'multipart/{kind}; boundary="b"', body)


def part(content_type: str, content: bytes, *headers: str) -> bytes:
    lines = "".join(f"{line}\r\n" for line in (f"Content-Type: {content_type}", *headers))
    return lines.encode() + b"\r\n" + content


@pytest.mark.parametrize(
    "content_type", ["application/sdp", "Application/SDP", "application / sdp ; charset=utf-8"]
)
def test_a_session_description_alone(content_type: str) -> None:
    assert sdp_body(message(content_type, SDP)) == SDP
    assert sdp_body(message(content_type, SDP, ("Content-Encoding", "identity"))) == SDP


def test_no_body() -> None:
    assert sdp_body(message("application/sdp", b"")) is None


def test_a_session_description_among_parts() -> None:
    found = sdp_body(parse(NORMAL["invite-multipart"]))
    assert found is not None
    assert SessionDescription.parse(found).media[0].formats == ("8",)
    assert sdp_body(multipart(part("text/plain", b"hi"), part("application/sdp", SDP))) == SDP
    assert sdp_body(multipart(part("application/sdp", SDP), part("application/x", b"y"))) == SDP


def test_of_several_descriptions_the_first_counts_and_of_alternatives_the_last() -> None:
    parts = (part("application/sdp", SDP), part("application/sdp", b"v=0\r\n"))
    assert sdp_body(multipart(*parts)) == SDP
    assert sdp_body(multipart(*parts, kind="alternative")) == b"v=0\r\n"
    unknown = part("application/x", b"", "Content-Disposition: session;handling=required")
    assert sdp_body(multipart(part("application/sdp", SDP), unknown, kind="alternative")) == SDP


def test_parts_may_be_nested() -> None:
    inner = multipart(part("application/sdp", SDP), kind="related")
    outer = b"--o\r\nContent-Type: multipart/related;boundary=b\r\n\r\n" + inner.body + b"\r\n--o--"
    assert sdp_body(message("multipart/mixed;boundary=o", outer)) == SDP


def test_nesting_is_bounded() -> None:
    body, kind = SDP, "application/sdp"
    for depth in range(6):
        body = (
            f"--d{depth}\r\nContent-Type: {kind}\r\n\r\n".encode()
            + body
            + f"\r\n--d{depth}--".encode()
        )
        kind = f"multipart/mixed;boundary=d{depth}"
    with pytest.raises(ProtocolError) as error:
        sdp_body(message(kind, body))
    assert error.value.status == 415


def test_optional_content_is_ignored() -> None:
    optional = ("Content-Disposition", "signal ; handling=OPTIONAL")
    assert sdp_body(message("application/ISUP", b"x", optional)) is None
    assert sdp_body(message("application/sdp", b"x", optional, ("e", "gzip"))) is None
    ignored = part("application/x", b"y", "Content-Disposition: signal;handling=optional")
    assert sdp_body(multipart(ignored)) is None


@pytest.mark.parametrize(
    "refused",
    [
        message("text/plain", b"x"),
        message(None, SDP),
        message("application/sdp", SDP, ("Content-Encoding", "gzip")),
        message("application/sdp", SDP, ("e", "identity, deflate")),
        multipart(part("text/plain", b"x")),
        multipart(part("application/sdp", SDP, "Content-Transfer-Encoding: base64")),
        multipart(
            part("application/sdp", SDP),
            part("application/x", b"y", "Content-Disposition: signal;handling=required"),
        ),
    ],
)
def test_unknown_types_and_encodings_are_refused_with_415(refused: Request) -> None:
    with pytest.raises(ProtocolError) as error:
        sdp_body(refused)
    assert error.value.status == 415


@pytest.mark.parametrize(
    "malformed",
    [
        message("sdp", SDP),
        message("application/sdp;;", SDP),
        message("multipart/mixed", SDP),
        message('multipart/mixed;boundary=""', SDP),
        message("multipart/mixed;boundary=b", b"--b\r\nContent-Type: application/sdp\r\n\r\nx"),
        message("multipart/mixed;boundary=b", b"--b\r\nContent-Type: application/sdp\r\n--b--"),
        message("multipart/mixed;boundary=b", b"--bb\r\n\r\n--b--"),
        message("multipart/mixed;boundary=b", b"--b\r\n\r\n" * 40 + b"--b--"),
        message("text/plain", b"x", ("Content-Disposition", "=")),
    ],
)
def test_malformed_bodies_are_refused_with_400(malformed: Request) -> None:
    with pytest.raises(ProtocolError) as error:
        sdp_body(malformed)
    assert error.value.status == 400


def test_media_types() -> None:
    kind, params = media_type('Multipart/Mixed;Boundary="a b"')
    assert kind == "multipart/mixed"
    assert params["boundary"] == "a b"
