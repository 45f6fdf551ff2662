"""A new administrator: from `sipmail init` at a terminal to the first e-mail, nothing else read.

The answers are typed as a person types them, each when its question stands there. The registrar is
a Kamailio that wants digest authentication, the mail server wants STARTTLS and a login.
"""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.interop import sipp
from tests.interop.conftest import Sound
from tests.interop.kamailio import PASSWORD, VOICEMAIL, Kamailio
from tests.support.agent import ROOT
from tests.support.patience import PATIENCE
from tests.support.ports import free_port, free_range
from tests.support.smtp import SmtpServer

pytestmark = pytest.mark.interop

USER, SECRET = "voicemail@sipmail.test", "s3cret: #pass"
# Quiet, the shipped greeting and the beep.
LISTEN = 9.0


class Terminal:
    """A program at a pseudo-terminal, and all that it has printed."""

    def __init__(self, folder: Path, *arguments: str, **environment: str) -> None:
        self.screen = ""
        self._read = 0
        self._fd, theirs = pty.openpty()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "sipmail", *arguments],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(ROOT), "LANG": "C.UTF-8", **environment},
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
        os.close(theirs)

    def answer(self, question: str, text: str) -> None:
        """Types `text` once `question` stands on the screen, after what was answered before.

        What is typed before the last blank of a question for a password is thrown away.
        """
        self.wait(question)
        deadline = time.monotonic() + PATIENCE
        while not self.screen.endswith(": "):
            assert self._more(deadline), f"{question!r} does not end:\n{self.screen}"
        os.write(self._fd, f"{text}\n".encode())

    def wait(self, wanted: str) -> None:
        """Until `wanted` was printed; AssertionError with the screen after a while."""
        deadline = time.monotonic() + PATIENCE
        while (found := self.screen.find(wanted, self._read)) < 0:
            assert self._more(deadline), f"no {wanted!r} on the screen:\n{self.screen}"
        self._read = found + len(wanted)

    def end(self) -> int:
        """The exit status, once it has ended by itself."""
        deadline = time.monotonic() + PATIENCE
        while self._more(deadline):
            pass
        return self._process.wait(PATIENCE)

    def stop(self) -> int:
        """SIGTERM, and its exit status."""
        self._process.send_signal(signal.SIGTERM)
        return self.end()

    def close(self) -> None:
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait(PATIENCE)
        os.close(self._fd)

    def _more(self, deadline: float) -> bool:
        """Reads on; False at the end or when it is too late."""
        left = deadline - time.monotonic()
        if left <= 0 or not select.select([self._fd], [], [], left)[0]:
            return False
        try:
            data = os.read(self._fd, 4096)
        except OSError:  # EIO: the other side is closed
            return False
        self.screen += data.decode(errors="replace").replace("\r\n", "\n")
        return bool(data)


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Callable[..., Terminal]]:
    """`terminal(command, …)`: sipmail at a terminal, in the new user's folder."""
    opened: list[Terminal] = []

    def start(*arguments: str, **environment: str) -> Terminal:
        opened.append(Terminal(tmp_path, *arguments, **environment))
        return opened[-1]

    yield start
    for one in opened:
        one.close()
        print(f"--- a screen\n{one.screen}")


@pytest.fixture
def mail_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[SmtpServer]:
    """It wants STARTTLS, with a certificate that this machine trusts, and a login."""
    certificate = ROOT / "tests/mail/data/localhost.crt"
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, certificate.with_suffix(".key"))
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    server = SmtpServer(username=USER, password=SECRET, tls=context).start()
    yield server
    server.stop()


def test_from_init_to_the_first_email(
    terminal: Callable[..., Terminal],
    pbx: Callable[..., Kamailio],
    mail_server: SmtpServer,
    sound: Callable[..., Sound],
    program: Callable[[str], str],
    tmp_path: Path,
) -> None:
    tool = program("sipp")
    server = pbx()
    spoken = sound("PCMU")

    init = terminal("init", "--spool", "spool", "--country", "PL", "--timezone", "Europe/Warsaw")
    init.answer("Language, język", "pl")
    init.answer("Adres SIP centrali", f"127.0.0.1:{server.port}")
    init.answer("Numer wewnętrzny", VOICEMAIL)
    init.answer("Hasło do niego", "wrong")
    init.answer("Sprawdzić teraz rejestrację?", "t")
    init.answer("Odpowiedzieć na te pytania jeszcze raz?", "")
    init.answer("Adres SIP centrali", "")  # as before
    init.answer("Numer wewnętrzny", "")
    init.answer("Hasło do niego", PASSWORD)
    init.answer("Sprawdzić teraz rejestrację?", "")
    init.wait("✓")
    init.answer("Adres i port", f"udp://127.0.0.1:{free_port()}")
    init.answer("Nadawca e-maili", f"Poczta głosowa <{USER}>")
    init.answer("Serwer pocztowy", "localhost")
    init.answer("Zabezpieczenie", "")
    init.answer("Port", str(mail_server.port))
    init.answer("Nazwa użytkownika", USER)
    init.answer("Hasło", SECRET)
    init.answer("Sprawdzić teraz logowanie?", "")
    init.wait("✓")
    init.answer("E-mail administratora", "")
    init.answer("Nazwa pierwszej skrzynki", "Sprzedaż")
    init.answer("Numery", "")
    init.answer("Kto dostaje", "Anna Żółć <anna@sipmail.test>, office@sipmail.test")
    init.answer("Godziny otwarcia", "")
    init.wait("sipmail check --online")
    assert init.end() == 0
    for secret in (PASSWORD, SECRET):
        assert secret not in init.screen
        assert secret not in (tmp_path / "sipmail.yaml").read_text(encoding="utf-8")
    _move_ports(tmp_path / "sipmail.yaml")

    check = terminal("check", "--online")
    assert check.end() == 0, check.screen
    assert "✗" not in check.screen
    for step in ("registered at", "logged in as", "can be played"):
        assert step in check.screen

    agent = terminal("run")
    agent.wait("trunk pbx: registered")
    sipp.leave_message(
        tool,
        tmp_path,
        server.address,
        "202",
        spoken.raw,
        payload_type=0,
        user="+48600111222",
        display="Zofia Żak",
        listen=LISTEN,
    )
    (mail,) = mail_server.wait(1)
    assert set(mail.recipients) == {"anna@sipmail.test", "office@sipmail.test"}
    assert "Zofia Żak" in mail.message["Subject"]
    assert "Sprzedaż" in mail.message["Subject"]
    name, data = mail.attachment()
    assert re.fullmatch(r"\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d_\+48600111222\.mp3", name)
    assert data

    leaving = time.monotonic()
    assert agent.stop() == 0
    assert "trunk pbx: unregistered" in agent.screen
    assert time.monotonic() - leaving < PATIENCE / 2


def _move_ports(file: Path) -> None:
    """Tests run beside each other: the sound gets ports of its own."""
    first, last = free_range(8)
    text = file.read_text(encoding="utf-8")
    assert "20000-20999" in text
    changed = text.replace("20000-20999", f"{first}-{last}") + "\nlimits: {calls: 4}\n"
    file.write_text(changed, encoding="utf-8")
