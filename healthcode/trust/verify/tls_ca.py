"""Trust anchors: the CA certificates that participants publish in `tls_ca`, before they enter a TLS pool.

A listener has one pool for all participants, and TLS is careless with it: gRPC stops
reading a pool at the first entry that is no certificate, and BoringSSL looks a CA up by
its subject. So each entry must be exactly one CA certificate, which is written anew; and
a subject belongs to whom it was published for first. What breaks a rule is refused on
admission (`verify_tls_cas`), and left out when read (`select_tls_cas`), so that a
participant harms nobody but itself, and can still publish a better file.

Subjects are compared as RFC 5280 §7.1 has it: without regard to case, spaces and encoding.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from healthcode.errors import DecodeError, HealthcodeError, PreconditionError
from healthcode.trust.format.json_files import ServiceEntry

__all__ = [
    "TlsCa",
    "TlsCaFault",
    "decode_tls_ca",
    "published_tls_cas",
    "select_tls_cas",
    "split_pem",
    "verify_tls_cas",
]

# a server sends the subjects of its pool to each client, in at most 65 535 bytes (RFC 8446 §4.2.4):
# enough for 8 CAs of each of 34 participants
MAX_SUBJECT_BYTES = 224
MAX_PEM_BYTES = 16_384
_CURVES = (ec.SECP256R1, ec.SECP384R1, ec.SECP521R1)
_RSA_BITS = range(2048, 8193)

_Subject = tuple[tuple[tuple[str, str], ...], ...]


@dataclass(frozen=True, slots=True)
class TlsCa:
    """One CA certificate: written anew as PEM, and the subject by which it is told apart."""

    pem: str
    subject: _Subject
    name: str


@dataclass(frozen=True, slots=True)
class TlsCaFault:
    """Why an entry of `owner` counts for nothing; `is_claimed`: its subject is another's."""

    owner: str
    message: str
    is_claimed: bool = False


@lru_cache(maxsize=1024)
def decode_tls_ca(pem: str) -> TlsCa:
    """The one CA certificate in `pem`.

    Raises DecodeError: tls_ca.certificate (not exactly one that can be read), tls_ca.not_ca,
    tls_ca.subject (empty or too long), tls_ca.key (of a kind that TLS here does not take).
    """
    if len(pem) > MAX_PEM_BYTES:
        raise DecodeError("tls_ca.certificate", f"an entry has more than {MAX_PEM_BYTES} bytes")
    try:
        found = x509.load_pem_x509_certificates(pem.encode())
        if len(found) != 1:
            raise DecodeError(
                "tls_ca.certificate",
                f"an entry holds one certificate, and not {len(found)}: give each its own",
            )
        return _decode(found[0])
    except (ValueError, UnsupportedAlgorithm, x509.DuplicateExtension, ssl.SSLError) as error:
        raise DecodeError("tls_ca.certificate", "an entry is no certificate in PEM form") from error


def _decode(certificate: x509.Certificate) -> TlsCa:
    try:
        constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
    except x509.ExtensionNotFound:
        constraints = x509.BasicConstraints(ca=False, path_length=None)
    if not constraints.ca:
        raise DecodeError("tls_ca.not_ca", "an entry is no CA: give the CA's certificate, not a leaf")
    length = len(certificate.subject.public_bytes())
    if not certificate.subject.rdns or length > MAX_SUBJECT_BYTES:
        raise DecodeError(
            "tls_ca.subject",
            f"the subject of a CA must not be empty, and has at most {MAX_SUBJECT_BYTES} bytes",
        )
    key = certificate.public_key()
    if not (
        (isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, _CURVES))
        or (isinstance(key, rsa.RSAPublicKey) and key.key_size in _RSA_BITS)
    ):
        raise DecodeError(
            "tls_ca.key", "the key of a CA is P-256, P-384, P-521, or RSA of 2048 bits and more"
        )
    pem = certificate.public_bytes(serialization.Encoding.PEM).decode()
    # the parser above is lazy and of another family than the one in gRPC, whose kin looks here
    ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=pem)
    return TlsCa(pem, _subject(certificate.subject), certificate.subject.rfc4514_string())


def _subject(name: x509.Name) -> _Subject:
    return tuple(
        tuple(sorted((attribute.oid.dotted_string, _folded(attribute.value)) for attribute in rdn))
        for rdn in name.rdns
    )


def _folded(value: str | bytes) -> str:
    text = value.hex() if isinstance(value, bytes) else value
    return " ".join(text.split()).casefold()


def verify_tls_cas(owner: str, pems: Sequence[str], others: Mapping[str, Sequence[str]]) -> None:
    """Check that `owner` claims no subject of a CA that another has published before.

    Raises PreconditionError. The very same certificate may be published by several: a CA
    may serve more than one. What is no certificate is for decode_tls_ca to refuse.
    """
    before = {code: each for code, each in others.items() if code != owner}
    _, faults = select_tls_cas({**before, owner: pems})
    for fault in faults:
        if fault.owner == owner and fault.is_claimed:
            raise PreconditionError(fault.message)


def select_tls_cas(
    published: Mapping[str, Sequence[str]],
) -> tuple[dict[str, tuple[str, ...]], tuple[TlsCaFault, ...]]:
    """What of each owner's entries counts, and what does not; whoever comes first keeps a subject."""
    kept: dict[str, tuple[str, ...]] = {}
    faults: list[TlsCaFault] = []
    holders: dict[_Subject, str] = {}
    known: set[str] = set()
    for owner, pems in published.items():
        mine: list[str] = []
        for number, pem in enumerate(pems, start=1):
            try:
                anchor = decode_tls_ca(pem)
            except HealthcodeError as error:
                faults.append(
                    TlsCaFault(owner, f"tls_ca entry {number} of {owner} is left out: {error.message}")
                )
                continue
            holder = holders.setdefault(anchor.subject, owner)
            if holder != owner and anchor.pem not in known:
                faults.append(
                    TlsCaFault(
                        owner,
                        f"tls_ca entry {number} of {owner} is left out: {holder} published another CA with the "
                        f"subject {anchor.name} before; give this CA a subject of its own",
                        is_claimed=True,
                    )
                )
                continue
            known.add(anchor.pem)
            mine.append(anchor.pem)
        kept[owner] = tuple(dict.fromkeys(mine))
    return kept, tuple(faults)


def published_tls_cas(
    services: Mapping[str, ServiceEntry], participants: Mapping[str, Sequence[str]]
) -> dict[str, Sequence[str]]:
    """Who published which entries, the national services first, since operators sign for those."""
    national = {name: split_pem(entry.ca_pem) for name, entry in sorted(services.items())}
    return {**national, **participants}


def split_pem(pem: str) -> tuple[str, ...]:
    """Each certificate of a PEM file, written anew; none when it cannot be read."""
    try:
        found = x509.load_pem_x509_certificates(pem.encode())
    except ValueError:
        return ()
    return tuple(each.public_bytes(serialization.Encoding.PEM).decode() for each in found)
