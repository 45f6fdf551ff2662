"""What becomes of a recording before it is mailed: a message, or a missed call with its note."""

from __future__ import annotations

import numpy as np
import pytest

from sipmail.audio.fax import is_fax
from sipmail.codecs import tones
from sipmail.mail import recording
from sipmail.mail.recording import FAX, sound_of
from sipmail.spool.message import Kind
from sipmail.spool.spool import Spool
from tests.mail.calls import babble, leave, packets, silence
from tests.mail.conftest import MakeConfig

CNG = np.concatenate((tones.tone(tones.FAX_CALLING_HERTZ, seconds=0.5), silence(3.0)))


@pytest.mark.parametrize("noted", [True, False])
def test_a_fax_is_a_missed_call_however_loud(
    make_config: MakeConfig, spool: Spool, noted: bool
) -> None:
    """Noted by the media worker, or found now: the caller hung up before it was known."""
    mailbox = make_config().mailboxes["sales"]
    notes = (FAX,) if noted else ()
    left = leave(spool, packets(np.tile(CNG, 3)), notes=notes)
    message, attachment = sound_of(spool, left, mailbox)
    assert (message.kind, message.notes, attachment) == (Kind.MISSED, (FAX,), None)


def test_a_fax_is_looked_for_once(
    make_config: MakeConfig, spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    monkeypatch.setattr(recording, "is_fax", lambda sound: asked.append(sound) or is_fax(sound))
    plain = {"trim": False, "normalize": False, "min": "1s"}
    mailbox = make_config(defaults={"record": plain}).mailboxes["sales"]
    message, _ = sound_of(spool, leave(spool, packets(np.tile(CNG, 3))), mailbox)
    assert (message.notes, len(asked)) == ((FAX,), 1)


def test_somebody_who_speaks_is_no_fax(make_config: MakeConfig, spool: Spool) -> None:
    mailbox = make_config().mailboxes["sales"]
    left = leave(spool, packets(babble(5.0)))
    message, attachment = sound_of(spool, left, mailbox)
    assert (message.kind, message.notes) == (Kind.MESSAGE, ())
    assert attachment is not None
