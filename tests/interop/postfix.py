"""A real Postfix as the mail server: an instance of its own that relays all it takes to another.

It has its own configuration, queue and data folder, listens on loopback only, and needs no part of
the system's Postfix but the programs. They change their user, so it has to be root who starts it.
"""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from pathlib import Path

from tests.conftest import require_program
from tests.support.patience import PATIENCE
from tests.support.ports import free_port

_MAIN = """
compatibility_level = 3.6
queue_directory = {folder}/queue
data_directory = {folder}/data
maillog_file = /dev/stdout
myhostname = postfix.sipmail.test
mydestination =
inet_interfaces = loopback-only
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
smtpd_relay_restrictions = permit_mynetworks, reject
default_transport = smtp:[127.0.0.1]:{relay}
relay_transport = smtp:[127.0.0.1]:{relay}
relayhost = [127.0.0.1]:{relay}
smtpd_peername_lookup = no
disable_dns_lookups = yes
smtp_host_lookup = native
smtp_tls_security_level = none
smtpd_tls_security_level = none
alias_maps =
alias_database =
local_recipient_maps =
"""

_MASTER = """
127.0.0.1:{port} inet n - n - - smtpd
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
proxymap unix - - n - - proxymap
smtp unix - - n - - smtp
relay unix - - n - - smtp
error unix - - n - - error
retry unix - - n - - error
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
"""


def require_postfix() -> str:
    """The program; without it, or without being root, the test is skipped (in CI: failed)."""
    program = require_program("postfix")
    return program if os.geteuid() == 0 else require_program("postfix, to be run by root")


class Postfix:
    """`port` takes mail once this is made; everything goes on to `relay` on loopback."""

    def __init__(self, program: str, relay: int) -> None:
        self.host = "127.0.0.1"
        self.port = free_port(socket.SOCK_STREAM)
        self.lines: list[str] = []
        self._program = program
        # Not pytest's folder, which is root's alone: most of Postfix is not root.
        self._folder = Path(tempfile.mkdtemp(prefix="postfix"))
        self._folder.chmod(0o755)
        for name in ("queue", "data", "etc"):
            (self._folder / name).mkdir()
        owner = pwd.getpwnam("postfix")
        shutil.chown(self._folder / "data", owner.pw_uid, owner.pw_gid)
        etc = self._folder / "etc"
        etc.joinpath("main.cf").write_text(_MAIN.format(folder=self._folder, relay=relay))
        etc.joinpath("master.cf").write_text(_MASTER.format(port=self.port))
        self._process = subprocess.Popen(
            [program, "-c", str(etc), "start-fg"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self._wait_until_up()

    def log(self) -> str:
        return "\n".join(self.lines)

    def stop(self) -> None:
        """Ends all its processes: `master`, which leads a session of its own, takes its children
        along."""
        etc = str(self._folder / "etc")
        subprocess.run([self._program, "-c", etc, "stop"], capture_output=True, check=False)
        self._process.wait(PATIENCE)
        self._reader.join(PATIENCE)
        shutil.rmtree(self._folder)

    def _wait_until_up(self) -> None:
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline and self._process.poll() is None:
            try:
                with socket.create_connection((self.host, self.port), 5) as connection:
                    if connection.recv(3) == b"220":
                        return
            except OSError:
                time.sleep(0.05)
        self.stop()
        raise AssertionError(f"Postfix does not answer:\n{self.log()}")

    def _read(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as stream:
            self.lines.extend(line.rstrip() for line in stream)
