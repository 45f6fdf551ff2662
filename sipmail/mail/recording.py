"""The recording of a message as it is mailed: made once from the packets, then read from disk.

Less speech than `record.min` makes a missed call of a message. When in doubt it stays a message:
loud sound that is no speech to us may be speech to a listener, and so may what a bad line left.
Packets that cannot be decoded are mailed as they are, as the journal that Wireshark reads: a
recording is never kept from its owner because we fail to understand it.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sipmail.audio.encode import Encoded, encode
from sipmail.audio.fax import is_fax
from sipmail.audio.level import normalize, trimmed
from sipmail.audio.speech import RATE, Speech, analyse
from sipmail.audio.timeline import Recording, samples
from sipmail.audio.waveform import waveform
from sipmail.codecs.g711 import Samples
from sipmail.config.model import Mailbox
from sipmail.errors import SpoolError
from sipmail.mail.compose import Attachment
from sipmail.rtp import journal
from sipmail.spool.message import Kind, Message, Sound
from sipmail.spool.spool import AUDIO, Spool, State

log = logging.getLogger(__name__)

_PICTURE = "waveform.png"
_RAW_TYPE = "application/octet-stream"
_LOUD = -30.0
"""dBFS: above it even what is not speech is worth a listener's ear."""
_BAD_LINE = 0.1
"""Share of lost sound above which what is left cannot be judged."""
_FRAME = RATE // 50
_TONE_SPREAD = 10 ** (1.5 / 10)
FAX = "fax"
"""The note of a message in which a fax machine calls."""
_SMALLER = ("mp3", "opus")
_BASE64 = 78 / 57
"""What an attachment's lines take for a byte."""


def sound_of(spool: Spool, message: Message, mailbox: Mailbox) -> tuple[Message, Attachment | None]:
    """The recording of a message in `queue/`, made and stored in its folder the first time.

    The message comes back with what is known now (its length, its kind); there is no attachment
    when it proved to be a missed call. Raises OSError when the journal cannot be read at all.
    """
    folder = spool.folder(State.QUEUE, message.id)
    sound = message.delivery.sound
    if sound is not None and (kept := _kept(folder, sound, message.duration or 0.0)) is not None:
        return message, kept
    try:
        return _made(spool, message, mailbox)
    except FileNotFoundError:
        log.error("message %s (%s) has no %s", message.id, message.call_id, AUDIO)
        return replace(message, kind=Kind.MISSED, recorded=False), None
    except OSError:
        raise
    except Exception:
        log.exception("message %s (%s) cannot be decoded", message.id, message.call_id)
    return _raw(spool, message)


def _kept(folder: Path, sound: Sound, duration: float) -> Attachment | None:
    """What is on disk already; None where a crash took a part of it."""
    try:
        data = (folder / sound.file).read_bytes()
        picture = (folder / sound.picture).read_bytes() if sound.picture else b""
    except FileNotFoundError:
        return None
    if (len(data), len(picture)) != (sound.size, sound.picture_size):
        return None
    return _attachment(sound, data, picture or None, duration)


def _attachment(sound: Sound, data: bytes, picture: bytes | None, duration: float) -> Attachment:
    return Attachment(
        data=data,
        mime=sound.mime,
        extension=sound.file.rpartition(".")[2],
        duration=duration,
        waveform=picture,
        lost=sound.lost,
        silent=sound.silent,
        smaller=sound.smaller,
    )


def _made(spool: Spool, message: Message, mailbox: Mailbox) -> tuple[Message, Attachment | None]:
    packets = journal.read(spool.folder(State.QUEUE, message.id) / AUDIO)
    recording = samples(packets, message.payloads)
    if not recording.received and (recording.ignored or packets.malformed):
        log.error("message %s (%s): no packet can be decoded", message.id, message.call_id)
        return _raw(spool, message)
    record = mailbox.record
    fax = FAX in message.notes
    sounds_like_fax = cache(lambda: is_fax(recording.samples))
    frames = _loud(recording.samples)
    loud = not fax and len(frames) > 0 and len(frames) * _FRAME / RATE >= record.min
    # Where loudness alone makes it a message and no edge and no level is asked for, the speech in
    # it need not be looked for, unless it may be a fax: that is as much as all the rest for a WAV.
    speech = None
    if not loud or record.trim or record.normalize or (_is_tone(frames) and sounds_like_fax()):
        speech = analyse(recording.samples)
    in_doubt = loud or recording.lost_share > _BAD_LINE
    if speech is not None and speech.seconds < record.min:
        if not fax and sounds_like_fax():
            fax = True
            message = replace(message, notes=(*message.notes, FAX))
        if fax or not in_doubt:
            return replace(message, kind=Kind.MISSED, duration=recording.duration), None
    finished = recording.samples if speech is None else _finished(recording, speech, mailbox)
    encoded, smaller = _encoded(finished, recording.rate, mailbox)
    picture = waveform(finished)
    sound = Sound(
        file=f"message.{encoded.extension}",
        size=len(encoded.data),
        mime=encoded.mime,
        picture=_PICTURE,
        picture_size=len(picture),
        lost=recording.lost_share,
        silent=speech is not None and speech.seconds == 0,
        smaller=smaller,
    )
    message = replace(message, duration=encoded.duration)
    attachment = _attachment(sound, encoded.data, picture, encoded.duration)
    try:
        spool.store(message.id, sound.file, encoded.data)
        spool.store(message.id, _PICTURE, picture)
    except SpoolError as error:
        log.warning("encoded again at the next attempt: %s", error)
        return message, attachment
    return replace(message, delivery=replace(message.delivery, sound=sound)), attachment


def _encoded(sound: Samples, rate: int, mailbox: Mailbox) -> tuple[Encoded, bool]:
    """`sound` in the mailbox's format, or in the first smaller one whose e-mail is not too large;
    and whether it is another one."""
    made: list[Encoded] = []
    for format in dict.fromkeys((mailbox.attachment, *_SMALLER)):
        made.append(encode(sound, rate, format))
        if len(made[-1].data) * _BASE64 <= mailbox.max_attachment:
            break
    smallest = min(made, key=lambda one: len(one.data))
    return smallest, smallest is not made[0]


def _finished(recording: Recording, speech: Speech, mailbox: Mailbox) -> Samples:
    sound = recording.samples
    if mailbox.record.normalize:
        sound = normalize(sound, speech)
    return trimmed(sound, speech) if mailbox.record.trim else sound


def _raw(spool: Spool, message: Message) -> tuple[Message, Attachment]:
    data = (spool.folder(State.QUEUE, message.id) / AUDIO).read_bytes()
    sound = Sound(AUDIO, len(data), _RAW_TYPE)
    message = replace(message, delivery=replace(message.delivery, sound=sound))
    return message, _attachment(sound, data, None, message.duration or 0.0)


def _loud(sound: Samples) -> npt.NDArray[np.float32]:
    """The power of the frames that are worth a listener's ear, 1.0 is a full-scale square."""
    whole = len(sound) // _FRAME * _FRAME
    frames = sound[:whole].astype(np.float32).reshape(-1, _FRAME)
    power = np.einsum("ij,ij->i", frames, frames) * np.float32(1 / (_FRAME * 32768**2))
    loud: npt.NDArray[np.float32] = power[power > 10 ** (_LOUD / 10)]
    return loud


def _is_tone(loud: npt.NDArray[np.float32]) -> bool:
    """Whether some loud frames are all of one strength, as those of a calling fax are."""
    ranked = np.sort(loud)
    return bool(ranked[3 * len(ranked) // 4] < _TONE_SPREAD * ranked[len(ranked) // 4])
