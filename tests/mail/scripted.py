"""An SMTP server that says what a script says, for what no well-behaved server does.

A script is a list of `(wanted, answer)`: the line that must come (a prefix; None: nothing, the
answer is the greeting), and what is answered. `CLOSE` hangs up; `HANG` never answers. The
connections get the scripts in turn.
"""

from __future__ import annotations

import contextlib
import socket
import threading

CLOSE = "close"
HANG = "hang"
BODY = "body"
"""As the wanted line: everything until the dot that ends the data."""

Script = list[tuple[str | None, str]]
HELLO: Script = [(None, "220 scripted ESMTP"), ("EHLO", "250-scripted\r\n250 8BITMIME")]
MESSAGE: Script = [
    ("MAIL", "250 ok"),
    ("RCPT", "250 ok"),
    ("DATA", "354 go"),
    (BODY, "250 taken"),
]


class Scripted:
    """Listens on `host:port`; `lines` is all that clients said, `problems` what nobody expected."""

    def __init__(self, *scripts: Script) -> None:
        self.lines: list[str] = []
        self.problems: list[str] = []
        self.connections = 0
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.host, self.port = self._socket.getsockname()
        self._thread = threading.Thread(target=self._run, args=(scripts,), daemon=True)
        self._thread.start()
        self._open: list[socket.socket] = []

    def stop(self) -> None:
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        for connection in self._open:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self._thread.join(5)
        assert not self.problems, self.problems

    def _run(self, scripts: tuple[Script, ...]) -> None:
        for script in scripts:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            self.connections += 1
            self._open.append(connection)
            with connection, connection.makefile("rb") as lines, contextlib.suppress(OSError):
                self._follow(script, connection, lines)

    def _follow(self, script: Script, connection: socket.socket, lines: object) -> None:
        for wanted, answer in script:
            if wanted is not None:
                line = self._next(lines, wanted)
                if wanted != BODY and not line.upper().startswith(wanted):
                    if line:
                        self.problems.append(f"wanted {wanted}, got {line}")
                    return
            if answer == CLOSE:
                return
            if answer == HANG:
                self._next(lines, "")
                return
            connection.sendall(answer.encode() + b"\r\n")
        self._next(lines, "")  # whatever comes after the script is not answered

    def _next(self, lines: object, wanted: str) -> str:
        while True:
            line = lines.readline().decode("utf-8", "replace").rstrip("\r\n")  # type: ignore[attr-defined]
            self.lines.append(line)
            if wanted != BODY or line in (".", ""):
                if wanted == BODY and line == "":
                    continue
                return str(line)
