"""How well lost packets are concealed: PESQ and log-spectral distance beside two simpler ways.

    python bench/concealment.py > bench/CONCEALMENT.md

Needs the `pesq` package and espeak-ng. The voices, sentences and patterns of loss are others than
those with which the fades were chosen. Speech (two languages, two voices each), with a telephone's
background noise, is sent as G.711 A-law in 20 ms packets; packets are lost one by one or in bursts
(mean length three: a two-state Gilbert model); what three ways make of the rest is compared with
the recording without loss:

- silence: zeros in place of what was lost;
- repetition: the packet before it once more;
- sipmail: `sipmail.audio.timeline`, from the journal on.
"""

from __future__ import annotations

import io
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile
import soxr
from pesq import pesq

from sipmail.audio import timeline
from sipmail.codecs import g711, tones
from sipmail.rtp import journal
from sipmail.rtp.packet import RtpPacket

RATE = 8000
PACKET = 160
SEEDS = range(100, 103)
RATES = (0.01, 0.03, 0.05, 0.10)
MEAN_BURST = 3.0
STEADY_SECONDS = 200  # 1 % of it are a hundred packets: the level of a few says nothing of noise

Samples = npt.NDArray[np.int16]
Lost = npt.NDArray[np.bool_]

TEXTS = {
    "en-us": "Hi, this is about the apartment on Lake Street. We would like to see it on Saturday "
    "morning, if that suits you, and we have two questions about the heating and the garage.",
    "de": "Guten Tag, hier spricht Frau Schneider. Mein Zug hat leider eine Stunde Verspätung, "
    "könnten wir unser Gespräch auf halb elf verschieben? Ich bin unterwegs erreichbar.",
}
VARIANTS = ("m7", "f4")


@dataclass(frozen=True)
class Score:
    pesq: float
    distance: float


def main() -> None:
    speech = [(name, spoken(*name)) for name in ((v, x) for v in TEXTS for x in VARIANTS)]
    spoken_levels: list[list[float]] = []
    write = sys.stdout.write
    write("# Packet-loss concealment\n\n")
    write("Made by `python bench/concealment.py`; its head says what is measured. ")
    write(f"{len(speech)} voices, {len(SEEDS)} loss patterns each; the reference is the same ")
    write("recording without loss. PESQ (narrow band): higher is better. Log-spectral distance of ")
    write("the frames that were hit (dB): lower is better.\n\n")
    write("| loss | | PESQ: silence | repetition | sipmail |")
    write(" LSD: silence | repetition | sipmail |\n")
    write("| --- | --- | --- | --- | --- | --- | --- | --- |\n")
    for burst in (1.0, MEAN_BURST):
        for rate in RATES:
            rows: dict[str, list[Score]] = {way: [] for way in WAYS}
            levels: list[float] = []
            spoken_levels.append(levels)
            for _, clean in speech:
                for seed in SEEDS:
                    lost = losses(len(clean) // PACKET, rate, burst, seed)
                    for way, run in WAYS.items():
                        heard = run(clean, lost)
                        rows[way].append(score(clean, heard, lost))
                    levels.append(level_difference(clean, heard, lost))  # of the last: sipmail
                    assert len(heard) == len(clean)
            quality = " | ".join(f"{np.mean([s.pesq for s in rows[w]]):.2f}" for w in WAYS)
            distance = " | ".join(f"{np.mean([s.distance for s in rows[w]]):.1f}" for w in WAYS)
            kind = "single" if burst == 1 else "bursts"
            write(f"| {rate:.0%} | {kind} | {quality} | {distance} |\n")
    write("\nLevel of what was concealed against what was lost, dB, for steady sounds ")
    write(f"of {STEADY_SECONDS} s (worst of the patterns), and the length:\n\n")
    write("| sound | 1% | 3% | 5% | 10% |")
    write(" 1% bursts | 3% bursts | 5% bursts | 10% bursts | length |\n")
    write("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |\n")
    for name, clean in steady().items():
        shown = []
        exact = True
        for burst in (1.0, MEAN_BURST):
            for rate in RATES:
                worst = 0.0
                for seed in SEEDS:
                    lost = losses(len(clean) // PACKET, rate, burst, seed)
                    heard = sipmail(clean, lost)
                    exact &= len(heard) == len(clean)
                    worst = max(worst, level_difference(clean, heard, lost), key=abs)
                shown.append(f"{worst:+.2f}")
        write(f"| {name} | {' | '.join(shown)} | {'exact' if exact else 'WRONG'} |\n")
    spread = " | ".join(f"{np.mean(row):+.2f}" for row in spoken_levels)
    write(f"| speech, mean of voices and patterns | {spread} | exact |\n")


def spoken(voice: str, variant: str) -> Samples:
    """Speech at about -20 dBFS over noise at -55 dBFS, through A-law, whole packets."""
    made = subprocess.run(
        ["espeak-ng", "-v", f"{voice}+{variant}", "-s", "150", "--stdout", TEXTS[voice]],
        check=True,
        capture_output=True,
    ).stdout
    at = made.index(b"data")
    head = soundfile.info(io.BytesIO(made[:at] + b"data" + (2).to_bytes(4, "little") + b"\0\0"))
    wave = np.frombuffer(made[at + 8 :], "<i2").astype(np.float64)
    wave = np.asarray(soxr.resample(wave, head.samplerate, RATE, "VHQ"))
    wave *= 32768 * 10 ** (-20 / 20) / np.sqrt(np.square(wave).mean())
    return sent(wave + noise(-55, len(wave)))


def steady() -> dict[str, Samples]:
    count = STEADY_SECONDS * RATE
    time = np.arange(count) / RATE
    hum = np.sum([np.sin(2 * np.pi * 50 * k * time) / k for k in (1, 3, 5, 7)], axis=0)
    coloured = np.convolve(noise(-30, count), np.ones(8) / 8, "same")
    return {
        "white noise -40 dBFS": sent(noise(-40, count)),
        "coloured noise": sent(coloured),
        "hum": sent(32768 * 10 ** (-40 / 20) * hum),
        "dial tone 425 Hz": sent(
            tones.tone(425, seconds=STEADY_SECONDS, level=-20).astype(np.float64)
        ),
        "DTMF pair 697 and 1209 Hz": sent(
            tones.tone(697, 1209, seconds=STEADY_SECONDS, level=-20).astype(np.float64)
        ),
    }


def noise(level: float, count: int) -> npt.NDArray[np.float64]:
    return np.random.default_rng(7).standard_normal(count) * 32768 * 10 ** (level / 20)


def sent(wave: npt.NDArray[np.float64]) -> Samples:
    whole = np.rint(np.clip(wave[: len(wave) // PACKET * PACKET], -32768, 32767)).astype(np.int16)
    return g711.decode_alaw(g711.encode_alaw(whole))


def losses(count: int, rate: float, burst: float, seed: int) -> Lost:
    """(count,) which packets are lost; the first and the last never are."""
    chance = random.Random(seed)
    leave = 1 / burst
    enter = rate * leave / (1 - rate) if burst > 1 else 0.0
    lost = np.zeros(count, np.bool_)
    state = False
    for at in range(count):
        if burst > 1:
            state = chance.random() >= leave if state else chance.random() < enter
        else:
            state = chance.random() < rate
        lost[at] = state
    lost[[0, -1]] = False
    if not lost.any():
        lost[count // 2] = True
    return lost


def silence(clean: Samples, lost: Lost) -> Samples:
    heard = clean.reshape(-1, PACKET).copy()
    heard[lost] = 0
    return heard.ravel()


def repetition(clean: Samples, lost: Lost) -> Samples:
    heard = clean.reshape(-1, PACKET)
    last = np.maximum.accumulate(np.where(lost, 0, np.arange(len(lost))))
    return heard[last].ravel()


def sipmail(clean: Samples, lost: Lost) -> Samples:
    return timeline.samples(journal.read(b"".join(_records(clean, lost))), {8: "PCMA"}).samples


def _records(clean: Samples, lost: Lost) -> Iterator[bytes]:
    yield journal.header(0.0)
    codes = g711.encode_alaw(clean).reshape(-1, PACKET)
    for number in np.flatnonzero(~lost).tolist():
        payload = codes[number].tobytes()
        packet = RtpPacket(8, number & 0xFFFF, number * PACKET, 1, payload)
        yield journal.frame([bytes(packet)], number * 20)


WAYS: dict[str, Callable[[Samples, Lost], Samples]] = {
    "silence": silence,
    "repetition": repetition,
    "sipmail": sipmail,
}


def score(clean: Samples, heard: Samples, lost: Lost) -> Score:
    return Score(
        float(pesq(RATE, clean, heard, "nb")),
        log_spectral_distance(clean, heard, lost),
    )


def log_spectral_distance(clean: Samples, heard: Samples, lost: Lost) -> float:
    """Mean over the lost packets, dB; spectra are of 32 ms around each, not below -80 dBFS."""
    starts = np.flatnonzero(lost) * PACKET - 48
    starts = starts[(starts >= 0) & (starts + 256 <= len(clean))]
    index = starts[:, np.newaxis] + np.arange(256)
    window = np.hanning(256)

    def spectra(sound: Samples) -> npt.NDArray[np.float64]:
        power = np.square(np.abs(np.fft.rfft(sound[index] / 32768 * window, axis=1)))
        return 10 * np.log10(power + 1e-8)

    difference = spectra(clean) - spectra(heard)
    return float(np.sqrt(np.square(difference).mean(axis=1)).mean())


def level_difference(clean: Samples, heard: Samples, lost: Lost) -> float:
    where = np.repeat(lost, PACKET)
    power = [np.square(s[where].astype(np.float64)).mean() for s in (heard, clean)]
    return float(10 * np.log10(power[0] / power[1]))


if __name__ == "__main__":
    assert Path("sipmail").is_dir(), "run it from the top of the repository"
    main()
