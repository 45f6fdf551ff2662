"""Damaged messages by the ten thousand: whatever a peer sends, nothing but ProtocolError comes out.

The mutations are seeded, so a failure comes back; its number is in the message of the failure.
SIPMAIL_DAMAGED sets how many there are; set it higher where the parser is changed.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable

import pytest

from sipmail.errors import ProtocolError
from sipmail.sip.body import sdp_body
from sipmail.sip.digest import DigestClient
from sipmail.sip.digest_server import DigestServer
from sipmail.sip.diversion import diversions
from sipmail.sip.extensions import supports, unsupported
from sipmail.sip.history_info import history
from sipmail.sip.identity import asserted_identities, remote_parties
from sipmail.sip.message import Request, Response, check, parse, received_from, response_to
from sipmail.sip.nameaddr import NameAddr
from sipmail.sip.privacy import identity_withheld
from sipmail.sip.reason import completed_elsewhere
from sipmail.sip.sdp import SessionDescription
from sipmail.sip.stream import StreamFramer
from tests.sip.messages import IPV6, NORMAL, TORTURE

CHUNKS = 10
MESSAGES_A_CHUNK = int(os.environ.get("SIPMAIL_DAMAGED", "50000")) // CHUNKS

ORIGINALS = [*TORTURE.values(), *IPV6.values(), *(list(NORMAL.values()) * 6)]
SPICES = [
    b"\r\n", b"\r\n\r\n", b"\r", b"\n", b"\x00", b"\xff", b"\xc3", b"\xe2\x82\xac", b" ", b"\t",
    b'"', b'\\"', b"\\", b"<", b">", b"<>", b";", b";;", b",", b"=", b":", b"::", b"@", b"?", b"%",
    b"%0", b"%00", b"[", b"]", b"/", b"-1", b"0", b"4294967296", b"9" * 400, b"9" * 5000,
    b"\xd9\xa3", b"SIP/2.0", b"sip:", b"sips:", b"tel:", b"tag=", b"a" * 300, b"\r\n ", b"*",
    b"--unique boundary-1", b"Content-Length: 7\r\n", b"l: 7\r\n", b"m=audio 1 RTP/AVP 0\r\n",
    b"a=rtpmap:", b"nonce=", b"Digest ", b"qop=auth", b"algorithm=", b"index=1.1", b"(", b")",
]  # fmt: skip


def mutate(random_: random.Random) -> bytes:
    """An original with one to four damages of random kinds."""
    data = bytearray(random_.choice(ORIGINALS))
    for _ in range(random_.choice((1, 1, 1, 2, 3, 4))):
        size = len(data)
        start = random_.randrange(size + 1)
        end = min(size, start + int(random_.expovariate(0.1)))
        kind = random_.randrange(9)
        if kind == 0 and start < size:
            data[start] = random_.randrange(256)
        elif kind == 1:
            del data[start:end]
        elif kind == 2:
            data[end:end] = data[start:end] * random_.choice((1, 1, 2, 30))
        elif kind == 3:
            data[start:start] = random_.choice(SPICES)
        elif kind == 4:
            data[start:end] = random_.choice(SPICES)
        elif kind == 5:
            lines = data.split(b"\r\n")
            random_.shuffle(lines)
            data = bytearray(b"\r\n".join(lines))
        elif kind == 6:
            lines = data.split(b"\r\n")
            line = random_.randrange(len(lines))
            lines[line:line] = [random_.choice(lines)]
            data = bytearray(b"\r\n".join(lines))
        elif kind == 7:
            other = random_.choice(ORIGINALS)
            data[start:] = other[random_.randrange(len(other)) :]
        else:
            name, colon, _ = data[start:].partition(b":")
            value = start + len(name) + len(colon)
            data[value : value + random_.randrange(12)] = random_.choice(SPICES)
    return bytes(data)


def only_protocol_errors(function: Callable[..., object], *arguments: object) -> None:
    try:
        function(*arguments)
    except ProtocolError as error:
        assert 400 <= error.status < 700  # noqa: PT017
        assert error.text  # noqa: PT017


def read(data: bytes) -> Request | Response | None:
    """The message, or what could be read of a request that has to be refused."""
    try:
        message = parse(data)
    except ProtocolError as error:
        assert 400 <= error.status < 700  # noqa: PT017
        return error.request if isinstance(error.request, Request) else None
    assert bytes(message) in data
    return message


def read_addresses(message: Request | Response) -> None:
    for address in (lambda: message.from_, lambda: message.to, lambda: message.contact):

        def look(address: Callable[[], NameAddr | None] = address) -> None:
            found = address()
            if found is not None:
                _ = found.tag, found.display_text.encode(), str(found)
                _ = found.parsed_uri.user_text, str(found.parsed_uri)
                assert found.parsed_uri.equivalent(found.parsed_uri)

        only_protocol_errors(look)


def read_via(message: Request | Response) -> None:
    for via in message.vias:
        _ = via.branch, via.received, via.rport, str(via)
    assert message.via == message.vias[0]


def read_sdp(body: bytes) -> None:
    description = SessionDescription.parse(body)
    assert SessionDescription.parse(bytes(description)) == description
    for media in description.media:
        _ = media.rtpmap, media.ptime, media.maxptime, media.rtcp, media.rtcp_mux, media.crypto
        _ = media.payload_types, media.fmtp(101), media.secure
        _ = description.direction(media).sends, description.connection_of(media)


def read_identities(message: Request | Response) -> None:
    headers = message.headers
    for entry in history(headers):
        _ = entry.uri, entry.reasons, entry.cause, entry.privacy, entry.mapped_from
    _ = diversions(headers), asserted_identities(headers), remote_parties(headers)
    _ = identity_withheld(headers), completed_elsewhere(headers), supports(headers, "timer")


def read_authentication(message: Request | Response) -> None:
    client = DigestClient("alice", "secret", tokens=lambda: "cnonce")
    for status in (401, 407):
        if client.challenged(status, message.headers, answered=False):
            client.authorization("REGISTER", "sip:example.com")
    client.authenticated(message.headers)
    credentials = message.headers.get("Authorization")
    if credentials is not None:
        DigestServer("example.com", b"key").verify(
            credentials, method="REGISTER", username="alice", password="secret", now=1.0
        )


def answer(message: Request | Response) -> None:
    if isinstance(message, Request):
        response = parse(bytes(response_to(message, 400, to_tag="x")))
        assert isinstance(response, Response)
        assert response.status == 400
        only_protocol_errors(lambda: received_from(message, "192.0.2.9", 5061))
        only_protocol_errors(lambda: unsupported(message, ()))
        only_protocol_errors(lambda: message.parsed_uri)
        check(message)
        _ = message.call_id, message.cseq, message.from_, message.to, message.via


READERS = (
    lambda message: message.call_id,
    lambda message: message.cseq,
    read_addresses,
    read_via,
    sdp_body,
    lambda message: read_sdp(message.body),
    read_identities,
    read_authentication,
    answer,
)


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_damaged_messages_raise_only_protocol_errors(chunk: int) -> None:
    random_ = random.Random()
    for seed in range(chunk * MESSAGES_A_CHUNK, (chunk + 1) * MESSAGES_A_CHUNK):
        random_.seed(seed)
        data = mutate(random_)
        try:
            message = read(data)
            if message is not None:
                for reader in READERS:
                    only_protocol_errors(reader, message)
            StreamFramer().feed(data)
        except Exception as error:
            raise AssertionError(f"message {seed}: {data!r}") from error
