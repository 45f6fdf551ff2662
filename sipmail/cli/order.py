"""What the telephone of `sipmail call` is told to do, on its way into the telephone's process."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Order:
    """One call: where to (`host`, `port`, `number`), from where, and what to do in it.

    `say` is a sound file, `keys` are pressed after it (a comma is a second's pause), `wait` is the
    time in seconds after which it speaks even if the other side still does, `linger` how long it
    stays on the line at the end for the other side to hang up. `save` is a WAV file for what it
    hears. With `register` it registers first and calls through the registrar.
    """

    host: str
    port: int
    number: str
    local_host: str
    local_port: int
    rtp_port: int
    username: str = "sipmail"
    password: str = ""
    register: bool = False
    codecs: tuple[int, ...] = (0,)
    say: str | None = None
    keys: str = ""
    save: str | None = None
    wait: float = 30.0
    linger: float = 0.0

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Order:
        fields = json.loads(text)
        return cls(**{**fields, "codecs": tuple(fields["codecs"])})
