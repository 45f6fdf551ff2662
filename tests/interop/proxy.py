"""Kamailio over every transport: a registrar with digest that is a record-routing proxy too, and a
dispatcher before two of them.

Unlike `kamailio.py` it listens on UDP, TCP and TLS at one host, IPv4 or IPv6, and every call goes
to voicemail at once, with a Diversion that says why.
"""

from __future__ import annotations

import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from tests.interop.kamailio import PASSWORD, REALM, VOICEMAIL
from tests.net.certificates import Certificate
from tests.support.patience import PATIENCE
from tests.support.ports import free_port

_HEAD = """#!KAMAILIO
debug=1
log_stderror=yes
children=1
socket_workers=1
tcp_children=1
tcp_connection_lifetime=3605
auto_aliases=no
alias="{realm}"
listen=udp:{host}:{udp}
listen=tcp:{host}:{tcp}
{tls}

loadmodule "tm.so"
loadmodule "tmx.so"
loadmodule "sl.so"
loadmodule "rr.so"
loadmodule "pv.so"
loadmodule "textops.so"
loadmodule "siputils.so"
loadmodule "maxfwd.so"
loadmodule "usrloc.so"
loadmodule "registrar.so"
loadmodule "auth.so"
loadmodule "path.so"
loadmodule "corex.so"
loadmodule "dispatcher.so"

modparam("usrloc", "db_mode", 0)
modparam("registrar", "max_expires", {expires})
modparam("registrar", "use_path", 1)
modparam("registrar", "path_mode", 2)
modparam("auth", "qop", "auth")
modparam("tm", "fr_timer", 800)
modparam("rr", "enable_full_lr", 1)
modparam("dispatcher", "flags", 2)
modparam("dispatcher", "list_file", "{folder}/dispatcher.list")
"""

_TLS = """enable_tls=yes
listen=tls:{host}:{port}
loadmodule "tls.so"
modparam("tls", "certificate", "{certificate}")
modparam("tls", "private_key", "{key}")
modparam("tls", "tls_method", "TLSv1.2+")
"""

_REGISTRAR = """
request_route {{
    if (!mf_process_maxfwd_header("10")) {{
        sl_send_reply("483", "Too Many Hops");
        exit;
    }}
    if (is_method("CANCEL")) {{
        if (t_check_trans()) t_relay();
        exit;
    }}
    if (has_totag()) {{
        if (!loose_route() && is_method("ACK") && !t_check_trans()) exit;
        t_relay();
        exit;
    }}
    if (is_method("REGISTER")) {{
        if (!pv_www_authenticate("{realm}", "{password}", "0")) {{
            www_challenge("{realm}", "1");
            exit;
        }}
        save("location");
        exit;
    }}
    if (is_method("OPTIONS")) {{
        sl_send_reply("200", "OK");
        exit;
    }}
    record_route();
    append_hf("Diversion: <sip:$rU@{realm}>;reason=user-busy;counter=1\\r\\n");
    $ru = "sip:{voicemail}@{realm}";
    if (!lookup("location")) {{
        sl_send_reply("480", "Voicemail Not Registered");
        exit;
    }}
    t_relay();
}}
"""

_DISPATCHER = """
request_route {
    if (is_method("OPTIONS")) {
        sl_send_reply("200", "OK");
        exit;
    }
    if (has_totag() || !is_method("REGISTER")) {
        if (!loose_route() && !loose_route_preloaded()) {
            if (is_method("ACK")) exit;
            sl_send_reply("403", "Only Registrations");
            exit;
        }
        record_route();
        t_relay();
        exit;
    }
    loose_route();
    add_path();
    if (!ds_select_dst("1", "8")) {
        sl_send_reply("503", "No Registrar");
        exit;
    }
    t_on_failure("NEXT");
    t_relay();
}

failure_route[NEXT] {
    if (t_branch_timeout() || t_check_status("5[0-9][0-9]")) {
        if (ds_next_dst()) {
            t_on_failure("NEXT");
            t_relay();
        }
    }
}
"""

_RELAY = """
request_route {{
    if (is_method("OPTIONS")) {{
        sl_send_reply("200", "OK");
        exit;
    }}
    if (has_totag()) {{
        if (!loose_route() && is_method("ACK") && !t_check_trans()) exit;
        t_relay();
        exit;
    }}
    record_route();
    {fork}
    $du = "sip:{host}:{port}";
    t_relay();
}}
"""


class Proxy:
    """One Kamailio at `host`; `ports` by transport. With `registrars` it is the dispatcher, with
    `next_hop` it passes on every call there as it came, and at the same time to the URI `fork`.

    It can be stopped and started again on the same ports; what it knew is then gone.
    """

    def __init__(
        self,
        program: str,
        host: str = "127.0.0.1",
        *,
        certificate: Certificate | None = None,
        registrars: Sequence[tuple[str, int]] = (),
        next_hop: tuple[str, int] | None = None,
        fork: str = "",
        expires: int = 120,
    ) -> None:
        self.host = host
        literal = f"[{host}]" if ":" in host else host
        self.ports = {
            "udp": free_port(),
            "tcp": free_port(socket.SOCK_STREAM),
            "tls": free_port(socket.SOCK_STREAM),
        }
        self.lines: list[str] = []
        self._program = program
        self._tls = certificate is not None
        self._folder = tempfile.TemporaryDirectory(prefix="kamailio")
        folder = Path(self._folder.name)
        tls = ""
        if certificate is not None:
            tls = _TLS.format(
                host=literal,
                port=self.ports["tls"],
                certificate=certificate.certificate,
                key=certificate.key,
            )
        body = _DISPATCHER
        if next_hop is not None:
            body = _RELAY.format(
                host=next_hop[0],
                port=next_hop[1],
                fork=f'if (is_method("INVITE")) append_branch("{fork}");' if fork else "",
            )
        elif not registrars:
            body = _REGISTRAR.format(realm=REALM, password=PASSWORD, voicemail=VOICEMAIL)
        self._file = folder / "kamailio.cfg"
        self._file.write_text(
            _HEAD.format(
                realm=REALM,
                host=literal,
                udp=self.ports["udp"],
                tcp=self.ports["tcp"],
                tls=tls,
                expires=expires,
                folder=folder,
            )
            + body
        )
        lines = [f"1 sip:{server}:{port} 0 {10 - n}" for n, (server, port) in enumerate(registrars)]
        (folder / "dispatcher.list").write_text("".join(f"{line}\n" for line in lines))
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> Proxy:
        """Starts it, and returns once it answers OPTIONS."""
        self._process = subprocess.Popen(
            [
                *(self._program, "-DD", "-E", "-m", "48", "-M", "8", "-f", str(self._file)),
                *("-Y", self._folder.name, "-w", self._folder.name),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        threading.Thread(target=self._read, args=(self._process,), daemon=True).start()
        self._wait_until_up()
        return self

    def stop(self) -> None:
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def close(self) -> None:
        self.stop()
        self._folder.cleanup()

    def log(self) -> str:
        return "\n".join(self.lines)

    def _wait_until_up(self, timeout: float = PATIENCE) -> None:
        literal = f"[{self.host}]" if ":" in self.host else self.host
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        deadline = time.monotonic() + timeout
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((self.host, 0))
            probe.settimeout(0.3)
            port = probe.getsockname()[1]
            request = (
                f"OPTIONS sip:{literal}:{self.ports['udp']} SIP/2.0\r\n"
                f"Via: SIP/2.0/UDP {literal}:{port};branch=z9hG4bKprobe\r\nMax-Forwards: 70\r\n"
                f"From: <sip:probe@{literal}>;tag=1\r\nTo: <sip:{literal}>\r\n"
                "Call-ID: probe\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
            ).encode()
            while time.monotonic() < deadline:
                assert self._process is not None
                assert self._process.poll() is None, f"Kamailio ended:\n{self.log()}"
                probe.sendto(request, (self.host, self.ports["udp"]))
                try:
                    if probe.recv(4096).startswith(b"SIP/2.0 200") and self._takes_connections():
                        return
                except OSError:
                    continue
        raise AssertionError(f"Kamailio does not answer:\n{self.log()}")

    def _takes_connections(self) -> bool:
        """Whether TCP, and TLS where it has a certificate, is up; it comes after UDP."""
        for transport in ("tcp", "tls") if self._tls else ("tcp",):
            with socket.socket(
                socket.AF_INET6 if ":" in self.host else socket.AF_INET
            ) as connection:
                if connection.connect_ex((self.host, self.ports[transport])) != 0:
                    return False
        return True

    def _read(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        with process.stdout as stream:
            for line in stream:
                self.lines.append(line.rstrip())
