"""The TLS files of a service: certificate, private key and CA, loaded with their checks, and written."""

from __future__ import annotations

import hashlib
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization

from healthcode.clock import rfc3339
from healthcode.errors import ConfigurationError, DecodeError, UnauthenticatedError
from healthcode.identity.peer import PeerId
from healthcode.identity.x509 import Certificate, decode_certificates
from healthcode.rpc.mtls.certificate import (
    MAX_PEM_BYTES,
    SERVERS,
    LeafIdentity,
    alternative_names,
    decode_leaf,
    is_issued_by,
)
from healthcode.settings import TlsSettings
from healthcode.storage.files import write_new, write_output
from healthcode.storage.reading import read_error
from healthcode.telemetry import LogBudget, get_logger

__all__ = [
    "CertifiedKey",
    "FollowedCa",
    "TlsFiles",
    "check_published",
    "load_ca",
    "load_tls",
    "public_key_digest",
    "tls_stamp",
    "write_private",
]


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

    @classmethod
    def among(cls, pem: str, key_pem: bytes) -> CertifiedKey:
        """The certificate in `pem` that the key belongs to; the first if there is none. Raises ValueError: no key."""
        public = _public_bytes(key_pem)
        found = decode_certificates(pem)
        return cls(
            next((each.pem for each in found if each.public_key == public), found[0].pem).encode(), key_pem
        )

    def write(self, certificate: Path, key: Path) -> None:
        """Writes both files, the key with mode 0600. Raises ConfigurationError if the key file exists."""
        write_private(key, self.key_pem)
        write_output(certificate, self.certificate_pem)

    def __repr__(self) -> str:
        return "CertifiedKey(…)"


def load_ca(path: Path) -> str:
    """The PEM text of the CA certificate at `path`. Raises ConfigurationError."""
    data = _read(path, "CA certificate")
    try:
        found = decode_certificates(data)
    except DecodeError as error:
        raise ConfigurationError(
            f"{path} contains no CA certificate in PEM: give the CA's, not a leaf"
        ) from error
    if not all(each.is_ca for each in found):
        raise ConfigurationError(
            f"{path} contains a certificate that is not a CA's: give the CA's, not a leaf"
        )
    # without the file's comments, which may be in any encoding
    return "".join(each.pem for each in found)


def load_tls(
    certificate: Path, private_key: Path, ca: Path, *, now: int, realm: str | None = None
) -> TlsFiles:
    """A service's TLS files: file modes, identity, key pair, issuer, validity, realm and DNS name are checked.

    Raises ConfigurationError, which names the file at fault and what to do.
    """
    certificate_pem = _read(certificate, "certificate")
    key_pem = _read_private(private_key)
    ca_pem = load_ca(ca).encode()
    try:
        identity = decode_leaf(certificate_pem)
        leaf = decode_certificates(certificate_pem)[0]
    except (UnauthenticatedError, DecodeError) as error:
        raise ConfigurationError(f"{certificate}: {error.message}") from error
    try:
        public = _public_bytes(key_pem)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise ConfigurationError(f"{private_key} contains no unencrypted private key in PEM") from error
    if public != leaf.public_key:
        raise ConfigurationError(f"{private_key} is not the key of {certificate}")
    if not is_issued_by(certificate_pem, (ca_pem.decode(),)):
        raise ConfigurationError(f"{certificate} was not issued by {ca}")
    if now >= identity.not_after:
        raise ConfigurationError(
            f"{certificate} expired at {rfc3339(identity.not_after)}, and by this machine's clock it is {rfc3339(now)}: "
            "have a new one issued; if that is not the time, set the clock"
        )
    if now < identity.not_before:
        raise ConfigurationError(
            f"{certificate} is valid only from {rfc3339(identity.not_before)}: set this machine's clock, by which it is {rfc3339(now)}"
        )
    if realm is not None and identity.peer.realm != realm:
        raise ConfigurationError(f"{certificate} is of realm {identity.peer.realm}, and this is {realm}")
    _check_dns_name(certificate, leaf, identity.peer)
    return TlsFiles(certificate_pem, key_pem, ca_pem, identity)


class FollowedCa:
    """The CAs of a file, read again when it changes. While it cannot be read, the last good ones stay in use.

    Raises ConfigurationError at the start if the file has no CA.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamp = _stat(path)
        self._pem = load_ca(path)
        self._budget = LogBudget(burst=1, period_seconds=60)

    @property
    def pem(self) -> str:
        """The CAs now (PEM)."""
        stamp = _stat(self._path)
        if stamp != self._stamp:
            try:
                self._pem, self._stamp = load_ca(self._path), stamp
            except ConfigurationError as error:
                if (left_out := self._budget.take("refused")) is not None:
                    get_logger("tls").error("tls_reload_refused", why=error.message, left_out=left_out)
        return self._pem


def check_published(files: TlsFiles, cas: Sequence[str]) -> None:
    """Raises ConfigurationError if `cas`, those published for this service, did not issue its certificate."""
    if cas and not is_issued_by(files.certificate_pem, tuple(cas)):
        raise ConfigurationError(
            f"the certificate of {files.identity.peer.uri} was issued by a CA that the trust files do not publish for "
            "it, so everybody would refuse it: publish that CA beside the old one first (docs/operating.md, "
            "Another CA), or put the old certificate back"
        )


def tls_stamp(files: TlsSettings) -> tuple[tuple[int, int, int], ...]:
    """Changes when one of the three files does."""
    return tuple(_stat(path) for path in (files.certificate, files.private_key, files.ca))


def _stat(path: Path) -> tuple[int, int, int]:
    try:
        found = path.stat()
    except OSError:
        return (0, 0, 0)
    return (found.st_mtime_ns, found.st_size, found.st_ino)


def write_private(path: Path, data: bytes) -> None:
    """Writes a new secret file of mode 0600, durably. Raises ConfigurationError if it exists."""
    try:
        write_new(path, data)
    except FileExistsError as error:
        raise ConfigurationError(
            f"{path} exists already, and a key is never overwritten: move it away"
        ) from error
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be written: {error.strerror}") from error


def public_key_digest(key_pem: bytes) -> bytes:
    """SHA-256 of the public key (SubjectPublicKeyInfo) of a private key in PEM. Raises ValueError: no key."""
    return hashlib.sha256(_public_bytes(key_pem)).digest()


def _public_bytes(key_pem: bytes) -> bytes:
    key = serialization.load_pem_private_key(key_pem, password=None)
    encoding = (serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return key.public_key().public_bytes(*encoding)


def _check_dns_name(path: Path, leaf: Certificate, peer: PeerId) -> None:
    """Raises ConfigurationError if a server's certificate lacks the DNS name that its callers check."""
    if peer.kind not in SERVERS:
        return
    name = peer.dns_name
    if name not in (found.lower() for found in leaf.dns_names):
        raise ConfigurationError(
            f"{path} lacks the DNS name {name}, which callers check: none could connect. "
            f"Have a new one issued with the subject alternative names {alternative_names(peer)}"
        )


def _read(path: Path, kind: str) -> bytes:
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise ConfigurationError(f"the {kind} {path} is missing") from error
    except OSError as error:
        raise read_error(f"the {kind} {path}", error) from error
    if len(data) > MAX_PEM_BYTES:
        raise ConfigurationError(f"the {kind} {path} is larger than {MAX_PEM_BYTES} bytes")
    return data


def _read_private(path: Path) -> bytes:
    data = _read(path, "private key")
    if stat.S_IMODE(path.stat().st_mode) & 0o177:
        raise ConfigurationError(f"others can read the private key {path}: run `chmod 600 {path}`")
    return data
