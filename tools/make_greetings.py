"""Makes the spoken prompts and tones of `greetings/` from the texts beside them.

    python tools/make_greetings.py [PATTERN]

Needs espeak-ng and an installed sipmail (or PYTHONPATH=.). `PATTERN` chooses by path, for example
`pl/*` or `en/thanks`. Each `LANGUAGE/NAME.txt` becomes `LANGUAGE/NAME.wav`, 16-bit mono at 8 kHz,
which is what a telephone hears. A voice of espeak-ng is understood by everyone and liked by few:
a company should record its own greeting.
"""

from __future__ import annotations

import io
import subprocess
import sys
import tempfile
from fnmatch import fnmatch
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile
import soxr

from sipmail.audio import level
from sipmail.audio.encode import encode
from sipmail.audio.speech import RATE, analyse
from sipmail.codecs import tones
from sipmail.codecs.g711 import Samples

GREETINGS = Path(__file__).resolve().parent.parent / "greetings"

# Voice, words a minute, pitch (0-99), pause between words (10 ms).
VOICES = {"pl": ("pl", 172, 42, 0), "en": ("en-gb", 160, 42, 0)}

_LEVEL = -20.0
_LEAD = 0.05
_TAIL = 0.15
_LOWEST_HERTZ = 120.0
_BRIGHT = -3.0  # dB above 2.5 kHz, where the voice of a formant synthesiser is sharp


def main() -> None:
    pattern = sys.argv[1] if len(sys.argv) > 1 else "*"
    for text in sorted(GREETINGS.glob("*/*.txt")):
        name = f"{text.parent.name}/{text.stem}"
        if fnmatch(name, pattern):
            _write(text.with_suffix(".wav"), spoken(text.read_text().strip(), text.parent.name))
    for stem, sound in sounds().items():
        if fnmatch(stem, pattern):
            _write(GREETINGS / f"{stem}.wav", sound)


def spoken(text: str, language: str) -> Samples:
    """(n,) int16 at 8 kHz: `text` in the voice of `language`, trimmed and level-matched."""
    voice, speed, pitch, pause = VOICES[language]
    with tempfile.NamedTemporaryFile(suffix=".txt") as file:
        file.write(text.encode())
        file.flush()
        command = ["espeak-ng", "-v", voice, "-s", speed, "-p", pitch, "-g", pause, "-f", file.name]
        made = subprocess.run([*map(str, command), "--stdout"], check=True, capture_output=True)
    wave, rate = soundfile.read(io.BytesIO(_with_lengths(made.stdout)), dtype="float32")
    narrow = np.asarray(soxr.resample(_softened(wave, rate), rate, RATE, "VHQ"))
    samples = np.rint(level.limited((narrow * 32767).astype(np.float32))).astype(np.int16)
    speech = analyse(samples)
    begin = max(0, speech.runs[0][0] - round(_LEAD * RATE))
    end = speech.runs[-1][1] + round(_TAIL * RATE)
    return level.amplified(samples[begin:end], _LEVEL - speech.level)


def sounds() -> dict[str, Samples]:
    """The tones: the signal to speak, and the warning that the time is nearly over."""
    warning = tones.tone(880.0, seconds=0.12, level=-18.0, ramp=0.015)
    return {
        "beep": tones.beep(),
        "too_long": np.concatenate((warning, tones.silence(0.08), warning)),
    }


def _with_lengths(data: bytes) -> bytes:
    """A WAV file from a pipe, whose writer could not know how long it would be."""
    at = data.index(b"data")
    size = len(data) - at - 8
    return (
        data[:4]
        + (len(data) - 8).to_bytes(4, "little")
        + data[8 : at + 4]
        + size.to_bytes(4, "little")
        + data[at + 8 :]
    )


def _softened(wave: npt.NDArray[np.float32], rate: int) -> npt.NDArray[np.float32]:
    """Without rumble, and a little less sharp."""
    spectrum = np.fft.rfft(wave)
    hertz = np.fft.rfftfreq(len(wave), 1 / rate)
    high_pass = np.clip((hertz - _LOWEST_HERTZ / 2) / (_LOWEST_HERTZ / 2), 0, 1)
    shelf = 10 ** (_BRIGHT / 20 * np.clip((hertz - 1800) / 1400, 0, 1))
    return np.fft.irfft(spectrum * high_pass * shelf, len(wave)).astype(np.float32)


def _write(path: Path, samples: Samples) -> None:
    path.write_bytes(encode(samples, RATE, "wav").data)
    sys.stdout.write(f"{path.relative_to(GREETINGS)}  {len(samples) / RATE:.1f} s\n")


if __name__ == "__main__":
    main()
