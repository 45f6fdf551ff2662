"""TCP connections: framing over any split, reuse, keep-alive, and failures told."""

from __future__ import annotations

import asyncio
import socket
import ssl

from sipmail.net.stream import Streams
from sipmail.sip.actions import Hop

MESSAGE = b"OPTIONS sip:a@b SIP/2.0\r\nContent-Length: 3\r\n\r\nabc"


def _closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


class Ends:
    """Two `Streams` that write down what they hear."""

    def __init__(self) -> None:
        self.heard: asyncio.Queue[tuple[bytes, Hop]] = asyncio.Queue()
        self.failed: asyncio.Queue[Hop] = asyncio.Queue()

    def streams(self) -> Streams:
        return Streams(
            lambda message, source, host, port: self.heard.put_nowait((message, source)),
            lambda hop, why: self.failed.put_nowait(hop),
            ssl.create_default_context(),
        )


def test_a_message_in_single_bytes_comes_out_whole_and_the_answer_takes_the_connection() -> None:
    async def main() -> None:
        server, client = Ends(), Ends()
        listening = server.streams()
        port = await listening.listen("127.0.0.1", 0, None)
        calling = client.streams()
        hop = Hop("tcp", "127.0.0.1", port)
        for index in range(len(MESSAGE)):
            calling.send(MESSAGE[index : index + 1], hop)
            await asyncio.sleep(0)
        calling.send(MESSAGE, hop)
        async with asyncio.timeout(5):
            first, source = await server.heard.get()
            second, again = await server.heard.get()
            assert first == second == MESSAGE
            assert source == again
            listening.send(MESSAGE, source)
            assert await client.heard.get() == (MESSAGE, hop)
        await calling.close()
        await listening.close()

    asyncio.run(main())


def test_a_double_crlf_is_answered_with_one() -> None:
    async def main() -> None:
        listening = Ends().streams()
        port = await listening.listen("127.0.0.1", 0, None)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"\r\n\r\n")
        async with asyncio.timeout(5):
            assert await reader.readexactly(2) == b"\r\n"
        writer.close()
        await writer.wait_closed()
        await listening.close()

    asyncio.run(main())


def test_a_refused_connection_is_told() -> None:
    async def main() -> None:
        ends = Ends()
        streams = ends.streams()
        hop = Hop("tcp", "127.0.0.1", _closed_port())
        streams.send(MESSAGE, hop)
        async with asyncio.timeout(5):
            assert await ends.failed.get() == hop
        await streams.close()

    asyncio.run(main())


def test_a_peer_that_hangs_up_is_told_and_the_next_message_connects_again() -> None:
    async def main() -> None:
        accepted: asyncio.Queue[asyncio.StreamWriter] = asyncio.Queue()
        server = await asyncio.start_server(
            lambda _, writer: accepted.put_nowait(writer), "127.0.0.1", 0
        )
        hop = Hop("tcp", "127.0.0.1", server.sockets[0].getsockname()[1])
        ends = Ends()
        streams = ends.streams()
        async with asyncio.timeout(5):
            streams.send(MESSAGE, hop)
            (await accepted.get()).close()
            assert await ends.failed.get() == hop
            streams.send(MESSAGE, hop)
            (await accepted.get()).close()
        await streams.close()
        server.close()

    asyncio.run(main())
