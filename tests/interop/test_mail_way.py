"""What becomes of the e-mails on their way: a real Postfix, and a reader that is not Python's.

MIME::Parser (Debian's libmime-tools-perl) has no line in common with the `email` package.
"""

from __future__ import annotations

import base64
import io
import json
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest
import soundfile

from sipmail.audio.encode import FORMATS, encode
from sipmail.config.model import Smtp
from sipmail.config.values import Address
from sipmail.mail.compose import Attachment, compose_notice
from sipmail.mail.deliver import Envelope
from sipmail.mail.smtp import SmtpDelivery
from sipmail.spool.message import Caller, Kind
from tests.audio.sounds import spoken
from tests.conftest import require_program
from tests.interop.postfix import Postfix, require_postfix
from tests.mail.post import CONFIG, MESSAGE, PNG, called_by, html_of, read, text_of, written
from tests.mail.test_golden import NOTICE
from tests.support.smtp import SmtpServer

pytestmark = pytest.mark.interop

SENDER, READER = "voicemail@example.com", "anna@example.com"
SECONDS = 3.0
HOSTILE = 'Zażółć "gęślą" <b>jaźń</b>\r\nBcc: x@example.com 🎈 שלום ' + "ż" * 1000

_PERL = """
use strict; use warnings; use MIME::Parser; use MIME::WordDecoder; use JSON::PP;
use MIME::Base64;
my $parser = MIME::Parser->new; $parser->output_to_core(1); $parser->tmp_to_core(1);
my $mail = $parser->parse(\\*STDIN);
my @parts;
for my $part ($mail->parts_DFS) {
    my $body = $part->bodyhandle;
    push @parts, {type => $part->mime_type, multipart => $part->is_multipart ? 1 : 0,
        name => $part->head->recommended_filename // "",
        body => $body ? encode_base64($body->as_string, "") : ""};
}
print encode_json({parts => \\@parts,
    problems => [$parser->results->errors, $parser->results->warnings],
    subject => encode_base64(mime_to_perl_string($mail->head->get("Subject") =~ s/\\n//gr)
        =~ s/([^\\x00-\\x7f])/my $c = $1; utf8::encode($c); $c/ger, ""),
    bcc => $mail->head->count("Bcc")});
"""


@dataclass(frozen=True)
class Sound:
    """A recording in one format."""

    format: str
    attachment: Attachment


@pytest.fixture(params=FORMATS)
def sound(request: pytest.FixtureRequest) -> Sound:
    samples = spoken("pl/sample")[: round(SECONDS * 8000)]
    assert len(samples) == SECONDS * 8000
    made = encode(samples, 8000, request.param)
    attachment = Attachment(made.data, made.mime, made.extension, made.duration, waveform=PNG)
    return Sound(request.param, attachment)


def parsed(data: bytes) -> dict[str, Any]:
    """What MIME::Parser reads in an e-mail, with not a single complaint."""
    perl = require_program("perl")
    known = subprocess.run([perl, "-MMIME::Parser", "-e1"], capture_output=True, check=False)
    if known.returncode:
        require_program("MIME::Parser of libmime-tools-perl")
    ran = subprocess.run([perl, "-e", _PERL], input=data, capture_output=True, check=False)
    assert (ran.returncode, ran.stderr) == (0, b"")
    found: dict[str, Any] = json.loads(ran.stdout)
    assert found["problems"] == []
    assert found["bcc"] == 0
    return found


def leaf(found: dict[str, Any], kind: str) -> tuple[str, bytes]:
    """Name and content of the one part of this type."""
    (part,) = [part for part in found["parts"] if part["type"].split("/")[0] == kind]
    return part["name"], base64.b64decode(part["body"])


def body(found: dict[str, Any], kind: str) -> str:
    (part,) = [part for part in found["parts"] if part["type"] == kind]
    return base64.b64decode(part["body"]).decode()


def test_another_parser_reads_the_same(sound: Sound) -> None:
    data = written(called_by("+48600123456", HOSTILE), sound.attachment)
    assert max(map(len, data.split(b"\r\n"))) <= 998
    found = parsed(data)
    message = read(data)
    assert base64.b64decode(found["subject"]).decode() == message["Subject"]
    assert body(found, "text/plain").splitlines() == text_of(message).splitlines()
    assert body(found, "text/html").splitlines() == html_of(message).splitlines()
    assert leaf(found, "image")[1] == PNG
    name, audio = leaf(found, "audio")
    assert name.endswith(f"_+48600123456.{sound.attachment.extension}")
    assert audio == sound.attachment.data
    assert soundfile.info(io.BytesIO(audio)).duration == pytest.approx(SECONDS, abs=0.1)


@pytest.mark.parametrize(
    "data",
    [
        written(replace(MESSAGE, kind=Kind.MISSED, recorded=False, duration=None), None),
        written(called_by(None, None), None),
        compose_notice(
            replace(MESSAGE, kind=Kind.NOTICE, notice=NOTICE),
            CONFIG,
            [Address("", "admin@example.com")],
        ),
    ],
    ids=["missed", "unknown", "notice"],
)
def test_another_parser_reads_what_has_no_sound(data: bytes) -> None:
    found = parsed(data)
    assert body(found, "text/plain").splitlines() == text_of(read(data)).splitlines()
    assert [part for part in found["parts"] if part["type"].startswith("audio/")] == []


@pytest.fixture(scope="module")
def relay() -> Iterator[SmtpServer]:
    server = SmtpServer().start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def postfix(relay: SmtpServer) -> Iterator[Postfix]:
    server = Postfix(require_postfix(), relay.port)
    yield server
    server.stop()
    print(f"--- log of Postfix\n{server.log()}")


@pytest.fixture
def send(postfix: Postfix) -> Iterator[Callable[[bytes], None]]:
    way = SmtpDelivery(Smtp(host=postfix.host, port=postfix.port, security="none"))

    def deliver(data: bytes) -> None:
        answers = way.send(Envelope(MESSAGE.id, SENDER, (READER,), data))
        assert answers[READER].answer.startswith("250 "), answers

    yield deliver
    way.close()


@pytest.mark.parametrize("name", ["Łukasz Żółć", HOSTILE], ids=["Polish", "hostile"])
def test_postfix_hands_on_every_byte(
    postfix: Postfix,
    relay: SmtpServer,
    send: Callable[[bytes], None],
    sound: Sound,
    name: str,
) -> None:
    data = written(replace(MESSAGE, caller=Caller("+48600123456", name)), sound.attachment)
    before = len(relay.delivered)
    send(data)
    mail = relay.wait(before + 1)[-1]
    assert (mail.sender, mail.recipients) == (SENDER, (READER,)), postfix.log()
    added, handed_on = mail.data[: -len(data)], mail.data[-len(data) :]
    assert handed_on == data
    assert added.startswith(b"Received: ")
    assert all(line[:1] in (b"R", b" ", b"\t", b"") for line in added.split(b"\r\n"))
    assert leaf(parsed(mail.data), "audio")[1] == sound.attachment.data
