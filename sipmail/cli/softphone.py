"""The telephone of `sipmail call` and `sipmail demo`: pyVoIP, in a process of its own.

None of sipmail's SIP, RTP or codec code is used here, so that no call is ever proven by the code
that answers it. The process is `python -m sipmail.cli.softphone`; it reads an `order.Order` as JSON
from its standard input and writes one JSON array a line to its standard output: an event and its
details. Its parent gives it a deadline, since pyVoIP can wait for ever.

What is done around pyVoIP 1.6.8, and why: a direct call needs no registration, but `start` insists
on one; a refusal other than 404 and 503 is never noticed; its ACK and BYE don't pass proxies;
Call-IDs repeat from run to run; audio is cut to 8 bits, sent on a clock that drifts, and there are
no keys. The G.711 here is libsndfile's.
"""

from __future__ import annotations

import io
import json
import os
import queue
import secrets
import struct
import sys
import threading
import time
import warnings
from typing import Any

import numpy as np
import soundfile
import soxr

from sipmail.cli.order import Order

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # audioop is deprecated, in Python 3.11 and 3.12
    # VoIP has to come first: pyVoIP's modules import each other in a circle.
    from pyVoIP.VoIP import CallState, VoIPCall, VoIPPhone  # isort: skip
    from pyVoIP import RTP, SIP

_RATE = 8000
_STEP = 160
_SECONDS = _STEP / _RATE
_LAWS = {0: "ULAW", 8: "ALAW"}
_SILENCE = {0: b"\xff" * _STEP, 8: b"\xd5" * _STEP}
_KEYS = "0123456789*#ABCD"
_EVENT = 101
# A voicemail that records sends next to nothing, or silence: then it is the caller's turn.
_NO_PACKETS = 0.4
_NO_SOUND = 1.5
_BYE_TRIES = 4


class Refused(Exception):
    """The other side answered the INVITE with a final status that is not 200."""

    def __init__(self, status: int, phrase: str) -> None:
        self.status, self.phrase = status, phrase
        super().__init__(f"{status} {phrase}")


class NotRegistered(Exception):
    """The registrar did not answer, or not with 200; pyVoIP does not say which."""

    def __init__(self, order: Order) -> None:
        super().__init__(
            f"not registered with {order.host}:{order.port}: it does not answer there,"
            f" or refuses the username {order.username} or its password"
        )


class Line(RTP.RTPClient):
    """The RTP of a call: payloads leave on an absolute clock, everything that comes is kept.

    `say` takes packets of (payload type, marker, timestamp advance, payload) in their order.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.outSequence = secrets.randbelow(2**15)
        self.outTimestamp = secrets.randbelow(2**31)
        self.outSSRC = secrets.randbits(32)
        self.heard: list[tuple[float, int, int, bytes]] = []
        self.unsaid: queue.SimpleQueue[tuple[int, bool, int, bytes]] = queue.SimpleQueue()

    @property
    def codec(self) -> int:
        """The payload type of the audio that was agreed on."""
        return int(self.preference)

    def trans(self) -> None:
        due = time.monotonic()
        silence = (self.codec, False, _STEP, _SILENCE[self.codec])
        while self.NSD:
            try:
                kind, marker, advance, payload = self.unsaid.get_nowait()
            except queue.Empty:
                kind, marker, advance, payload = silence
            header = struct.pack(
                "!BBHII",
                0x80,
                marker << 7 | kind,
                self.outSequence & 0xFFFF,
                self.outTimestamp & 0xFFFFFFFF,
                self.outSSRC,
            )
            try:
                self.sout.sendto(header + payload, (self.outIP, self.outPort))
            except OSError:
                if not self.NSD:
                    return  # the socket was closed by the end of the call
            self.outSequence += 1
            self.outTimestamp += advance
            due += _SECONDS
            time.sleep(max(0.0, due - time.monotonic()))

    def parse_packet(self, packet: bytes) -> None:
        if len(packet) > 12 and packet[0] >> 6 == 2:
            kind = packet[1] & 0x7F
            (timestamp,) = struct.unpack_from("!I", packet, 4)
            self.heard.append((time.monotonic(), kind, timestamp, packet[12:]))


class Call(VoIPCall):
    """A pyVoIP call whose RTP is a `Line`, there once it is answered."""

    line: Line

    def create_rtp_clients(
        self, codecs: Any, ip: str, port: int, request: Any, baseport: int
    ) -> None:
        """As pyVoIP does it, with one line a call."""
        address = request.body["c"][0]["address"]
        self.line = Line(codecs, ip, port, address, baseport, self.sendmode)
        self.RTPClients.append(self.line)


class Signalling(SIP.SIPClient):
    """pyVoIP's SIP, which here notices every refusal and the answer to its BYE."""

    def __init__(self, order: Order, phone: VoIPPhone) -> None:
        super().__init__(
            order.host,
            order.port,
            order.username,
            order.password,
            phone=phone,
            myIP=order.local_host,
            myPort=order.local_port,
            callCallback=phone.callback,
            fatalCallback=phone.fatal,
        )
        self.callID.x = secrets.randbits(48)
        self.registers = order.register
        self.dialling = False
        self.refusal: Refused | None = None
        self.bye_answered = threading.Event()
        self.route: list[str] = []

    def gen_ack(self, request: SIP.SIPMessage) -> str:
        """The ACK to a refusal as pyVoIP makes it; that to a 2xx by RFC 3261, 13.2.2.4."""
        if not 200 <= int(request.status) < 300:
            return str(super().gen_ack(request))
        headers = request.headers
        sender, callee = headers["From"], headers["To"]
        # The proxies on the way, nearest first: RFC 3261, 12.1.2. pyVoIP keeps only one of them.
        text = request.raw.partition(b"\r\n\r\n")[0].decode("utf-8", "replace")
        fields = (line.partition(":") for line in text.split("\r\n")[1:])
        recorded = [
            route
            for name, _, value in fields
            if name.strip().lower() == "record-route"
            for route in value.strip().split(",")
        ]
        self.route = [f"Route: {route.strip()}" for route in reversed(recorded)]
        target = headers["Contact"].partition("<")[2].partition(">")[0] or headers["Contact"]
        lines = [
            f"ACK {target} SIP/2.0",
            self._via(),
            *self.route,
            "Max-Forwards: 70",
            f"From: {sender['raw']};tag={sender['tag']}",
            f"To: {callee['raw']};tag={callee['tag']}",
            f"Call-ID: {headers['Call-ID']}",
            f"CSeq: {headers['CSeq']['check']} ACK",
            "Content-Length: 0",
        ]
        return "\r\n".join([*lines, "", ""])

    def gen_bye(self, request: SIP.SIPMessage) -> str:
        """pyVoIP's BYE, as a transaction of its own and by the way that the call took."""
        lines = [line for line in super().gen_bye(request).split("\r\n") if line[:4] != "Via:"]
        return "\r\n".join([lines[0], self._via(), *self.route, *lines[1:]])

    def _via(self) -> str:
        branch = f"z9hG4bK{secrets.token_hex(12)}"
        return f"Via: SIP/2.0/UDP {self.myIP}:{self.myPort};branch={branch};rport"

    def register(self) -> bool:
        return super().register() if self.registers else True

    def parse_message(self, message: SIP.SIPMessage) -> None:
        """Sees what pyVoIP would drop; everything else goes on to it."""
        if message.type == SIP.SIPMessageType.MESSAGE:
            return super().parse_message(message)
        method = message.headers["CSeq"]["method"]
        status = int(message.status)
        if method == "BYE":
            self.bye_answered.set()
        elif method == "INVITE" and status >= 300 and status != 401:
            acknowledgement = self.gen_ack(message)
            self.out.sendto(acknowledgement.encode(), (self.server, self.port))
            self.refusal = Refused(status, message.status.phrase)
            if self.dialling:
                raise self.refusal
        else:
            super().parse_message(message)
        return None


class Phone(VoIPPhone):
    """A pyVoIP phone for one call."""

    def __init__(self, order: Order) -> None:
        super().__init__(
            order.host,
            order.port,
            order.username,
            order.password,
            myIP=order.local_host,
            sipPort=order.local_port,
            rtpPortLow=order.rtp_port,
            rtpPortHigh=order.rtp_port,
        )
        self.order = order
        self.signalling = self.sip = Signalling(order, self)

    def dial(self) -> Call:
        """Sends the INVITE; returns once it rings, raises Refused when it is refused at once."""
        port = self.request_port()
        formats = {kind: RTP.PayloadType(kind) for kind in self.order.codecs}
        media: Any = {port: {**formats, _EVENT: RTP.PayloadType.EVENT}}
        self.signalling.dialling = True
        request, call_id, session = self.signalling.invite(
            self.order.number, media, RTP.TransmitType.SENDRECV
        )
        self.signalling.dialling = False
        call = Call(self, CallState.DIALING, request, session, self.myIP, ms=media)
        self.calls[call_id] = call
        return call


def tell(event: str, *details: object) -> None:
    """One event for the parent."""
    print(json.dumps([event, *details]), file=_events, flush=True)


def run(order: Order) -> None:
    """The whole call; raises Refused when it is not taken."""
    speech = load(order.say) if order.say else np.zeros(0, np.int16)
    phone = Phone(order)
    phone.start()
    if order.register:
        if str(phone.get_status()) != "PhoneStatus.REGISTERED":
            raise NotRegistered(order)
        tell("registered")
    tell("calling", order.number)
    call = phone.dial()
    while call.state == CallState.DIALING:
        if phone.signalling.refusal is not None:
            raise phone.signalling.refusal
        time.sleep(0.01)
    line = call.line
    tell("answered", _LAWS[line.codec])
    try:
        tell("turn", round(wait_for_turn(call, line, order.wait), 2))
        if len(speech):
            tell("speaking", round(len(speech) / _RATE, 2))
            say(call, line, speech)
        for key in order.keys if call.state == CallState.ANSWERED else "":
            if key == ",":
                stay(call, 1.0)
            else:
                tell("key", key)
                press(call, line, key)
        stay(call, order.linger)
    finally:
        tell("ended", hang_up(phone, call))
        if order.save:
            tell("saved", order.save, round(save(order.save, line), 2))


def wait_for_turn(call: VoIPCall, line: Line, longest: float) -> float:
    """Returns once the other side has finished speaking; the seconds that it took."""
    start = time.monotonic()
    while call.state == CallState.ANSWERED and (now := time.monotonic()) < start + longest:
        heard = [entry for entry in list(line.heard) if entry[1] in _LAWS]
        if heard:
            sounding = next((at for at, kind, _, data in reversed(heard) if loud(kind, data)), None)
            if sounding is not None and (
                now - heard[-1][0] > _NO_PACKETS or now - sounding > _NO_SOUND
            ):
                break
        time.sleep(0.05)
    return time.monotonic() - start


def loud(kind: int, payload: bytes) -> bool:
    """Whether a G.711 payload holds sound: its segment bits, which are a logarithm, say so."""
    codes = np.frombuffer(payload, np.uint8)
    segments = ((~codes if kind == 0 else codes ^ 0x55) & 0x70) >> 4
    return bool(len(codes)) and bool(segments.max() >= 3)


def say(call: VoIPCall, line: Line, speech: np.ndarray[Any, np.dtype[np.int16]]) -> None:
    """Speaks, and returns when the last packet has left or the call is gone."""
    speech = np.concatenate([speech, np.zeros(-len(speech) % _STEP, np.int16)])
    buffer = io.BytesIO()
    soundfile.write(buffer, speech, _RATE, format="RAW", subtype=_LAWS[line.codec])
    data = buffer.getvalue()
    for start in range(0, len(data), _STEP):
        line.unsaid.put((line.codec, start == 0, _STEP, data[start : start + _STEP]))
    drain(call, line)


def press(call: VoIPCall, line: Line, key: str) -> None:
    """Presses a key for 100 ms (RFC 4733), and waits 100 ms."""
    event = _KEYS.index(key.upper())
    steps = 5
    for index in range(1, steps + 3):
        end = index >= steps
        payload = struct.pack("!BBH", event, end << 7 | 10, min(index, steps) * _STEP)
        last = index == steps + 2
        line.unsaid.put((_EVENT, index == 1, (steps + 2) * _STEP if last else 0, payload))
    for _ in range(5):
        line.unsaid.put((line.codec, False, _STEP, _SILENCE[line.codec]))
    drain(call, line)


def drain(call: VoIPCall, line: Line) -> None:
    while call.state == CallState.ANSWERED and not line.unsaid.empty():
        time.sleep(_SECONDS)


def stay(call: VoIPCall, seconds: float) -> None:
    """Stays on the line, until the other side hangs up at the latest."""
    end = time.monotonic() + seconds
    while call.state == CallState.ANSWERED and time.monotonic() < end:
        time.sleep(_SECONDS)


def hang_up(phone: Phone, call: VoIPCall) -> str:
    """Ends the call if the other side has not: `caller` or `callee`, whoever hung up."""
    if call.state != CallState.ANSWERED:
        time.sleep(0.1)  # pyVoIP answers the BYE only after it has told us
        return "callee"
    call.hangup()
    for _ in range(_BYE_TRIES):
        if phone.signalling.bye_answered.wait(0.5):
            break
        phone.signalling.bye(call.request)
    return "caller"


def load(path: str) -> np.ndarray[Any, np.dtype[np.int16]]:
    """Any sound file as (n,) int16 at 8 kHz."""
    samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    mono = soxr.resample(samples.mean(axis=1), rate, _RATE)
    return np.asarray(np.clip(np.round(mono * 32768.0), -32768, 32767), np.int16)


def save(path: str, line: Line) -> float:
    """Writes what was heard, at its RTP timestamps, as a WAV file; returns its seconds."""
    heard = [(stamp, kind, data) for _, kind, stamp, data in line.heard if kind in _LAWS]
    pieces = []
    for stamp, kind, data in heard:
        offset = (stamp - heard[0][0] + 2**31) % 2**32 - 2**31
        samples, _ = soundfile.read(
            io.BytesIO(data),
            dtype="int16",
            format="RAW",
            subtype=_LAWS[kind],
            samplerate=_RATE,
            channels=1,
        )
        if 0 <= offset < 3600 * _RATE:
            pieces.append((offset, samples))
    sound = np.zeros(max((at + len(piece) for at, piece in pieces), default=0), np.int16)
    for at, piece in pieces:
        sound[at : at + len(piece)] = piece
    soundfile.write(path, sound, _RATE, format="WAV", subtype="PCM_16")
    return len(sound) / _RATE


_events = sys.stdout


def main() -> None:
    """Reads the order, makes the call, and leaves without waiting for pyVoIP's threads."""
    global _events
    _events = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # pyVoIP prints
    warnings.simplefilter("ignore")
    status = 0
    try:
        run(Order.from_json(sys.stdin.read()))
    except Refused as refusal:
        tell("refused", refusal.status, refusal.phrase)
        status = 1
    except NotRegistered as error:
        tell("failed", str(error))
        status = 1
    except (OSError, soundfile.SoundFileError, ValueError, KeyError) as error:
        tell("failed", f"{type(error).__name__}: {error}")
        status = 1
    _events.flush()
    os._exit(status)


if __name__ == "__main__":
    main()
