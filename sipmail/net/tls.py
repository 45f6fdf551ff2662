"""TLS for SIP: whom we trust, who we are, and what went wrong in words (RFC 3261 26.3, RFC 5922).

Rules: a server that we connect to must show a certificate of a CA that we trust (the system's, or
those of `ca_file` alone) for the name in the configuration, not for what DNS made of it (RFC 5922
section 7.1); who says so may leave that out for one trunk. TLS 1.2 at least. Our own certificate is
read again when its files change, and an expiry that comes near is told.
"""

from __future__ import annotations

import logging
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from sipmail.errors import SipmailError

log = logging.getLogger(__name__)

_WARN_DAYS = 14
_DAY_SECONDS = 86400.0
_PEM_END = "-----END CERTIFICATE-----"
_VERSION = 0xA0
_UTC_TIME = 0x17


def client_context(ca_file: Path | None = None, *, verify: bool = True) -> ssl.SSLContext:
    """The context for connections of ours; raises SipmailError where `ca_file` cannot be used.

    Without `ca_file` all CA certificates of the system are read: tens of milliseconds of CPU.
    """
    if not verify:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    else:
        try:
            context = ssl.create_default_context(cafile=ca_file)
        except (OSError, ssl.SSLError) as error:
            text = f"the CA certificates in {ca_file} cannot be used: {error}"
            raise SipmailError(text) from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def words(error: BaseException) -> str:
    """What an error of a connection means, for an admin."""
    if isinstance(error, ssl.SSLCertVerificationError):
        why = error.verify_message or str(error)
        return f"the server's certificate is not accepted: {why}"
    if isinstance(error, ssl.SSLError):
        return f"TLS failed: {error.reason or error}"
    if isinstance(error, TimeoutError):
        return "no answer to the connection"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__


@dataclass(frozen=True, slots=True)
class TlsPeer:
    """Whom we expect behind an address: the name in its certificate, and whom it is checked by,
    None for the CAs that are trusted by default."""

    name: str
    context: ssl.SSLContext | None


class ServerCertificate:
    """Our certificate and key for a `tls://` listener; `context` uses what was read last."""

    def __init__(self, certificate: Path, private_key: Path) -> None:
        """Raises SipmailError where they cannot be used."""
        self.context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self.context.minimum_version = ssl.TLSVersion.TLSv1_2
        self._certificate = certificate
        self._private_key = private_key
        self._read: tuple[float, float] | None = None
        self._warned_on: int | None = None
        try:
            self._load(self._times())
        except (OSError, ssl.SSLError) as error:
            raise SipmailError(f"the certificate {certificate} cannot be used: {error}") from error

    def refresh(self, now: datetime) -> None:
        """Reads the files again if they have changed; new connections get the new certificate.

        Files that can't be used (one is new, the other not yet) leave the old one in place.
        """
        try:
            times = self._times()
            if times != self._read:
                self._load(times)
                log.info("the certificate %s was read again", self._certificate)
                self._warned_on = None
        except (OSError, ssl.SSLError) as error:
            log.warning("the certificate %s cannot be used: %s", self._certificate, words(error))
        self._look_at_expiry(now)

    def _times(self) -> tuple[float, float]:
        return self._certificate.stat().st_mtime, self._private_key.stat().st_mtime

    def _load(self, times: tuple[float, float]) -> None:
        self.context.load_cert_chain(self._certificate, self._private_key)
        self._read = times

    def _look_at_expiry(self, now: datetime) -> None:
        """Warns once a day, from two weeks before."""
        ends = expiry(self._certificate)
        if ends is None:
            return
        days = (ends - now).total_seconds() / _DAY_SECONDS
        if days > _WARN_DAYS or self._warned_on == now.toordinal():
            return
        self._warned_on = now.toordinal()
        if days < 0:
            log.error("the certificate %s has expired on %s", self._certificate, ends.date())
        else:
            log.warning("the certificate %s expires on %s", self._certificate, ends.date())


def expiry(certificate: Path) -> datetime | None:
    """When the first certificate in a PEM file expires; None where that cannot be read."""
    try:
        pem = certificate.read_text("ascii", "replace")
        begin = pem.index("-----BEGIN CERTIFICATE-----")
        end = pem.index(_PEM_END, begin) + len(_PEM_END)
        return _not_after(ssl.PEM_cert_to_DER_cert(pem[begin:end]))
    except (OSError, ValueError, IndexError):
        return None


def _not_after(der: bytes) -> datetime:
    """The end of the validity (RFC 5280 section 4.1); ValueError or IndexError for other DER."""
    _, start, _ = _element(der, 0)  # Certificate
    _, position, _ = _element(der, start)  # TBSCertificate
    tag, _, end = _element(der, position)
    if tag == _VERSION:
        position = end
    for _ in range(3):  # serialNumber, signature, issuer
        _, _, position = _element(der, position)
    _, start, _ = _element(der, position)  # Validity
    _, _, position = _element(der, start)  # notBefore
    tag, start, end = _element(der, position)
    form = "%y%m%d%H%M%SZ" if tag == _UTC_TIME else "%Y%m%d%H%M%SZ"
    return datetime.strptime(der[start:end].decode("ascii"), form).replace(tzinfo=UTC)


def _element(der: bytes, position: int) -> tuple[int, int, int]:
    """Tag, begin and end of the content of the DER element at `position`."""
    tag, length = der[position], der[position + 1]
    start = position + 2
    if length & 0x80:
        octets = length & 0x7F
        length = int.from_bytes(der[start : start + octets])
        start += octets
    return tag, start, start + length
