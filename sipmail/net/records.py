"""DNS records, by dnspython: what the system's resolver has no call for.

Apart from `resolver`, which loads it when a name is first asked about.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import dns.asyncresolver
import dns.exception
import dns.resolver

from sipmail.net.resolver import LookupFailed

_LIFETIME = 5.0


async def query(name: str, kind: str) -> Iterable[Any]:
    """The records of this kind of `name`, none where there are none. Raises LookupFailed."""
    try:
        resolver = dns.asyncresolver.Resolver()
        return await resolver.resolve(name, kind, lifetime=_LIFETIME)
    except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer, dns.resolver.NoResolverConfiguration):
        return ()
    except (dns.exception.DNSException, OSError) as error:
        raise LookupFailed(str(error)) from error
