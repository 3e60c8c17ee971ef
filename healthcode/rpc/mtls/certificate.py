"""X.509: whom a leaf certificate names, and whether a published CA issued it.

TLS checks against a pool of all participants' CAs, so TLS alone would let any CA name anyone.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization

from healthcode.errors import ConfigurationError, HealthcodeError, Reason, UnauthenticatedError
from healthcode.identity.peer import PeerId, PeerKind, decode_peer_uri

__all__ = [
    "MAX_PEM_BYTES",
    "SERVERS",
    "LeafIdentity",
    "alternative_names",
    "decode_leaf",
    "encode_pool",
    "is_issued_by",
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
        certificate = x509.load_pem_x509_certificate(pem[:MAX_PEM_BYTES])
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        uris = names.get_values_for_type(x509.UniformResourceIdentifier)
    except x509.ExtensionNotFound:
        uris = []
    except (ValueError, UnsupportedAlgorithm, x509.DuplicateExtension) as error:
        raise UnauthenticatedError("the certificate cannot be read") from error
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
        not_before=int(certificate.not_valid_before_utc.timestamp()),
        not_after=int(certificate.not_valid_after_utc.timestamp()),
        sha256=certificate.fingerprint(hashes.SHA256()).hex(),
    )


# cached by content: a CA that is newly published counts at the next call
@lru_cache(maxsize=1024)
def is_issued_by(leaf_pem: bytes, ca_pems: tuple[str, ...]) -> bool:
    """Whether one of these CAs signed this leaf directly and may sign; the caller checks the validity times."""
    try:
        leaf = x509.load_pem_x509_certificate(leaf_pem)
    except ValueError:
        return False
    return any(_is_issuer(leaf, authority) for pem in ca_pems for authority in _certificates(pem))


def encode_pool(pems: Iterable[str]) -> bytes:
    """One PEM with each certificate of `pems` once, re-encoded. What cannot be read is left out."""
    # gRPC stops reading a pool at the first entry that is not a certificate
    found = (each.public_bytes(serialization.Encoding.PEM) for pem in pems for each in _certificates(pem))
    return b"".join(dict.fromkeys(found))


def validity_of(pem: str) -> tuple[int, int]:
    """(not before, not after) of the first certificate in a PEM, in epoch seconds. Raises ConfigurationError."""
    try:
        certificate = x509.load_pem_x509_certificate(pem.encode())
    except ValueError as error:
        raise ConfigurationError("that is no certificate in PEM form") from error
    return (
        int(certificate.not_valid_before_utc.timestamp()),
        int(certificate.not_valid_after_utc.timestamp()),
    )


def alternative_names(peer: PeerId) -> str:
    """The subject alternative names that a certificate of `peer` needs, in OpenSSL's syntax."""
    return f"URI:{peer.uri}, DNS:{peer.dns_name}" if peer.kind in SERVERS else f"URI:{peer.uri}"


def _certificates(pem: str) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(pem.encode())
    except ValueError:
        return []


def _is_issuer(leaf: x509.Certificate, authority: x509.Certificate) -> bool:
    try:
        constraints = authority.extensions.get_extension_for_class(x509.BasicConstraints).value
        leaf.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm, x509.ExtensionNotFound):
        return False
    return constraints.ca
