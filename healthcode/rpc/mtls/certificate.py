"""Certificates as they come: who a leaf names, which CA issued it, until when it is good, and the files of TLS.

Rules. A leaf carries exactly one URI SAN, `spiffe://REALM.healthcode/…`; that of
a service also the DNS name which its callers look for. It counts only when it
was issued directly by a CA that is published for that very identity
(`is_issued_by`): the pool which TLS checks against holds every participant's CA,
so TLS alone would let any of them name anyone. Private keys lie in files of mode
0600 or 0400.

This and development_ca.py are the home of `cryptography` for X.509, beside trust/anchor.py (what participants publish).
"""

from __future__ import annotations

import stat
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization

from healthcode.clock import rfc3339
from healthcode.errors import ConfigurationError, HealthcodeError, Reason, UnauthenticatedError
from healthcode.identity.peer import PeerId, PeerKind, decode_peer_uri
from healthcode.storage.files import write_atomic, write_new

__all__ = [
    "CertifiedKey",
    "LeafIdentity",
    "TlsFiles",
    "alternative_names",
    "decode_leaf",
    "encode_pool",
    "is_issued_by",
    "load_ca",
    "load_tls",
    "validity_of",
    "write_private",
]

MAX_PEM_BYTES = 64 * 1024
SERVERS = frozenset({PeerKind.REGISTRY, PeerKind.GATEWAY, PeerKind.PROVINCE})


@dataclass(frozen=True, slots=True)
class LeafIdentity:
    """What a leaf certificate says: whom it names and when it holds (epoch seconds)."""

    peer: PeerId
    not_before: int
    not_after: int
    sha256: str


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """A service's own certificate, key and CA as PEM, checked to belong together."""

    certificate_pem: bytes
    key_pem: bytes
    ca_pem: bytes
    identity: LeafIdentity

    def __repr__(self) -> str:
        return f"TlsFiles({self.identity.peer.uri})"


@dataclass(frozen=True, slots=True)
class CertifiedKey:
    """A certificate with its private key (PEM, PKCS #8): a CA, or a leaf."""

    certificate_pem: bytes
    key_pem: bytes

    def write(self, certificate: Path, key: Path) -> None:
        """Writes both files; the key with mode 0600. Raises ConfigurationError where a key lies already."""
        write_private(key, self.key_pem)
        try:
            write_atomic(certificate, self.certificate_pem)
        except OSError as error:
            raise ConfigurationError(
                f"the certificate {certificate} cannot be written: {error.strerror}"
            ) from error

    def __repr__(self) -> str:
        return "CertifiedKey(…)"


def decode_leaf(pem: bytes) -> LeafIdentity:
    """Whom the first certificate in `pem` names; nothing about trust is checked here.

    Raises UnauthenticatedError: IDENTITY_MISSING without exactly one URI SAN,
    IDENTITY_FOREIGN when that is no identity of ours.
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


@lru_cache(maxsize=1024)
def is_issued_by(leaf_pem: bytes, ca_pems: tuple[str, ...]) -> bool:
    """Whether one of these CAs signed this leaf directly and may; times are checked by the caller.

    Cached by content, so a new CA in the trust files counts at the next call.
    """
    try:
        leaf = x509.load_pem_x509_certificate(leaf_pem)
    except ValueError:
        return False
    return any(_is_issuer(leaf, authority) for pem in ca_pems for authority in _certificates(pem))


def encode_pool(pems: Iterable[str]) -> bytes:
    """One PEM of all certificates in `pems`, written anew, each once; what cannot be read is left out.

    gRPC reads a pool up to the first entry that is no certificate, so none may reach it.
    """
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


def load_ca(path: Path) -> str:
    """The PEM text of the CA certificate at `path`. Raises ConfigurationError."""
    data = _read(path, "CA certificate")
    try:
        found = x509.load_pem_x509_certificates(data)
        is_ca = [c.extensions.get_extension_for_class(x509.BasicConstraints).value.ca for c in found]
    except (ValueError, x509.ExtensionNotFound) as error:
        raise ConfigurationError(
            f"{path} holds no CA certificate in PEM: give the CA's, not a leaf"
        ) from error
    if not all(is_ca):
        raise ConfigurationError(f"{path} holds a certificate that is no CA: give the CA's, not a leaf")
    return data.decode()


def load_tls(
    certificate: Path, private_key: Path, ca: Path, *, now: int, realm: str | None = None
) -> TlsFiles:
    """A service's TLS files, checked: modes, one identity, key matches, CA issued it, not expired, realm, DNS name.

    Raises ConfigurationError saying which file is wrong and what to do.
    """
    certificate_pem = _read(certificate, "certificate")
    key_pem = _read_private(private_key)
    ca_pem = load_ca(ca).encode()
    try:
        identity = decode_leaf(certificate_pem)
    except UnauthenticatedError as error:
        raise ConfigurationError(f"{certificate}: {error.message}") from error
    try:
        key = serialization.load_pem_private_key(key_pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise ConfigurationError(f"{private_key} holds no unencrypted private key in PEM") from error
    encoding = (serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    public = x509.load_pem_x509_certificate(certificate_pem).public_key()
    if key.public_key().public_bytes(*encoding) != public.public_bytes(*encoding):
        raise ConfigurationError(f"{private_key} is not the key of {certificate}")
    if not is_issued_by(certificate_pem, (ca_pem.decode(),)):
        raise ConfigurationError(f"{certificate} was not issued by {ca}")
    if now >= identity.not_after:
        raise ConfigurationError(
            f"{certificate} expired at {rfc3339(identity.not_after)}: have it issued anew"
        )
    if now < identity.not_before:
        raise ConfigurationError(
            f"{certificate} holds only from {rfc3339(identity.not_before)}: check this machine's clock"
        )
    if realm is not None and identity.peer.realm != realm:
        raise ConfigurationError(f"{certificate} is of realm {identity.peer.realm}, and this is {realm}")
    _check_dns_name(certificate, certificate_pem, identity.peer)
    return TlsFiles(certificate_pem, key_pem, ca_pem, identity)


def alternative_names(peer: PeerId) -> str:
    """The subject alternative names that a certificate of `peer` needs, as OpenSSL writes them."""
    return f"URI:{peer.uri}, DNS:{peer.dns_name}" if peer.kind in SERVERS else f"URI:{peer.uri}"


def _check_dns_name(path: Path, pem: bytes, peer: PeerId) -> None:
    """Raises ConfigurationError for a service's certificate without the DNS name that its callers look for."""
    if peer.kind not in SERVERS:
        return
    name = peer.dns_name
    names = x509.load_pem_x509_certificate(pem).extensions.get_extension_for_class(
        x509.SubjectAlternativeName
    )
    if name not in (found.lower() for found in names.value.get_values_for_type(x509.DNSName)):
        raise ConfigurationError(
            f"{path} lacks the DNS name {name}, which callers look for: none could connect. "
            f"Have it issued anew with the subject alternative names {alternative_names(peer)}"
        )


def _read(path: Path, what: str) -> bytes:
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise ConfigurationError(f"the {what} {path} is missing") from error
    except OSError as error:
        raise ConfigurationError(f"the {what} {path} cannot be read: {error.strerror}") from error
    if len(data) > MAX_PEM_BYTES:
        raise ConfigurationError(f"the {what} {path} is larger than {MAX_PEM_BYTES} bytes")
    return data


def _read_private(path: Path) -> bytes:
    data = _read(path, "private key")
    if stat.S_IMODE(path.stat().st_mode) & 0o177:
        raise ConfigurationError(f"others can read the private key {path}: run `chmod 600 {path}`")
    return data


def write_private(path: Path, data: bytes) -> None:
    """Writes a new file of mode 0600, on disk when this returns. Raises ConfigurationError if it exists."""
    try:
        write_new(path, data)
    except FileExistsError as error:
        raise ConfigurationError(
            f"{path} exists already, and a key is never overwritten: move it away"
        ) from error
    except OSError as error:
        raise ConfigurationError(f"the private key {path} cannot be written: {error.strerror}") from error
