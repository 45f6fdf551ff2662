"""The SIP of the load generator: one caller's INVITE, ACK and BYE as text, over UDP.

Written for measuring and knowing nothing of sipmail's own SIP; each call is a small machine whose
time is given.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from enum import Enum

_T1, _T2 = 0.5, 4.0
_TRIES = 7
NAMES = {0: "PCMU", 8: "PCMA"}


class State(Enum):
    WAITING = "waiting"
    INVITING = "inviting"
    UP = "up"
    LEAVING = "leaving"
    DONE = "done"
    FAILED = "failed"


@dataclass
class Leg:
    """One call as its caller sees it; `outbox` holds what is to be sent now."""

    index: int
    user: str
    local: tuple[str, int]
    target: tuple[str, int]
    rtp_port: int
    payload_type: int
    state: State = State.WAITING
    invited: float = 0.0
    answered: float = 0.0
    left: float = 0.0
    status: int = 0
    remote_rtp: tuple[str, int] | None = None
    outbox: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.call_id = f"{secrets.token_hex(6)}-{self.index}@bench"
        self._tag = secrets.token_hex(4)
        self._contact = f"sip:{self.user}@{self.target[0]}:{self.target[1]}"
        self._to = f"<sip:{self.user}@{self.target[0]}>"
        self._again = float("inf")
        self._interval = _T1
        self._tries = 0
        self._pending = ""

    @property
    def number(self) -> str:
        """The caller's number, from which an e-mail is told to be this call's."""
        return f"+4860{self.index:07d}"

    def invite(self, now: float) -> None:
        self.state, self.invited = State.INVITING, now
        host = self.local[0]
        body = (
            f"v=0\r\no=bench {self.index} 1 IN IP4 {host}\r\ns=-\r\nc=IN IP4 {host}\r\nt=0 0\r\n"
            f"m=audio {self.rtp_port} RTP/AVP {self.payload_type} 101\r\n"
            f"a=rtpmap:{self.payload_type} {NAMES[self.payload_type]}/8000\r\n"
            "a=rtpmap:101 telephone-event/8000\r\na=ptime:20\r\na=sendrecv\r\n"
        )
        uri = f"sip:{self.user}@{self.target[0]}:{self.target[1]}"
        extra = f"Diversion: <sip:100@{host}>;reason=no-answer;counter=1\r\n"
        self._persist(self._message("INVITE", 1, uri, body, extra), now)

    def leave(self, now: float) -> None:
        self.state, self.left = State.LEAVING, now
        self._persist(self._message("BYE", 2, self._contact), now)

    def timer(self, now: float) -> None:
        """Sends again what nobody answered, and gives up in the end."""
        if now < self._again:
            return
        self._tries += 1
        if self._tries >= _TRIES:
            self.state, self.status, self._again = State.FAILED, 408, float("inf")
            return
        self._interval = min(self._interval * 2, _T2)
        self._again = now + self._interval
        self.outbox.append(self._pending)

    def receive(self, text: str, now: float) -> None:
        """A message whose Call-ID is ours."""
        head, _, body = text.partition("\r\n\r\n")
        first, *lines = head.split("\r\n")
        headers: dict[str, str] = {}
        for line in lines:
            name, _, value = line.partition(":")
            headers.setdefault(name.strip().lower(), value.strip())
        if not first.startswith("SIP/2.0 "):
            self._request(first, lines, now)
            return
        status, method = int(first[8:11]), headers["cseq"].split()[1]
        if method == "INVITE":
            self._invite_answered(status, headers, body, now)
        elif method == "BYE" and status >= 200 and self.state is State.LEAVING:
            self.state, self._again = State.DONE, float("inf")

    def _invite_answered(self, status: int, headers: dict[str, str], body: str, now: float) -> None:
        if status < 200:
            if self.state is State.INVITING:
                self._again = float("inf")
            return
        self._to = headers["to"]
        if status >= 300:
            self.outbox.append(self._message("ACK", 1, self._contact))
            if self.state is State.INVITING:
                self.state, self.status, self._again = State.FAILED, status, float("inf")
            return
        contact = headers.get("contact", "")
        self._contact = contact.partition("<")[2].partition(">")[0] or contact or self._contact
        self.outbox.append(self._message("ACK", 1, self._contact))
        if self.state is not State.INVITING:
            return
        host = port = ""
        for line in body.splitlines():
            if line.startswith("c=IN IP4 "):
                host = line.split()[2]
            elif line.startswith("m=audio "):
                port = line.split()[1]
        self.state, self.answered, self._again = State.UP, now, float("inf")
        self.remote_rtp = (host, int(port))

    def _request(self, first: str, lines: list[str], now: float) -> None:
        method = first.split()[0]
        if method == "ACK":
            return
        kept = ("via", "from", "to", "call-id", "cseq")
        copied = [line for line in lines if line.partition(":")[0].strip().lower() in kept]
        self.outbox.append("\r\n".join(["SIP/2.0 200 OK", *copied, "Content-Length: 0", "", ""]))
        if method == "BYE" and self.state in (State.UP, State.LEAVING):
            self.left = self.left or now
            self.state, self._again = State.DONE, float("inf")

    def _persist(self, text: str, now: float) -> None:
        self._pending, self._tries, self._interval = text, 0, _T1
        self._again = now + _T1
        self.outbox.append(text)

    def _message(self, method: str, cseq: int, uri: str, body: str = "", extra: str = "") -> str:
        host, port = self.local
        kind = "Content-Type: application/sdp\r\n" if body else ""
        return (
            f"{method} {uri} SIP/2.0\r\n"
            f"Via: SIP/2.0/UDP {host}:{port};branch=z9hG4bK{self._tag}{method}{self.index}\r\n"
            "Max-Forwards: 70\r\n"
            f'From: "Caller {self.index}" <sip:{self.number}@{host}:{port}>;tag={self._tag}\r\n'
            f"To: {self._to}\r\nCall-ID: {self.call_id}\r\nCSeq: {cseq} {method}\r\n"
            f"Contact: <sip:bench@{host}:{port}>\r\n{extra}{kind}"
            f"Content-Length: {len(body)}\r\n\r\n{body}"
        )
