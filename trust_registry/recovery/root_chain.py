"""The chain of root versions that one source has, completed from other sources where it lacks some."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from healthcode.errors import HealthcodeError, NotFoundError, RefusedTrustError
from healthcode.trust.format.layout import metadata_file
from healthcode.trust.sources.trust_source import TrustSource
from healthcode.trust.verify.roots import bootstrap_fingerprints, root_fingerprint, verify_roots
from trust_registry.recovery.node_folder import NodeFolderSource
from trust_registry.tree.current import LIMITS

__all__ = ["candidates", "complete_chain", "fetch_roots", "proved_roots"]


def fetch_roots(source: TrustSource) -> dict[int, bytes]:
    """Every root that a source has, by version; not verified yet."""
    if isinstance(source, NodeFolderSource):
        return dict(source.roots)
    found: dict[int, bytes] = {}
    for version in range(1, LIMITS.root_rotations + 1):
        try:
            found[version] = source.fetch(metadata_file("root", version), LIMITS.root_bytes)
        except NotFoundError:
            if found:
                break
    return found


def candidates(roots_of_sources: Iterable[Mapping[int, bytes]]) -> dict[int, tuple[bytes, ...]]:
    """The files that sources have for each version of root, the most common first; not verified."""
    counts: dict[int, Counter[bytes]] = {}
    for roots in roots_of_sources:
        for version, data in roots.items():
            counts.setdefault(version, Counter())[data] += 1
    return {version: tuple(data for data, _ in found.most_common()) for version, found in counts.items()}


def complete_chain(
    source: TrustSource, fingerprint: str, own: Mapping[int, bytes], offered: Mapping[int, Sequence[bytes]]
) -> dict[int, bytes]:
    """The roots of a source by version, up to its newest; gaps are filled from `offered`, the roots of all sources.

    Raises RefusedTrustError if none of them has the known fingerprint.
    """
    newest = max(own, default=0)
    usable = {version: found for version, found in offered.items() if version <= newest}
    usable |= {version: (data,) for version, data in own.items()}
    first, known = _find_known(source, fingerprint, usable, offered)
    chain = {first: known}

    # from the known root forwards to the newest, then backwards: each root must fit its neighbour
    for version in (*range(first + 1, newest + 1), *range(first - 1, 0, -1)):
        is_newer = version > first
        neighbour = chain.get(version - 1 if is_newer else version + 1)
        neighbours = [] if neighbour is None else [neighbour]
        for data in usable.get(version, ()):
            if _are_linked([*neighbours, data] if is_newer else [data, *neighbours], known):
                chain[version] = data
                break
    return {**chain, **own}


def _find_known(
    source: TrustSource,
    fingerprint: str,
    usable: Mapping[int, Sequence[bytes]],
    offered: Mapping[int, Sequence[bytes]],
) -> tuple[int, bytes]:
    """(version, file) of the root with the known fingerprint. Raises RefusedTrustError if this source has none."""
    for version, found in usable.items():
        for data in found:
            if root_fingerprint(data) == fingerprint:
                return version, data
    elsewhere = any(root_fingerprint(data) == fingerprint for found in offered.values() for data in found)
    hint = "another source has it" if elsewhere else "no other source has it: add a mirror that has all roots"
    raise RefusedTrustError(
        f"{source.name} has no root with fingerprint {fingerprint}: it is of another realm, or damaged, or its "
        f"first roots are missing ({hint})"
    )


def _are_linked(roots: Sequence[bytes], known: bytes) -> bool:
    try:
        verify_roots(roots, LIMITS, adopted=bootstrap_fingerprints(roots, known))
    except HealthcodeError:
        return False
    return True


def proved_roots(chain: Mapping[int, bytes], fingerprint: str) -> tuple[list[bytes], frozenset[str]]:
    """The roots of a chain that the known root proves, and the fingerprints of those that restarted root."""
    known = next(data for data in chain.values() if root_fingerprint(data) == fingerprint)
    adopted = bootstrap_fingerprints(list(chain.values()), known)
    kept: list[int] = []
    for version in sorted(chain):
        # A restarted root vouches only for the root it names. Older roots may be missing or forged, so drop them.
        if kept and version > kept[-1] + 1 and root_fingerprint(chain[version]) in adopted:
            kept = []
        kept.append(version)
    return [chain[version] for version in kept], adopted
