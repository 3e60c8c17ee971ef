"""Whom a change of a national service's CA would cut off. A CA is published beside the old one before anything bears it."""

from __future__ import annotations

from healthcode.errors import ConfigurationError, HealthcodeError
from healthcode.identity.peer import PeerId, PeerKind
from healthcode.rpc.mtls.certificate import is_issued_by
from healthcode.rpc.mtls.tls_files import TlsFiles, check_published, load_tls
from healthcode.trust.format.json_files import ServiceEntry
from healthcode.trust.verify.tls_ca import split_pem
from trust_registry.settings import RegistrySettings
from trust_registry.tree.current import Published

__all__ = ["check_own_certificate", "load_own_certificate", "published_own_cas", "who_is_cut_off"]


def load_own_certificate(settings: RegistrySettings, now: int) -> TlsFiles:
    """The registry's TLS files. Raises ConfigurationError if they cannot be used, or are somebody else's."""
    tls, wanted = settings.tls, PeerId(settings.realm, PeerKind.REGISTRY)
    files = load_tls(tls.certificate, tls.private_key, tls.ca, now=now, realm=settings.realm)
    if files.identity.peer != wanted:
        raise ConfigurationError(
            f"{tls.certificate} names {files.identity.peer.uri}; the registry's names {wanted.uri}"
        )
    return files


def published_own_cas(published: Published) -> tuple[str, ...]:
    """The CAs that are published for the registry; none if its entry is missing."""
    entry = published.participants.services.get("registry")
    return () if entry is None else (entry.ca_pem,)


def check_own_certificate(settings: RegistrySettings, published: Published, now: int) -> None:
    """Raises ConfigurationError if everybody would refuse the registry by the certificate in its folder."""
    check_published(load_own_certificate(settings, now), published_own_cas(published))


def who_is_cut_off(
    name: str, before: ServiceEntry | None, after: ServiceEntry, settings: RegistrySettings, now: int
) -> str | None:
    """A sentence for signers if the new entry lacks the CA that the service is known by now; else None."""
    if name == "registry":
        try:
            files = load_own_certificate(settings, now)
        except HealthcodeError:
            return None  # `check` names the fault
        if is_issued_by(files.certificate_pem, (after.ca_pem,)):
            return None
        return "CUTS EVERYBODY OFF: it removes the CA of the certificate that the registry shows now"
    if before is None or set(split_pem(before.ca_pem)) & set(split_pem(after.ca_pem)):
        return None
    return f"CUTS OFF the {name} until it shows a certificate of the new CA: no CA of now stays beside it"
