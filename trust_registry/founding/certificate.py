"""Issues a new TLS certificate for the registry from its CA, or from another that is published; the CA's key is kept offline."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from healthcode.errors import ConfigurationError, PreconditionError
from healthcode.identity.peer import PeerId, PeerKind
from healthcode.rpc.mtls.development_ca import issue_leaf
from healthcode.rpc.mtls.tls_files import CertifiedKey, TlsFiles, check_published, load_ca, load_tls
from healthcode.settings import TlsSettings, split_address
from healthcode.storage.files import save_files, write_output
from healthcode.storage.owner import as_caller
from healthcode.trust.format.json_files import ServiceEntry

__all__ = ["registry_leaf", "renew_certificate"]

_LEAF_DAYS = 398


def registry_leaf(
    ca: CertifiedKey, realm: str, services: Mapping[str, ServiceEntry], now: int
) -> CertifiedKey:
    """A certificate and key for the registry, for the host names in its published entry."""
    entry = services.get("registry")
    addresses = [] if entry is None else [entry.endpoint, *filter(None, [entry.public_endpoint])]
    hosts = tuple(dict.fromkeys(split_address(address)[0] for address in addresses))
    return issue_leaf(ca, PeerId(realm, PeerKind.REGISTRY), dns_names=hosts, days=_LEAF_DAYS, now=now)


def renew_certificate(
    tls: TlsSettings,
    ca_key: Path,
    *,
    realm: str,
    services: Mapping[str, ServiceEntry],
    now: int,
    new_ca: Path | None = None,
    lacking: Sequence[str] = (),
) -> TlsFiles:
    """Issues a new certificate and replaces the old one, durably; a running service uses it from its next connection.

    With `new_ca` it is issued by that CA, which then is the registry's. Raises, with nothing changed,
    ConfigurationError if the key is not the CA's, or the CA is not published; PreconditionError for `new_ca` while
    nodes are `lacking`, which have not reported the targets that publish it.
    """
    try:
        with as_caller():
            key_pem = ca_key.read_bytes()
            ca_pem = load_ca(new_ca or tls.ca)
        ca = CertifiedKey.among(ca_pem, key_pem)
        leaf = registry_leaf(ca, realm, services, now)
    except OSError as error:
        raise ConfigurationError(f"{ca_key} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise ConfigurationError(f"{ca_key} is not a private key in PEM") from error
    with tempfile.TemporaryDirectory(dir=tls.certificate.parent, prefix=".renewal-") as name:
        certificate, private_key = Path(name) / tls.certificate.name, Path(name) / tls.private_key.name
        leaf.write(certificate, private_key)
        issuer = Path(name) / "issuer.pem"
        write_output(issuer, ca_pem.encode())
        made = load_tls(certificate, private_key, issuer, now=now, realm=realm)
    entry = services.get("registry")
    check_published(made, () if entry is None else (entry.ca_pem,))
    if new_ca is not None and lacking:
        raise PreconditionError(
            "these have not reported the published targets, and may refuse a certificate of the new CA: "
            f"{', '.join(lacking)}. Wait for their reports (`trust-registry nodes`), or add --anyway to cut them off"
        )
    # a kill between two of them leaves files that do not fit: a running service keeps the old ones, and this
    # command mends it
    if new_ca is not None:
        save_files({tls.ca: ca_pem.encode()}, mode=0o644)
    save_files({tls.private_key: leaf.key_pem, tls.certificate: leaf.certificate_pem}, mode=0o600)
    return made
