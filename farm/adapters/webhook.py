"""Sends one POST to an address that users chose, and to no other machine than it seems.

A name is looked up here, every address that it has is checked, and the connection is made to the address that was
checked; redirects are not followed. So no name, and no change of a name between two looks, leads into the farm's own
network.
"""

from __future__ import annotations

import ipaddress
import socket
import time
from collections.abc import Iterable, Sequence
from ssl import SSLContext
from typing import Any

import httpcore

from farm.errors import FarmError, Rejected, Unavailable

TOTAL_S = 15.0
"""Seconds for a whole exchange, however slowly the other side speaks."""
CONNECT_S = 5.0
GONE = 410
"""The receiver wants no more of this."""
REMEMBERED = 200
"""Bytes of an answer that are told where it is a refusal."""

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class NotAllowed(Rejected):
    """An address that webhooks must not lead to."""

    def __init__(self, host: str, address: str) -> None:
        super().__init__(
            f"The webhook's host {host!r} is {address}, which is no public address. Use another host, or have the "
            f"farm's operator allow its network (FARM_WEBHOOK_NETWORKS)."
        )


def post(url: str, headers: dict[str, str], body: bytes, allowed: Sequence[Network]) -> None:
    """Send it. An answer of 200 to 299 is success.

    Args:
        allowed: networks besides the public one.
    Raises:
        Rejected: it must not be sent there, or the receiver wants no more.   Unavailable: it was not received.
    """
    backend = _Guarded(allowed, time.monotonic() + TOTAL_S)
    limits = {"timeout": {"connect": CONNECT_S, "read": TOTAL_S, "write": TOTAL_S, "pool": CONNECT_S}}
    try:
        with (
            httpcore.ConnectionPool(network_backend=backend) as pool,
            pool.stream("POST", url, headers=list(headers.items()), content=body, extensions=limits) as answer,
        ):
            if not 200 <= answer.status < 300:
                _refuse(answer)
    except FarmError:
        raise
    except (httpcore.NetworkError, httpcore.TimeoutException, httpcore.ProtocolError, OSError, ValueError) as error:
        raise Unavailable(
            f"The webhook was not received: {type(error).__name__} {error}. Check that its server answers within "
            f"{TOTAL_S:g} s."
        ) from error


def _refuse(answer: httpcore.Response) -> None:
    said = b""
    for part in answer.iter_stream():
        said += part
        if len(said) >= REMEMBERED:
            break
    text = said[:REMEMBERED].decode("utf-8", "replace").strip()
    if 300 <= answer.status < 400:
        text = "redirects are not followed; give the address that it leads to"
    told = f"The webhook's server answered {answer.status}: {text or 'nothing'}"
    raise (Rejected if answer.status == GONE else Unavailable)(told)


def public(address: Address) -> bool:
    """Whether an address is one of the public network, also where it hides in another one."""
    if isinstance(address, ipaddress.IPv6Address):
        hidden = address.ipv4_mapped or address.sixtofour or (address.teredo or (None, None))[1]
        if hidden is None and address in _NAT64:
            hidden = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if hidden is not None:
            return public(hidden)
    return address.is_global and not address.is_multicast


_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


def checked(host: str, found: Iterable[str], allowed: Sequence[Network]) -> list[str]:
    """The addresses of a host. Raises NotAllowed if any of them is neither public nor allowed."""
    addresses = list(dict.fromkeys(found))
    for text in addresses:
        address = ipaddress.ip_address(text.partition("%")[0])
        plain = getattr(address, "ipv4_mapped", None) or address
        if not public(address) and not any(plain in network for network in allowed):
            raise NotAllowed(host, text)
    return addresses


class _Guarded(httpcore.NetworkBackend):
    """Connects to what was checked, until a moment."""

    def __init__(self, allowed: Sequence[Network], end: float) -> None:
        self._allowed = allowed
        self._end = end
        self._plain = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        """Connect to the first address that answers; the name is used for TLS and the Host header only."""
        found = (str(entry[4][0]) for entry in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        failure: Exception = OSError(f"{host!r} has no address")
        for address in checked(host, found, self._allowed):
            try:
                stream = self._plain.connect_tcp(address, port, timeout, local_address, socket_options)
            except (httpcore.NetworkError, httpcore.TimeoutException) as error:
                failure = error
            else:
                return _Timed(stream, self._end)
        raise failure


class _Timed(httpcore.NetworkStream):
    """A stream that ends at a moment, also if the other side says a byte now and then."""

    def __init__(self, stream: httpcore.NetworkStream, end: float) -> None:
        self._stream = stream
        self._end = end

    def _left(self) -> float:
        left = self._end - time.monotonic()
        if left <= 0:
            raise httpcore.ReadTimeout(f"not done after {TOTAL_S:g} s")
        return left

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """As the stream's own."""
        return self._stream.read(max_bytes, min(self._left(), timeout or TOTAL_S))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """As the stream's own."""
        self._stream.write(buffer, min(self._left(), timeout or TOTAL_S))

    def close(self) -> None:
        """As the stream's own."""
        self._stream.close()

    def start_tls(
        self, ssl_context: SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        """As the stream's own; what is said encrypted ends at the same moment."""
        return _Timed(
            self._stream.start_tls(ssl_context, server_hostname, min(self._left(), timeout or TOTAL_S)), self._end
        )

    def get_extra_info(self, info: str) -> Any:  # noqa: ANN401 - whatever the stream tells
        """As the stream's own."""
        return self._stream.get_extra_info(info)
