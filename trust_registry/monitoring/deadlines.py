"""When roles, certificates, keys and policies end that the registry publishes or uses."""

from __future__ import annotations

from healthcode.errors import HealthcodeError
from healthcode.revocation.head import decode_head
from healthcode.service.deadline import (
    Deadline,
    certificate_deadline,
    certificate_file_deadlines,
    participant_deadlines,
    role_deadline,
)
from healthcode.trust.format.layout import head_path, live_role, participant_of_role
from healthcode.trust.format.metadata import expires_at
from trust_registry.participants.checks import authority_of
from trust_registry.registry import Registry
from trust_registry.tree.current import Published

__all__ = ["deadlines_of"]


def deadlines_of(registry: Registry, published: Published) -> list[Deadline]:
    """Everything that ends, the earliest first. Damaged files are left out; `check` names them."""
    found = [*_roles(published), *_certificates(registry, published)]
    for code in published.members:
        try:
            document = authority_of(published, code).province
            found += participant_deadlines(code, document, _killed(published, code))
        except HealthcodeError:
            continue
    return sorted(found, key=lambda deadline: (deadline.replaced, deadline.ends))


def _killed(published: Published, code: str) -> frozenset[bytes]:
    """The keys that a participant's node killed; empty if it published nothing, or its files are damaged."""
    try:
        live = published.role(live_role(code))
        if live is None:
            return frozenset()
        head = published.file(live, head_path(code))
        return frozenset(decode_head(head, realm=published.realm, issuer=code).killed_kids)
    except HealthcodeError:
        return frozenset()


def _roles(published: Published) -> list[Deadline]:
    versions = published.versions
    found = [
        role_deadline("root", versions.root, expires_at(published.root.signed)),
        role_deadline("snapshot", versions.snapshot, expires_at(published.snapshot.signed)),
        role_deadline("timestamp", versions.timestamp, expires_at(published.timestamp.signed)),
    ]
    for role, version in versions.roles.items():
        if (owner := participant_of_role(role)) is not None and owner[0] not in published.members:
            continue  # it has left: its last files stay in the snapshot and are never renewed
        try:
            metadata = published.role(role)
        except HealthcodeError:
            continue
        if metadata is not None:
            found.append(role_deadline(role, version, expires_at(metadata.signed)))
    return found


def _certificates(registry: Registry, published: Published) -> list[Deadline]:
    who = "this registry's operators, with the holder of its CA,"
    found = certificate_file_deadlines({"registry": (registry.settings.tls.certificate, who)})
    for name, entry in published.participants.services.items():
        try:
            found.append(
                certificate_deadline(f"{name} CA", entry.ca_pem, f"operators (`propose service {name}`)")
            )
        except HealthcodeError:
            continue
    return found
