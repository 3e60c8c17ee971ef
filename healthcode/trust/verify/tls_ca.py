"""The CA certificates that participants publish in `tls_ca`, checked before they enter a TLS pool.

Subjects are compared as RFC 5280 §7.1 says: without regard to case, spaces and encoding.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from healthcode.errors import DecodeError, HealthcodeError, PreconditionError
from healthcode.identity.x509 import Certificate, Subject, decode_certificates
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

# A server sends all subjects of its pool to each client, in at most 65 535 bytes (RFC 8446 §4.2.4). This leaves
# room for 8 CAs of each of 34 participants.
MAX_SUBJECT_BYTES = 224
MAX_PEM_BYTES = 16_384
# One pool serves all participants. gRPC stops reading it at the first entry that is no certificate, and BoringSSL
# looks a CA up by its subject. So each entry must be exactly one CA certificate, and a subject belongs to its first
# owner. A bad entry is refused on admission and left out on reading: it harms only the participant that published it.
_CURVES = frozenset({"P-256", "P-384", "P-521"})
_RSA_BITS = range(2048, 8193)


@dataclass(frozen=True, slots=True)
class TlsCa:
    """One CA certificate: re-encoded as PEM, with the subject that identifies it."""

    pem: str
    subject: Subject
    name: str


@dataclass(frozen=True, slots=True)
class TlsCaFault:
    """Why an entry of `owner` is left out. `is_claimed`: another owner published its subject before."""

    owner: str
    message: str
    is_claimed: bool = False


@lru_cache(maxsize=1024)
def decode_tls_ca(pem: str) -> TlsCa:
    """The one CA certificate in `pem`.

    Raises DecodeError: tls_ca.certificate (not exactly one readable certificate), tls_ca.not_ca,
    tls_ca.subject (empty or too long), tls_ca.key (a kind that TLS does not accept here).
    """
    if len(pem) > MAX_PEM_BYTES:
        raise DecodeError("tls_ca.certificate", f"an entry has more than {MAX_PEM_BYTES} bytes")
    try:
        found = decode_certificates(pem)
    except DecodeError as error:
        raise DecodeError("tls_ca.certificate", "an entry is not a certificate in PEM form") from error
    if len(found) != 1:
        raise DecodeError(
            "tls_ca.certificate",
            f"an entry must contain one certificate, not {len(found)}: give each its own entry",
        )
    return _check(found[0])


def _check(certificate: Certificate) -> TlsCa:
    if not certificate.is_ca:
        raise DecodeError("tls_ca.not_ca", "an entry is not a CA: give the CA's certificate, not a leaf")
    if not 0 < certificate.subject_bytes <= MAX_SUBJECT_BYTES:
        raise DecodeError(
            "tls_ca.subject",
            f"the subject of a CA must not be empty, and has at most {MAX_SUBJECT_BYTES} bytes",
        )
    kind, _, bits = certificate.key.partition("-")
    if certificate.key not in _CURVES and not (kind == "RSA" and int(bits) in _RSA_BITS):
        raise DecodeError(
            "tls_ca.key", "the key of a CA is P-256, P-384, P-521, or RSA of 2048 bits and more"
        )
    return TlsCa(certificate.pem, certificate.subject, certificate.subject_text)


def verify_tls_cas(owner: str, pems: Sequence[str], others: Mapping[str, Sequence[str]]) -> None:
    """Check that `owner` claims no subject of a CA that another owner published before.

    Raises PreconditionError. Several owners may publish the same certificate, since one CA may serve
    them all. Entries that are no certificates are for decode_tls_ca to refuse.
    """
    before = {code: each for code, each in others.items() if code != owner}
    _, faults = select_tls_cas({**before, owner: pems})
    for fault in faults:
        if fault.owner == owner and fault.is_claimed:
            raise PreconditionError(fault.message)


def select_tls_cas(
    published: Mapping[str, Sequence[str]],
) -> tuple[dict[str, tuple[str, ...]], tuple[TlsCaFault, ...]]:
    """(PEM entries in use of each owner, faults of the others); the first owner of a subject keeps it."""
    kept: dict[str, tuple[str, ...]] = {}
    faults: list[TlsCaFault] = []
    owners: dict[Subject, str] = {}
    known: set[str] = set()
    for owner, pems in published.items():
        mine: list[str] = []
        for number, pem in enumerate(pems, start=1):
            try:
                ca = decode_tls_ca(pem)
            except Exception as error:  # noqa: BLE001  no entry of one owner may take the pool from all the others
                why = (
                    error.message
                    if isinstance(error, HealthcodeError)
                    else f"a fault of ours: {type(error).__name__}"
                )
                faults.append(TlsCaFault(owner, f"tls_ca entry {number} of {owner} is left out: {why}"))
                continue
            first = owners.setdefault(ca.subject, owner)
            if first != owner and ca.pem not in known:
                faults.append(
                    TlsCaFault(
                        owner,
                        f"tls_ca entry {number} of {owner} is left out: {first} published another CA with the "
                        f"subject {ca.name} before; give this CA a subject of its own",
                        is_claimed=True,
                    )
                )
                continue
            known.add(ca.pem)
            mine.append(ca.pem)
        kept[owner] = tuple(dict.fromkeys(mine))
    return kept, tuple(faults)


def published_tls_cas(
    services: Mapping[str, ServiceEntry], participants: Mapping[str, Sequence[str]]
) -> dict[str, Sequence[str]]:
    """The entries of each owner. National services come first, since the operators sign for them."""
    national = {name: split_pem(entry.ca_pem) for name, entry in sorted(services.items())}
    return {**national, **participants}


def split_pem(pem: str) -> tuple[str, ...]:
    """Each certificate of a PEM file, re-encoded; empty if the file cannot be read."""
    try:
        return tuple(each.pem for each in decode_certificates(pem))
    except DecodeError:
        return ()
