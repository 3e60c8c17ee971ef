"""A new bootstrap: root begins anew with other keys, because too few of the old ones are left to sign.

The trust tree, the realm, operators and online keys stay; what comes is the next version of
root, which the root in force does *not* sign, and which says so of itself, for ever
(`healthcode.bootstraps`). To every client it looks like an attack, and rightly so: each refuses
it (ROOT_REPLACED) until a person there adopts it by a fingerprint that came by another way
(healthcode/trust/adopt_root.py). So it is the last resort, and only who names enough lost
holders gets there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from healthcode.errors import InvalidInputError, PreconditionError
from healthcode.identity.realm import is_test_realm
from healthcode.trust.format.metadata import to_bytes
from healthcode.trust.format.next_metadata import (
    with_bootstrap,
    with_root,
    with_targets,
)
from healthcode.trust.format.tuf_keys import public_of
from trust_registry.proposals.proposal import Proposal, ProposalKind, ProposalStore
from trust_registry.tree.current import Published
from trust_registry.tree.lost_versions import check_nothing_lost, title_with_losses
from trust_registry.tree.repository import Repository

__all__ = ["BootstrapPlan", "check_plan", "draft_bootstrap", "roles_of"]


@dataclass(frozen=True, slots=True)
class BootstrapPlan:
    """Who is lost (ids of keys), who holds root from now on (32 bytes each), and why.

    No `operator_keys`: the operators stay. `although` says why it must be, where enough of
    root's keys seem to be left.
    """

    lost: Sequence[str]
    root_keys: Sequence[bytes]
    root_threshold: int
    reason: str
    operator_keys: Sequence[bytes] = ()
    operator_threshold: int | None = None
    although: str | None = None


def check_plan(plan: BootstrapPlan, published: Published) -> None:
    """What can be found out before anybody is asked.

    Raises PreconditionError while the old root's threshold can be met, InvalidInputError
    for a shape that would not hold, a lost key that comes back, or no reason.
    """
    old = published.root.signed.roles["root"]
    left = set(old.keyids) - set(plan.lost)
    if len(left) >= old.threshold and not (plan.although or "").strip():
        raise PreconditionError(
            f"{len(left)} of root's {len(old.keyids)} keys are not named as lost, and {old.threshold} sign: nothing is "
            "lost that needs a new bootstrap. Those who are left can name others, which costs nobody anything: "
            "`trust-registry propose rotation root --remove … --add …`. If they cannot, say why with --although"
        )
    if not plan.reason.strip():
        raise InvalidInputError("say what happened with --reason: everybody who signs is shown it")
    lost = {public_of(published.root.signed.keys[keyid]) for keyid in plan.lost}
    least = 1 if is_test_realm(published.realm) else 2
    shapes = [("root", plan.root_keys, plan.root_threshold)]
    if plan.operator_keys:
        shapes.append(("operator", plan.operator_keys, plan.operator_threshold or 0))
    for what, keys, threshold in shapes:
        if len(set(keys)) != len(keys):
            raise InvalidInputError("two cards have one key: each holder has their own")
        if lost & set(keys):
            raise InvalidInputError(f"the card of a lost key is among those of the new {what} holders")
        if not least <= threshold <= len(keys):
            raise InvalidInputError(
                f"{len(keys)} {what} keys with a threshold of {threshold}: the threshold lies between {least} and the "
                "number of keys. Name the new holders with --card, as often as there are"
            )


def roles_of(plan: BootstrapPlan) -> tuple[str, ...]:
    """What is signed anew by it."""
    return ("root", "targets") if plan.operator_keys else ("root",)


def draft_bootstrap(repository: Repository, store: ProposalStore, plan: BootstrapPlan) -> Proposal:
    """The proposal of a root that begins anew; the new holders sign it, and new operators targets with it.

    Raises as check_plan, and PreconditionError (TRUST_ROLLBACK) where nodes hold a newer root.
    """
    with repository.transaction() as transaction:
        published = transaction.current
        check_nothing_lost(published, *roles_of(plan))
        check_plan(plan, published)
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
                f"NEW BOOTSTRAP: root begins anew, {plan.root_threshold} of {len(plan.root_keys)} sign; {why}",
                published,
                *roles_of(plan),
            ),
            created=transaction.now,
            metadata=to_bytes(with_bootstrap(root, published.fingerprint)),
            files={},
            publications={},
            companion=companion,
        )
        store.put(proposal)
        return proposal
