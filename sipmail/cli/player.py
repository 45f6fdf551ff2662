"""The recording of a message as a WAV file in memory, and the players that this machine may have.

What the recipients heard is played where it is there; else, and on demand, the sound is made anew
from the packets as they came, whole and unchanged.
"""

from __future__ import annotations

import io
import shutil
import subprocess
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import TYPE_CHECKING

from sipmail.errors import SipmailError

if TYPE_CHECKING:
    from sipmail.spool.message import Message
    from sipmail.spool.spool import Spool, State

_PLAYERS = (
    ("pw-play",),
    ("paplay",),
    ("aplay", "--quiet"),
    ("ffplay", "-nodisp", "-autoexit", "-loglevel", "error"),
    ("play", "-q"),
)
"""Commands that play a WAV file: the first that is installed and succeeds."""


def recording_of(
    spool: Spool, state: State, message: Message, *, received: bool = False
) -> tuple[bytes, float]:
    """A WAV file (16-bit PCM) and its length in seconds.

    `received` asks for the sound as it came, whatever was mailed. Raises SipmailError where there
    is nothing to hear.
    """
    folder = spool.folder(state, message.id)
    sound = message.delivery.sound
    if sound is not None and not received and sound.mime.startswith("audio/"):
        path = folder / sound.file
        if path.is_file() and path.stat().st_size == sound.size:
            return _as_wav(path)
    return _from_packets(folder, message)


def play(data: bytes) -> None:
    """Plays a WAV file on this machine. Raises SipmailError without a player that works."""
    failed = ""
    with NamedTemporaryFile(prefix="sipmail-", suffix=".wav") as file:
        file.write(data)
        file.flush()
        for name, *arguments in _PLAYERS:
            path = shutil.which(name)
            if path is None:
                continue
            done = subprocess.run(
                [path, *arguments, file.name], stdin=subprocess.DEVNULL, capture_output=True
            )
            if done.returncode == 0:
                return
            said = done.stderr.decode("utf-8", "replace").strip().rpartition("\n")[2]
            failed = f"{name} cannot play here ({said or f'exit status {done.returncode}'})"
    names = ", ".join(name for name, *_ in _PLAYERS)
    why = failed or f"none of these is installed: {names}"
    raise SipmailError(f"{why}; write the recording to a file with --to FILE")


def _as_wav(path: Path) -> tuple[bytes, float]:
    import soundfile

    try:
        samples, rate = soundfile.read(path, dtype="int16")
    except (soundfile.LibsndfileError, RuntimeError) as error:
        raise SipmailError(f"{path} cannot be read: {error}; try --received") from None
    return _wav(samples, rate)


def _from_packets(folder: Path, message: Message) -> tuple[bytes, float]:
    from sipmail.audio.timeline import samples
    from sipmail.rtp import journal
    from sipmail.spool.spool import AUDIO

    path = folder / AUDIO
    if not path.is_file():
        raise SipmailError(f"message {message.id} has no recording: nothing was recorded")
    try:
        recording = samples(journal.read(path), message.payloads)
    except (OSError, ValueError) as error:
        raise SipmailError(f"{path} cannot be decoded: {error}") from None
    if not len(recording.samples):
        raise SipmailError(f"message {message.id} has nothing to hear: no sound came")
    return _wav(recording.samples, recording.rate)


def _wav(samples: object, rate: int) -> tuple[bytes, float]:
    import soundfile

    file = io.BytesIO()
    soundfile.write(file, samples, rate, format="WAV", subtype="PCM_16")
    data = file.getvalue()
    return data, soundfile.info(io.BytesIO(data)).duration
