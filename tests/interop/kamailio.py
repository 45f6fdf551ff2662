"""A real Kamailio as the PBX: registrar with digest authentication, and forwarding to voicemail.

Whoever calls an extension rings the extension's phone; when that does not answer in time, is busy
or is not there, Kamailio adds the Diversion header (RFC 5806) and sends the call to the voicemail's
registration, as an administrator would set it up. Nothing needs a database.
"""

from __future__ import annotations

import subprocess
import tempfile
import threading
from pathlib import Path

from tests.support.ports import free_port

REALM = "pbx.sipmail.test"
VOICEMAIL, PASSWORD = "200", "correct horse"
RING_MILLISECONDS = 1500

_CONFIGURATION = """#!KAMAILIO
debug=1
log_stderror=yes
children=2
disable_tcp=yes
auto_aliases=no
listen=udp:127.0.0.1:{port}
alias="{realm}"

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

modparam("usrloc", "db_mode", 0)
modparam("registrar", "max_expires", 120)
modparam("auth", "algorithm", "{algorithm}")
modparam("auth", "qop", "auth")
modparam("auth", "nonce_expire", 300)
modparam("tm", "fr_inv_timer", {ring})
modparam("rr", "enable_full_lr", 1)

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
    if (!is_method("INVITE")) {{
        sl_send_reply("405", "Method Not Allowed");
        exit;
    }}
    record_route();
    $avp(called) = $rU;
    t_on_failure("VOICEMAIL");
    $ru = "sip:" + $rU + "@127.0.0.1:{phone}";
    t_relay();
}}

failure_route[VOICEMAIL] {{
    if (t_is_canceled()) exit;
    if (t_check_status("486")) {{
        $avp(reason) = "user-busy";
    }} else if (t_branch_timeout() || t_check_status("408")) {{
        $avp(reason) = "no-answer";
    }} else {{
        $avp(reason) = "unavailable";
    }}
    append_hf("Diversion: <sip:$avp(called)@{realm}>;reason=$avp(reason);counter=1\\r\\n");
    $ru = "sip:{voicemail}@{realm}";
    if (!lookup("location")) {{
        t_reply("480", "Voicemail Not Registered");
        exit;
    }}
    t_relay();
}}
"""


class Kamailio:
    """One server on a free port; calls ring at `phone_port` before they go to voicemail."""

    def __init__(self, program: str, phone_port: int, *, algorithm: str = "MD5") -> None:
        self.port = free_port()
        self.lines: list[str] = []
        self._folder = tempfile.TemporaryDirectory(prefix="kamailio")
        configuration = Path(self._folder.name) / "kamailio.cfg"
        configuration.write_text(
            _CONFIGURATION.format(
                port=self.port,
                phone=phone_port,
                realm=REALM,
                password=PASSWORD,
                voicemail=VOICEMAIL,
                algorithm=algorithm,
                ring=RING_MILLISECONDS,
            )
        )
        self._changed = threading.Condition()
        self._process = subprocess.Popen(
            [
                program,
                "-DD",
                "-E",
                "-m",
                "32",
                "-M",
                "4",
                "-f",
                str(configuration),
                "-Y",
                self._folder.name,
                "-w",
                self._folder.name,
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        threading.Thread(target=self._read, daemon=True).start()

    @property
    def address(self) -> tuple[str, int]:
        return "127.0.0.1", self.port

    def log(self) -> str:
        return "\n".join(self.lines)

    def stop(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._folder.cleanup()

    def _read(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as stream:
            for line in stream:
                with self._changed:
                    self.lines.append(line.rstrip())
                    self._changed.notify_all()
