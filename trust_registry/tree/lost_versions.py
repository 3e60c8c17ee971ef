"""Refuses to sign root or targets while a newer version of them exists elsewhere (docs/adr/0016).

After a restore from an old copy, the next version would silently undo what people signed since the copy.
"""

from __future__ import annotations

from dataclasses import dataclass

from healthcode.errors import InvalidInputError, PreconditionError, Reason
from trust_registry.tree.current import Published
from trust_registry.tree.event_log import EventKind
from trust_registry.tree.high_water import Loss, write_high_water
from trust_registry.tree.repository import Repository

__all__ = [
    "LostVersion",
    "accept_loss",
    "check_nothing_lost",
    "check_why",
    "given_up",
    "lost_versions",
    "title_with_losses",
]

_MAX_WHY_CHARACTERS = 200


@dataclass(frozen=True, slots=True)
class LostVersion:
    """A version of root or targets newer than `held`, the one here. `nodes` claim to have it; empty if proved."""

    role: str
    version: int
    held: int
    nodes: tuple[str, ...] = ()

    def __str__(self) -> str:
        who = ", ".join(self.nodes)
        known = (
            f"{who} reports root version {self.version}"
            if who
            else f"{self.role} version {self.version} was published"
        )
        return f"{known}, and this registry has version {self.held}"

    @property
    def what(self) -> str:
        """What the operator must do."""
        doubt = "call them, then " if self.nodes else ""
        return (
            f"do not sign {self.role} here, since that would undo what was signed later: {doubt}`trust-registry rebuild "
            f"--from` a mirror or a node's folder that has it. If no copy exists: `trust-registry accept-loss {self.role}`"
        )


def lost_versions(published: Published) -> list[LostVersion]:
    """The newer versions of root and targets that exist elsewhere and are not given up."""
    found = []
    # Nothing proves a version of root: the registry does not sign for it, so there is only the word of nodes.
    # A false claim can only block changes to root, and only once per version: operators dismiss it with `accept-loss`.
    held, claims = published.versions.root, published.root_claims
    if claims and not _is_accepted(published, "root", held):
        found.append(LostVersion("root", max(claims.values()), held, tuple(sorted(claims))))
    # a version of targets is proved by the registry's own snapshot (high_water.py)
    lost = published.lacking.get("targets")
    if lost is not None and not _is_accepted(published, "targets", lost):
        found.append(LostVersion("targets", lost, published.held_version("targets")))
    return found


def _is_accepted(published: Published, role: str, version: int) -> bool:
    loss = published.losses.get(role)
    return loss is not None and loss.version >= version


def check_nothing_lost(published: Published, *roles: str) -> None:
    """Raises PreconditionError (TRUST_ROLLBACK) if a newer version of one of `roles` exists elsewhere."""
    for each in lost_versions(published):
        if each.role in roles:
            raise PreconditionError(f"{each}: {each.what}", reason=Reason.TRUST_ROLLBACK)


def check_why(why: str) -> str:
    """The reason for a loss, trimmed. Raises InvalidInputError unless it is a short line of text."""
    found = why.strip()
    if not found or len(found) > _MAX_WHY_CHARACTERS or not found.isprintable():
        raise InvalidInputError(
            f"--although needs a reason of 1 to {_MAX_WHY_CHARACTERS} characters: why no copy of the newer file exists"
        )
    return found


def accept_loss(repository: Repository, role: str, why: str) -> LostVersion:
    """Records, durably, that a newer version is lost everywhere, so that the role can be signed again.

    `why` is shown to everybody who signs. Raises PreconditionError if nothing is lost.
    """
    why = check_why(why)
    with repository.transaction() as transaction:
        published = transaction.current
        lost = next((each for each in lost_versions(published) if each.role == role), None)
        if lost is None:
            raise PreconditionError(f"no newer version of {role} is known: it can be signed as it is")
        # for root our own version is recorded: a node that lies could claim a higher one every minute
        version = lost.held if role == "root" else lost.version
        loss = Loss(version=version, lost=lost.version, why=why, accepted=transaction.now)
        repository.events.record(EventKind.GAVE_UP, f"{role} version {lost.version}", why)
        high_water = repository.high_water()
        write_high_water(
            repository.folder.high_water,
            high_water.model_copy(update={"losses": {**high_water.losses, role: loss}}),
        )
    return lost


def given_up(published: Published, *roles: str) -> list[str]:
    """The lost versions of `roles` that operators gave up and that are still missing here, as text."""
    found = []
    for role in roles:
        loss = published.losses.get(role)
        if loss is None:
            continue
        if role == "root":
            is_missing = bool(published.root_claims) and _is_accepted(
                published, role, published.versions.root
            )
        else:
            is_missing = role in published.lacking and _is_accepted(published, role, published.lacking[role])
        if is_missing:
            found.append(f"{role} version {loss.lost}, which is given up: {loss.why}")
    return found


def title_with_losses(title: str, published: Published, *roles: str) -> str:
    """The title of a proposal with the accepted losses added, so that every signer sees them."""
    return "; ".join([title, *(f"WITHOUT {each}" for each in given_up(published, *roles))])
