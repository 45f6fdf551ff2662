"""baresip as a caller: a telephone without a screen that plays a WAV file into the call.

baresip plays from the moment the call is up, so the file begins with the silence of listening; at
its end it hangs up by itself.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from tests.support.ports import free_port, free_range

_MODULES = Path("/usr/lib/baresip/modules")

_LONGEST = 60
_OVER = re.compile(r"terminated \(duration|session closed")

_CONFIGURATION = """\
poll_method epoll
sip_listen 127.0.0.1:{port}
sip_trans_def {transport}
sip_verify_server no
call_local_timeout 60
audio_source aufile,{sound}
audio_player aubridge,nowhere
audio_alert aubridge,nowhere
ausrc_srate 8000
auplay_srate 8000
ausrc_channels 1
auplay_channels 1
rtp_ports {first}-{last}
rtp_stats yes
jitter_buffer_delay 2-4
module_path {modules}
module g711.so
module aufile.so
module aubridge.so
module srtp.so
module_tmp account.so
module_app menu.so
"""


def leave_message(
    program: str,
    folder: Path,
    target: tuple[str, int],
    number: str,
    sound: Path,
    *,
    codec: str,
    user: str,
    display: str,
    encryption: str = "",
    transport: str = "udp",
    password: str = "",
) -> str:
    """Calls `number` at `target`, plays `sound` (8 kHz mono WAV) from the start, and hangs up.

    `encryption` is baresip's word for how media is: srtp, srtp-mand, srtp-mandf, or nothing;
    `password` is what it answers a challenge with.
    Returns what baresip printed; AssertionError when the call was not established.
    """
    first, last = free_range(10)
    port = free_port()
    (folder / "config").write_text(
        _CONFIGURATION.format(
            port=port,
            sound=sound,
            first=first,
            last=last,
            modules=_MODULES,
            transport=transport,
        )
    )
    way = f";transport={transport}"
    account = (
        f'"{display}" <sip:{user}@127.0.0.1:{target[1]}{way}>;regint=0'
        f";audio_codecs={codec}/8000/1"
        + (f";mediaenc={encryption}" if encryption else "")
        + (f";auth_user={user};auth_pass={password}" if password else "")
    )
    (folder / "accounts").write_text(account + "\n")
    process = subprocess.Popen(
        [
            program,
            "-f",
            str(folder),
            "-4",
            "-t",
            str(_LONGEST),
            "-e",
            f"/dial sip:{number}@{target[0]}:{target[1]}{way}",
        ],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    lines = []
    assert process.stdout is not None
    with process.stdout as output:
        for line in output:  # until `-t`, at the latest
            lines.append(line)
            if _OVER.search(line):
                process.terminate()
    process.wait(30)
    said = "".join(lines)
    assert "Call established" in said, said
    return said
