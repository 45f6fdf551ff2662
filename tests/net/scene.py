"""An endpoint with its driver, and registrars of a few lines, over loopback.

Names lead where the test says, the machine's address is what the test says; nothing sleeps.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from itertools import count

from sipmail.net.address import LocalAddresses
from sipmail.net.driver import Driver, Listener
from sipmail.net.resolver import LookupFailed, Pointer, Resolver, Service
from sipmail.sip.actions import Action, Registered
from sipmail.sip.endpoint import Endpoint
from sipmail.sip.message import Request, parse, received_from, response_to
from sipmail.sip.stream import StreamFramer
from sipmail.sip.trunk import Trunk
from tests.support.patience import PATIENCE


def run(test: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(PATIENCE):
            await test()

    asyncio.run(bounded())


class TcpRegistrar(asyncio.Protocol):
    """One connection of a registrar that takes everybody, seen from its end."""

    def __init__(self, registrar: Registrar) -> None:
        self._registrar = registrar
        self._framer = StreamFramer()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self._registrar.connections.append(transport)

    def data_received(self, data: bytes) -> None:
        for one in self._framer.feed(data):
            request = parse(one)
            assert isinstance(request, Request)
            self._registrar.requests.put_nowait(request)
            seen = received_from(request, *self.transport.get_extra_info("peername"))
            contacts = [("Contact", request.headers.all("Contact")[0])]
            self.transport.write(bytes(response_to(seen, 200, headers=contacts)))


class UdpRegistrar(asyncio.DatagramProtocol):
    """A registrar over UDP that takes everybody."""

    def __init__(self) -> None:
        self.requests: asyncio.Queue[Request] = asyncio.Queue()
        self.port = 0

    async def open(self) -> None:
        loop = asyncio.get_running_loop()
        await loop.create_datagram_endpoint(lambda: self, ("127.0.0.1", 0))

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:
        self.transport = transport
        self.port = transport.get_extra_info("sockname")[1]

    def datagram_received(self, data: bytes, address: tuple[str, int]) -> None:
        request = parse(data)
        assert isinstance(request, Request)
        self.requests.put_nowait(request)
        contacts = [("Contact", request.headers.all("Contact")[0])]
        seen = received_from(request, *address)
        self.transport.sendto(bytes(response_to(seen, 200, headers=contacts)), address)


class Registrar:
    """Listens on loopback until it is closed, and again when it is opened again."""

    def __init__(self) -> None:
        self.requests: asyncio.Queue[Request] = asyncio.Queue()
        self.connections: list[asyncio.Transport] = []
        self.port = 0
        self._server: asyncio.Server | None = None

    async def open(self, tls: ssl.SSLContext | None = None) -> None:
        self._server = await asyncio.get_running_loop().create_server(
            lambda: TcpRegistrar(self), "127.0.0.1", self.port, ssl=tls
        )
        self.port = self._server.sockets[0].getsockname()[1]

    def close(self) -> None:
        assert self._server is not None
        self._server.close()
        self.hang_up()

    def hang_up(self) -> None:
        for transport in self.connections:
            transport.abort()
        self.connections.clear()

    def half_close(self) -> None:
        """Says no more over the connections that there are, and reads on."""
        for transport in self.connections:
            transport.write_eof()
        self.connections.clear()


class Scene:
    """An endpoint with one trunk, its driver, a name server and a machine with an address."""

    def __init__(
        self,
        uri: str = "sip:pbx.example.com;transport=tcp",
        client_tls: ssl.SSLContext | None = None,
    ) -> None:
        numbers = count(1)
        self.services: list[Service] = []
        self.udp_services: list[Service] = []
        self.pointers: list[Pointer] = []
        self.dns_answers = True
        self.addresses = ["127.0.0.1"]
        self.ours: str | None = "127.0.0.1"
        self.news: asyncio.Queue[Action] = asyncio.Queue()
        trunk = Trunk("pbx", registrar=uri, username="200", keepalive=0)
        self.endpoint = Endpoint(
            [trunk], tokens=lambda: f"t{next(numbers)}", jitter=lambda: 0.0, user_agent="test"
        )
        self.driver = Driver(
            self.endpoint,
            LocalAddresses(route=lambda _: self.ours),
            self.news.put_nowait,
            client_tls,
            resolver=Resolver(self._find_services, self._find_addresses, 0.5, self._find_pointers),
        )

    async def _find_services(self, name: str) -> list[Service]:
        if not self.dns_answers:
            raise LookupFailed("the name server is away")
        return self.udp_services if name.startswith("_sip._udp.") else self.services

    async def _find_pointers(self, name: str) -> list[Pointer]:
        return self.pointers

    async def _find_addresses(self, name: str) -> list[str]:
        return list(self.addresses)

    async def start(self, *transports: str) -> list[str]:
        listening = await self.driver.listen(Listener(one, "127.0.0.1", 0) for one in transports)
        self.driver.perform(self.endpoint.start(self.driver.now))
        return listening

    async def registered(self) -> None:
        while not isinstance(await self.news.get(), Registered):
            pass

    def wait_no_longer(self) -> None:
        """The next deadline has come: of a refresh, or of another try."""
        deadline = self.endpoint.deadline
        assert deadline is not None
        self.driver.perform(self.endpoint.timer(deadline))

    def settle(self) -> None:
        """Lets the time pass in which a new registration may not be a rash one."""
        registration = self.endpoint._lines["pbx"].registration
        assert registration is not None
        registration._registered_at = self.driver.now - 60


def contact(request: Request) -> str:
    return request.headers.all("Contact")[0]
