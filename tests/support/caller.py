"""A telephone for tests: SIP over UDP and RTP on plain sockets, knowing nothing of sipmail.

`Caller` owns the SIP socket and a thread that reads it, acknowledges finals and answers requests;
each `Call` has its RTP socket and a thread that keeps what it hears. Everything that waits has a
deadline. It does what a good phone does, and on request what a bad one does.
"""

from __future__ import annotations

import contextlib
import itertools
import queue
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from types import TracebackType

from tests.support.patience import PATIENCE
from tests.support.rtp import EVENT, PCMA, PCMU, Packet
from tests.support.siptext import Message, parse, response

_T1 = 0.5
_NAMES = {PCMU: "PCMU", PCMA: "PCMA"}


class CallFailed(AssertionError):
    """The call was not answered; `status` is the final answer, None when there was none."""

    def __init__(self, status: int | None) -> None:
        self.status = status
        super().__init__(f"the call ended with {status or 'no answer'}")


class Caller:
    """Places calls to the SIP address `target`; use it as a context manager."""

    def __init__(
        self,
        target: tuple[str, int],
        *,
        host: str = "127.0.0.1",
        user: str = "+48600123456",
        display: str = "Jan Nowak",
    ) -> None:
        self.target = target
        self.user = user
        self.display = display
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((host, 0))
        self.socket.settimeout(0.2)
        self.host, self.port = self.socket.getsockname()
        self.requests: queue.Queue[Message] = queue.Queue()
        self.trace: list[str] = []
        self.calls: dict[str, Call] = {}
        self.on_invite: Callable[[Message], None] = lambda request: self.answer(request, 486)
        self._open = True
        self._thread = threading.Thread(target=self._read, name="caller", daemon=True)
        self._thread.start()

    def __enter__(self) -> Caller:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Hangs up what is up, and ends the threads."""
        for call in list(self.calls.values()):
            call.close()
        self._open = False
        self._thread.join(5)
        self.socket.close()

    def invite(
        self,
        number: str = "201",
        *,
        headers: Iterable[tuple[str, str]] = (),
        codecs: Sequence[int] = (PCMU,),
        offer: bool = True,
        uri: str | None = None,
        acknowledge: bool = True,
        sdp: Callable[[str], str] = str,
    ) -> Call:
        """Sends an INVITE and returns at once; `Call.wait_answer` waits.

        `uri` replaces the Request-URI, `sdp` may rewrite the offer, `acknowledge` False leaves the
        200 without an ACK until `Call.acknowledge`.
        """
        call = Call(self, number, uri, codecs, acknowledge=acknowledge)
        self.calls[call.call_id] = call
        call.invite(headers, sdp(call.offer()) if offer else "")
        return call

    def call(self, number: str = "201", *, timeout: float = PATIENCE, **options: object) -> Call:
        """An answered call; raises CallFailed when it is refused. Options as for `invite`."""
        call = self.invite(number, **options)  # type: ignore[arg-type]
        call.wait_answer(timeout)
        return call

    def request(
        self,
        method: str,
        uri: str,
        headers: Iterable[tuple[str, str]] = (),
        *,
        timeout: float = PATIENCE,
    ) -> Message:
        """Sends a request outside a dialog once and returns its final answer."""
        call = Call(self, "nobody", uri, (PCMU,), acknowledge=False)
        self.calls[call.call_id] = call
        call.send_request(method, headers=headers, in_dialog=False)
        return call.wait_response(method, timeout)

    def send(self, text: str, to: tuple[str, int] | None = None) -> None:
        self.trace.append("> " + text)
        try:
            self.socket.sendto(text.encode("utf-8", "surrogateescape"), to or self.target)
        except OSError:
            if self._open:  # else it was closed while a thread had something to say
                raise

    def _read(self) -> None:
        while self._open:
            try:
                data, source = self.socket.recvfrom(65535)
            except TimeoutError:
                continue
            except OSError:
                continue  # ECONNREFUSED from an earlier send
            text = data.decode("utf-8", "surrogateescape")
            self.trace.append("< " + text)
            if not text.strip():
                continue
            message = parse(text, source)
            call = self.calls.get(message.get("Call-ID"))
            if message.status is not None:
                if call is not None:
                    call.on_response(message)
                continue
            self.requests.put(message)
            if call is not None:
                call.on_request(message)
            elif message.method == "INVITE":
                self.on_invite(message)
            elif message.method != "ACK":
                self.answer(message, 200)

    def answer(
        self, request: Message, status: int, headers: Iterable[tuple[str, str]] = (), body: str = ""
    ) -> None:
        """Answers a request that came in, to where it came from."""
        self.send(response(request, status, headers, body, to_tag="callee"), request.source)


class Call:
    """One call. `status` is the final answer, `heard` every RTP packet with its arrival time."""

    def __init__(
        self,
        caller: Caller,
        number: str,
        uri: str | None,
        codecs: Sequence[int],
        *,
        acknowledge: bool,
    ) -> None:
        self.caller = caller
        self.call_id = f"{secrets.token_hex(8)}@caller.test"
        self.tag = secrets.token_hex(4)
        self.codecs = tuple(codecs)
        self.status: int | None = None
        self.answer: Message | None = None
        self.provisional: list[int] = []
        self.responses: list[Message] = []
        self.bye: Message | None = None
        self.heard: list[tuple[float, Packet]] = []
        self.rtp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.rtp.bind((caller.host, 0))
        self.rtp.settimeout(0.2)
        self.remote: tuple[str, int] | None = None
        self.on_reinvite: Callable[[Message], str] = lambda request: self.offer()
        host, port = caller.target
        self._uri = uri or f"sip:{number}@{host}:{port}"
        self._to = f"<sip:{number}@{host}>"
        self._remote_target = self._uri
        self._acknowledge = acknowledge
        self._cseq = itertools.count(1)
        self._invite: tuple[int, str, str] = (0, "", "")
        self._changed = threading.Condition()
        self._open = True
        threading.Thread(target=self._listen, name="call-rtp", daemon=True).start()

    # --- signalling -------------------------------------------------------------------------

    def offer(self, *, direction: str = "sendrecv", host: str | None = None) -> str:
        """The session description of this phone: its codecs in order, and telephone-event."""
        formats = " ".join(str(codec) for codec in (*self.codecs, EVENT))
        maps = "".join(f"a=rtpmap:{codec} {_NAMES[codec]}/8000\r\n" for codec in self.codecs)
        return (
            f"v=0\r\no=caller 1 1 IN IP4 {self.caller.host}\r\ns=-\r\n"
            f"c=IN IP4 {host or self.caller.host}\r\nt=0 0\r\n"
            f"m=audio {self.rtp.getsockname()[1]} RTP/AVP {formats}\r\n{maps}"
            f"a=rtpmap:{EVENT} telephone-event/8000\r\na=fmtp:{EVENT} 0-16\r\n"
            f"a=ptime:20\r\na={direction}\r\n"
        )

    def invite(self, headers: Iterable[tuple[str, str]], body: str) -> None:
        number, branch, text = self._request("INVITE", headers=headers, body=body)
        self._invite = (number, branch, text)
        threading.Thread(target=self._resend, args=(text,), name="invite", daemon=True).start()

    def wait_answer(self, timeout: float = PATIENCE) -> Message:
        """The 200; raises CallFailed for any other final answer, and for none in time."""
        self.wait(lambda: self.status is not None, timeout)
        if self.status != 200 or self.answer is None:
            raise CallFailed(self.status)
        return self.answer

    def wait_bye(self, timeout: float = PATIENCE) -> Message:
        """The peer's BYE, which was answered; AssertionError when none comes in time."""
        assert self.wait(lambda: self.bye is not None, timeout), f"no BYE within {timeout} s"
        assert self.bye is not None
        return self.bye

    def wait_response(self, method: str, timeout: float = PATIENCE) -> Message:
        """The final answer to the latest request of `method`; AssertionError without one."""

        def found() -> Message | None:
            for message in reversed(self.responses):
                if message.get("CSeq").endswith(method) and (message.status or 0) >= 200:
                    return message
            return None

        assert self.wait(lambda: found() is not None, timeout), f"no answer to {method}"
        final = found()
        assert final is not None
        return final

    def wait(self, condition: Callable[[], bool], timeout: float = PATIENCE) -> bool:
        with self._changed:
            return self._changed.wait_for(condition, timeout)

    def acknowledge(self, body: str = "") -> None:
        """The ACK of the 200, with a late offer's answer in `body`."""
        self.send_request("ACK", number=self._invite[0], body=body)

    def cancel(self, headers: Iterable[tuple[str, str]] = ()) -> None:
        number, branch, _ = self._invite
        self.send_request("CANCEL", number=number, branch=branch, headers=headers, in_dialog=False)

    def hang_up(self, timeout: float = PATIENCE) -> Message:
        """BYE, and its answer; sent again until it comes."""
        deadline = time.monotonic() + timeout
        _, _, text = self._request("BYE")
        self.caller.send(text)
        while time.monotonic() < deadline:
            if self.wait(lambda: any(r.get("CSeq").endswith("BYE") for r in self.responses), _T1):
                return self.wait_response("BYE", 1.0)
            self.caller.send(text)
        raise AssertionError(f"no answer to BYE within {timeout} s")

    def reinvite(self, body: str, timeout: float = PATIENCE) -> Message:
        """A re-INVITE with this offer; returns the final answer, acknowledged."""
        before = len(self.responses)
        number, branch, text = self._request("INVITE", body=body)
        self._invite = (number, branch, text)
        self.caller.send(text)
        assert self.wait(
            lambda: any((r.status or 0) >= 200 for r in self.responses[before:]), timeout
        ), "no answer to the re-INVITE"
        return self.wait_response("INVITE", 1.0)

    def send_request(
        self,
        method: str,
        *,
        number: int | None = None,
        branch: str | None = None,
        headers: Iterable[tuple[str, str]] = (),
        body: str = "",
        in_dialog: bool = True,
    ) -> None:
        """Sends any request once."""
        _, _, text = self._request(
            method, number=number, branch=branch, headers=headers, body=body, in_dialog=in_dialog
        )
        self.caller.send(text)

    def _request(
        self,
        method: str,
        *,
        number: int | None = None,
        branch: str | None = None,
        headers: Iterable[tuple[str, str]] = (),
        body: str = "",
        in_dialog: bool = True,
    ) -> tuple[int, str, str]:
        caller = self.caller
        number = number if number is not None else next(self._cseq)
        branch = branch or f"z9hG4bK{secrets.token_hex(8)}"
        given = list(headers)
        names = {name.lower() for name, _ in given}
        own = f"sip:{caller.user}@{caller.host}:{caller.port}"
        lines = [
            ("Via", f"SIP/2.0/UDP {caller.host}:{caller.port};branch={branch};rport"),
            ("Max-Forwards", "70"),
            ("From", f'"{caller.display}" <{own}>;tag={self.tag}'),
            ("To", self._to),
            ("Call-ID", self.call_id),
            ("CSeq", f"{number} {method}"),
            ("Contact", f"<{own}>"),
            ("User-Agent", "test caller"),
        ]
        lines = [line for line in lines if line[0].lower() not in names] + given
        if body and "content-type" not in names:
            lines.append(("Content-Type", "application/sdp"))
        if "content-length" not in names:
            lines.append(("Content-Length", str(len(body.encode()))))
        uri = self._remote_target if in_dialog else self._uri
        head = "".join(f"{name}: {value}\r\n" for name, value in lines)
        return number, branch, f"{method} {uri} SIP/2.0\r\n{head}\r\n{body}"

    def _resend(self, text: str) -> None:
        """An INVITE goes out again until anything answers it (RFC 3261, timers A and B)."""
        interval = _T1
        for _ in range(6):
            self.caller.send(text)
            if self.wait(lambda: bool(self.responses) or not self._open, interval):
                return
            interval *= 2

    def on_response(self, message: Message) -> None:
        status = message.status or 0
        number, _, method = message.get("CSeq").partition(" ")
        with self._changed:
            self.responses.append(message)
            if method == "INVITE":
                self._on_invite_response(status, message, int(number))
            self._changed.notify_all()

    def _on_invite_response(self, status: int, message: Message, number: int) -> None:
        if status < 200:
            self.provisional.append(status)
            return
        if status < 300:
            self._to = message.get("To")
            if contact := message.get("Contact"):
                self._remote_target = contact.partition("<")[2].partition(">")[0] or contact
            self._learn(message.body)
            self.answer = message
            if self._acknowledge:
                self.send_request("ACK", number=number)
        else:
            text = self._request("ACK", number=number, branch=self._invite[1], in_dialog=False)[2]
            self.caller.send(text.replace(f"To: {self._to}", f"To: {message.get('To')}"))
        if self.status is None:
            self.status = status

    def _learn(self, body: str) -> None:
        host = port = ""
        for line in body.splitlines():
            if line.startswith("c=IN IP4 "):
                host = line.split()[2]
            elif line.startswith("m=audio "):
                port = line.split()[1]
        if host and port:
            self.remote = (host, int(port))

    def on_request(self, request: Message) -> None:
        if request.method == "ACK":
            return
        if request.method == "INVITE":
            self._learn(request.body)
            headers = [("Content-Type", "application/sdp"), ("Contact", f"<{self._contact()}>")]
            self.caller.answer(request, 200, headers, self.on_reinvite(request))
            return
        self.caller.answer(request, 200)
        if request.method == "BYE":
            with self._changed:
                self.bye = request
                self._changed.notify_all()

    def _contact(self) -> str:
        return f"sip:{self.caller.user}@{self.caller.host}:{self.caller.port}"

    # --- media ------------------------------------------------------------------------------

    def send(self, packets: Sequence[Packet], sock: socket.socket | None = None) -> None:
        """Sends a schedule in real time, until its last packet has left or the peer hung up."""
        assert self.remote is not None, "no media address yet"
        start = time.monotonic() - (packets[0].due if packets else 0.0)
        for packet in packets:
            if (wait := start + packet.due - time.monotonic()) > 0:
                time.sleep(wait)
            if self.bye is not None or not self._open:
                return
            with contextlib.suppress(ConnectionRefusedError):
                (sock or self.rtp).sendto(bytes(packet), self.remote)

    def heard_payload(self, payload_type: int | None = None) -> bytes:
        """What was heard, in the order of its arrival, as G.711 bytes."""
        wanted = self.codecs if payload_type is None else (payload_type,)
        return b"".join(p.payload for _, p in list(self.heard) if p.payload_type in wanted)

    def wait_heard(self, packets: int, timeout: float = PATIENCE) -> None:
        assert self.wait(lambda: len(self.heard) >= packets, timeout), f"heard {len(self.heard)}"

    def wait_quiet(self, quiet: float = 0.4, timeout: float = PATIENCE, spoken: int = 10) -> None:
        """Until the peer has said something (`spoken` packets at least, since an odd silent one
        may come before) and then nothing for `quiet` seconds: the beep is over.
        """

        def still() -> bool:
            return len(self.heard) >= spoken and time.monotonic() - self.heard[-1][0] >= quiet

        deadline = time.monotonic() + timeout
        while not still():
            assert time.monotonic() < deadline, f"the peer did not fall silent in {timeout} s"
            self.wait(still, 0.05)

    def _listen(self) -> None:
        while self._open:
            try:
                data = self.rtp.recv(2048)
            except OSError:
                continue
            try:
                packet = Packet.parse(data)
            except ValueError:
                continue
            with self._changed:
                self.heard.append((time.monotonic(), packet))
                self._changed.notify_all()

    def close(self) -> None:
        """Ends the threads; a call that is up is hung up, without waiting for the answer."""
        if self.status == 200 and self.bye is None and self._open:
            self.send_request("BYE")
        self._open = False
        with self._changed:
            self._changed.notify_all()
        self.rtp.close()
