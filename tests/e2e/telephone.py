"""What callers say and what recordings hold, for tests of the whole program.

Every message is noise that never repeats, so that a sample belongs to one place of one call.

How a recording and what was sent are aligned: a call says nothing but one packet of silence until
`audio.rtp` is there, which the media worker makes the moment the beep is over; what is sent from
then on is the message, and its first packet is the first one of the recording. (One test speaks
from the answer on instead, and finds the beginning by the beep that it hears.)
"""

from __future__ import annotations

import functools
import io
import shutil
import socket
import subprocess
import time
import wave
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from bench.verify import decode
from tests.conftest import require_program
from tests.support.agent import Agent
from tests.support.caller import Call
from tests.support.patience import PATIENCE
from tests.support.rtp import PCMA, PCMU, RATE, SILENCE, Packet, schedule
from tests.support.smtp import Delivered

Samples = npt.NDArray[np.int16]
Spoken = dict[Call, list[tuple[float, Packet]]]
"""What left for each call, and when (`time.monotonic`)."""

STEP = 160
PTIME = STEP / RATE
_LAWS = {PCMU: "ul", PCMA: "al"}
_FIRST_SEQUENCE = 65_500
_FIRST_TIMESTAMP = 2**32 - 4000
_TURN = 0.01


def noise(seconds: float, seed: int) -> bytes:
    """G.711 of either law: loud, and unlike any other seed's."""
    codes = np.random.default_rng(seed).integers(0, 256, round(seconds * RATE), np.uint8)
    return codes.tobytes()


def message(
    payload: bytes, payload_type: int = PCMU, *, since: float = 0.0, ssrc: int = 0x51700D00
) -> list[Packet]:
    """The packets of what is said after `opening`, `since` seconds of speech later."""
    packets = round(since / PTIME)
    return schedule(
        payload,
        payload_type,
        sequence=_FIRST_SEQUENCE + 1 + packets,
        timestamp=_FIRST_TIMESTAMP + STEP * (1 + packets),
        ssrc=ssrc,
    )


def opening(payload_type: int = PCMU, packets: int = 1) -> list[Packet]:
    """Silence that says that the media path works: the greeting then begins at once."""
    return schedule(SILENCE[payload_type] * STEP * packets, payload_type)[:packets]


def until(condition: Callable[[], bool], what: str, timeout: float = PATIENCE) -> None:
    """Returns as soon as `condition()` holds; AssertionError after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, f"waited {timeout} s for {what}"
        time.sleep(_TURN)


def wait_recording(agent: Agent, *calls: Call, timeout: float = PATIENCE) -> None:
    """Until every one of these calls is being recorded: see the module."""
    missing = {call.call_id for call in calls}

    def recorded() -> bool:
        for folder in agent.messages("recording"):
            if (folder / "audio.rtp").exists():
                text = (folder / "message.json").read_text(encoding="utf-8")
                missing.difference_update([one for one in missing if one in text])
        return not missing

    until(recorded, f"the recordings of {len(calls)} calls", timeout)


def say(*turns: tuple[Call, Sequence[Packet]], stop: Callable[[], bool] = bool) -> Spoken:
    """Sends the packets of all these calls in real time, until `stop()`; returns what left when."""
    spoken: Spoken = {call: [] for call, _ in turns}
    line = sorted(
        (
            (packet.due, index, packet)
            for index, (_, packets) in enumerate(turns)
            for packet in packets
        ),
        key=lambda entry: entry[0],
    )
    start = time.monotonic()
    for due, index, packet in line:
        if (wait := start + due - time.monotonic()) > 0:
            time.sleep(wait)
        if stop():
            break
        call = turns[index][0]
        assert call.remote is not None
        try:
            call.rtp.sendto(bytes(packet), call.remote)
        except ConnectionRefusedError:
            continue  # of a packet before: the agent is gone
        spoken[call].append((time.monotonic(), packet))
    return spoken


def payload_of(packets: Sequence[Packet]) -> bytes:
    return b"".join(packet.payload for packet in packets)


def decoded(payload: bytes, payload_type: int = PCMU) -> Samples:
    """The samples that sox makes of these G.711 bytes."""
    return _table(payload_type)[np.frombuffer(payload, np.uint8)]


def by_sox(payload: bytes, payload_type: int) -> Samples:
    """The same by a run of sox over exactly these bytes."""
    raw = ["-r", str(RATE), "-c", "1"]
    ran = subprocess.run(
        [
            *(require_program("sox"), "-D", "-t", _LAWS[payload_type], *raw, "-"),
            *("-t", "raw", "-e", "signed", "-b", "16", "-L", "-"),
        ],
        input=payload,
        capture_output=True,
        check=True,
    )
    return np.frombuffer(ran.stdout, "<i2")


@functools.cache
def _table(payload_type: int) -> Samples:
    codes = np.arange(256, dtype=np.uint8)
    if shutil.which("sox") is None:
        return decode(codes, payload_type)  # the formulas of ITU-T G.711
    return by_sox(codes.tobytes(), payload_type)


def recording(mail: Delivered) -> Samples:
    """The samples of the attached WAV, which must be 16 bits, mono, 8 kHz."""
    name, data = mail.attachment()
    assert name.endswith(".wav")
    with wave.open(io.BytesIO(data)) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (RATE, 1, 2)
        return np.frombuffer(file.readframes(file.getnframes()), "<i2")


def same(recorded: Samples, said: Samples) -> None:
    """AssertionError, with where and how, unless both are the same samples."""
    assert len(recorded) == len(said), f"{len(recorded)} samples, {len(said)} were sent"
    different = np.flatnonzero(recorded != said)
    assert not len(different), f"{len(different)} samples differ, the first at {different[0]}"


def body(mail: Delivered) -> str:
    """The text part."""
    part = mail.message.get_body(("plain",))
    assert part is not None
    return str(part.get_content())


def new_socket(host: str = "127.0.0.1") -> socket.socket:
    """A bound UDP socket that gives up after the usual deadline."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind((host, 0))
    sock.settimeout(PATIENCE)
    return sock
