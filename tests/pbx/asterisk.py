"""A real Asterisk on loopback, configured by the lines that docs/pbx/asterisk.md tells to type.

The program comes from `ASTERISK`, the path of an installed one. Templates of the other files are in
`asterisk/`; everything that it writes is in a folder of its own, which goes with it.
"""

from __future__ import annotations

import re
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from tests.pbx.system import PhoneSystem
from tests.support.patience import eventually
from tests.support.ports import free_port, free_range

TEMPLATES = Path(__file__).parent / "asterisk"
DOCUMENT = Path(__file__).parents[2] / "docs" / "pbx" / "asterisk.md"
USER, PASSWORD = "sipmail", "change-me"
RING = 2
"""Seconds that a phone rings here, in place of the document's twenty."""
_BLOCK = re.compile(r"^`(?P<file>[\w.]+\.conf)`:.*?^```ini\n(?P<text>.*?)^```", re.M | re.S)


def documented(file: str) -> str:
    """What the document says to write into `file`."""
    for block in _BLOCK.finditer(DOCUMENT.read_text(encoding="utf-8")):
        if block["file"] == file:
            return block["text"]
    raise LookupError(f"{DOCUMENT.name} has no block for {file}")


class Asterisk(PhoneSystem):
    """One Asterisk, from `start` to `stop`; it may start again.

    `endpoint` are lines for sipmail's endpoint, which come last and so win, and `algorithms` is one
    for its auth; `dialplan` is added to the document's. `phones` and `carrier` are the ports to
    which calls to them go.
    """

    def __init__(
        self,
        program: str,
        *,
        phones: int,
        carrier: int,
        certificate: Path | None = None,
        key: Path | None = None,
        endpoint: Iterable[str] = (),
        dialplan: str = "",
        algorithms: str = "",
    ) -> None:
        self.port, self.tls_port = free_port(), free_port()
        first, last = free_range(40)
        self._program = program
        self._home = tempfile.TemporaryDirectory(prefix="asterisk")
        super().__init__(Path(self._home.name))
        values: dict[str, object] = {
            "FOLDER": self.folder,
            "PORT": self.port,
            "TLS_PORT": self.tls_port,
            "RTP_FIRST": first,
            "RTP_LAST": last,
            "PHONES_PORT": phones,
            "CARRIER_PORT": carrier,
            "CERTIFICATE": certificate or "",
            "KEY": key or "",
        }
        for template in TEMPLATES.glob("*.conf"):
            self._write(template.name, template.read_text(), values)
        self._values = values
        self._login = algorithms
        self._version = 0
        self.configure(endpoint=endpoint, dialplan=dialplan)

    def configure(self, *, endpoint: Iterable[str] = (), dialplan: str = "") -> None:
        """Writes sipmail's endpoint and the dialplan; a running one takes them at once."""
        pjsip = documented("pjsip.conf")
        head, separator, rest = pjsip.partition("\n[sipmail]\ntype=auth")
        assert separator, "the document's pjsip.conf begins with the endpoint"
        self._version += 1
        mark = f"set_var=CONFIGURATION={self._version}"
        lines = (head, *endpoint, mark, f"{separator}\n{self._login}")
        text = "\n".join(lines) + rest
        self._write("sipmail.conf", text, self._values)
        calls = documented("extensions.conf").replace(",20)", f",{RING})")
        self._write("sipmail_extensions.conf", f"{calls}\n{dialplan}", self._values)
        if self._process is not None:
            self.cli("dialplan reload")
            self.cli("module reload res_pjsip.so")  # which only begins it
            self.wait_cli(f"pjsip show endpoint {USER}", rf"CONFIGURATION +: {self._version}\b")

    @property
    def address(self) -> tuple[str, int]:
        return "127.0.0.1", self.port

    def start(self) -> Asterisk:
        """Starts it, and returns as soon as it is fully booted."""
        configuration = self.folder / "asterisk.conf"
        self._run([self._program, "-f", "-C", str(configuration)])
        eventually(lambda: "fully booted" in self.cli("core waitfullybooted"), "Asterisk")
        return self

    def _asks(self, command: str) -> Sequence[str]:
        return [self._program, "-C", str(self.folder / "asterisk.conf"), "-rx", command]

    def wait_registered(self) -> None:
        """Waits until it knows where sipmail is and has had an answer to its OPTIONS."""
        self.wait_cli(f"pjsip show aor {USER}", r"Contact: .* Avail ")

    def messages(self, direction: str = "Transmitting") -> list[str]:
        """The SIP messages that it sent (or `Received`), oldest first."""
        marks = r"<--- (?P<way>Transmitting|Received) SIP (?:request|response)[^\n]*--->\n"
        parts = re.split(marks, self.log().replace("\r", ""))
        found = []
        for way, text in zip(parts[1::2], parts[2::2], strict=True):
            if way == direction:
                found.append(re.split(r"\n\[\d\d:\d\d:\d\d\.", text)[0].rstrip("\n") + "\n")
        return found

    def kill(self) -> None:
        """SIGKILL: gone without a word."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()
        self._process = None

    def close(self) -> None:
        self.stop()
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline:
            try:
                self._home.cleanup()
            except OSError:
                time.sleep(0.05)
            else:
                return

    def _write(self, name: str, text: str, values: Mapping[str, object]) -> None:
        filled = re.sub(r"@([A-Z_]+)@", lambda found: str(values[found[1]]), text)
        (self.folder / name).write_text(filled, encoding="utf-8")
