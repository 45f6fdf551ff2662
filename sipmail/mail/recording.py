"""The recording of a message as it is mailed: made once from the packets, then read from disk.

Less speech than `record.min` makes a missed call of a message. When in doubt it stays a message:
loud sound that is no speech to us may be speech to a listener, and so may what a bad line left.
Packets that cannot be decoded are mailed as they are, as the journal that Wireshark reads: a
recording is never kept from its owner because we fail to understand it.
"""

from __future__ import annotations

import logging
from dataclasses import replace

import numpy as np

from sipmail.audio.encode import Encoded, encode
from sipmail.audio.level import normalize, trimmed
from sipmail.audio.speech import RATE, Speech, analyse
from sipmail.audio.timeline import Recording, samples
from sipmail.codecs.g711 import Samples
from sipmail.config.model import Mailbox
from sipmail.errors import SpoolError
from sipmail.mail.compose import Attachment
from sipmail.rtp import journal
from sipmail.spool.message import Kind, Message, Sound
from sipmail.spool.spool import AUDIO, Spool, State

log = logging.getLogger(__name__)

_RAW_TYPE = "application/octet-stream"
_LOUD = -30.0
"""dBFS: above it even what is not speech is worth a listener's ear."""
_BAD_LINE = 0.1
"""Share of lost sound above which what is left cannot be judged."""
_FRAME = RATE // 50


def sound_of(spool: Spool, message: Message, mailbox: Mailbox) -> tuple[Message, Attachment | None]:
    """The recording of a message in `queue/`, made and stored in its folder the first time.

    The message comes back with what is known now (its length, its kind); there is no attachment
    when it proved to be a missed call. Raises OSError when the journal cannot be read at all.
    """
    folder = spool.folder(State.QUEUE, message.id)
    sound = message.delivery.sound
    if sound is not None and (folder / sound.file).is_file():
        return message, Attachment(
            data=(folder / sound.file).read_bytes(),
            mime=sound.mime,
            extension=sound.file.rpartition(".")[2],
            duration=message.duration or 0.0,
            lost=sound.lost,
            silent=sound.silent,
        )
    try:
        return _made(spool, message, mailbox)
    except OSError:
        raise
    except Exception:
        log.exception("message %s (%s) cannot be decoded", message.id, message.call_id)
    return _raw(spool, message)


def _made(spool: Spool, message: Message, mailbox: Mailbox) -> tuple[Message, Attachment | None]:
    folder = spool.folder(State.QUEUE, message.id)
    recording = samples(journal.read(folder / AUDIO), message.payloads)
    speech = analyse(recording.samples)
    if speech.seconds < mailbox.record.min and not _in_doubt(recording, mailbox.record.min):
        length = len(recording.samples) / recording.rate
        return replace(message, kind=Kind.MISSED, duration=length), None
    finished = encode(_finished(recording, speech, mailbox), recording.rate, mailbox.attachment)
    sound = Sound(
        file=f"message.{finished.extension}",
        mime=finished.mime,
        lost=recording.lost,
        silent=speech.seconds == 0,
    )
    message = replace(message, duration=finished.duration)
    return _stored(spool, message, sound, finished), Attachment(
        data=finished.data,
        mime=finished.mime,
        extension=finished.extension,
        duration=finished.duration,
        lost=sound.lost,
        silent=sound.silent,
    )


def _finished(recording: Recording, speech: Speech, mailbox: Mailbox) -> Samples:
    sound = recording.samples
    if mailbox.record.normalize:
        sound = normalize(sound, speech)
    return trimmed(sound, speech) if mailbox.record.trim else sound


def _stored(spool: Spool, message: Message, sound: Sound, finished: Encoded) -> Message:
    try:
        spool.store(message.id, sound.file, finished.data)
    except SpoolError as error:
        log.warning("encoded again at the next attempt: %s", error)
        return message
    return replace(message, delivery=replace(message.delivery, sound=sound))


def _raw(spool: Spool, message: Message) -> tuple[Message, Attachment]:
    data = (spool.folder(State.QUEUE, message.id) / AUDIO).read_bytes()
    sound = Sound(file=AUDIO, mime=_RAW_TYPE)
    message = replace(message, delivery=replace(message.delivery, sound=sound))
    extension = AUDIO.rpartition(".")[2]
    return message, Attachment(data, _RAW_TYPE, extension, message.duration or 0.0)


def _in_doubt(recording: Recording, least: float) -> bool:
    if recording.lost > _BAD_LINE:
        return True
    whole = len(recording.samples) // _FRAME * _FRAME
    frames = recording.samples[:whole].astype(np.float32).reshape(-1, _FRAME)
    power = np.square(frames / np.float32(32768)).mean(axis=1)
    loud = int(np.count_nonzero(power > 10 ** (_LOUD / 10)))
    return loud > 0 and loud * _FRAME / RATE >= least
