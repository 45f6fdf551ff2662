"""A real FreeSWITCH on loopback, with the directory entry and the dialplan of our document.

The program comes from `FREESWITCH`, the path of an installed one, with `fs_cli` beside it. The
other configuration is `freeswitch/freeswitch.xml`; what it writes is in a folder of its own.
"""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.pbx.system import PhoneSystem
from tests.support.ports import free_port, free_range

TEMPLATE = Path(__file__).parent / "freeswitch" / "freeswitch.xml"
DOCUMENT = Path(__file__).parents[2] / "docs" / "pbx" / "freeswitch.md"
RING = 2
_BLOCK = re.compile(r"^```xml\n(.*?)^```", re.M | re.S)


def documented(tag: str) -> str:
    """What the document says to write: the block of XML that begins with this tag."""
    for block in _BLOCK.findall(DOCUMENT.read_text(encoding="utf-8")):
        if block.startswith(f"<{tag} "):
            return str(block)
    raise LookupError(f"{DOCUMENT.name} has no <{tag}>")


class FreeSwitch(PhoneSystem):
    """One FreeSWITCH, from `start` to `stop`.

    `dialplan` comes before the document's, `profile` into the settings of the SIP profile;
    `phones` is the port to which calls to the phones go.
    """

    def __init__(
        self,
        program: str,
        *,
        phones: int,
        carrier: int,
        certificate: Path | None = None,
        key: Path | None = None,
        dialplan: str = "",
        profile: str = "",
    ) -> None:
        self.port, self.tls_port, self._control = free_port(), free_port(), free_port()
        first, last = free_range(40)
        self._program = program
        self._home = tempfile.TemporaryDirectory(prefix="freeswitch")
        super().__init__(Path(self._home.name))
        if certificate is not None and key is not None:
            (self.folder / "agent.pem").write_bytes(certificate.read_bytes() + key.read_bytes())
        calls = documented("extension").replace("call_timeout=20", f"call_timeout={RING}")
        values = {
            "FOLDER": self.folder,
            "PORT": self.port,
            "TLS_PORT": self.tls_port,
            "TLS": "true" if certificate is not None else "false",
            "CERTIFICATES": self.folder,
            "CONTROL_PORT": self._control,
            "RTP_FIRST": first,
            "RTP_LAST": last,
            "PHONES_PORT": phones,
            "CARRIER_PORT": carrier,
            "DIALPLAN": dialplan + calls,
            "USER": documented("user"),
            "PROFILE": profile,
        }

        def fill(text: str) -> str:
            return re.sub(r"@([A-Z_]+)@", lambda found: str(values[found[1]]), text)

        text = fill(fill(TEMPLATE.read_text()))  # `dialplan` may name values, too
        (self.folder / "freeswitch.xml").write_text(text, encoding="utf-8")

    @property
    def address(self) -> tuple[str, int]:
        return "127.0.0.1", self.port

    def start(self) -> FreeSwitch:
        """Starts it, and returns as soon as its SIP profile runs."""
        places = ("conf", "log", "run", "db", "temp", "cache", "storage", "recordings", "certs")
        folders = [part for place in places for part in (f"-{place}", str(self.folder))]
        self._run([self._program, "-nf", "-nonat", "-nonatmap", "-np", *folders])
        self.wait_cli("sofia status", r"internal\s+profile.*RUNNING")
        return self

    def _asks(self, command: str) -> Sequence[str]:
        client = shutil.which("fs_cli", path=str(Path(self._program).parent)) or "fs_cli"
        return [client, "-H", "127.0.0.1", "-P", str(self._control), "-p", "ClueCon", "-x", command]

    def wait_registered(self) -> None:
        """Waits until sipmail is registered."""
        self.wait_cli("sofia status profile internal reg", r"sipmail@")

    def close(self) -> None:
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)
        self._home.cleanup()
