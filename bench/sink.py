"""A mail server that takes everything: `python -m bench.sink FOLDER`, prints its port first.

Each e-mail becomes a file `FOLDER/SECONDS.eml`, named by the monotonic time of the moment when it
was accepted. The least of SMTP that a client needs.
"""

from __future__ import annotations

import asyncio
import itertools
import sys
import time
from pathlib import Path


class Sink(asyncio.Protocol):
    """One client: commands by the line, data until the line with a dot."""

    def __init__(self, folder: Path, numbers: itertools.count[int]) -> None:
        self._folder = folder
        self._numbers = numbers
        self._buffer = bytearray()
        self._in_data = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.write(b"220 sink\r\n")

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while True:
            end = self._buffer.find(b"\r\n.\r\n" if self._in_data else b"\r\n")
            if end < 0:
                return
            if self._in_data:
                self._keep(bytes(self._buffer[: end + 2]))
                del self._buffer[: end + 5]
            else:
                line = bytes(self._buffer[:end])
                del self._buffer[: end + 2]
                self._command(line[:4].upper())

    def _command(self, verb: bytes) -> None:
        if verb == b"DATA":
            self._in_data = True
            self._transport.write(b"354 go on\r\n")
        elif verb == b"QUIT":
            self._transport.write(b"221 bye\r\n")
            self._transport.close()
        elif verb == b"EHLO":
            self._transport.write(b"250-sink\r\n250 8BITMIME\r\n")
        else:
            self._transport.write(b"250 ok\r\n")

    def _keep(self, message: bytes) -> None:
        self._in_data = False
        now = time.monotonic()
        name = f"{now:.6f}-{next(self._numbers)}.eml"
        (self._folder / name).write_bytes(message.replace(b"\r\n..", b"\r\n."))
        self._transport.write(b"250 taken\r\n")


async def serve(folder: Path) -> None:
    loop = asyncio.get_running_loop()
    numbers = itertools.count()
    server = await loop.create_server(lambda: Sink(folder, numbers), "127.0.0.1", 0, backlog=512)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    target = Path(sys.argv[1])
    target.mkdir(parents=True, exist_ok=True)
    asyncio.run(serve(target))
