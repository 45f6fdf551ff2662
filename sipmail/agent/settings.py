"""From the configuration to what the rooms below ask for, in their own words."""

from __future__ import annotations

import ssl

from sipmail.agent.identity import contact_user
from sipmail.config.model import Config, Trunk
from sipmail.errors import SipmailError
from sipmail.net.driver import Listener
from sipmail.net.tls import ServerCertificate, client_context
from sipmail.sip.trunk import Trunk as SipTrunk


def sip_trunks(config: Config, secret: bytes) -> list[SipTrunk]:
    """The trunks as the SIP endpoint knows them; `secret` is that of the spool's identity."""
    return [_sip_trunk(name, trunk, secret) for name, trunk in config.sip.trunks.items()]


def _sip_trunk(name: str, trunk: Trunk, secret: bytes) -> SipTrunk:
    return SipTrunk(
        name=name,
        registrar=trunk.registrar,
        username=trunk.username or "",
        auth_username=trunk.auth_username,
        password=None if trunk.password is None else trunk.password.get_secret_value(),
        digest=trunk.digest,
        realm=trunk.realm,
        outbound_proxy=trunk.outbound_proxy,
        expires=trunk.expires,
        keepalive=trunk.keepalive,
        accept_from=trunk.accept_from,
        srtp=trunk.srtp,
        contact_user=contact_user(secret, name, trunk.registrar or "", trunk.username or ""),
    )


def listeners(config: Config) -> tuple[list[Listener], list[ServerCertificate]]:
    """Where to listen, and the certificates to keep an eye on.

    Raises SipmailError when a certificate cannot be used.
    """
    found: list[Listener] = []
    certificates: list[ServerCertificate] = []
    for listen in config.sip.listen:
        context = None
        if listen.transport == "tls":
            if listen.certificate is None or listen.private_key is None:
                raise SipmailError("a tls:// listener needs sip.certificate and sip.private_key")
            certificates.append(ServerCertificate(listen.certificate, listen.private_key))
            context = certificates[-1].context
        found.append(Listener(listen.transport, listen.host, listen.port, context))
    return found, certificates


def trust(config: Config) -> dict[str, ssl.SSLContext]:
    """How the certificates of those trunks are checked for which the system's CAs don't decide.

    Raises SipmailError where `ca_file` is unusable.
    """
    lax = client_context(verify=False)
    contexts = {name: lax for name, trunk in config.sip.trunks.items() if not trunk.verify}
    if config.sip.ca_file is not None:
        strict = client_context(config.sip.ca_file)
        contexts |= {name: strict for name, trunk in config.sip.trunks.items() if trunk.verify}
    return contexts


def needing_restart(old: Config, new: Config) -> list[str]:
    """The keys whose change a running agent cannot take over."""
    pairs = {
        "sip.listen": (old.sip.listen, new.sip.listen),
        "sip.public_address": (old.sip.public_address, new.sip.public_address),
        "rtp.ports": (old.rtp.ports, new.rtp.ports),
        "rtp.workers": (old.rtp.workers, new.rtp.workers),
        "rtp.timeout": (old.rtp.timeout, new.rtp.timeout),
        "spool": (old.spool, new.spool),
        "http": (old.http, new.http),
    }
    return [key for key, (before, after) in pairs.items() if before != after]


def keep_what_needs_restart(old: Config, new: Config) -> Config:
    """The new configuration with the old values of what a running agent cannot take over."""
    sip = new.sip.model_copy(
        update={"listen": old.sip.listen, "public_address": old.sip.public_address}
    )
    rtp = new.rtp.model_copy(
        update={"ports": old.rtp.ports, "workers": old.rtp.workers, "timeout": old.rtp.timeout}
    )
    return new.model_copy(update={"sip": sip, "rtp": rtp, "spool": old.spool, "http": old.http})
