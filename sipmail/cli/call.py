"""`sipmail call`: a test softphone that calls any SIP address and says what happens.

The phone is pyVoIP in a subprocess with a deadline (see `softphone`); here are the command, its
progress lines and the way to place a call from another command.
"""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Annotated, cast

import typer

from sipmail.cli.options import ConfigOption, read_config
from sipmail.cli.order import Order
from sipmail.errors import SipmailError

_URI = re.compile(
    r"(?:sip:)?(?:(?P<user>[^@;?]+)@)?(?P<host>[^:@;?]+)(?::(?P<port>\d+))?(?:[;?].*)?"
)
_DEFAULT_PORT = 5060
_ANY = ("0.0.0.0", "::")  # noqa: S104
_KEYS = "0123456789*#ABCDabcd,"
# How long it may ring, and what a call may last beyond what is waited for, said and lingered.
_ANSWER = 45.0
_GRACE = 30.0
_PAYLOAD_TYPES = {"PCMU": (0,), "PCMA": (8,)}


class Codec(StrEnum):
    PCMU = "PCMU"
    PCMA = "PCMA"


class CallError(SipmailError):
    """The call could not be made, or was not taken; the text is for the person who made it."""


def place(order: Order, tell: Callable[[str, Sequence[object]], None]) -> None:
    """Places one call and returns when it is over; `tell(event, details)` hears of its progress.

    Raises CallError when it is refused, fails, or outlives everything that it was asked to do.
    """
    import soundfile

    seconds = soundfile.info(order.say).duration if order.say else 0.0
    whole = order.wait + seconds + order.linger + len(order.keys) + _GRACE
    problem, last = "", "nothing"
    with TemporaryFile(mode="w+", errors="replace") as complaints:
        process = subprocess.Popen(
            [sys.executable, "-m", "sipmail.cli.softphone"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=complaints,
            text=True,
        )
        deadline = _Deadline(process, _ANSWER)
        try:
            with cast(IO[str], process.stdin) as stream:
                stream.write(order.to_json())
            with cast(IO[str], process.stdout) as events:
                for line in events:
                    last, *details = json.loads(line)
                    if last == "answered":
                        deadline.renew(whole)
                    if last == "refused":
                        problem = f"refused with {details[0]} {details[1]}"
                    elif last == "failed":
                        problem = str(details[0])
                    else:
                        tell(last, details)
            status = process.wait()
        finally:
            deadline.cancel()
            process.kill()
            process.wait()
        complaints.seek(0)
        said = complaints.read().strip().rpartition("\n")[2]
    if deadline.passed:
        raise CallError(_silent(order, last, deadline.seconds))
    if problem or status != 0:
        raise CallError(problem or f"the telephone failed after {last!r}: {said or status}")


class _Deadline:
    """Kills the process when it passes; `seconds` is its length, `passed` says that it did."""

    def __init__(self, process: subprocess.Popen[str], seconds: float) -> None:
        self._process = process
        self.passed = False
        self._start(seconds)

    def renew(self, seconds: float) -> None:
        self.cancel()
        self._start(seconds)

    def cancel(self) -> None:
        self._timer.cancel()

    def _start(self, seconds: float) -> None:
        self.seconds = seconds
        self._timer = threading.Timer(seconds, self._expire)
        self._timer.start()

    def _expire(self) -> None:
        self.passed = True
        self._process.kill()


def _silent(order: Order, last: str, deadline: float) -> str:
    where = f"{order.host}:{order.port}"
    if last in ("nothing", "registered", "calling"):
        return (
            f"no answer from {where} within {deadline:.0f} s. Is it the right address, and does it "
            "accept calls from here? (sipmail answers only its trunks: see accept_from)"
        )
    return f"the call to {where} did not end within {deadline:.0f} s; the last thing was: {last}"


def order_for(uri: str, registrar: str | None = None) -> Order:
    """An order to call `uri`, through `registrar` where given, from free local ports.

    Raises CallError for what is not a SIP URI and for a host that cannot be found.
    """
    number, host, port = _parse(uri)
    if registrar is not None:
        _, host, port = _parse(registrar)
    try:
        address = socket.getaddrinfo(host, port, socket.AF_INET, socket.SOCK_DGRAM)[0][4]
    except OSError as error:
        raise CallError(f"{host} cannot be found: {error.strerror}") from error
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(address)
        local_host = str(probe.getsockname()[0])
    return Order(
        host=str(address[0]),
        port=port,
        number=number or "sipmail",
        local_host=local_host,
        local_port=_free_port(local_host),
        rtp_port=_free_port(local_host, even=True),
    )


def _parse(uri: str) -> tuple[str | None, str, int]:
    match = _URI.fullmatch(uri.strip())
    if match is None:
        raise CallError(f"{uri!r} is not a SIP address; write one like sip:201@192.0.2.10:5060")
    return match["user"], match["host"], int(match["port"] or _DEFAULT_PORT)


def _free_port(host: str, *, even: bool = False) -> int:
    while True:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.bind((host, 0))
            port = int(probe.getsockname()[1])
        if not (even and port % 2):
            return port


def _first_mailbox(config: Path | None) -> str:
    """The address at which the agent of this configuration takes calls on this host."""
    settings = read_config(config)
    listen = next((entry for entry in settings.sip.listen if entry.transport == "udp"), None)
    if listen is None:
        raise CallError("the configuration has no udp:// address in sip.listen to call")
    numbers = [n for mailbox in settings.mailboxes.values() for n in mailbox.numbers if n != "*"]
    host = "127.0.0.1" if listen.host in _ANY else listen.host
    return f"sip:{numbers[0] if numbers else 'sipmail'}@{host}:{listen.port}"


_SENTENCES: dict[str, Callable[..., str]] = {
    "registered": lambda: "registered",
    "calling": lambda number: f"calling {number}",
    "answered": lambda law: f"answered ({'PCMU' if law == 'ULAW' else 'PCMA'})",
    "turn": lambda seconds: f"listened for {seconds} s",
    "speaking": lambda seconds: f"speaking for {seconds} s",
    "key": lambda key: f"pressed {key}",
    "ended": lambda who: "hung up" if who == "caller" else "the other side hung up",
    "saved": lambda path, seconds: f"saved {seconds} s to {path}",
}


def sentence(event: str, details: Sequence[object]) -> str:
    """An event of a call in words."""
    return _SENTENCES[event](*details)


def call(
    uri: Annotated[
        str | None,
        typer.Argument(
            metavar="[SIP-URI]",
            help="Whom to call; without it, the first mailbox of the configuration, on this host.",
        ),
    ] = None,
    say: Annotated[
        Path | None,
        typer.Option(help="A sound file to play once the other side has finished speaking."),
    ] = None,
    dtmf: Annotated[
        str, typer.Option(help="Keys to press after that; a comma waits a second.")
    ] = "",
    save: Annotated[
        Path | None, typer.Option(help="Write what was heard to this WAV file.")
    ] = None,
    registrar: Annotated[
        str | None, typer.Option(help="Register here first, and call through it.")
    ] = None,
    username: Annotated[str, typer.Option(help="Who calls, and the registrar's account.")] = (
        "sipmail"
    ),
    password: Annotated[
        str, typer.Option(envvar="SIPMAIL_CALL_PASSWORD", help="The account's password.")
    ] = "",
    codec: Annotated[Codec, typer.Option(help="The G.711 law to offer.")] = Codec.PCMU,
    wait: Annotated[
        float, typer.Option(help="Speak after this many seconds even if the other side still does.")
    ] = 60.0,
    linger: Annotated[
        float, typer.Option(help="At the end, give the other side this many seconds to hang up.")
    ] = 1.0,
    config: ConfigOption = None,
) -> None:
    """Call a SIP address with a test phone (pyVoIP), and print what happens.

    Example: sipmail call sip:201@127.0.0.1:5060 --say hello.wav --dtmf '#' --save heard.wav
    """
    if say is not None and not say.is_file():
        raise typer.BadParameter(f"{say} does not exist", param_hint="--say")
    if wrong := set(dtmf) - set(_KEYS):
        raise typer.BadParameter(f"no key is called {min(wrong)!r}", param_hint="--dtmf")
    order = replace(
        order_for(uri or _first_mailbox(config), registrar),
        username=username,
        password=password,
        register=registrar is not None,
        codecs=_PAYLOAD_TYPES[codec],
        say=str(say) if say is not None else None,
        keys=dtmf,
        save=str(save) if save is not None else None,
        wait=wait,
        linger=linger,
    )
    place(order, lambda event, details: typer.echo(sentence(event, details)))
    if say is None and not dtmf:
        typer.echo("said nothing: --say FILE plays a recording, for a message to come of it")
