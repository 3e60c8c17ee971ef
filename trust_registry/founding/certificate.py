"""Issues a new TLS certificate for the registry from its CA, whose key is kept offline; the CA does not change."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path

from healthcode.errors import ConfigurationError
from healthcode.identity.peer import PeerId, PeerKind
from healthcode.rpc.mtls.development_ca import issue_leaf
from healthcode.rpc.mtls.tls_files import CertifiedKey, TlsFiles, load_ca, load_tls
from healthcode.settings import TlsSettings, split_address
from healthcode.storage.files import save_files
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
    tls: TlsSettings, ca_key: Path, *, realm: str, services: Mapping[str, ServiceEntry], now: int
) -> TlsFiles:
    """Issues a new certificate and replaces the old one, durably; a running service uses it from its next connection.

    Raises ConfigurationError, with the old certificate unchanged, if the key is not the CA's.
    """
    try:
        with as_caller():
            key_pem = ca_key.read_bytes()
        ca = CertifiedKey(load_ca(tls.ca).encode(), key_pem)
        leaf = registry_leaf(ca, realm, services, now)
    except OSError as error:
        raise ConfigurationError(f"{ca_key} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise ConfigurationError(f"{ca_key} is not a private key in PEM") from error
    with tempfile.TemporaryDirectory(dir=tls.certificate.parent, prefix=".renewal-") as name:
        certificate, private_key = Path(name) / tls.certificate.name, Path(name) / tls.private_key.name
        leaf.write(certificate, private_key)
        made = load_tls(certificate, private_key, tls.ca, now=now, realm=realm)
    save_files({tls.private_key: leaf.key_pem, tls.certificate: leaf.certificate_pem}, mode=0o600)
    return made
