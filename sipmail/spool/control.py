"""The control socket: how a command asks the running agent, as whoever may enter the spool.

A Unix stream socket in the spool, 0600. One JSON object a line: `{"command": …, …arguments}` is
answered by `{"result": …}` or `{"error": text}`. The agent gives the table of handlers; an
argument is data, and whatever a client sends, the agent answers or hangs up. A socket that nobody
listens on was left by a crash: the next owner of the spool replaces it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import socket
from collections.abc import Awaitable, Callable, Iterator, Mapping
from pathlib import Path

from sipmail.errors import SipmailError, SpoolError
from sipmail.spool.layout import CONTROL

log = logging.getLogger(__name__)

Handler = Callable[[Mapping[str, object]], Awaitable[object]]
"""Gets the arguments, returns what JSON can say, raises SipmailError with a text for people."""

_LINE_BYTES = 1 << 20
_LONGEST_ADDRESS = 100
"""Bytes of a path that `sun_path` surely holds (108 on Linux, 104 elsewhere)."""
_PATIENCE_SECONDS = 30.0


class NotRunning(SpoolError):
    """No agent listens on the control socket of this spool."""


class ControlServer:
    """The agent's side."""

    def __init__(self, root: Path, handlers: Mapping[str, Handler]) -> None:
        self._root = root
        self._handlers = dict(handlers)
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.StreamWriter] = set()

    async def start(self) -> None:
        """Listens; only for the owner of the spool. Raises SpoolError."""
        try:
            sock = _listen(self._root)
        except OSError as error:
            raise SpoolError(f"cannot make the control socket: {error}") from error
        self._server = await asyncio.start_unix_server(self._serve, sock=sock, limit=_LINE_BYTES)

    async def stop(self) -> None:
        """Hangs up on everybody and removes the socket."""
        if self._server is None:
            return
        self._server.close()
        for writer in list(self._connections):
            writer.close()
        await self._server.wait_closed()
        self._server = None
        with contextlib.suppress(OSError):
            (self._root / CONTROL).unlink()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections.add(writer)
        try:
            while line := await reader.readline():
                answer = await self._answer(line)
                writer.write(json.dumps(answer, separators=(",", ":")).encode() + b"\n")
                await writer.drain()
        except (ConnectionError, ValueError) as error:  # gone, or a line that never ends
            log.debug("a control connection ended: %s", error)
        finally:
            self._connections.discard(writer)
            writer.close()

    async def _answer(self, line: bytes) -> dict[str, object]:
        try:
            request = json.loads(line)
        except ValueError:
            return {"error": "not a line of JSON"}
        if not isinstance(request, dict):
            return {"error": "not a JSON object"}
        command = request.pop("command", None)
        handler = self._handlers.get(command) if isinstance(command, str) else None
        if handler is None:
            return {"error": f"the running sipmail knows no command {command!r}"}
        try:
            return {"result": await handler(request)}
        except SipmailError as error:
            return {"error": str(error)}
        except Exception:
            log.exception("the control command %r failed", command)
            return {"error": f"{command} failed, see sipmail's log"}


def ask(
    root: Path, command: str, patience: float = _PATIENCE_SECONDS, /, **arguments: object
) -> object:
    """The client's side: one request to the agent that owns the spool `root`, and its result, for
    which it waits `patience` seconds.

    Raises NotRunning when no agent listens, SpoolError with what it said when it refused.
    """
    line = json.dumps({"command": command, **arguments}).encode() + b"\n"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.settimeout(patience)
        try:
            with _address(root) as address:
                sock.connect(address)
        except (FileNotFoundError, ConnectionRefusedError) as error:
            raise NotRunning(f"no sipmail is running in {root}") from error
        except OSError as error:
            raise SpoolError(f"cannot reach the sipmail in {root}: {error}") from error
        try:
            sock.sendall(line)
            with sock.makefile("rb") as answers:
                answer = answers.readline()
        except OSError as error:
            raise SpoolError(f"the sipmail in {root} does not answer: {error}") from error
    if not answer.endswith(b"\n"):
        raise SpoolError(f"the sipmail in {root} hung up before it answered")
    reply = json.loads(answer)
    if "error" in reply:
        raise SpoolError(str(reply["error"]))
    return reply["result"]


def _listen(root: Path) -> socket.socket:
    with contextlib.suppress(FileNotFoundError):
        (root / CONTROL).unlink()
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    mask = os.umask(0o177)
    try:
        with _address(root) as address:
            sock.bind(address)
        sock.listen()
    except OSError:
        sock.close()
        raise
    finally:
        os.umask(mask)
    sock.setblocking(False)
    return sock


@contextlib.contextmanager
def _address(root: Path) -> Iterator[str]:
    # A deep folder does not fit a socket's address; through its descriptor every folder does.
    path = root / CONTROL
    if len(os.fsencode(path)) <= _LONGEST_ADDRESS:
        yield str(path)
        return
    fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{fd}/{CONTROL}"
    finally:
        os.close(fd)
