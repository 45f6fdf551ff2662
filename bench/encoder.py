"""`python -m bench.encoder AUDIO SECONDS`: the CPU of the MP3 encoder alone.

Encodes, as the courier does, stretches of SECONDS of the raw G.711 in AUDIO, one after the other in
warm caches, and prints the milliseconds of CPU that a second of sound took.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np

from sipmail.audio.encode import encode
from sipmail.codecs import g711

_RATE = 8000
_TIMES = 10


def main() -> None:
    audio = g711.decode_ulaw(Path(sys.argv[1]).read_bytes())
    length = round(float(sys.argv[2]) * _RATE)
    encode(audio[:_RATE], _RATE, "mp3")  # the library is loaded
    before = time.process_time()
    for number in range(_TIMES):
        encode(np.roll(audio, -number * _RATE)[:length], _RATE, "mp3")
    print((time.process_time() - before) * 1e3 / (_TIMES * length / _RATE))


if __name__ == "__main__":
    main()
