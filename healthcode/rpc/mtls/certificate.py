"""X.509: whom a leaf certificate names, and whether a published CA issued it.

TLS checks against a pool of all participants' CAs, so TLS alone would let any CA name anyone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from healthcode.errors import ConfigurationError, DecodeError, HealthcodeError, Reason, UnauthenticatedError
from healthcode.identity.peer import PeerId, PeerKind, decode_peer_uri
from healthcode.identity.x509 import Certificate, decode_certificates, is_client_of, is_signed_by

__all__ = [
    "MAX_PEM_BYTES",
    "SERVERS",
    "LeafIdentity",
    "alternative_names",
    "decode_leaf",
    "encode_pool",
    "is_issued_by",
    "is_taken_by_tls",
    "public_key_of",
    "validity_of",
]

MAX_PEM_BYTES = 64 * 1024
SERVERS = frozenset({PeerKind.REGISTRY, PeerKind.GATEWAY, PeerKind.PROVINCE})
"""Kinds of peer that listen: their leaf also carries the DNS name that callers check."""


@dataclass(frozen=True, slots=True)
class LeafIdentity:
    """Whom a leaf certificate names, and its validity in epoch seconds."""

    peer: PeerId
    not_before: int
    not_after: int
    sha256: str


def decode_leaf(pem: bytes) -> LeafIdentity:
    """The identity in the first certificate of `pem`; no trust is checked here.

    Raises UnauthenticatedError: IDENTITY_MISSING without exactly one URI SAN, IDENTITY_FOREIGN if that
    URI is not a healthcode identity.
    """
    try:
        certificate = decode_certificates(pem[:MAX_PEM_BYTES])[0]
    except DecodeError as error:
        raise UnauthenticatedError("the certificate cannot be read") from error
    uris = certificate.uris
    if len(uris) != 1:
        raise UnauthenticatedError(
            f"the certificate must carry exactly one URI SAN (spiffe://REALM.healthcode/…), and has {len(uris)}"
        )
    try:
        peer = decode_peer_uri(uris[0])
    except HealthcodeError as error:
        raise UnauthenticatedError(
            f"the certificate's URI SAN is no healthcode identity: {error.message}",
            reason=Reason.IDENTITY_FOREIGN,
        ) from error
    return LeafIdentity(
        peer=peer,
        not_before=certificate.not_before,
        not_after=certificate.not_after,
        sha256=certificate.sha256,
    )


# cached by content: a CA that is newly published counts at the next call
@lru_cache(maxsize=1024)
def is_issued_by(leaf_pem: bytes, ca_pems: tuple[str, ...]) -> bool:
    """Whether one of these CAs signed this leaf directly and may sign; the caller checks the validity times."""
    leaf = _certificates(leaf_pem)[:1]
    return any(
        is_signed_by(each, authority) for each in leaf for pem in ca_pems for authority in _certificates(pem)
    )


def is_taken_by_tls(leaf_pem: bytes, ca_pems: Iterable[str], now: int) -> bool:
    """Whether a TLS server that trusts these CAs takes this leaf of a client now; the leaf's own time aside."""
    return any(
        authority.not_before <= now < authority.not_after and _is_client_of(leaf_pem, authority.pem)
        for pem in ca_pems
        for authority in _certificates(pem)
    )


@lru_cache(maxsize=1024)
def _is_client_of(leaf_pem: bytes, authority_pem: str) -> bool:
    leaf, authority = _certificates(leaf_pem)[:1], _certificates(authority_pem)
    return any(is_client_of(*pair) for pair in zip(leaf, authority, strict=False))


@lru_cache(maxsize=1024)
def public_key_of(leaf_pem: bytes) -> str:
    """`sha256:` and the SHA-256 of the first certificate's public key (SubjectPublicKeyInfo); empty if it cannot be read."""
    found = _certificates(leaf_pem)
    return f"sha256:{hashlib.sha256(found[0].public_key).hexdigest()}" if found else ""


def encode_pool(pems: Iterable[str]) -> bytes:
    """One PEM with each certificate of `pems` once, re-encoded. What cannot be read is left out."""
    # gRPC stops reading a pool at the first entry that is not a certificate
    found = (each.pem for pem in pems for each in _certificates(pem))
    return "".join(dict.fromkeys(found)).encode()


def validity_of(pem: str) -> tuple[int, int]:
    """(not before, not after) of the first certificate in a PEM, in epoch seconds. Raises ConfigurationError."""
    try:
        certificate = decode_certificates(pem)[0]
    except DecodeError as error:
        raise ConfigurationError("that is no certificate in PEM form") from error
    return certificate.not_before, certificate.not_after


def alternative_names(peer: PeerId) -> str:
    """The subject alternative names that a certificate of `peer` needs, in OpenSSL's syntax."""
    return f"URI:{peer.uri}, DNS:{peer.dns_name}" if peer.kind in SERVERS else f"URI:{peer.uri}"


def _certificates(pem: bytes | str) -> tuple[Certificate, ...]:
    try:
        return decode_certificates(pem)
    except DecodeError:
        return ()
