"""SDES crypto attributes, and which encrypted streams are agreed on (RFC 4568)."""

from __future__ import annotations

import base64

import pytest

from sipmail.sip.crypto import SECRET_BYTES, Crypto, Encryption, Keys, usable
from sipmail.sip.media import LocalMedia
from sipmail.sip.negotiation import NotAcceptable, accept, answer, check_offer, offer_stream
from sipmail.sip.sdp import SessionDescription

# RFC 4568 section 6.1's example key.
INLINE = "PS1uQCVeeCFCanVmcjkpPywjNWhcYD0mXXtxaVBR"
KEY = base64.b64decode(INLINE)
SECRET = bytes(range(SECRET_BYTES))
SUITE = "AES_CM_128_HMAC_SHA1_80"
CRYPTO = f"a=crypto:1 {SUITE} inline:{INLINE}"


def local(encryption: Encryption) -> LocalMedia:
    return LocalMedia("192.0.2.50", 20000, ("PCMA", "PCMU"), encryption, SECRET)


def offer(*lines: str) -> SessionDescription:
    head = ("v=0", "o=- 1 1 IN IP4 192.0.2.1", "s=-", "c=IN IP4 192.0.2.1", "t=0 0")
    return SessionDescription.parse("\r\n".join((*head, *lines, "")).encode())


CLEAR = ("m=audio 4000 RTP/AVP 8",)
BOTH = ("m=audio 4000 RTP/AVP 8", CRYPTO)
SAVP = ("m=audio 4002 RTP/SAVP 8", CRYPTO)


@pytest.mark.parametrize(
    "value",
    [
        f"1 {SUITE} inline:{INLINE}",
        f"1  {SUITE}  inline:{INLINE}|2^20",
        f"1 {SUITE.lower()} inline:{INLINE}|1048576 WSH=64 -EXTENSION=1",
    ],
)
def test_usable(value: str) -> None:
    assert Crypto.parse(value) == Crypto("1", SUITE, KEY)


@pytest.mark.parametrize(
    "value",
    [
        "",
        f"x {SUITE} inline:{INLINE}",
        f"1 F8_128_HMAC_SHA1_80 inline:{INLINE}",
        f"1 {SUITE} inline:{INLINE[:-4]}",
        f"1 {SUITE} inline:{INLINE}|2^20|1:4",
        f"1 {SUITE} inline:{INLINE};inline:{INLINE}",
        f"1 {SUITE} inline:{INLINE} UNENCRYPTED_SRTP",
        f"1 {SUITE} inline:{INLINE} KDR=0",
        f"1 {SUITE} inline:====",
        f"1 {SUITE} uri:{INLINE}",
    ],
)
def test_passed_over(value: str) -> None:
    assert Crypto.parse(value) is None


def test_the_first_that_can_be_used_and_its_answer() -> None:
    taken = usable([f"1 NO_SUCH inline:{INLINE}", f"2 AES_CM_128_HMAC_SHA1_32 inline:{INLINE}"])
    assert taken is not None
    text = f"2 AES_CM_128_HMAC_SHA1_32 inline:{base64.b64encode(SECRET[:30]).decode()}"
    assert str(taken.answer(SECRET)) == text


def test_no_repr_shows_a_key() -> None:
    shown = repr((Crypto("1", SUITE, KEY), Keys(SUITE, SECRET, KEY), local(Encryption.OFF)))
    assert repr(KEY) not in shown
    assert repr(SECRET) not in shown


@pytest.mark.parametrize(
    ("wish", "transport", "encryption"),
    [
        ("auto", "udp", Encryption.OFF),
        ("auto", "tcp", Encryption.OFF),
        ("auto", "tls", Encryption.OPTIONAL),
        ("optional", "udp", Encryption.OPTIONAL),
        ("required", "udp", Encryption.REQUIRED),
        ("off", "tls", Encryption.OFF),
    ],
)
def test_what_a_trunk_wants(wish: str, transport: str, encryption: Encryption) -> None:
    assert Encryption.of(wish, transport) is encryption


@pytest.mark.parametrize(
    ("encryption", "lines", "proto", "encrypted"),
    [
        (Encryption.OFF, CLEAR, "RTP/AVP", False),
        (Encryption.OFF, BOTH, "RTP/AVP", False),
        (Encryption.OPTIONAL, CLEAR, "RTP/AVP", False),
        (Encryption.OPTIONAL, BOTH, "RTP/AVP", True),
        (Encryption.OPTIONAL, SAVP, "RTP/SAVP", True),
        (Encryption.REQUIRED, BOTH, "RTP/AVP", True),
        (Encryption.REQUIRED, SAVP, "RTP/SAVP", True),
    ],
)
def test_taken(encryption: Encryption, lines: tuple[str, ...], proto: str, encrypted: bool) -> None:
    check_offer(offer(*lines), encryption)
    agreed = answer(offer(*lines), local(encryption), "192.0.2.1")
    stream = agreed.streams[0]
    assert agreed.media is not None
    assert stream.proto == proto
    if encrypted:
        assert agreed.media.keys == Keys(SUITE, SECRET[:30], KEY)
        assert stream.crypto == (f"1 {SUITE} inline:{base64.b64encode(SECRET[:30]).decode()}",)
    else:
        assert agreed.media.keys is None
        assert stream.crypto == ()


@pytest.mark.parametrize(
    ("encryption", "lines"),
    [
        (Encryption.OFF, SAVP),
        (Encryption.OPTIONAL, ("m=audio 4000 RTP/SAVP 8",)),
        (Encryption.OPTIONAL, ("m=audio 4000 UDP/TLS/RTP/SAVPF 8", "a=fingerprint:sha-256 00")),
        (Encryption.REQUIRED, CLEAR),
        (Encryption.REQUIRED, ("m=audio 4000 RTP/AVP 8", "a=crypto:1 NO_SUCH inline:AAAA")),
    ],
)
def test_refused(encryption: Encryption, lines: tuple[str, ...]) -> None:
    with pytest.raises(NotAcceptable):
        check_offer(offer(*lines), encryption)
    with pytest.raises(NotAcceptable):
        answer(offer(*lines), local(encryption), "192.0.2.1")


@pytest.mark.parametrize(("encryption", "index"), [(Encryption.OFF, 0), (Encryption.OPTIONAL, 1)])
def test_of_a_clear_and_an_encrypted_stream(encryption: Encryption, index: int) -> None:
    agreed = answer(offer(*CLEAR, *SAVP), local(encryption), "192.0.2.1")
    assert agreed.index == index
    assert [bool(stream.port) for stream in agreed.streams] == [index == 0, index == 1]


@pytest.mark.parametrize(
    ("encryption", "answered", "encrypted"),
    [
        (Encryption.REQUIRED, SAVP, True),
        (Encryption.OPTIONAL, BOTH, True),
        (Encryption.OPTIONAL, CLEAR, False),
        (Encryption.OFF, CLEAR, False),
    ],
)
def test_our_offer(encryption: Encryption, answered: tuple[str, ...], encrypted: bool) -> None:
    ours = offer_stream(local(encryption), 101)
    assert ours.secure is (encryption is Encryption.REQUIRED)
    media = accept(offer(*answered), ours, 0, "192.0.2.1")
    assert media.keys == (Keys(SUITE, SECRET[:30], KEY) if encrypted else None)


def test_our_encrypted_offer_is_not_taken_in_the_clear() -> None:
    with pytest.raises(NotAcceptable):
        accept(offer(*CLEAR), offer_stream(local(Encryption.REQUIRED), 101), 0, "192.0.2.1")
