"""Proposals that change keys: of root holders, operators, the registry's own online keys.

Root holders and the keys of snapshot and timestamp stand in root; who the operators are,
too, and then targets is signed again by the new ones in the same proposal, since what
the old ones signed may no longer count. The key of areas stands in targets.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from healthcode.errors import InvalidInputError
from healthcode.identity.realm import is_test_realm
from healthcode.trust.format.layout import AREAS_ROLE
from healthcode.trust.format.metadata import (
    Metadata,
    Root,
    signing_keys,
    to_bytes,
)
from healthcode.trust.format.next_metadata import (
    with_areas_key,
    with_root,
    with_targets,
)
from healthcode.trust.format.tuf_keys import public_of
from trust_registry.proposals.proposal import Proposal, ProposalKind, ProposalStore
from trust_registry.tree.current import Published
from trust_registry.tree.lost_versions import check_nothing_lost, title_with_losses
from trust_registry.tree.repository import Repository

__all__ = ["HolderChange", "draft_areas_key", "draft_holders", "draft_online_key", "draft_reonboarding"]

_TUF_ROLE = {"root": "root", "operators": "targets"}


@dataclass(frozen=True, slots=True)
class HolderChange:
    """Keys that come (32 bytes each), the ids of those that go, and the new threshold (None: as it is)."""

    add: Sequence[bytes] = ()
    remove: Sequence[str] = ()
    threshold: int | None = None


def draft_holders(
    repository: Repository, store: ProposalStore, who: Literal["root", "operators"], change: HolderChange
) -> Proposal:
    """The proposal of other root holders or operators.

    Raises InvalidInputError when nothing would change, or nobody could sign any more.
    """
    with repository.transaction() as transaction:
        published = transaction.current
        role = _TUF_ROLE[who]
        check_nothing_lost(published, "root", role)
        root = published.root.signed
        keys, threshold = _changed(root, role, change, published.realm)
        new = with_root(root, {role: (keys, threshold)}, now=transaction.now)
        companion = b""
        if role == "targets":
            companion = to_bytes(
                with_targets(
                    published.targets,
                    version=published.next_version("targets"),
                    files={},
                    now=transaction.now,
                )
            )
        kind = ProposalKind.OPERATORS if companion else ProposalKind.ROOT
        what = "operators" if companion else "root holders"
        title = f"{what}: {len(change.add)} come, {len(change.remove)} go, {threshold} of {len(keys)} sign"
        return _keep(
            store,
            kind,
            title_with_losses(title, published, *dict.fromkeys(("root", role))),
            new,
            transaction.now,
            companion,
        )


def _changed(root: Root, role: str, change: HolderChange, realm: str) -> tuple[list[bytes], int]:
    before, threshold_before = signing_keys(root, role)
    gone = {public_of(root.keys[keyid]) for keyid in change.remove}
    keys = sorted((before - gone) | set(change.add))
    threshold = change.threshold or threshold_before
    if frozenset(keys) == before and threshold == threshold_before:
        raise InvalidInputError("nothing would change: name who comes, who goes, or another threshold")
    least = 1 if is_test_realm(realm) else 2
    if not least <= threshold <= len(keys):
        raise InvalidInputError(
            f"{threshold} of {len(keys)} keys cannot be: the threshold lies between {least} and the number of "
            "keys. Add holders with --add, or set --threshold"
        )
    return keys, threshold


def draft_online_key(
    repository: Repository, store: ProposalStore, role: Literal["snapshot", "timestamp"], public: bytes
) -> Proposal:
    """The proposal of another key for snapshot or timestamp; root holders sign it.

    With it clients begin their versions anew, so that a stolen key that ran ahead is healed.
    """
    with repository.transaction() as transaction:
        published = transaction.current
        check_nothing_lost(published, "root")
        root = published.root.signed
        new = with_root(root, {role: ([public], 1)}, now=transaction.now)
        title = title_with_losses(f"another online key for {role}", published, "root")
        return _keep(store, ProposalKind.ONLINE, title, new, transaction.now)


def draft_areas_key(repository: Repository, store: ProposalStore, public: bytes) -> Proposal:
    """The proposal of another key for areas; operators sign it."""
    with repository.transaction() as transaction:
        published = transaction.current
        check_nothing_lost(published, "targets")
        targets = with_targets(
            published.targets, version=published.next_version("targets"), files={}, now=transaction.now
        )
        proposal = Proposal(
            kind=ProposalKind.AREAS,
            role="targets",
            title=title_with_losses(f"another online key for {AREAS_ROLE}", published, "targets"),
            created=transaction.now,
            metadata=to_bytes(with_areas_key(targets, public)),
            files={},
            publications={},
        )
        store.put(proposal)
        return proposal


def draft_reonboarding(
    repository: Repository, store: ProposalStore, participant: str, seq: int, digest: bytes
) -> Proposal:
    """Root's consent to an authority link that the authority before could not hand over, because it is lost."""
    with repository.transaction() as transaction:
        published: Published = transaction.current
        check_nothing_lost(published, "root")
        root = copy.deepcopy(published.root.signed)
        new = with_root(root, {}, now=transaction.now, reonboarded={f"{participant}/{seq}": digest.hex()})
        title = f"participant {participant} lost its authority: link {seq} without handover"
        title = title_with_losses(title, published, "root")
        return _keep(store, ProposalKind.REONBOARDING, title, new, transaction.now)


def _keep(
    store: ProposalStore,
    kind: ProposalKind,
    title: str,
    root: Metadata[Root],
    now: int,
    companion: bytes = b"",
) -> Proposal:
    proposal = Proposal(
        kind=kind,
        role="root",
        title=title,
        created=now,
        metadata=to_bytes(root),
        files={},
        publications={},
        companion=companion,
    )
    store.put(proposal)
    return proposal
