"""The UDP socket on loopback."""

from __future__ import annotations

import asyncio
import socket

from sipmail.net.udp import UdpSocket


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
            async with asyncio.timeout(5):
                await all_there.wait()
            assert [int(data) for data, _, _ in got] == list(range(300))
            assert {(host, port) for _, host, port in got} == {peer.getsockname()}
            udp.send(b"back", *peer.getsockname())
            peer.settimeout(5)
            assert peer.recvfrom(100) == (b"back", ("127.0.0.1", udp.port))
        udp.close()

    asyncio.run(main())
