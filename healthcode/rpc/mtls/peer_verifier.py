"""The identity of a caller, from its client certificate."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from cachetools import LRUCache

from healthcode.clock import Clock
from healthcode.errors import Reason, UnauthenticatedError
from healthcode.identity.peer import PeerId, PeerKind
from healthcode.rpc.mtls.certificate import LeafIdentity, decode_leaf, is_issued_by, is_taken_by_tls
from healthcode.rpc.mtls.forwarded import Proxies, forwarded_leaf
from healthcode.trust.view import TrustView

__all__ = ["CaLookup", "PeerVerifier", "all_cas", "leaf_of", "published_cas"]

CaLookup = Callable[[PeerId], Sequence[str]]
"""The CAs (PEM) published for an identity; empty if there are none."""

_Metadata = Iterable[tuple[str, str | bytes]] | None

_CACHED_LEAVES = 1024


def leaf_of(auth_context: Mapping[str, Iterable[bytes]]) -> bytes | None:
    """The client's leaf certificate (PEM) in a gRPC auth context; None without one."""
    return next(iter(auth_context.get("x509_pem_cert", ())), None)


def published_cas(view: TrustView, peer: PeerId) -> tuple[str, ...]:
    """The CAs (PEM) that the trust view names for this identity; an operator has none."""
    if peer.participant is not None:
        issuer = view.issuers.get(peer.participant)
        return () if issuer is None else issuer.tls_ca
    service = view.services.get(peer.kind.lower()) if peer.kind is not PeerKind.OPERATOR else None
    return () if service is None else (service.ca_pem,)


def all_cas(view: TrustView) -> tuple[str, ...]:
    """Every CA (PEM) in the trust view: the pool that TLS checks client certificates against."""
    participants = (pem for issuer in view.issuers.values() for pem in issuer.tls_ca)
    return (*participants, *(service.ca_pem for service in view.services.values()))


class PeerVerifier:
    """Checks a client's leaf certificate against the CA published for the identity that it names.

    `proxies` may pass on the leaf of their client.
    """

    def __init__(self, *, realm: str, ca_for: CaLookup, clock: Clock, proxies: Proxies | None = None) -> None:
        self._proxies = proxies or Proxies()
        self._realm = realm
        self._ca_for = ca_for
        self._clock = clock
        self._leaves: LRUCache[bytes, LeafIdentity] = LRUCache(_CACHED_LEAVES)

    def verify_caller(self, path: str, leaf_pem: bytes | None, metadata: Callable[[], _Metadata]) -> PeerId:
        """The identity of who calls the method `path`, over a connection that showed `leaf_pem`.

        Raises UnauthenticatedError, and PermissionDeniedError if a proxy calls a method that is not for its clients.
        """
        if not self._proxies.has(leaf_pem):
            return self.verify_peer(leaf_pem)
        self._proxies.check_path(path)
        forwarded = forwarded_leaf(metadata() or ())
        peer = self.verify_peer(forwarded)
        if forwarded is None or not is_taken_by_tls(forwarded, self._ca_for(peer), self._clock.now()):
            raise UnauthenticatedError(
                f"TLS would not take the certificate of {peer.uri}: it is not for clients, or its CA is no longer valid",
                reason=Reason.CERTIFICATE_NOT_PUBLISHED,
            )
        return peer

    def verify_peer(self, leaf_pem: bytes | None) -> PeerId:
        """The identity of the caller. Raises UnauthenticatedError.

        IDENTITY_MISSING: no certificate, not exactly one URI SAN, or outside its validity.
        IDENTITY_FOREIGN: another realm, or not a healthcode identity.
        CERTIFICATE_NOT_PUBLISHED: not issued by a CA that is published for this identity.
        """
        if leaf_pem is None:
            raise UnauthenticatedError("a client certificate is needed here, and none was shown")
        leaf = self._decode(leaf_pem)
        # checked at each call: the certificate may expire while its connection stays open
        if not leaf.not_before <= self._clock.now() < leaf.not_after:
            raise UnauthenticatedError(f"the certificate of {leaf.peer.uri} is outside its validity")
        if leaf.peer.realm != self._realm:
            raise UnauthenticatedError(
                f"the certificate is of realm {leaf.peer.realm}, and this is {self._realm}",
                reason=Reason.IDENTITY_FOREIGN,
            )
        if not is_issued_by(leaf_pem, tuple(self._ca_for(leaf.peer))):
            raise UnauthenticatedError(
                f"the certificate names {leaf.peer.uri}, and was not issued by a CA that is published for it",
                reason=Reason.CERTIFICATE_NOT_PUBLISHED,
            )
        return leaf.peer

    def _decode(self, leaf_pem: bytes) -> LeafIdentity:
        found = self._leaves.get(leaf_pem)
        if found is None:
            found = self._leaves[leaf_pem] = decode_leaf(leaf_pem)
        return found
