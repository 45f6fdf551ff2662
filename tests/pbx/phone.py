"""A phone that answers: what calls it, it takes, and it hears and speaks over RTP."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Sequence

from tests.support.caller import Caller
from tests.support.patience import eventually
from tests.support.rtp import PCMU, Packet
from tests.support.siptext import Message


class AnsweringPhone:
    """Answers the INVITEs that `caller` gets (re-INVITEs too) with one stream of its own."""

    def __init__(self, caller: Caller) -> None:
        self.caller = caller
        self.rtp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.rtp.bind((caller.host, 0))
        self.rtp.settimeout(0.2)
        self.remote: tuple[str, int] | None = None
        self.invites: list[Message] = []

    def take(self, request: Message) -> None:
        """The 200 to an INVITE, with the address that it names as the place to speak to."""
        self.invites.append(request)
        host = port = ""
        for line in request.body.splitlines():
            if line.startswith("c=IN IP4 "):
                host = line.split()[2]
            elif line.startswith("m=audio "):
                port = line.split()[1]
        if host and port:
            self.remote = (host, int(port))
        body = (
            f"v=0\r\no=phone 1 1 IN IP4 {self.caller.host}\r\ns=-\r\n"
            f"c=IN IP4 {self.caller.host}\r\nt=0 0\r\n"
            f"m=audio {self.rtp.getsockname()[1]} RTP/AVP {PCMU}\r\na=rtpmap:{PCMU} PCMU/8000\r\n"
        )
        own = f"sip:phone@{self.caller.host}:{self.caller.port}"
        headers = [("Contact", f"<{own}>"), ("Content-Type", "application/sdp")]
        self.caller.answer(request, 200, headers, body)

    def answered(self) -> None:
        """Waits until it was called."""
        eventually(lambda: self.invites or None, "a call for the phone")

    def forget(self) -> None:
        """What it has heard so far counts no more."""
        self.rtp.settimeout(0)
        with contextlib.suppress(BlockingIOError):
            while self.rtp.recv(2048):
                pass
        self.rtp.settimeout(0.2)

    def wait_quiet(self, quiet: float = 0.4, spoken: int = 10) -> None:
        """Until it has heard `spoken` packets and then nothing for `quiet` seconds."""
        heard, last = 0, time.monotonic()

        def still() -> bool:
            nonlocal heard, last
            with contextlib.suppress(TimeoutError):
                self.rtp.recv(2048)
                heard, last = heard + 1, time.monotonic()
            return heard >= spoken and time.monotonic() - last >= quiet

        eventually(still, "the end of what the phone hears")

    def send(self, packets: Sequence[Packet]) -> None:
        """Sends a schedule in real time."""
        assert self.remote is not None, "nobody has called"
        start = time.monotonic() - packets[0].due
        for packet in packets:
            if (wait := start + packet.due - time.monotonic()) > 0:
                time.sleep(wait)
            self.rtp.sendto(bytes(packet), self.remote)

    def close(self) -> None:
        self.rtp.close()
