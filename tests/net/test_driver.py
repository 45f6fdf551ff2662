"""The driver with a real endpoint and a registrar: what listens, and which address others see."""

from __future__ import annotations

import asyncio
import socket

import pytest

from sipmail.net.driver import CannotListen, Listener
from sipmail.sip.actions import Hop
from sipmail.sip.message import Request, parse
from tests.net.scene import Registrar, Scene, contact, run


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
