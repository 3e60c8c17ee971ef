"""How many calls of one kind a server takes at once, in total and per caller.

A server has quotas for calls, fetches and endless streams, and for each method that waits, so that none blocks another.
"""

from __future__ import annotations

import ipaddress
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import unquote

from healthcode.errors import OverloadedError
from healthcode.identity.peer import PeerId

__all__ = ["Quota", "address_of"]

_RETRY_AFTER_SECONDS = 0.2
# one customer of a network provider gets this many IPv6 addresses
_IPV6_PREFIX = 64


@dataclass(slots=True)
class Quota:
    """At most `capacity` calls at once; in the other limits None means no limit.

    `per_caller` applies to one identity, `per_address` to all anonymous callers at one address,
    `anonymous` to all anonymous callers together.
    """

    capacity: int
    per_caller: int | None = None
    per_address: int | None = None
    anonymous: int | None = None
    taken: int = 0
    _by_caller: Counter[str] = field(default_factory=Counter)
    _anonymous: int = 0

    @contextmanager
    def take(self, peer: PeerId | None, address: str) -> Iterator[None]:
        """Counts one call, of `peer` or of an anonymous caller at `address`. Raises OverloadedError."""
        caller = address if peer is None else peer.uri
        share = self.per_address if peer is None else self.per_caller
        if self.taken >= self.capacity:
            raise OverloadedError(
                "too many calls at once; try again", retry_after_seconds=_RETRY_AFTER_SECONDS
            )
        if share is not None and self._by_caller[caller] >= share:
            raise OverloadedError(
                f"this caller has {share} calls of this kind under way, which is its share; end some first",
                retry_after_seconds=_RETRY_AFTER_SECONDS,
            )
        if peer is None and self.anonymous is not None and self._anonymous >= self.anonymous:
            raise OverloadedError(
                "too many calls at once by callers without a certificate; try again, or show one",
                retry_after_seconds=_RETRY_AFTER_SECONDS,
            )
        self._count(peer, caller, 1)
        try:
            yield
        finally:
            self._count(peer, caller, -1)

    def _count(self, peer: PeerId | None, caller: str, step: int) -> None:
        self.taken += step
        self._anonymous += step if peer is None else 0
        self._by_caller[caller] += step
        if not self._by_caller[caller]:
            del self._by_caller[caller]


def address_of(peer: str) -> str:
    """The address without its port in a gRPC peer (`ipv4:10.0.0.5:4711`); for IPv6 the /64 network."""
    kind, _, rest = unquote(peer).partition(":")
    try:
        address = ipaddress.ip_address(rest.rpartition(":")[0].strip("[]").partition("%")[0])
    except ValueError:
        return f"{kind}:{rest}" if kind == "unix" else kind
    mapped = getattr(address, "ipv4_mapped", None) or address
    if mapped.version == 4:
        return str(mapped)
    return str(ipaddress.ip_network((mapped, _IPV6_PREFIX), strict=False))
