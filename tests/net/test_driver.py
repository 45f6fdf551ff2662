"""The driver with a real endpoint and a registrar of a few lines, over loopback.

Names lead where the test says, the machine's address is what the test says; nothing sleeps.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable
from itertools import count

import pytest

from sipmail.net.address import LocalAddresses
from sipmail.net.driver import CannotListen, Driver, Listener
from sipmail.net.resolver import Pointer, Resolver, Service
from sipmail.sip.actions import Action, Hop, Registered, RegistrationFailed
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


class Registrar:
    """Listens on loopback until it is closed, and again when it is opened again."""

    def __init__(self) -> None:
        self.requests: asyncio.Queue[Request] = asyncio.Queue()
        self.connections: list[asyncio.Transport] = []
        self.port = 0
        self._server: asyncio.Server | None = None

    async def open(self) -> None:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: TcpRegistrar(self), "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    def close(self) -> None:
        assert self._server is not None
        self._server.close()
        self.hang_up()

    def hang_up(self) -> None:
        for transport in self.connections:
            transport.abort()
        self.connections.clear()


class Scene:
    """An endpoint with one trunk, its driver, a name server and a machine with an address."""

    def __init__(self, uri: str = "sip:pbx.example.com;transport=tcp") -> None:
        numbers = count(1)
        self.services: list[Service] = []
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
            resolver=Resolver(self._find_services, self._find_addresses, 0.5, self._find_pointers),
        )

    async def _find_services(self, name: str) -> list[Service]:
        return self.services

    async def _find_pointers(self, name: str) -> list[Pointer]:
        return []

    async def _find_addresses(self, name: str) -> list[str]:
        return list(self.addresses)

    async def start(self, *transports: str) -> list[str]:
        listening = await self.driver.listen(Listener(one, "127.0.0.1", 0) for one in transports)
        self.driver.perform(self.endpoint.start(self.driver.now))
        return listening

    async def registered(self) -> None:
        while not isinstance(await self.news.get(), Registered):
            pass

    def settle(self) -> None:
        """Lets the time pass in which a new registration may not be a rash one."""
        registration = self.endpoint._lines["pbx"].registration
        assert registration is not None
        registration._registered_at = self.driver.now - 60


def contact(request: Request) -> str:
    return request.headers.all("Contact")[0]


def test_a_trunk_over_tcp_registers_and_says_where_it_listens() -> None:
    async def main() -> None:
        registrar, scene = Registrar(), Scene()
        await registrar.open()
        scene.services = [(0, 0, "127.0.0.1", registrar.port)]
        listening = await scene.start("tcp")
        await scene.registered()
        request = await registrar.requests.get()
        assert f"@{listening[0].partition('://')[2]};transport=tcp" in contact(request)
        await scene.driver.close()
        registrar.close()

    run(main)


def test_without_a_listener_the_contact_is_our_end_of_the_connection() -> None:
    async def main() -> None:
        registrar, scene = Registrar(), Scene()
        await registrar.open()
        scene.services = [(0, 0, "127.0.0.1", registrar.port)]
        await scene.start("udp")
        await scene.registered()
        first, second = await registrar.requests.get(), await registrar.requests.get()
        assert "@127.0.0.1;transport=tcp" in contact(first)
        port = registrar.connections[0].get_extra_info("peername")[1]
        assert f"@127.0.0.1:{port};transport=tcp" in contact(second)
        await scene.driver.close()
        registrar.close()

    run(main)


def test_a_registrar_that_hangs_up_is_connected_again(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        registrar, scene = Registrar(), Scene()
        await registrar.open()
        scene.services = [(0, 0, "127.0.0.1", registrar.port)]
        await scene.start("tcp")
        await scene.registered()
        scene.settle()
        registrar.hang_up()
        await scene.registered()
        assert registrar.requests.qsize() == 2
        await scene.driver.close()
        registrar.close()

    with caplog.at_level(logging.INFO, "sipmail"):
        run(main)
    assert "trunk pbx: the way to 127.0.0.1:" in caplog.text
    assert caplog.text.count("trunk pbx: registered again") == 1


def test_the_next_server_takes_over_from_one_that_is_gone() -> None:
    async def main() -> None:
        first, second, scene = Registrar(), Registrar(), Scene()
        await first.open()
        await second.open()
        scene.services = [(10, 0, "127.0.0.1", first.port), (20, 0, "127.0.0.1", second.port)]
        await scene.start("tcp")
        await scene.registered()
        assert (first.requests.qsize(), second.requests.qsize()) == (1, 0)
        scene.settle()
        first.close()
        await scene.registered()
        assert (first.requests.qsize(), second.requests.qsize()) == (1, 1)
        await scene.driver.close()
        second.close()

    run(main)


def test_a_name_that_does_not_resolve_at_the_start_is_looked_up_again() -> None:
    async def main() -> None:
        registrar, scene = Registrar(), Scene()
        await registrar.open()
        scene.addresses = []
        await scene.start("tcp")
        failed = await scene.news.get()
        assert isinstance(failed, RegistrationFailed)
        assert "does not resolve" in failed.reason
        scene.services = [(0, 0, "127.0.0.1", registrar.port)]
        deadline = scene.endpoint.deadline
        assert deadline is not None
        scene.driver.perform(scene.endpoint.timer(deadline))
        await scene.registered()
        await scene.driver.close()
        registrar.close()

    run(main)


def test_an_address_of_ours_that_changed_is_registered(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        registrar, scene = Registrar(), Scene()
        await registrar.open()
        scene.services = [(0, 0, "127.0.0.1", registrar.port)]
        await scene.driver.listen([Listener("tcp", "0.0.0.0", 0)])
        await scene.start()
        await scene.registered()
        assert "@127.0.0.1:" in contact(await registrar.requests.get())
        scene.settle()
        scene.driver._look_at_addresses()
        scene.ours = None
        scene.driver._look_at_addresses()
        assert registrar.requests.empty()
        scene.ours = "192.0.2.99"
        scene.driver._look_at_addresses()
        await scene.registered()
        request = await registrar.requests.get()
        first, second = request.headers.all("Contact")
        assert "@192.0.2.99:" in first
        assert "@127.0.0.1:" in second
        assert second.endswith("expires=0")
        await scene.driver.close()
        registrar.close()

    with caplog.at_level(logging.WARNING, "sipmail"):
        run(main)
    assert "our address is 192.0.2.99 now (before: 127.0.0.1)" in caplog.text


def test_a_name_that_leads_elsewhere_is_told(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        first, second, scene = Registrar(), Registrar(), Scene()
        await first.open()
        await second.open()
        scene.services = [(0, 0, "127.0.0.1", first.port)]
        await scene.start("tcp")
        await scene.registered()
        scene.services = [(0, 0, "127.0.0.1", second.port)]
        scene.settle()
        first.hang_up()
        await scene.registered()
        assert second.requests.qsize() == 1
        await scene.driver.close()
        first.close()
        second.close()

    with caplog.at_level(logging.INFO, "sipmail"):
        run(main)
    assert "pbx.example.com leads to 127.0.0.1:" in caplog.text


def test_a_registrar_of_a_family_that_nothing_listens_to_is_named(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def main() -> None:
        scene = Scene("sip:pbx.example.com")
        scene.addresses = ["2001:db8::1"]
        await scene.start("udp")
        assert isinstance(await scene.news.get(), RegistrationFailed)
        await scene.driver.close()

    with caplog.at_level(logging.ERROR, "sipmail"):
        run(main)
    assert "has IPv6 addresses only" in caplog.text


@pytest.mark.parametrize(("host", "any_host"), [("127.0.0.1", "0.0.0.0"), ("::1", "::")])
def test_a_udp_message_is_answered_by_the_endpoint(host: str, any_host: str) -> None:
    async def main() -> None:
        scene = Scene(f"sip:[{host}]" if ":" in host else f"sip:{host}")
        scene.ours = host
        (url,) = await scene.driver.listen([Listener("udp", any_host, 0)])
        port = int(url.rpartition(":")[2])
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with socket.socket(family, socket.SOCK_DGRAM) as phone:
            phone.bind((host, 0))
            phone.setblocking(False)
            literal = f"[{host}]" if ":" in host else host
            phone.sendto(
                f"OPTIONS sip:200@{literal} SIP/2.0\r\n"
                f"Via: SIP/2.0/UDP {literal}:9;branch=z9hG4bK1;rport\r\n"
                f"From: <sip:p@{literal}>;tag=1\r\nTo: <sip:200@{literal}>\r\nCall-ID: 1\r\n"
                "CSeq: 1 OPTIONS\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n".encode(),
                (host, port),
            )
            answer = parse(await asyncio.get_running_loop().sock_recv(phone, 4096))
            assert not isinstance(answer, Request)
            assert answer.status == 200
            assert f"@{literal}:{port}" in (answer.headers.get("Contact") or "")
        await scene.driver.close()

    run(main)


def test_media_is_wanted_where_the_registrar_saw_us() -> None:
    async def main() -> None:
        registrar, scene = Registrar(), Scene()
        await registrar.open()
        scene.services = [(0, 0, "127.0.0.1", registrar.port)]
        await scene.driver.listen([Listener("tcp", "0.0.0.0", 0)])
        scene.ours = "192.0.2.99"  # behind a NAT: the registrar sees 127.0.0.1
        await scene.start()
        await scene.registered()
        source = Hop("tcp", "127.0.0.1", registrar.port)
        assert scene.driver.media_host("pbx", source) == "127.0.0.1"
        assert scene.driver.media_host("pbx", Hop("tcp", "127.0.0.2", 1)) == "192.0.2.99"
        await scene.driver.close()
        registrar.close()

    run(main)


@pytest.mark.parametrize(("transport", "sockets"), [("udp", "-lnup"), ("tcp", "-lntp")])
def test_an_address_that_is_taken_is_named(transport: str, sockets: str) -> None:
    async def main() -> None:
        first, second = Scene(), Scene()
        (url,) = await first.driver.listen([Listener(transport, "127.0.0.1", 0)])
        port = int(url.rpartition(":")[2])
        with pytest.raises(CannotListen) as raised:
            await second.driver.listen([Listener(transport, "127.0.0.1", port)])
        assert str(raised.value) == (
            f"cannot listen on {transport}://127.0.0.1:{port}: Address already in use; "
            f"see with `ss {sockets}` which program has the port"
        )
        await first.driver.close()
        await second.driver.close()

    run(main)


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_an_address_of_another_machine_is_named(transport: str) -> None:
    async def main() -> None:
        scene = Scene()
        # The words of the system, or those of asyncio from Python 3.13 on.
        why = "(Cannot assign requested|could not bind on any address)"
        with pytest.raises(CannotListen, match=rf"on {transport}://192\.0\.2\.1:5060: {why}"):
            await scene.driver.listen([Listener(transport, "192.0.2.1", 5060)])
        await scene.driver.close()

    run(main)
