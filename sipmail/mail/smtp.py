"""Delivery over SMTP (RFC 5321) with smtplib: STARTTLS (RFC 3207), TLS (RFC 8314), AUTH (RFC 4954),
XOAUTH2 (see `oauth`), SMTPUTF8 (RFC 6531) and delivery status notifications (RFC 3461) where the
server has them.

Rules
- A connection serves many messages; `close` says QUIT. The server may have hung up meanwhile: a
  connection that fails before it has taken a byte of the message is replaced once, silently.
- Each RCPT has its own answer. 4xx is temporary, 5xx is final for that recipient; the answer
  after the data counts for everyone who was accepted before it.
- Whatever keeps us from asking about a recipient at all (no connection, no TLS, a refused login,
  421) is temporary and the server's: a corrected configuration frees the queue.
- The data are sent once: no answer to them means "not known", which is temporary. The same
  message then goes out again under its Message-ID.
- A server that says what no answer can be, or speaks before it is asked, is out of step with us:
  none of its words counts, and the connection is replaced like one that was hung up. An acceptance
  is believed after a 354 only, with nothing said between that and the dot.
- The certificate is verified against the host that is configured, whenever TLS is.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import smtplib
import socket
import ssl
from dataclasses import replace

from sipmail.config.model import OAuth
from sipmail.config.model import Smtp as Settings
from sipmail.errors import DeliveryError
from sipmail.mail.answers import OutOfStep, Smtp, SmtpTls
from sipmail.mail.deliver import Envelope, Outcome, one_line, same_for_all
from sipmail.mail.login import log_in
from sipmail.mail.mask import Mask
from sipmail.mail.oauth import Tokens, xoauth2

log = logging.getLogger(__name__)

_AUTHENTICATION = (530, 534, 535, 538)
_CLOSING = 421
_TOO_MUCH = 552
_TOO_MANY = b"5.5.3"
"""Too many recipients (RFC 3463, section 3.6)."""
_BAD_SEQUENCE = 503
_ACCEPTED = range(250, 260)
_GO_ON = range(350, 360)
"""By the first two digits: the third is nobody's to rely on (RFC 5321, 4.3.2)."""
_QUIT_SECONDS = 2.0
_NOTIFY = "NOTIFY=FAILURE,DELAY"
"""Nobody is told of success: the server's 250 is enough."""
_CHUNK = 1 << 16
_LINE_FEED = 0x0A
_LAST_ANSWER = 20
"""How many times longer than for another answer the one to the data is waited for: whoever gives
up too early sends twice. With the usual timeout that is what RFC 5321, 4.5.3.2.6 wants."""


class _Refused(Exception):
    """The server's word about the whole message."""

    def __init__(self, outcome: Outcome) -> None:
        self.outcome = outcome
        super().__init__(outcome.answer)


class SmtpDelivery:
    """One connection to the server of `settings`, opened when it is needed."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._server: Smtp | None = None
        self._mask = Mask(settings)
        self._tokens = None if settings.oauth is None else _tokens(settings.oauth)

    def send(self, envelope: Envelope) -> dict[str, Outcome]:
        """Hands `envelope` over; one outcome for each of its recipients."""
        reused = self._server is not None
        try:
            try:
                return self._transaction(envelope)
            except (smtplib.SMTPServerDisconnected, _Closing, ConnectionError):
                if not reused:
                    raise
                self._drop()
                return self._transaction(envelope)
        except _Refused as refusal:
            self._reset()
            return same_for_all(envelope, refusal.outcome)
        except smtplib.SMTPResponseException as error:
            self._drop()
            return same_for_all(envelope, self._trouble(error))
        except (OSError, smtplib.SMTPException, UnicodeError) as error:
            self._drop()
            return same_for_all(envelope, Outcome(False, True, self._describe(error), server=True))

    def probe(self) -> Outcome:
        """Connects and logs in without sending anything, then hangs up; never raises for what a
        server does."""
        try:
            code, text = self._connect().noop()
        except _Refused as refusal:
            return refusal.outcome
        except smtplib.SMTPResponseException as error:
            return self._trouble(error)
        except (OSError, smtplib.SMTPException, UnicodeError) as error:
            return Outcome(False, True, self._describe(error), server=True)
        finally:
            self.close()
        return self._outcome(code, text)

    def close(self) -> None:
        """QUIT, politely but briefly."""
        server, self._server = self._server, None
        if server is None:
            return
        with contextlib.suppress(OSError, smtplib.SMTPException):
            if server.sock is not None:
                server.sock.settimeout(_QUIT_SECONDS)
            server.quit()
        server.close()

    # One message

    def _transaction(self, envelope: Envelope) -> dict[str, Outcome]:
        server = self._connect()
        self._mail(server, envelope)
        outcomes = {}
        accepted: list[str] = []
        for address in envelope.recipients:
            if not address.isascii() and not server.has_extn("smtputf8"):
                answer = "the server does not take addresses with other than ASCII letters"
                outcomes[address] = Outcome(False, False, answer)
                continue
            notify = f" {_NOTIFY}" if server.has_extn("dsn") else ""
            code, text = server.docmd("rcpt", f"TO:{_path(address)}{notify}")
            self._check(code, text, _ACCEPTED)
            outcome = self._outcome(code, text)
            if accepted and (code == _TOO_MUCH or text.startswith(_TOO_MANY)):
                # To those who came first there is room: so it is about how many they are, which
                # some say so (RFC 5321, 4.5.3.1.10). The rest gets a turn of its own.
                outcome = replace(outcome, temporary=True)
            outcomes[address] = outcome
            if outcome.ok:
                accepted.append(address)
        if not accepted:
            self._reset()
            return outcomes
        final = self._data(server, envelope.data)
        outcomes.update(dict.fromkeys(accepted, final))
        return outcomes

    def _mail(self, server: Smtp, envelope: Envelope) -> None:
        if not envelope.sender.isascii() and not server.has_extn("smtputf8"):
            answer = "the server does not take a sender with other than ASCII letters"
            raise _Refused(Outcome(False, True, answer, server=True))
        options = []
        if server.has_extn("size"):
            options.append(f"SIZE={len(envelope.data)}")
        if server.has_extn("8bitmime") and not envelope.data.isascii():
            options.append("BODY=8BITMIME")
        if server.has_extn("dsn"):
            options += ["RET=HDRS", f"ENVID={_xtext(envelope.key)}"]
        addresses = (envelope.sender, *envelope.recipients)
        # The data are ASCII but for the addresses of others in To.
        ascii_only = envelope.data.isascii() and all(address.isascii() for address in addresses)
        if server.has_extn("smtputf8") and not ascii_only:
            server.command_encoding = "utf-8"
            options.append("SMTPUTF8")
        path = " ".join((_path(envelope.sender), *options))
        code, text = server.docmd("mail", f"FROM:{path}")
        self._check(code, text, _ACCEPTED)
        if code not in _ACCEPTED:
            outcome = self._outcome(code, text)
            if code in (_BAD_SEQUENCE, *_AUTHENTICATION):
                outcome = Outcome(False, True, outcome.answer, server=True)
            raise _Refused(outcome)

    def _data(self, server: Smtp, data: bytes) -> Outcome:
        code, text = server.docmd("DATA")
        self._check(code, text, _GO_ON)
        if code not in _GO_ON:
            if not self._reset():
                raise OutOfStep("the answer to DATA belonged to another command")
            return self._outcome(code, text)
        stuffed = _stuffed(data)
        try:
            refusal = self._send_data(server, stuffed)
            if refusal is not None:
                self._drop()
                return refusal
            # From here on the server may have taken it: never silently again.
            server.send(b".\r\n" if stuffed.endswith(b"\r\n") else b"\r\n.\r\n")
            code, text = server.getreply()
        except OutOfStep:
            raise
        except (smtplib.SMTPServerDisconnected, OSError) as error:
            self._drop()
            return Outcome(
                False, True, f"no answer to the message: {self._describe(error)}", server=True
            )
        outcome = self._outcome(code, text)
        if not outcome.ok and not _is_refusal(code):
            outcome = Outcome(False, True, f"no answer to the message: {outcome.answer}", True)
        if outcome.server:
            self._drop()
        else:
            self._be_patient(server, 1)
            if not outcome.ok:
                self._reset()
        return outcome

    def _send_data(self, server: Smtp, stuffed: bytes) -> Outcome | None:
        """All but the dot at the end; returns what the server said before that, if it did. Raises
        OutOfStep where that was no refusal."""
        # `SMTP.data` looks for dots with a regular expression, which takes longer than all the
        # rest; and it sends in one call, whose timeout is that of the whole message.
        view = memoryview(stuffed)
        trouble: OSError | None = None
        said: bytes | None = None
        if server.sock is None:
            raise smtplib.SMTPServerDisconnected("Connection unexpectedly closed")
        for start in range(0, len(view), _CHUNK):
            try:
                server.sock.sendall(view[start : start + _CHUNK])
            except OSError as error:
                trouble = error
            said = server.unasked()
            if trouble is not None or said is not None:
                break
        if said:
            # Some refuse what gets too long for them, and hang up.
            code, text = server.getreply()
            if not _is_refusal(code):
                raise OutOfStep(f"the server spoke out of turn: {one_line(said)}")
            return self._outcome(code, text)
        if trouble is not None:
            raise trouble
        if said is not None:  # it has hung up
            server.listen()
        self._be_patient(server, _LAST_ANSWER)
        return None

    def _be_patient(self, server: Smtp, times: int) -> None:
        """Waits from now on so many times longer than usual for an answer."""
        if server.sock is not None:
            server.sock.settimeout(self._settings.timeout * times)

    def _check(self, code: int, text: bytes, wanted: range) -> None:
        """Raises _Closing for 421, OutOfStep for what is neither `wanted` nor a refusal."""
        if code == _CLOSING:
            raise _Closing(code, text)
        if code not in wanted and not _is_refusal(code):
            raise OutOfStep(f"the server is out of step: {self._answer(code, text)}")

    # The connection

    def _connect(self) -> Smtp:
        if self._server is not None:
            return self._server
        settings = self._settings
        if settings.security == "tls":
            server: Smtp = SmtpTls(
                local_hostname=_own_name(),
                timeout=settings.timeout,
                context=ssl.create_default_context(),
            )
        else:
            server = Smtp(local_hostname=_own_name(), timeout=settings.timeout)
        try:
            self._greet(server)
        except BaseException:
            server.close()
            raise
        self._server = server
        return server

    def _greet(self, server: Smtp) -> None:
        settings = self._settings
        # smtplib verifies the certificate against `_host`, which only its constructor sets, but
        # the constructor hides the greeting of a server that refuses.
        server._host = settings.host  # type: ignore[attr-defined]
        code, text = server.connect(settings.host, settings.port)
        if code != 220:
            raise _Refused(Outcome(False, True, self._answer(code, text), server=True))
        if server.sock is not None:
            # Else the dot waits until the server has acknowledged what came before it: 40 ms.
            server.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        server.ehlo_or_helo_if_needed()
        if settings.security == "starttls":
            if not server.has_extn("starttls"):
                answer = "the server does not offer STARTTLS (mail.smtp.security: starttls)"
                raise _Refused(Outcome(False, True, answer, server=True))
            code, text = server.starttls(context=ssl.create_default_context())
            if code != 220:
                raise _Refused(Outcome(False, True, self._answer(code, text), server=True))
            server.ehlo_or_helo_if_needed()
        if settings.username is not None and settings.password is not None:
            log_in(server, settings.username, settings.password.get_secret_value())
        elif settings.username is not None and self._tokens is not None:
            self._login(server, settings.username, self._tokens)

    def _login(self, server: smtplib.SMTP, username: str, tokens: Tokens) -> None:
        """AUTH XOAUTH2; a refused token is replaced once, since it may have been revoked."""
        for last in (False, True):
            try:
                token = tokens.token()
            except DeliveryError as error:
                raise _Refused(Outcome(False, True, one_line(str(error)), server=True)) from None
            code, text = server.docmd("AUTH", f"XOAUTH2 {xoauth2(username, token)}")
            if code == 334:  # the reason, in JSON; an empty line asks for the refusal itself
                code, text = server.docmd("")
            if code in (235, 503):
                return
            tokens.refuse(token)
            if last or code == _CLOSING:
                raise smtplib.SMTPAuthenticationError(code, text)

    def _reset(self) -> bool:
        """RSET keeps the connection for the next message; a server that does not even take that
        is left. False where its answer shows that the one before was to something else."""
        if self._server is None:
            return True
        try:
            code, _ = self._server.rset()
        except OutOfStep:
            code = _BAD_SEQUENCE
        except (OSError, smtplib.SMTPException):
            code = 0
        if code != 250:
            self._drop()
        return code not in _GO_ON and code != _BAD_SEQUENCE

    def _drop(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            server.close()

    # Words

    def _outcome(self, code: int, text: bytes) -> Outcome:
        answer = self._answer(code, text)
        if code in _ACCEPTED:
            return Outcome(True, False, answer)
        return Outcome(False, not 500 <= code < 600, answer, server=code == _CLOSING)

    def _trouble(self, error: smtplib.SMTPResponseException) -> Outcome:
        text = _bytes(error.smtp_error)
        if isinstance(error, smtplib.SMTPAuthenticationError):
            text = self._mask(text)
        return Outcome(False, True, self._answer(error.smtp_code, text), server=True)

    def _answer(self, code: int, text: bytes) -> str:
        return f"{code} {one_line(text)}" if code > 0 else one_line(text) or "the answer is no SMTP"

    def _describe(self, error: Exception) -> str:
        where = f"{self._settings.host}:{self._settings.port}"
        if isinstance(error, ssl.SSLCertVerificationError):
            text = f"the certificate of {where} is not trusted: {error.verify_message}"
        elif isinstance(error, TimeoutError) or isinstance(error.__context__, TimeoutError):
            text = f"{where} did not answer in time"
        elif isinstance(error, socket.gaierror):
            text = f"the name {self._settings.host} cannot be resolved: {error.strerror}"
        elif isinstance(error, OSError) and error.strerror:
            text = f"{where}: {error.strerror}"
        elif isinstance(error, OutOfStep):  # it may have been to the login
            text = f"{where}: {self._mask(str(error).encode()).decode()}"
        else:
            text = f"{where}: {error}"
        return one_line(text)


class _Closing(smtplib.SMTPResponseException):
    """421: the server ends the connection, before it has taken the message."""


def _is_refusal(code: int) -> bool:
    return 400 <= code < 600


@functools.cache
def _own_name() -> str:
    """What we say in EHLO. Looked up once: with a broken DNS it takes seconds."""
    name = socket.getfqdn()
    return name if "." in name and name.isascii() else "[127.0.0.1]"


@functools.lru_cache(maxsize=1024)
def _path(address: str) -> str:
    """An address as MAIL and RCPT name it; smtplib reads it with the parser for headers."""
    return smtplib.quoteaddr(address)


def _bytes(text: bytes | str) -> bytes:
    return text if isinstance(text, bytes) else text.encode("utf-8", "replace")


@functools.cache
def _tokens(settings: OAuth) -> Tokens:
    """The tokens of these credentials, the same for every connection."""
    return Tokens(settings)


def _xtext(text: str) -> str:
    """RFC 3461 section 4: what may stand in a parameter, the rest in hex."""
    return "".join(c if "!" <= c <= "~" and c not in "+=" else f"+{ord(c):02X}" for c in text)


def _stuffed(data: bytes) -> bytes:
    """`data` with a dot more in each line that begins with one (RFC 5321, 4.5.2). Base64 has no
    dots, so a look for a single byte is soon over."""
    parts, start, at = [], 0, data.find(b".")
    while at >= 0:
        if at == 0 or data[at - 1] == _LINE_FEED:
            parts += [data[start:at], b"."]
            start = at
        at = data.find(b".", at + 1)
    return b"".join((*parts, data[start:])) if parts else data
