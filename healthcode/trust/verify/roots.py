"""A row of roots: each signed by the root before it, or adopted by a person by its fingerprint."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from healthcode.errors import Reason, SignatureError, TrustError
from healthcode.trust.format.layout import TrustLimits
from healthcode.trust.format.metadata import Metadata, Root, decode_metadata, verify_threshold
from healthcode.trust.format.metadata_fields import bootstraps_in, is_new_bootstrap, realm_of

__all__ = ["bootstrap_fingerprints", "root_fingerprint", "spoken_fingerprint", "verify_roots"]


_LIMITS = TrustLimits()


def root_fingerprint(root: bytes) -> str:
    """`sha256:<hex>` of the bytes of a root file, as served."""
    return f"sha256:{hashlib.sha256(root).hexdigest()}"


def spoken_fingerprint(fingerprint: str) -> str:
    """A root fingerprint for reading aloud: 16 groups of four digits, with ` / ` after every fourth."""
    digits = fingerprint.removeprefix("sha256:")
    groups = [digits[start : start + 4] for start in range(0, len(digits), 4)]
    return " / ".join(" ".join(groups[start : start + 4]) for start in range(0, len(groups), 4))


def verify_roots(
    roots: Sequence[bytes], limits: TrustLimits = _LIMITS, *, adopted: frozenset[str] = frozenset()
) -> tuple[Root, ...]:
    """Check a row of roots: each signed by itself and by the one before, consecutive versions, one realm.

    The caller vouches for the first. A root whose fingerprint is in `adopted` need not be signed by
    the one before, but must be newer and of the same realm. Raises SignatureError,
    TrustError(VERSION_CONFLICT | REALM_MISMATCH | ROOT_REPLACED), DecodeError.
    """
    found: list[Root] = []
    last = b""
    for data in roots:
        metadata = decode_metadata(data, Root, limits.root_bytes)
        root = metadata.signed
        verify_threshold(root, "root", metadata)
        if found:
            is_adopted = root_fingerprint(data) in adopted
            if not is_adopted:
                _verify_successor(found[-1], last, metadata)
            if root.version <= found[-1].version or not (is_adopted or root.version == found[-1].version + 1):
                raise TrustError(
                    f"root version {root.version} follows version {found[-1].version}",
                    reason=Reason.VERSION_CONFLICT,
                )
            if realm_of(root) != realm_of(found[-1]):
                raise TrustError(
                    f"root version {root.version} is of realm {realm_of(root)}, not {realm_of(found[-1])}",
                    reason=Reason.REALM_MISMATCH,
                )
        found.append(root)
        last = data
    if not found:
        raise TrustError("the list of roots is empty")
    realm_of(found[-1])
    return tuple(found)


def _verify_successor(root: Root, data: bytes, following: Metadata[Root]) -> None:
    """Check that `root`, whose file is `data`, signed the next one. Raises ROOT_REPLACED for a new bootstrap."""
    try:
        verify_threshold(root, "root", following)
    except SignatureError as error:
        if not is_new_bootstrap(following.signed, root_fingerprint(data)):
            raise
        raise TrustError(
            f"root version {following.signed.version} declares a new bootstrap, and version {root.version} did not "
            "sign it: adopt it only with a fingerprint from the key holders",
            reason=Reason.ROOT_REPLACED,
        ) from error


def bootstrap_fingerprints(
    roots: Sequence[bytes], known: bytes, limits: TrustLimits = _LIMITS
) -> frozenset[str]:
    """Fingerprints of the new bootstraps in a row of roots, if `known` confirms them.

    For a caller that has a whole row and trusts one root in it: a registry, or one rebuilt by a
    fingerprint. `known` names the root before each new bootstrap. If the row has another root
    there, or the new root says otherwise, it is no bootstrap. Raises DecodeError.
    """
    root = decode_metadata(known, Root, limits.root_bytes).signed
    bootstraps = bootstraps_in(root)
    if not bootstraps:
        return frozenset()
    row = [(data, decode_metadata(data, Root, limits.root_bytes).signed) for data in roots]
    found: set[str] = set()
    for data, each in row:
        before = bootstraps.get(str(each.version))
        if each.version > root.version or before is None or not is_new_bootstrap(each, before):
            continue
        if all(root_fingerprint(other) == before for other, at in row if at.version == each.version - 1):
            found.add(root_fingerprint(data))
    return frozenset(found)
