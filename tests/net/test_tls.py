"""Our own certificate over its life, and errors in words."""

from __future__ import annotations

import logging
import os
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from sipmail.errors import SipmailError
from sipmail.net.tls import ServerCertificate, client_context, expiry, words
from tests.net.certificates import Authority


def test_expiry_is_what_openssl_was_told(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    made = authority.issue("pbx.example.com", days=7)
    ends = expiry(made.certificate)
    assert ends is not None
    assert abs(ends - datetime.now(UTC) - timedelta(days=7)) < timedelta(minutes=5)
    old = authority.issue("pbx.example.com", days=-1, file="old")
    assert expiry(old.certificate) == datetime(2020, 2, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    "text", ["", "-----BEGIN CERTIFICATE-----\nMAo=\n-----END CERTIFICATE-----"]
)
def test_what_is_no_certificate_has_no_expiry(tmp_path: Path, text: str) -> None:
    file = tmp_path / "none.pem"
    assert expiry(file) is None
    file.write_text(text)
    assert expiry(file) is None


def test_a_renewed_certificate_is_read_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    authority = Authority(tmp_path)
    made = authority.issue("pbx.example.com", days=90)
    ours = ServerCertificate(made.certificate, made.key)
    now = datetime.now(UTC)
    with caplog.at_level(logging.INFO, "sipmail"):
        ours.refresh(now)
        assert caplog.text == ""
        authority.issue("pbx.example.com", days=91)
        os.utime(made.certificate, (1, 1))
        ours.refresh(now)
        assert "was read again" in caplog.text
        caplog.clear()
        made.key.write_text("half written")
        ours.refresh(now)
        assert "cannot be used" in caplog.text


def test_an_expiry_is_told_once_a_day(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    made = Authority(tmp_path).issue("pbx.example.com", days=30)
    ours = ServerCertificate(made.certificate, made.key)
    noon = datetime.now(UTC).replace(hour=12)
    with caplog.at_level(logging.WARNING, "sipmail"):
        for days, lines in ((0, 0), (20, 1), (20, 1), (21, 2), (31, 3)):
            ours.refresh(noon + timedelta(days=days))
            assert len(caplog.records) == lines
    assert "expires on" in caplog.records[0].message
    assert "has expired" in caplog.records[-1].message


def test_files_that_cannot_be_used_are_named(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.pem"
    wrong.write_text("nothing")
    with pytest.raises(SipmailError, match=r"wrong\.pem"):
        ServerCertificate(wrong, wrong)
    with pytest.raises(SipmailError, match=r"wrong\.pem"):
        client_context(wrong)


def test_old_tls_is_not_spoken() -> None:
    assert client_context().minimum_version == ssl.TLSVersion.TLSv1_2


def test_words_for_errors() -> None:
    assert words(TimeoutError()) == "no answer to the connection"
    assert words(OSError(111, "Connection refused")) == "Connection refused"
    assert words(ConnectionResetError()) == "ConnectionResetError"
