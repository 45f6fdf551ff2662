"""Registered with a real Kamailio over UDP, TCP and TLS, IPv4 and IPv6: a call over each becomes an
e-mail; registrars that restart, fail over and hang up are recovered from.
"""

from __future__ import annotations

import signal
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import StartAgent
from tests.interop.kamailio import PASSWORD, REALM, VOICEMAIL
from tests.interop.proxy import Proxy
from tests.interop.scenario import Sipp
from tests.net.certificates import Authority
from tests.support.agent import Agent
from tests.support.patience import PATIENCE
from tests.support.ports import free_port
from tests.support.smtp import SmtpServer

pytestmark = pytest.mark.interop

StartProxy = Callable[..., Proxy]


@pytest.fixture
def proxy(program: Callable[[str], str]) -> Iterator[StartProxy]:
    """`proxy(host, …)`: a running Kamailio."""
    servers: list[Proxy] = []

    def start(host: str = "127.0.0.1", **options: Any) -> Proxy:
        servers.append(Proxy(program("kamailio"), host, **options))
        return servers[-1].start()

    yield start
    for server in servers:
        server.close()
        print(f"--- log of Kamailio {server.ports}\n{server.log()}")


@pytest.fixture
def message(tmp_path: Path) -> Path:
    """Two and a half seconds of quiet, so that the greeting is over, and a second of noise: raw
    µ-law."""
    file = tmp_path / "message.ulaw"
    file.write_bytes(b"\xff" * 16000 + bytes((i * 37 + i * i % 11) % 256 for i in range(8000)))
    return file


def registrar_uri(server: Proxy, transport: str) -> str:
    literal = f"[{server.host}]" if ":" in server.host else server.host
    return f"sip:{literal}:{server.ports[transport]};transport={transport}"


def settings(
    server: Proxy, transport: str, authority: Authority | None = None, **trunk: Any
) -> dict[str, Any]:
    """The sip section of an agent that registers at `server`, and listens as it does."""
    literal = f"[{server.host}]" if ":" in server.host else server.host
    listen = [f"udp://{literal}:{free_port()}"]
    section: dict[str, Any] = {
        "listen": listen,
        "trunks": {
            "local": None,
            "pbx": {
                "registrar": registrar_uri(server, transport),
                "username": VOICEMAIL,
                "password": PASSWORD,
                "realm": REALM,
                "keepalive": "1s",
                **trunk,
            },
        },
    }
    if transport != "udp":
        listen.append(f"{transport}://{literal}:{free_port(socket.SOCK_STREAM)}")
    if authority is not None:
        issued = authority.issue("sipmail.test", file="sipmail")
        section |= {
            "ca_file": str(authority.file),
            "certificate": str(issued.certificate),
            "private_key": str(issued.key),
        }
    return section


def wait_registered(agent: Agent, since: int = 0, timeout: float = PATIENCE) -> str:
    return agent.wait_log(
        lambda line: "trunk pbx: registered" in line, timeout, "a registration", since=since
    )


def leave_message(
    sipp: str, folder: Path, server: Proxy, message: Path, mail: SmtpServer, count: int = 1
) -> None:
    target = server.host, server.ports["udp"]
    Sipp(sipp, folder, "leave_message", target, sound=message).finish()
    delivered = mail.wait(count)[-1].message
    assert "+48600111222" in str(delivered["X-Sipmail-Caller"])
    text = delivered.get_body(("plain",))
    assert text is not None
    assert "busy" in text.get_content()


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
@pytest.mark.parametrize("transport", ["udp", "tcp", "tls"])
def test_a_call_over_each_transport(
    agent: StartAgent,
    proxy: StartProxy,
    smtp_server: SmtpServer,
    message: Path,
    greeting: Path,
    program: Callable[[str], str],
    tmp_path: Path,
    transport: str,
    host: str,
) -> None:
    authority = Authority(tmp_path / "ca")
    server = proxy(host, certificate=authority.issue(host, file="kamailio"))
    started = agent(
        smtp=smtp_server,
        sip=settings(server, transport, authority if transport == "tls" else None),
        mailboxes={"sales": {"greeting": str(greeting)}},
    )
    literal = f"[{host}]" if ":" in host else host
    line = wait_registered(started)
    assert f"with {literal}:{server.ports[transport]} over {transport}" in line
    leave_message(program("sipp"), tmp_path / "sipp", server, message, smtp_server)


def test_tls_without_a_listener_of_ours_is_called_over_our_connection(
    agent: StartAgent,
    proxy: StartProxy,
    smtp_server: SmtpServer,
    message: Path,
    greeting: Path,
    program: Callable[[str], str],
    tmp_path: Path,
) -> None:
    authority = Authority(tmp_path / "ca")
    server = proxy(certificate=authority.issue("127.0.0.1", file="kamailio"))
    section = settings(server, "tls", authority)
    section["listen"] = section["listen"][:1]
    started = agent(smtp=smtp_server, sip=section, mailboxes={"sales": {"greeting": str(greeting)}})
    wait_registered(started)
    leave_message(program("sipp"), tmp_path / "sipp", server, message, smtp_server)


@pytest.mark.parametrize(
    ("names", "trusted", "trunk", "told"),
    [
        (("other.test",), True, {}, "the server's certificate is not accepted"),
        (("127.0.0.1",), False, {}, "the server's certificate is not accepted"),
        (("other.test",), False, {"verify": False}, ""),
    ],
)
def test_the_certificate_of_the_registrar_is_checked(
    agent: StartAgent,
    proxy: StartProxy,
    tmp_path: Path,
    names: tuple[str, ...],
    trusted: bool,
    trunk: dict[str, Any],
    told: str,
) -> None:
    authority = Authority(tmp_path / "ca")
    server = proxy(certificate=authority.issue(*names, file="kamailio"))
    section = settings(server, "tls", authority, **trunk)
    if not trusted:
        del section["ca_file"]
    started = agent(sip=section)
    if told:
        started.wait_log(told)
        started.wait_log("trunk pbx: not registered")
    else:
        wait_registered(started)


def test_an_expired_certificate_is_named_and_its_renewal_noticed(
    agent: StartAgent, proxy: StartProxy, tmp_path: Path
) -> None:
    authority = Authority(tmp_path / "ca")
    server = proxy(certificate=authority.issue("127.0.0.1", days=-1, file="kamailio"))
    started = agent(sip=settings(server, "tls", authority))
    started.wait_log("certificate has expired")
    server.stop()
    authority.issue("127.0.0.1", file="kamailio")
    server.start()
    # The next try would come with the back-off; a reload with another keepalive changes nothing
    # about that, one with another lifetime registers anew.
    changed = started.settings
    changed["sip"]["trunks"]["pbx"]["expires"] = "2m"
    started.write(changed)
    started.signal(signal.SIGHUP)
    wait_registered(started)


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_a_registrar_that_restarts_and_has_forgotten_us(
    agent: StartAgent,
    proxy: StartProxy,
    smtp_server: SmtpServer,
    message: Path,
    greeting: Path,
    program: Callable[[str], str],
    tmp_path: Path,
    transport: str,
) -> None:
    server = proxy()
    started = agent(
        smtp=smtp_server,
        sip=settings(server, transport),
        mailboxes={"sales": {"greeting": str(greeting)}},
    )
    wait_registered(started)
    since = len(started.lines)
    server.stop()
    started.wait_log("trunk pbx: the way to 127.0.0.1", since=since)
    server.start()
    wait_registered(started, since)
    leave_message(program("sipp"), tmp_path / "sipp", server, message, smtp_server)


def test_an_outbound_proxy_that_stays_in_the_way(
    agent: StartAgent,
    proxy: StartProxy,
    smtp_server: SmtpServer,
    message: Path,
    greeting: Path,
    sipp: str,
    tmp_path: Path,
) -> None:
    """The registrar has a name that leads nowhere; it wants Path (RFC 3327) to be supported."""
    registrar = proxy()
    edge = proxy(registrars=[(registrar.host, registrar.ports["udp"])])
    trunk = {"registrar": f"sip:{REALM}", "outbound_proxy": registrar_uri(edge, "tcp")}
    section = settings(edge, "tcp", **trunk)
    started = agent(smtp=smtp_server, sip=section, mailboxes={"sales": {"greeting": str(greeting)}})
    line = wait_registered(started)
    assert f"with 127.0.0.1:{edge.ports['tcp']} over tcp" in line
    leave_message(sipp, tmp_path / "sipp", registrar, message, smtp_server)


def test_two_registrars_behind_a_dispatcher(
    agent: StartAgent,
    proxy: StartProxy,
    smtp_server: SmtpServer,
    message: Path,
    greeting: Path,
    program: Callable[[str], str],
    tmp_path: Path,
) -> None:
    first, second = proxy(expires=10), proxy(expires=10)
    edge = proxy(registrars=[(one.host, one.ports["udp"]) for one in (first, second)])
    section = settings(edge, "udp", accept_from=["127.0.0.1/32"])
    started = agent(smtp=smtp_server, sip=section, mailboxes={"sales": {"greeting": str(greeting)}})
    wait_registered(started)
    sipp = program("sipp")
    leave_message(sipp, tmp_path / "first", first, message, smtp_server)
    first.stop()
    # The next refresh, within 10 s, ends up at the second; until then it knows nobody.
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            leave_message(sipp, tmp_path / "second", second, message, smtp_server, 2)
            break
        except AssertionError:
            if time.monotonic() > deadline:
                raise
