"""Whether the others can be reached: names, registrars, the mail server.

Where a sipmail runs, it is asked how it stands with its registrars (see `standing`). Else a trunk
is registered once, from a port and with a Contact of its own, and unregistered at once. Calls that
reach this Contact meanwhile get 480, so that the network tries the next one.
"""

from __future__ import annotations

import asyncio
import random
import secrets
import socket
import ssl
from collections.abc import Collection, Iterator
from dataclasses import replace

from sipmail import __version__
from sipmail.agent import machine, standing
from sipmail.agent.settings import sip_trunks, trust
from sipmail.agent.step import Step, failed, right
from sipmail.config.model import Config, Smtp
from sipmail.errors import ProtocolError
from sipmail.mail.smtp import SmtpDelivery
from sipmail.net.address import LocalAddresses, is_ipv6, is_numeric
from sipmail.net.driver import Driver, Listener
from sipmail.net.resolver import Resolver, transport_of
from sipmail.sip import actions as sip
from sipmail.sip.endpoint import Endpoint
from sipmail.sip.trunk import Trunk
from sipmail.sip.uri import SipUri, parse_uri

_ANSWER_SECONDS = 12.0
_LEAVE_SECONDS = 5.0
_EXPIRES = 60.0
"""Should the unregistering get lost, the registrar forgets us after this."""

_CURES = {
    401: "check username, auth_username and password (and realm, where it is written)",
    403: "check username, auth_username and password; some registrars also say 403 to an account "
    "that is locked, or registered as often as it may be",
    404: "the registrar knows no such account: check username",
    407: "check username, auth_username and password (and realm, where it is written)",
    423: "write a longer expires:",
}


def names(config: Config) -> Iterator[Step]:
    """What the names in the configuration resolve to."""
    for name, trunk in config.sip.trunks.items():
        if trunk.registrar is not None:
            yield name_of_trunk(f"trunk {name}", trunk.outbound_proxy or trunk.registrar)
    smtp = config.mail.smtp
    if smtp is not None and not is_numeric(smtp.host):
        yield name_of_mail_server(smtp.host)


def name_of_trunk(what: str, uri: str) -> Step:
    """Where `uri` (a registrar or proxy) leads to, by RFC 3263."""
    cure = f"check the name in {uri}, and the DNS of this machine (/etc/resolv.conf)"
    try:
        target = parse_uri(uri)
    except ProtocolError as error:
        return failed(what, f"{uri} cannot be read: {error}", "write it like sip:pbx.example.com")
    if not isinstance(target, SipUri):
        return failed(what, f"{uri} is no SIP URI", "write it like sip:pbx.example.com")
    hops = asyncio.run(Resolver().resolve(target))
    if not hops:
        return failed(what, f"the name {target.host} cannot be resolved", cure)
    places = ", ".join(f"{hop.transport} {_place(hop)}" for hop in hops[:3])
    return right(what, f"{target.host}: {places}{' …' if len(hops) > 3 else ''}")


def name_of_mail_server(host: str) -> Step:
    """What the name of the mail server resolves to."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError as error:
        cure = "check mail.smtp.host, and the DNS of this machine (/etc/resolv.conf)"
        return failed("mail", f"the name {host} cannot be resolved: {error.strerror}", cure)
    addresses = dict.fromkeys(str(entry[4][0]) for entry in found)
    return right("mail", f"{host}: {', '.join(list(addresses)[:3])}")


def registrations(config: Config, without: Collection[str] = ()) -> Iterator[Step]:
    """Each trunk that registers, registered once unless a running sipmail keeps it registered; the
    others as they are. Those that `without` names (as their steps are called) are left out."""
    running = standing.running(config)
    for trunk in sip_trunks(config, secrets.token_bytes()):
        what = f"trunk {trunk.name}"
        if what in without:
            continue
        if trunk.registrar is None:
            networks = ", ".join(map(str, trunk.accept_from))
            yield right(what, f"takes calls from {networks}, nothing to register")
            continue
        if (known := running.get(trunk.name)) is not None:
            server = trunk.outbound_proxy or trunk.registrar
            yield _standing(what, trunk.username or "", server, known)
            continue
        hosts = {one.host for one in config.sip.listen if one.transport == "udp"}
        tls = trust(config).get(trunk.name)
        yield registration(trunk, config.sip.public_address, tuple(sorted(hosts)), tls)


def _standing(what: str, user: str, registrar: str, known: standing.Standing) -> Step:
    """What the running sipmail says of a trunk."""
    if known.registered:
        text = f"{user} is registered{known.where}, by the sipmail that runs here"
        return right(what, text)
    text = f"the sipmail that runs here is not registered: {known.last_error or 'no answer yet'}"
    status = known.last_error.partition(" ")[0]
    cure = _CURES.get(int(status)) if status.isdigit() else _silence(registrar)
    return failed(what, text, cure or f"ask the administrator of {registrar}")


def registration(
    trunk: Trunk,
    public_address: str | None = None,
    hosts: tuple[str, ...] = (),
    tls: ssl.SSLContext | None = None,
) -> Step:
    """Registers `trunk` and unregisters it again; `hosts` are the local addresses to use, `tls`
    checks the registrar's certificate."""
    return asyncio.run(_Registering(trunk, public_address, hosts, tls).run())


def mail(config: Config) -> Iterator[Step]:
    """The way that the e-mails go."""
    if config.mail.smtp is not None:
        yield mail_server(config.mail.smtp)
    elif config.mail.maildir is not None:
        yield from machine.maildir(config.mail.maildir)


def mail_server(smtp: Smtp) -> Step:
    """Connects, secures the line and logs in; sends nothing."""
    outcome = SmtpDelivery(smtp).probe()
    place = f"{smtp.host}:{smtp.port} ({smtp.security})"
    if outcome.ok:
        login = "no login" if smtp.username is None else f"logged in as {smtp.username}"
        return right("mail", f"{place}: connected, {login}")
    return failed("mail", f"{place}: {outcome.answer}", _mail_cure(outcome.answer, smtp))


def _mail_cure(answer: str, smtp: Smtp) -> str:
    if answer[:3] in ("530", "534", "535", "538"):
        return (
            "check username and password in mail.smtp; many providers want a password that is made "
            "for one application"
        )
    if "STARTTLS" in answer or "WRONG_VERSION_NUMBER" in answer:
        return "check mail.smtp.security: 587 usually goes with starttls, 465 with tls"
    if "certificate" in answer and ("self-signed" in answer or "local issuer" in answer):
        return (
            "if it is your own server's, let this machine trust it: on Debian copy it to "
            f"/usr/local/share/ca-certificates/{smtp.host}.crt and run update-ca-certificates"
        )
    if "certificate" in answer:
        return "write the name of the server that stands in its certificate, not its address"
    if "resolved" in answer:
        return "check mail.smtp.host, and the DNS of this machine (/etc/resolv.conf)"
    return f"check mail.smtp.host and port, and that a firewall lets {smtp.port}/tcp out"


class _Registering:
    """One registration on an endpoint of its own."""

    def __init__(
        self,
        trunk: Trunk,
        public_address: str | None,
        hosts: tuple[str, ...],
        tls: ssl.SSLContext | None,
    ) -> None:
        self._trunk = replace(
            trunk, expires=min(trunk.expires, _EXPIRES), keepalive=0.0, accept_from=()
        )
        self._public_address = public_address
        self._hosts = hosts or ("0.0.0.0",)  # noqa: S104
        self._tls = tls
        self._answer: asyncio.Future[sip.Registered | sip.RegistrationFailed]
        self._over = asyncio.Event()

    async def run(self) -> Step:
        self._answer = asyncio.get_running_loop().create_future()
        endpoint = Endpoint(
            [self._trunk],
            tokens=lambda: secrets.token_hex(8),
            jitter=random.random,
            user_agent=f"sipmail/{__version__}",
        )
        endpoint.refuse_new(480)
        driver = Driver(endpoint, LocalAddresses(self._public_address), self._on_action, self._tls)
        try:
            await driver.listen(await self._listeners())
        except OSError as error:
            cure = "check the addresses in sip.listen: this machine must have them"
            return failed(self._what, f"no SIP socket can be opened: {error.strerror}", cure)
        try:
            driver.perform(endpoint.start(driver.now))
            step = await self._outcome(endpoint)
            driver.perform(endpoint.unregister(driver.now))
            try:
                async with asyncio.timeout(_LEAVE_SECONDS):
                    await self._over.wait()
            except TimeoutError:
                pass  # the registrar forgets us by itself
            return step
        finally:
            await driver.close()

    @property
    def _what(self) -> str:
        return f"trunk {self._trunk.name}"

    async def _listeners(self) -> list[Listener]:
        # One socket for each family and address that the agent would use, each at any free port.
        found = [Listener("udp", host, 0) for host in self._hosts]
        target = parse_uri(self._trunk.outbound_proxy or self._trunk.registrar or "")
        if isinstance(target, SipUri) and transport_of(target) == "tcp":
            found.append(Listener("tcp", self._hosts[0], 0))
        return found

    def _on_action(self, action: sip.Action) -> None:
        match action:
            case sip.Registered() | sip.RegistrationFailed() if not self._answer.done():
                self._answer.set_result(action)
            case sip.Unregistered():
                self._over.set()

    async def _outcome(self, endpoint: Endpoint) -> Step:
        registrar, user = self._trunk.registrar or "", self._trunk.username
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                answer = await self._answer
        except TimeoutError:
            text = f"no answer from {self._where(endpoint)}"
            return failed(self._what, text, _silence(self._server))
        if isinstance(answer, sip.Registered):
            where = self._where(endpoint)
            return right(
                self._what, f"{user} registered at {where} for {answer.expires:.0f} s, and left"
            )
        if answer.status is None:
            text = f"{answer.reason} ({self._where(endpoint)})"
            return failed(self._what, text, _silence(self._server))
        cure = _CURES.get(answer.status, f"ask the administrator of {registrar}")
        text = f"{self._where(endpoint)} says {answer.status} {answer.reason}"
        return failed(self._what, text, cure)

    @property
    def _server(self) -> str:
        return str(self._trunk.outbound_proxy or self._trunk.registrar)

    def _where(self, endpoint: Endpoint) -> str:
        hop = endpoint.registrations[self._trunk.name].hop
        if hop is None:
            return self._server
        return f"{hop.transport} {_place(hop)}"


def _silence(server: str) -> str:
    """What to do about a server that does not answer."""
    return (
        f"check that {server} is the right host, port and transport (;transport=tcp), "
        "and that a firewall lets SIP through both ways"
    )


def _place(hop: sip.Hop) -> str:
    return f"[{hop.host}]:{hop.port}" if is_ipv6(hop.host) else f"{hop.host}:{hop.port}"
