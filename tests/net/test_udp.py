"""The UDP socket on loopback."""

from __future__ import annotations

import asyncio
import socket

import pytest

from sipmail.net.udp import UdpSocket
from tests.support.patience import PATIENCE


def test_every_datagram_of_a_burst_arrives_with_its_source() -> None:
    async def main() -> None:
        got: list[tuple[bytes, str, int]] = []
        all_there = asyncio.Event()

        def received(data: bytes, host: str, port: int, _: UdpSocket) -> None:
            got.append((data, host, port))
            if len(got) == 300:
                all_there.set()

        udp = UdpSocket("127.0.0.1", 0, received)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
            peer.bind(("127.0.0.1", 0))
            for number in range(300):
                peer.sendto(str(number).encode(), ("127.0.0.1", udp.port))
            async with asyncio.timeout(PATIENCE):
                await all_there.wait()
            assert [int(data) for data, _, _ in got] == list(range(300))
            assert {(host, port) for _, host, port in got} == {peer.getsockname()}
            udp.send(b"back", *peer.getsockname())
            peer.settimeout(PATIENCE)
            assert peer.recvfrom(100) == (b"back", ("127.0.0.1", udp.port))
        udp.close()

    asyncio.run(main())


@pytest.mark.skipif(not hasattr(socket, "MSG_ERRQUEUE"), reason="only Linux tells of ICMP errors")
@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_a_port_that_nobody_listens_at_is_told(host: str) -> None:
    async def main() -> None:
        told: asyncio.Queue[tuple[str, int, str]] = asyncio.Queue()
        udp = UdpSocket(host, 0, lambda *_: None, lambda *what: told.put_nowait(what))
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with socket.socket(family, socket.SOCK_DGRAM) as gone:
            gone.bind((host, 0))
            port = gone.getsockname()[1]
        async with asyncio.timeout(PATIENCE):
            udp.send(b"anybody?", host, port)
            assert (await told.get())[:2] == (host, port)
        udp.close()

    asyncio.run(main())


@pytest.mark.skipif(not hasattr(socket, "MSG_ERRQUEUE"), reason="only Linux tells of ICMP errors")
def test_the_error_of_one_peer_is_not_that_of_another() -> None:
    async def main() -> None:
        told: asyncio.Queue[tuple[str, int, str]] = asyncio.Queue()
        udp = UdpSocket("127.0.0.1", 0, lambda *_: None, lambda *what: told.put_nowait(what))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
            peer.bind(("127.0.0.1", 0))
            peer.settimeout(PATIENCE)
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as gone:
                gone.bind(("127.0.0.1", 0))
                port = gone.getsockname()[1]
            udp.send(b"anybody?", "127.0.0.1", port)
            udp.send(b"you", *peer.getsockname())  # meets the error of the one before
            assert peer.recvfrom(100)[0] == b"you"
            async with asyncio.timeout(PATIENCE):
                assert (await told.get())[1] == port
        assert told.empty()
        udp.close()

    asyncio.run(main())
