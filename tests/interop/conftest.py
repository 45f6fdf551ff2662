"""The world of an interop test: a PBX, an extension's phone, a mail server, sounds by sox."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import require_program
from tests.interop.kamailio import Kamailio
from tests.interop.scenario import Sipp
from tests.interop.steps import Case
from tests.support import sounds
from tests.support.agent import Agent, configuration
from tests.support.caller import Caller
from tests.support.patience import PATIENCE
from tests.support.ports import free_port
from tests.support.siptext import Message
from tests.support.sounds import read_wav

_LAWS = {"PCMU": "ul", "PCMA": "al"}
_RATE, _STEP = 8000, 160


@dataclass(frozen=True)
class Sound:
    """One message: as raw G.711, and as the samples that sox makes of it, in a WAV file too."""

    raw: Path
    wav: Path
    samples: np.ndarray

    def held_by(self, recording: np.ndarray) -> bool:
        """Whether these samples stand in the recording, unchanged and in one piece."""
        position = recording.tobytes().find(self.samples.tobytes())
        return position >= 0 and position % 2 == 0


@pytest.fixture
def sound(tmp_path: Path) -> Callable[..., Sound]:
    """`sound(codec, before=0.0)`: 2 s of loud and soft noise, behind `before` seconds of silence
    in the WAV file; encoded and decoded by sox.
    """
    sox = require_program("sox")

    def make(codec: str, before: float = 0.0) -> Sound:
        rng = np.random.default_rng(4712)
        swell = 9000 * np.abs(np.sin(np.linspace(0.3, 6.0, 100 * _STEP))) + 200
        noise = (rng.standard_normal(100 * _STEP) * swell).clip(-32768, 32767).astype("<i2")
        plain, raw, wav = (tmp_path / f"sound.{end}" for end in ("s16", _LAWS[codec], "wav"))
        plain.write_bytes(noise.tobytes())
        encoding = ["-t", _LAWS[codec], "-r", str(_RATE), "-c", "1"]
        run(sox, "-D", "-t", "s16", "-r", str(_RATE), "-c", "1", plain, *encoding, raw)
        padding = ["pad", str(before), "0"] if before else []
        run(sox, "-D", *encoding, raw, "-b", "16", "-e", "signed", wav, *padding)
        samples = read_wav(wav.read_bytes())[round(before * _RATE) :]
        assert len(samples) == len(noise)
        return Sound(raw, wav, samples)

    return make


@pytest.fixture
def greeting(tmp_path: Path) -> Path:
    """A greeting of half a second, so that the tests don't listen long."""
    return sounds.greeting(tmp_path / "greeting.wav")


@pytest.fixture(scope="session")
def sipp() -> str:
    """The path of SIPp."""
    return require_program("sipp")


@pytest.fixture(scope="module")
def exchange(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Agent]:
    """One agent for all calls of a module, on UDP and TCP at one port.

    Mailbox 201 answers at once, 202 rings for a second, 203 for half a minute.
    """
    folder = tmp_path_factory.mktemp("agent")
    port = free_port()
    base = configuration(
        folder,
        sip={"listen": [f"{t}://127.0.0.1:{port}" for t in ("udp", "tcp")]},
        calls=40,  # short ones, one after the other: ports rest for seconds
        rtp={"timeout": "2m"},  # these callers say nothing
    )
    short = str(sounds.greeting(folder / "greeting.wav"))
    sales = {**base["mailboxes"]["sales"], "missed_calls": False, "greeting": short}
    base["mailboxes"] = {
        "sales": {**sales, "numbers": ["201"]},
        "slow": {**sales, "numbers": ["202"], "answer_after": "1s"},
        "slower": {**sales, "numbers": ["203"], "answer_after": "30s"},
    }
    agent = Agent(folder, base)
    agent.start()
    yield agent
    agent.close()
    print(agent.log())


Play = Callable[[Case, str], str]


@pytest.fixture
def play(sipp: str, exchange: Agent, tmp_path: Path) -> Play:
    """`play(case, transport)`: SIPp plays a call to the exchange; returns the trace."""

    def play(case: Case, transport: str) -> str:
        number, steps = case
        trace = Sipp(
            *(sipp, tmp_path, "scenario", exchange.address),
            transport=transport,
            service=number,
            steps=steps,
        ).finish()
        assert not any("Traceback" in line for line in exchange.lines), exchange.log()
        return trace

    return play


@pytest.fixture
def extensions() -> Iterator[Caller]:
    """The phone behind every extension: 202 is busy, the others ring and nobody answers."""
    phone = Caller(("127.0.0.1", 9))

    def ring(request: Message) -> None:
        if request.uri.startswith("sip:202@"):
            phone.answer(request, 486)
        else:
            phone.answer(request, 180)

    phone.on_invite = ring
    yield phone
    phone.close()


@pytest.fixture
def pbx(extensions: Caller) -> Iterator[Callable[..., Kamailio]]:
    """`pbx(algorithm="MD5")`: a running Kamailio."""
    servers: list[Kamailio] = []

    def start(algorithm: str = "MD5") -> Kamailio:
        server = Kamailio(require_program("kamailio"), extensions.port, algorithm=algorithm)
        servers.append(server)
        wait_until_up(server)
        return server

    yield start
    for server in servers:
        server.stop()
        print(f"--- log of Kamailio\n{server.log()}")


def wait_until_up(server: Kamailio, timeout: float = PATIENCE) -> None:
    """Until it answers OPTIONS."""
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        with Caller(server.address) as probe:
            uri = f"sip:{server.address[0]}:{server.address[1]}"
            try:
                probe.request("OPTIONS", uri, timeout=0.5)
            except AssertionError:
                continue
            return
    raise AssertionError(f"Kamailio does not answer:\n{server.log()}")


def run(*command: str | Path) -> None:
    ran = subprocess.run(
        [str(part) for part in command],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    assert ran.returncode == 0, ran.stderr
