"""The names in the spool: the folders of the states, and the files of a message's folder."""

from __future__ import annotations

from enum import StrEnum

MESSAGE = "message.json"
AUDIO = "audio.rtp"
"""The packets as received, in the rtpdump format."""
LOCK = "lock"
COURIER_LOCK = "courier.lock"
CONTROL = "control"


class State(StrEnum):
    """Where a message is; the value is the folder's name."""

    RECORDING = "recording"
    QUEUE = "queue"
    DONE = "done"
    FAILED = "failed"
