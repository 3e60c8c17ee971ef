"""Proposals that change keys: of root holders, of operators, and the registry's online keys.

Root names all of them but the areas key, which targets names.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from healthcode.errors import InvalidInputError
from healthcode.identity.realm import is_test_realm
from healthcode.trust.format.layout import AREAS_ROLE
from healthcode.trust.format.metadata import Metadata, Root, signing_keys, to_bytes
from healthcode.trust.format.next_metadata import with_areas_key, with_root, with_targets
from healthcode.trust.format.tuf_keys import public_of
from trust_registry.proposals.proposal import Proposal, ProposalKind, ProposalStore
from trust_registry.tree.current import Published
from trust_registry.tree.lost_versions import check_nothing_lost, title_with_losses
from trust_registry.tree.repository import Repository

__all__ = [
    "KeyHolderChange",
    "draft_areas_key",
    "draft_key_holders",
    "draft_online_key",
    "draft_reonboarding",
]

_TUF_ROLE = {"root": "root", "operators": "targets"}


@dataclass(frozen=True, slots=True)
class KeyHolderChange:
    """Public keys to add (32 bytes each), ids of keys to remove, and the new threshold (None: unchanged)."""

    add: Sequence[bytes] = ()
    remove: Sequence[str] = ()
    threshold: int | None = None


def draft_key_holders(
    repository: Repository, store: ProposalStore, who: Literal["root", "operators"], change: KeyHolderChange
) -> Proposal:
    """Proposes other root holders or operators.

    Raises InvalidInputError if nothing would change, or if the threshold could not be met.
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
            # the new operators sign targets again: the old signatures may no longer count
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
        title = f"{what}: {len(change.add)} added, {len(change.remove)} removed, {threshold} of {len(keys)} must sign"
        return _keep(
            store,
            kind,
            title_with_losses(title, published, *dict.fromkeys(("root", role))),
            new,
            transaction.now,
            companion,
        )


def _changed(root: Root, role: str, change: KeyHolderChange, realm: str) -> tuple[list[bytes], int]:
    before, threshold_before = signing_keys(root, role)
    gone = {public_of(root.keys[keyid]) for keyid in change.remove}
    keys = sorted((before - gone) | set(change.add))
    threshold = change.threshold or threshold_before
    if frozenset(keys) == before and threshold == threshold_before:
        raise InvalidInputError("nothing would change: say --add, --remove or another --threshold")
    least = 1 if is_test_realm(realm) else 2
    if not least <= threshold <= len(keys):
        raise InvalidInputError(
            f"a threshold of {threshold} is not possible with {len(keys)} keys: it must be between {least} and the "
            "number of keys. Add key holders with --add, or set --threshold"
        )
    return keys, threshold


def draft_online_key(
    repository: Repository, store: ProposalStore, role: Literal["snapshot", "timestamp"], public: bytes
) -> Proposal:
    """Proposes another key for snapshot or timestamp; root holders sign it."""
    # a new key resets the versions that clients accept, which repairs what a stolen key published ahead
    with repository.transaction() as transaction:
        published = transaction.current
        check_nothing_lost(published, "root")
        root = published.root.signed
        new = with_root(root, {role: ([public], 1)}, now=transaction.now)
        title = title_with_losses(f"another online key for {role}", published, "root")
        return _keep(store, ProposalKind.ONLINE, title, new, transaction.now)


def draft_areas_key(repository: Repository, store: ProposalStore, public: bytes) -> Proposal:
    """Proposes another key for areas; operators sign it."""
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
    """Proposes root's consent to a link of an authority chain without handover, because the authority is lost."""
    with repository.transaction() as transaction:
        published: Published = transaction.current
        check_nothing_lost(published, "root")
        root = copy.deepcopy(published.root.signed)
        new = with_root(root, {}, now=transaction.now, reonboarded={f"{participant}/{seq}": digest.hex()})
        title = f"participant {participant} lost its authority: consent to link {seq} without handover"
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
