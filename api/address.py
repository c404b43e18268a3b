"""Where a request comes from: its connection, or what a proxy that is trusted says of it."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

from fastapi import Request

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
_Address = ipaddress.IPv4Address | ipaddress.IPv6Address
V6_BITS = 64
"""Bits of an IPv6 address that tell one customer from another: each has all addresses behind them."""


def networks(texts: Sequence[str]) -> tuple[Network, ...]:
    """Addresses and networks, `10.0.0.7` or `10.0.0.0/8`. Raises ValueError."""
    return tuple(ipaddress.ip_network(text, strict=False) for text in texts)


def is_loopback(host: str) -> bool:
    """Whether a host name or address is this machine and nothing else."""
    found = _parsed(host)
    return host.lower() == "localhost" if found is None else found.is_loopback


def address_of(request: Request, trusted: Sequence[Network]) -> str:
    """The client's address; of the hops that proxies tell, the last one that is no trusted proxy itself.

    What `X-Forwarded-For` says is heard only where the connection is a trusted proxy's: anybody can write it.
    """
    peer = request.client.host if request.client is not None else ""
    found = _parsed(peer)
    if found is None or not _among(found, trusted):
        return peer if found is None else str(found)
    for hop in reversed(",".join(request.headers.getlist("x-forwarded-for")).split(",")):
        address = _parsed(hop.strip())
        if address is None:
            break
        found = address
        if not _among(address, trusted):
            break
    return str(found)


def counted_as(address: str) -> str:
    """The name under which an address's requests are counted."""
    found = _parsed(address)
    if isinstance(found, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((found, V6_BITS), strict=False))
    return address


def _parsed(text: str) -> _Address | None:
    try:
        found = ipaddress.ip_address(text.strip("[]"))
    except ValueError:
        return None
    return getattr(found, "ipv4_mapped", None) or found


def _among(address: _Address, among: Sequence[Network]) -> bool:
    return any(address in network for network in among)
