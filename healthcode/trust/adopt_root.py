"""Adopt a root that the root before it did not sign: a person's decision, by a fingerprint from the key holders.

Needed when too few of root's keys are left. Everything else is verified as in any refresh.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from healthcode.errors import HealthcodeError, PreconditionError, Reason, RefusedTrustError, TrustError
from healthcode.trust.client import RefreshResult, TrustClient
from healthcode.trust.disk.bootstrap import Adopted, Bootstrap, check_fingerprint, read_bootstrap
from healthcode.trust.disk.init_trust import find_root
from healthcode.trust.disk.write import Checkpoint
from healthcode.trust.format.layout import TrustLimits
from healthcode.trust.format.metadata import Root, decode_metadata, verify_threshold
from healthcode.trust.format.metadata_fields import realm_of
from healthcode.trust.sources.trust_source import TrustSource
from healthcode.trust.store import TrustStore
from healthcode.trust.verify.roots import verify_roots

__all__ = ["Adoption", "adopt_root"]

_LIMITS = TrustLimits()


@dataclass(frozen=True, slots=True)
class Adoption:
    """The result. `before`: version of the root in force before. `is_repeat`: the root was adopted already."""

    fingerprint: str
    version: int
    before: int
    is_repeat: bool
    refresh: RefreshResult


def adopt_root(
    directory: Path | str,
    sources: TrustSource | Sequence[TrustSource],
    fingerprint: str,
    now: int,
    *,
    limits: TrustLimits = _LIMITS,
    checkpoint: Checkpoint = lambda _step: None,
) -> Adoption:
    """Adopt the root of this fingerprint, and everything signed under it.

    Raises RefusedTrustError (ROOT_UNKNOWN: no source has the root; REALM_MISMATCH),
    PreconditionError (VERSION_CONFLICT: it is older than the root in force, or signed by it and
    needs no adoption), ConfigurationError (no such folder), and as TrustClient.refresh. The
    folder is then unchanged.
    """
    directory = Path(directory)
    check_fingerprint(fingerprint)
    several = tuple(sources) if isinstance(sources, Sequence) else (sources,)
    begun = read_bootstrap(directory, limits)
    in_force = _root_in_force(directory, begun, limits)
    version = decode_metadata(in_force, Root, limits.root_bytes).signed.version
    client = TrustClient(directory, several, limits=limits, checkpoint=checkpoint)
    if begun.adopted and fingerprint == begun.adopted[-1].fingerprint:
        return Adoption(
            fingerprint, begun.adopted[-1].version, version, is_repeat=True, refresh=client.refresh(now)
        )
    root = find_root(several, fingerprint, limits)
    found = _verify_new_root(root, in_force, begun.realm, limits)
    # Without adoption every client refuses such a root (ROOT_REPLACED), since it looks like an attack. No version
    # goes back and everything revoked stays revoked. Replacing trust.json is the write that counts: after a kill
    # the next refresh completes the adoption.
    adopted = Adopted(fingerprint, found, now, root)
    return Adoption(
        fingerprint, found, version, is_repeat=False, refresh=client.refresh(now, adopting=adopted)
    )


def _root_in_force(directory: Path, begun: Bootstrap, limits: TrustLimits) -> bytes:
    """The newest root that this folder follows; before the first refresh, the last root that a person named."""
    try:
        return TrustStore.open(directory, limits=limits).state.files.national.roots[-1]
    except TrustError:
        return begun.trusted_root


def _verify_new_root(root: bytes, in_force: bytes, realm: str, limits: TrustLimits) -> int:
    """Check the root that people vouch for; returns its version."""
    (new,) = verify_roots([root], limits)
    metadata = decode_metadata(root, Root, limits.root_bytes)
    old = decode_metadata(in_force, Root, limits.root_bytes).signed
    if realm_of(new) != realm:
        raise RefusedTrustError(
            f"that root is of realm {realm_of(new)}; this folder is of {realm}", reason=Reason.REALM_MISMATCH
        )
    if new.version <= old.version:
        raise PreconditionError(
            f"that root is version {new.version}, and version {old.version} is in force here: trust never goes "
            "back. Ask for the fingerprint of the newest root",
            reason=Reason.VERSION_CONFLICT,
        )
    try:
        verify_threshold(old, "root", metadata)
    except HealthcodeError:
        return int(new.version)
    raise PreconditionError(
        f"that root, version {new.version}, is signed by the root in force: it needs no adoption, only a refresh",
        reason=Reason.VERSION_CONFLICT,
    )
