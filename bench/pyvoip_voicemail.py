"""The peer: a voicemail as one writes it with pyVoIP, which plays a greeting and records to a WAV.

`python -m bench.pyvoip_voicemail PORT PEER-PORT GREETING.wav FOLDER`. It does less than sipmail:
no routing, no spool, no encoding, no mail. pyVoIP answers to one fixed peer, so it is told whose
calls will come. Prints `ready`.
"""

from __future__ import annotations

import sys
import threading
import time
import warnings
import wave
from pathlib import Path

warnings.simplefilter("ignore")
from pyVoIP.VoIP import CallState, VoIPCall, VoIPPhone  # noqa: E402

_BLOCK = 160


def answer(call: VoIPCall, greeting: bytes, folder: Path) -> None:
    """Greeting, then everything until the hang-up into a WAV file (8 bits, as pyVoIP has them)."""
    call.answer()
    call.write_audio(greeting)
    end = time.monotonic() + len(greeting) / 8000
    while time.monotonic() < end and call.state == CallState.ANSWERED:
        time.sleep(0.1)
    recorded = bytearray()
    while call.state == CallState.ANSWERED:
        recorded += call.read_audio(_BLOCK, blocking=True)
    name = f"{threading.get_ident()}-{time.monotonic():.6f}.wav"
    with wave.open(str(folder / name), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(1)
        file.setframerate(8000)
        file.writeframes(bytes(recorded))


def main() -> None:
    port, peer, source, folder = sys.argv[1:]
    with wave.open(source) as file:
        import numpy as np

        wide = np.frombuffer(file.readframes(file.getnframes()), "<i2")
        greeting = ((wide >> 8) + 128).astype(np.uint8).tobytes()
    Path(folder).mkdir(parents=True, exist_ok=True)
    phone = VoIPPhone(
        "127.0.0.1",
        int(peer),
        "bench",
        "",
        myIP="127.0.0.1",
        sipPort=int(port),
        rtpPortLow=int(port) + 1000,
        rtpPortHigh=int(port) + 3000,
        callCallback=lambda call: answer(call, greeting, Path(folder)),
    )
    # It insists on a registrar, which nobody needs here.
    setattr(phone.sip, "register", lambda: True)  # noqa: B010
    phone.start()
    print("ready", flush=True)
    threading.Event().wait()


if __name__ == "__main__":
    main()
