"""Real phone systems as peers, where the path of one is given.

`make pbx ASTERISK=/usr/sbin/asterisk FREESWITCH=/usr/bin/freeswitch`
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import pytest

from tests.interop.conftest import Sound
from tests.interop.conftest import sound as sound
from tests.net.certificates import Authority
from tests.pbx.asterisk import PASSWORD, USER, Asterisk
from tests.pbx.freeswitch import FreeSwitch
from tests.pbx.phone import AnsweringPhone
from tests.support import sounds
from tests.support.agent import Agent, configuration, merged
from tests.support.caller import Caller
from tests.support.patience import PATIENCE, eventually
from tests.support.ports import free_port
from tests.support.rtp import PCMA, PCMU, RATE, SILENCE, schedule
from tests.support.siptext import Message
from tests.support.smtp import Delivered, SmtpServer
from tests.support.sounds import read_wav

ASTERISK = os.environ.get("ASTERISK", "")

FREESWITCH = os.environ.get("FREESWITCH", "")

collect_ignore_glob = [
    pattern
    for pattern, program in (("test_asterisk*.py", ASTERISK), ("test_freeswitch*.py", FREESWITCH))
    if not program
]

STATES = ("recording", "queue", "done", "failed")
CODECS = {"PCMU": PCMU, "PCMA": PCMA}
# What each phone says when it is called; 201 and whatever else only rings.
ANSWERS = {"202": 486, "204": 480, "205": 603}


class System(Protocol):
    """What `Asterisk` and `FreeSwitch` have in common."""

    port: int
    tls_port: int

    @property
    def address(self) -> tuple[str, int]: ...
    def start(self) -> Any: ...
    def wait_registered(self) -> None: ...
    def log(self) -> str: ...
    def stop(self) -> None: ...
    def close(self) -> None: ...


@dataclass(frozen=True)
class Office:
    """A phone system, sipmail as one of its extensions, the phones, and a carrier that calls."""

    pbx: Any
    agent: Agent
    smtp: SmtpServer
    carrier: Caller
    phone: AnsweringPhone
    """206; the other phones ring, or are busy."""

    def mail(self, before: int = 0) -> Delivered:
        """The one e-mail that came after the first `before`."""
        (mail,) = self.smtp.wait(before + 1, PATIENCE)[before:]
        return mail

    def newest_message(self) -> dict[str, Any]:
        """The message.json of the call that came last."""

        def found() -> dict[str, Any] | None:
            folders = [path for state in STATES for path in self.agent.messages(state)]
            newest = max(folders, key=lambda path: path.name)
            try:
                return dict(json.loads((newest / "message.json").read_text(encoding="utf-8")))
            except FileNotFoundError:
                return None  # it has just moved on

        return eventually(found, "a message")


def text_of(mail: Delivered) -> str:
    """The words of an e-mail."""
    body = mail.message.get_body(("plain",))
    assert body is not None
    return str(body.get_content()).replace("\u00a0", " ")


def check_sound(mail: Delivered, spoken: Sound) -> None:
    """The recording holds what was said, sample for sample."""
    name, data = mail.attachment()
    assert name.endswith(".wav")
    assert spoken.held_by(read_wav(data)), "the recording does not hold what was sent"


def leave_message(office: Office, number: str, spoken: Sound, codec: str = "PCMU") -> None:
    """The carrier calls, listens to the greeting, draws breath, speaks, breathes out, hangs up.

    FreeSWITCH passes on neither the second and third packet of a call nor the very last one.
    """
    payload_type = CODECS[codec]
    call = office.carrier.call(number, codecs=(payload_type,))
    call.wait_quiet()
    breath = SILENCE[payload_type] * (RATE // 2)
    call.send(schedule(breath + spoken.raw.read_bytes() + breath, payload_type))
    call.hang_up()


@contextlib.contextmanager
def opened(
    folder: Path,
    system: Callable[..., System],
    *,
    server: Mapping[str, Any] | None = None,
    transport: str = "udp",
    host: str = "127.0.0.1",
    trunk: Mapping[str, Any] | None = None,
    **sections: Any,
) -> Iterator[Office]:
    """All of it, running, and sipmail registered at `host` over `transport`.

    `system` makes the phone system, with the options `server`; `trunk` and `sections` are added to
    sipmail.yaml.
    """
    folder.mkdir(parents=True, exist_ok=True)
    authority = Authority(folder / "ca")
    issued = authority.issue("127.0.0.1")
    phones = Caller(("127.0.0.1", 9))
    answering = AnsweringPhone(phones)

    def ring(request: Message) -> None:
        user = request.uri.removeprefix("sip:").partition("@")[0]
        if user in ("206", "phone"):
            answering.take(request)
        else:
            phones.answer(request, ANSWERS.get(user, 180))

    phones.on_invite = ring
    carrier = Caller(("127.0.0.1", 9), host="127.0.0.2", user="+48600111222", display="Zofia")
    pbx = system(
        phones=phones.port,
        carrier=carrier.port,
        certificate=issued.certificate,
        key=issued.key,
        **(server or {}),
    )
    carrier.target = pbx.address
    smtp = SmtpServer().start()
    place = f"[{host}]" if ":" in host else host
    port = pbx.tls_port if transport == "tls" else pbx.port
    way = "" if transport == "udp" else f";transport={transport}"
    registered = {
        "registrar": f"sip:{place}:{port}{way}",
        "username": USER,
        "password": PASSWORD,
        **(trunk or {}),
    }
    settings = {
        "sip": {
            "listen": [f"{transport}://{place}:{free_port()}"],
            "ca_file": str(authority.file),
            "certificate": str(issued.certificate),
            "private_key": str(issued.key),
            "trunks": {"local": None, "pbx": registered},
        },
        "mailboxes": {
            "sales": {
                "numbers": ["201", "202", "203", "204", "205"],
                "greeting": str(sounds.greeting(folder / "greeting.wav")),
            }
        },
    }
    agent = Agent(folder, configuration(folder, smtp, **merged(settings, sections)))
    one = Office(pbx, agent, smtp, carrier, answering)
    try:
        pbx.start()
        agent.start()
        pbx.wait_registered()
        yield one
    finally:
        for caller in (carrier, phones):
            caller.close()
        answering.close()
        agent.close()
        pbx.stop()
        smtp.stop()
        print(f"--- log of sipmail\n{agent.log()}\n--- log of the phone system\n{pbx.log()}")
        pbx.close()


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Callable[..., Office]]:
    """`office(endpoint=["timers=always"], …)`: an Asterisk and an office of its own for the test.

    `endpoint`, `dialplan` and `algorithms` are options of `Asterisk`, others those of `opened`.
    """
    with contextlib.ExitStack() as stack:

        def start(**options: Any) -> Office:
            mine = ("endpoint", "dialplan", "algorithms")
            server = {name: options.pop(name) for name in mine if name in options}
            asterisk = partial(Asterisk, ASTERISK)
            return stack.enter_context(
                opened(tmp_path / "office", asterisk, server=server, **options)
            )

        yield start


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    """One Asterisk and its office for all the calls of a module."""
    folder = tmp_path_factory.mktemp("office")
    with opened(folder, partial(Asterisk, ASTERISK), calls=60, rtp={"codecs": ["PCMU"]}) as one:
        yield one


@pytest.fixture
def fs_office(tmp_path: Path) -> Iterator[Callable[..., Office]]:
    """`fs_office(profile="…", dialplan="…", …)`: the same around a FreeSWITCH."""
    with contextlib.ExitStack() as stack:

        def start(**options: Any) -> Office:
            server = {
                name: options.pop(name) for name in ("dialplan", "profile") if name in options
            }
            freeswitch = partial(FreeSwitch, FREESWITCH)
            return stack.enter_context(
                opened(tmp_path / "office", freeswitch, server=server, **options)
            )

        yield start
