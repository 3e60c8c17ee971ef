"""A new bootstrap, the last resort: root restarts with other keys, because too few old ones are left to sign.

Every client refuses it (ROOT_REPLACED) until a person there adopts it (healthcode/trust/adopt_root.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from healthcode.errors import InvalidInputError, PreconditionError
from healthcode.identity.realm import is_test_realm
from healthcode.trust.format.metadata import to_bytes
from healthcode.trust.format.next_metadata import with_bootstrap, with_root, with_targets
from healthcode.trust.format.tuf_keys import public_of
from trust_registry.proposals.proposal import Proposal, ProposalKind, ProposalStore
from trust_registry.tree.current import Published
from trust_registry.tree.lost_versions import check_nothing_lost, title_with_losses
from trust_registry.tree.repository import Repository

__all__ = ["BootstrapPlan", "check_bootstrap_plan", "draft_bootstrap"]


@dataclass(frozen=True, slots=True)
class BootstrapPlan:
    """The ids of lost root keys, the new root keys (32 bytes each), and why.

    The operators stay if `operator_keys` is empty. `although` is the reason to restart although enough
    root keys seem to be left.
    """

    lost: Sequence[str]
    root_keys: Sequence[bytes]
    root_threshold: int
    reason: str
    operator_keys: Sequence[bytes] = ()
    operator_threshold: int | None = None
    although: str | None = None


def check_bootstrap_plan(plan: BootstrapPlan, published: Published) -> None:
    """Checks a plan before anybody is asked to sign.

    Raises PreconditionError if the root in force can still reach its threshold, InvalidInputError
    for an impossible threshold, a lost key among the new ones, or no reason.
    """
    old = published.root.signed.roles["root"]
    left = set(old.keyids) - set(plan.lost)
    if len(left) >= old.threshold and not (plan.although or "").strip():
        raise PreconditionError(
            f"{len(left)} of root's {len(old.keyids)} keys are not lost, and {old.threshold} must sign: nothing is lost "
            "that needs a new bootstrap. The key holders who are left can replace the others, and every node follows: "
            "`trust-registry propose rotation root --remove … --add …`. If they cannot, say why with --although"
        )
    if not plan.reason.strip():
        raise InvalidInputError("say what happened with --reason: every signer sees it")
    lost = {public_of(published.root.signed.keys[keyid]) for keyid in plan.lost}
    least = 1 if is_test_realm(published.realm) else 2
    shapes = [("root", plan.root_keys, plan.root_threshold)]
    if plan.operator_keys:
        shapes.append(("operator", plan.operator_keys, plan.operator_threshold or 0))
    for what, keys, threshold in shapes:
        if len(set(keys)) != len(keys):
            raise InvalidInputError("two cards have one key: each key holder has their own")
        if lost & set(keys):
            raise InvalidInputError(f"the card of a lost key is among those of the new {what} key holders")
        if not least <= threshold <= len(keys):
            raise InvalidInputError(
                f"{len(keys)} {what} keys with a threshold of {threshold}: the threshold must be between {least} and the "
                "number of keys. Give the card of each new key holder with --card"
            )


def _roles_of(plan: BootstrapPlan) -> tuple[str, ...]:
    """The roles that get a new version."""
    return ("root", "targets") if plan.operator_keys else ("root",)


def draft_bootstrap(repository: Repository, store: ProposalStore, plan: BootstrapPlan) -> Proposal:
    """Proposes the root of a new bootstrap, which its new key holders sign; new operators sign targets with it.

    Raises as check_bootstrap_plan, and PreconditionError (TRUST_ROLLBACK) if nodes have a newer root.
    """
    with repository.transaction() as transaction:
        published = transaction.current
        check_nothing_lost(published, *_roles_of(plan))
        check_bootstrap_plan(plan, published)
        changes: dict[str, tuple[Sequence[bytes], int]] = {"root": (plan.root_keys, plan.root_threshold)}
        companion = b""
        if plan.operator_keys:
            changes["targets"] = (plan.operator_keys, plan.operator_threshold or 0)
            version = published.next_version("targets")
            companion = to_bytes(
                with_targets(published.targets, version=version, files={}, now=transaction.now)
            )
        root = with_root(published.root.signed, changes, now=transaction.now)
        why = plan.reason.strip() + (f"; although: {plan.although.strip()}" if plan.although else "")
        proposal = Proposal(
            kind=ProposalKind.BOOTSTRAP,
            role="root",
            title=title_with_losses(
                f"NEW BOOTSTRAP: root restarts, {plan.root_threshold} of {len(plan.root_keys)} must sign; {why}",
                published,
                *_roles_of(plan),
            ),
            created=transaction.now,
            metadata=to_bytes(with_bootstrap(root, published.fingerprint)),
            files={},
            publications={},
            companion=companion,
        )
        store.put(proposal)
        return proposal
