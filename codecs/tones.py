"""Tones: sines and pairs of sines as 16-bit samples, with ramps so that nothing clicks.

Levels are those of the whole tone's effective value in dB below a full-scale sine (dBFS, so that a
sine that just reaches the largest sample is 0). DTMF frequencies: ITU-T Q.23; the calling tone of a
fax machine: ITU-T T.30, section 4.3.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sipmail.codecs.g711 import Samples

RATE = 8000
"""Samples a second, where nothing else is said."""

FAX_CALLING_HERTZ = 1100.0
"""CNG: 0.5 s on, 3 s off."""

DTMF: dict[str, tuple[float, float]] = {
    key: (low, high)
    for low, row in ((697.0, "123A"), (770.0, "456B"), (852.0, "789C"), (941.0, "*0#D"))
    for high, key in zip((1209.0, 1336.0, 1477.0, 1633.0), row, strict=True)
}
"""Key → its two frequencies in Hz."""

_FULL_SCALE = 32767.0


def tone(
    *hertz: float, seconds: float, level: float = -15.0, ramp: float = 0.005, rate: int = RATE
) -> Samples:
    """(n,) int16: the sum of sines of equal strength, `level` in dBFS, ramped over `ramp` seconds.

    Raises ValueError when the sum would clip.
    """
    count = round(seconds * rate)
    amplitude = 10 ** (level / 20) / np.sqrt(len(hertz))
    if amplitude * len(hertz) > 1:
        raise ValueError(f"{len(hertz)} sines at {level:g} dBFS together would clip")
    time = np.arange(count) / rate
    wave = np.zeros(count)
    for frequency in hertz:
        wave += np.sin(2 * np.pi * frequency * time)
    scaled: npt.NDArray[np.float64] = amplitude * _FULL_SCALE * ramped(wave, round(ramp * rate))
    return np.rint(scaled).astype(np.int16)


def dtmf(
    keys: str, *, seconds: float = 0.1, pause: float = 0.1, level: float = -12.0, rate: int = RATE
) -> Samples:
    """(n,) int16: the keys one after the other, each `seconds` long with a `pause` after it.

    Raises KeyError for what is no key.
    """
    quiet = silence(pause, rate)
    parts: list[Samples] = [np.zeros(0, np.int16)]
    for key in keys:
        parts += [tone(*DTMF[key], seconds=seconds, level=level, ramp=0.001, rate=rate), quiet]
    return np.concatenate(parts)


def beep(
    *, hertz: float = 1000.0, seconds: float = 0.35, level: float = -15.0, rate: int = RATE
) -> Samples:
    """(n,) int16: the signal to speak, soft at both ends."""
    return tone(hertz, seconds=seconds, level=level, ramp=0.02, rate=rate)


def silence(seconds: float, rate: int = RATE) -> Samples:
    """(n,) int16 zeros."""
    return np.zeros(round(seconds * rate), np.int16)


def ramped(wave: npt.NDArray[np.float64], count: int) -> npt.NDArray[np.float64]:
    """`wave` with `count` samples at each end faded in and out along a half cosine."""
    count = min(count, len(wave) // 2)
    if count == 0:
        return wave
    slope = 0.5 - 0.5 * np.cos(np.pi * (np.arange(count) + 0.5) / count)
    faded = wave.copy()
    faded[:count] *= slope
    faded[-count:] *= slope[::-1]
    return faded
