"""The driver when something changes: connections that break, servers that are gone, names that lead
elsewhere, an address that is another one. Each is recovered from without a restart, and told.
"""

from __future__ import annotations

import logging
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest

from sipmail.net.driver import Listener
from sipmail.net.tls import ServerCertificate, client_context
from sipmail.sip.actions import RegistrationFailed
from tests.net.certificates import Authority
from tests.net.scene import Registrar, Scene, UdpRegistrar, contact, run


@pytest.mark.parametrize("how", [Registrar.hang_up, Registrar.half_close])
def test_a_registrar_that_closes_the_connection_is_connected_again(
    how: Callable[[Registrar], None], caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        registrar, scene = Registrar(), Scene()
        await registrar.open()
        scene.services = [(0, 0, "127.0.0.1", registrar.port)]
        await scene.start("tcp")
        await scene.registered()
        scene.settle()
        how(registrar)
        await scene.registered()
        assert registrar.requests.qsize() == 2
        await scene.driver.close()
        registrar.close()

    with caplog.at_level(logging.INFO, "sipmail"):
        run(main)
    assert "trunk pbx: the way to 127.0.0.1:" in caplog.text
    assert caplog.text.count("trunk pbx: registered again") == 1


def test_while_dns_is_away_the_registration_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        registrar, scene = Registrar(), Scene()
        await registrar.open()
        scene.services = [(0, 0, "127.0.0.1", registrar.port)]
        await scene.start("tcp")
        await scene.registered()
        scene.dns_answers = False
        scene.wait_no_longer()
        await scene.registered()
        assert registrar.requests.qsize() == 2
        await scene.driver.close()
        registrar.close()

    with caplog.at_level(logging.WARNING, "sipmail"):
        run(main)
    assert (
        "DNS gives no answer about _sip._tcp.pbx.example.com, so the last one is used:"
        " the name server is away" in caplog.text
    )


def test_an_expired_certificate_is_named_and_the_next_one_taken(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    authority = Authority(tmp_path)

    def certificate(days: int) -> ssl.SSLContext:
        issued = authority.issue("pbx.example.com", days=days)
        return ServerCertificate(issued.certificate, issued.key).context

    async def main() -> None:
        registrar = Registrar()
        scene = Scene("sip:pbx.example.com;transport=tls", client_context(authority.file))
        await registrar.open(certificate(-1))
        scene.services = [(0, 0, "127.0.0.1", registrar.port)]
        await scene.start("udp")
        assert isinstance(await scene.news.get(), RegistrationFailed)
        registrar.close()
        await registrar.open(certificate(30))
        scene.wait_no_longer()
        await scene.registered()
        await scene.driver.close()
        registrar.close()

    with caplog.at_level(logging.WARNING, "sipmail"):
        run(main)
    assert "the server's certificate is not accepted: certificate has expired" in caplog.text


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


def test_another_transport_takes_over_from_one_that_leads_nowhere(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """RFC 3263 section 4.3: NAPTR wants TCP first, and then UDP."""

    async def main() -> None:
        tcp, udp, scene = Registrar(), UdpRegistrar(), Scene("sip:pbx.example.com")
        await tcp.open()
        await udp.open()
        scene.pointers = [
            (10, 0, "s", "SIP+D2T", "_sip._tcp.pbx.example.com"),
            (20, 0, "s", "SIP+D2U", "_sip._udp.pbx.example.com"),
        ]
        scene.services = [(0, 0, "127.0.0.1", tcp.port)]
        scene.udp_services = [(0, 0, "127.0.0.1", udp.port)]
        listening = await scene.start("udp", "tcp")
        ports = [url.rpartition(":")[2] for url in listening]
        await scene.registered()
        assert f"@127.0.0.1:{ports[1]};transport=tcp>" in contact(await tcp.requests.get())
        scene.settle()
        tcp.close()
        await scene.registered()
        first, second = (await udp.requests.get()).headers.all("Contact")
        assert f"@127.0.0.1:{ports[0]}>" in first
        assert f"@127.0.0.1:{ports[1]};transport=tcp>" in second
        assert second.endswith("expires=0")
        await scene.driver.close()
        udp.transport.close()

    with caplog.at_level(logging.INFO, "sipmail"):
        run(main)
    assert "trunk pbx: the way to 127.0.0.1:" in caplog.text
    assert "registered again" in caplog.text


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
        scene.wait_no_longer()
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


def test_a_network_that_was_away_is_used_as_soon_as_it_is_back(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def main() -> None:
        registrar, scene = Registrar(), Scene()
        await registrar.open()
        scene.services = [(0, 0, "127.0.0.1", registrar.port)]
        await scene.start("tcp")
        await scene.registered()
        scene.settle()
        scene.ours = None
        scene.driver._look_at_addresses()
        registrar.close()
        assert isinstance(await scene.news.get(), RegistrationFailed)
        scene.driver._look_at_addresses()
        await registrar.open()
        scene.ours = "127.0.0.1"
        scene.driver._look_at_addresses()
        await scene.registered()  # without the back-off, which nobody has waited for here
        assert registrar.requests.qsize() == 2
        await scene.driver.close()
        registrar.close()

    with caplog.at_level(logging.INFO, "sipmail"):
        run(main)
    assert caplog.text.count("trunk pbx: no network leads to 127.0.0.1 any more") == 1
    assert caplog.text.count("trunk pbx: the network is back: registering again") == 1


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
