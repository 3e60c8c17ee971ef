"""What ends when, and who must act: roles, keys and certificates, from what is published.

A warning begins when a third of the life is left, so that people can be called at an
hour that suits them. Who is named is whoever can end it; the registry cannot sign for
a province, nor an operator for root's holders.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from healthcode.errors import HealthcodeError
from healthcode.identity.participant import participant
from healthcode.rpc.certificate import validity_of
from healthcode.trust.anchor import select_anchors
from healthcode.trust.layout import expiry_seconds, participant_of_role
from healthcode.trust.metadata import expires_at
from trust_registry.publication import authority_of
from trust_registry.published import Published

if TYPE_CHECKING:
    from trust_registry.app import Registry

__all__ = ["Deadline", "Kind", "actor_of", "deadlines_of", "note_of"]

WARN_FRACTION = 3

Kind = str
"""role, key or certificate: a closed word, since it labels a metric."""


@dataclass(frozen=True, slots=True)
class Deadline:
    """One thing that ends: from `begins` to `ends`, in epoch seconds; `who` must act before.

    `replaced`: another one stands in for it already, so nobody must act.
    """

    kind: Kind
    name: str
    version: str
    begins: int
    ends: int
    who: str
    replaced: bool = False

    @property
    def warns(self) -> int:
        """From when on a third of the life is left."""
        return self.ends - (self.ends - self.begins) // WARN_FRACTION


def note_of(deadline: Deadline, now: int) -> str:
    """What to tell an operator of it."""
    if deadline.replaced:
        return "ended" if now >= deadline.ends else "replaced: ends by itself"
    if now >= deadline.ends:
        return f"EXPIRED: {deadline.who} must act now"
    if now > deadline.warns:
        return f"{deadline.who} must act before it expires"
    return "ok"


def deadlines_of(registry: Registry, published: Published) -> list[Deadline]:
    """Everything that ends, the first on top. What is damaged is left out; `check` names it."""
    found = [*_roles(published), *_certificates(registry, published)]
    for code in sorted(published.participants.participants):
        try:
            found += _province(published, code)
        except HealthcodeError:
            continue
    return sorted(found, key=lambda deadline: (deadline.replaced, deadline.ends))


def _roles(published: Published) -> list[Deadline]:
    versions = published.versions
    ends = {
        "root": (versions.root, expires_at(published.root.signed)),
        "snapshot": (versions.snapshot, expires_at(published.snapshot.signed)),
        "timestamp": (versions.timestamp, expires_at(published.timestamp.signed)),
    }
    for role, version in versions.roles.items():
        try:
            metadata = published.role(role)
        except HealthcodeError:
            continue
        if metadata is not None:
            ends[role] = (version, expires_at(metadata.signed))
    return [
        Deadline("role", role, str(version), end - expiry_seconds(role), end, actor_of(role))
        for role, (version, end) in ends.items()
    ]


def _certificates(registry: Registry, published: Published) -> list[Deadline]:
    found = []
    try:
        begins, ends = validity_of(registry.settings.tls.certificate.read_text())
        who = "this registry's operators, with the holder of its CA,"
        found.append(Deadline("certificate", "registry", "", begins, ends, who))
    except (HealthcodeError, OSError):
        pass  # `check` says what is wrong with it
    for name, entry in published.participants.services.items():
        try:
            begins, ends = validity_of(entry.ca_pem)
        except HealthcodeError:
            continue
        who = f"operators (`propose service {name}`)"
        found.append(Deadline("certificate", f"{name} CA", "", begins, ends, who))
    return found


def _province(published: Published, code: str) -> list[Deadline]:
    """The keys and CAs of one participant. The newest of each purpose needs a successor in time."""
    document = authority_of(published, code).document
    who = f"the authority of {participant(code).english}"
    newest: dict[str, int] = {}
    for key in document.keys:
        newest[key.purpose] = max(newest.get(key.purpose, 0), key.not_after)
    found = [
        Deadline(
            "key",
            f"{code} {key.purpose}"
            if key.not_after == newest[key.purpose]
            else f"{code} {key.purpose} before",
            key.kid.hex(),
            key.not_before,
            key.not_after,
            who,
            replaced=key.not_after < newest[key.purpose],
        )
        for key in document.keys
    ]
    anchors, _ = select_anchors({code: document.tls_ca})  # an entry that is no CA is told elsewhere
    last = max((validity_of(pem)[1] for pem in anchors[code]), default=0)
    for number, pem in enumerate(anchors[code], start=1):
        begins, ends = validity_of(pem)
        name = f"{code} CA" if ends == last else f"{code} CA {number}"
        found.append(Deadline("certificate", name, "", begins, ends, who, replaced=ends < last))
    return found


def actor_of(role: str) -> str:
    """Who renews a role."""
    found = participant_of_role(role)
    if found is not None:
        return f"the {'node' if found[1] else 'authority'} of {participant(found[0]).english}"
    return {
        "root": "root holders (`propose renewal root`)",
        "targets": "operators (`propose renewal targets`)",
    }.get(role, "this registry (`serve` renews it)")
