"""The one door to X.509: a certificate is read whole here, and whatever the library raises leaves as DecodeError.

`cryptography` reads lazily and has no error class of its own, so a hostile certificate may raise anything anywhere.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TypeVar

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID
from cryptography.x509.verification import Criticality, ExtensionPolicy, Policy, PolicyBuilder, Store

from healthcode.clock import utc
from healthcode.errors import DecodeError

__all__ = ["Certificate", "Subject", "decode_certificates", "is_client_of", "is_signed_by"]

_Extension = TypeVar("_Extension", bound=x509.ExtensionType)
Subject = tuple[tuple[tuple[str, str], ...], ...]


@dataclass(frozen=True, slots=True)
class Certificate:
    """One certificate. Times are epoch seconds; `pem` is re-encoded.

    `subject` is normalised as RFC 5280 §7.1 compares it: without regard to case, spaces and encoding.
    `key` names the key's kind, like "P-256" or "RSA-2048"; it is empty for any kind that is not EC or RSA.
    """

    pem: str
    sha256: str
    not_before: int
    not_after: int
    is_ca: bool
    subject: Subject
    subject_text: str
    subject_bytes: int
    key: str
    public_key: bytes
    uris: tuple[str, ...]
    dns_names: tuple[str, ...]
    parsed: x509.Certificate = field(repr=False, compare=False)


# results do not change; reading one whole takes a millisecond
@lru_cache(maxsize=512)
def decode_certificates(pem: bytes | str) -> tuple[Certificate, ...]:
    """Every certificate in a PEM file, at least one. Raises DecodeError (certificate)."""
    try:
        data = pem.encode() if isinstance(pem, str) else pem
        return tuple(_decode(each) for each in x509.load_pem_x509_certificates(data))
    except Exception as error:
        raise DecodeError("certificate", "that is no well-formed certificate in PEM form") from error


def is_signed_by(leaf: Certificate, authority: Certificate) -> bool:
    """Whether `authority` may sign certificates and signed this one; the caller checks the times."""
    try:
        leaf.parsed.verify_directly_issued_by(authority.parsed)
    except Exception:  # noqa: BLE001  a signature that cannot be checked is none
        return False
    return authority.is_ca


def is_client_of(leaf: Certificate, authority: Certificate) -> bool:
    """Whether a TLS server that trusts `authority` takes this leaf of a client; the caller checks the times."""
    both_valid = max(leaf.not_before, authority.not_before)
    try:
        verifier = (
            PolicyBuilder()
            .store(Store([authority.parsed]))
            .time(utc(both_valid))
            .max_chain_depth(0)
            .extension_policies(ca_policy=_CA_POLICY, ee_policy=_CLIENT_POLICY)
            .build_client_verifier()
        )
        verifier.verify(leaf.parsed, [])
    except Exception:  # noqa: BLE001  as above
        return False
    return authority.is_ca


def _check_usages(_: Policy, __: x509.Certificate, usages: x509.ExtendedKeyUsage | None) -> None:
    if usages is not None and ExtendedKeyUsageOID.CLIENT_AUTH not in usages:
        raise ValueError("not for TLS clients")


def _check_signs(_: Policy, __: x509.Certificate, usage: x509.KeyUsage | None) -> None:
    if usage is not None and not usage.digital_signature:
        raise ValueError("not for signatures")


def _check_certifies(_: Policy, __: x509.Certificate, usage: x509.KeyUsage | None) -> None:
    if usage is not None and not usage.key_cert_sign:
        raise ValueError("not for certificates")


# what gRPC's BoringSSL demands; the library's own policy for the web demands more of a province's CA
_CLIENT_POLICY = (
    ExtensionPolicy.permit_all()
    .may_be_present(x509.ExtendedKeyUsage, Criticality.AGNOSTIC, _check_usages)
    .may_be_present(x509.KeyUsage, Criticality.AGNOSTIC, _check_signs)
)
_CA_POLICY = (
    ExtensionPolicy.permit_all()
    .require_present(x509.BasicConstraints, Criticality.AGNOSTIC, None)
    .may_be_present(x509.KeyUsage, Criticality.AGNOSTIC, _check_certifies)
)


def _decode(certificate: x509.Certificate) -> Certificate:
    pem = certificate.public_bytes(serialization.Encoding.PEM).decode()
    # the parser above is lazy; OpenSSL, a relative of gRPC's BoringSSL, parses the whole certificate
    ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=pem)
    names = _extension(certificate, x509.SubjectAlternativeName)
    constraints = _extension(certificate, x509.BasicConstraints)
    subject = certificate.subject
    return Certificate(
        pem=pem,
        sha256=certificate.fingerprint(hashes.SHA256()).hex(),
        not_before=int(certificate.not_valid_before_utc.timestamp()),
        not_after=int(certificate.not_valid_after_utc.timestamp()),
        is_ca=constraints is not None and constraints.ca,
        subject=tuple(
            tuple(sorted((each.oid.dotted_string, _folded(each.value)) for each in rdn))
            for rdn in subject.rdns
        ),
        subject_text=subject.rfc4514_string(),
        subject_bytes=len(subject.public_bytes()) if subject.rdns else 0,
        key=_key_kind(certificate),
        public_key=certificate.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        ),
        uris=() if names is None else tuple(names.get_values_for_type(x509.UniformResourceIdentifier)),
        dns_names=() if names is None else tuple(names.get_values_for_type(x509.DNSName)),
        parsed=certificate,
    )


def _extension(certificate: x509.Certificate, kind: type[_Extension]) -> _Extension | None:
    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None


def _key_kind(certificate: x509.Certificate) -> str:
    key = certificate.public_key()
    if isinstance(key, ec.EllipticCurvePublicKey):
        return {"secp256r1": "P-256", "secp384r1": "P-384", "secp521r1": "P-521"}.get(key.curve.name, "")
    return f"RSA-{key.key_size}" if isinstance(key, rsa.RSAPublicKey) else ""


def _folded(value: str | bytes) -> str:
    text = value.hex() if isinstance(value, bytes) else value
    return " ".join(text.split()).casefold()
