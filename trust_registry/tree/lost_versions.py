"""Whether root and targets may be signed on: not where somebody holds a newer one than lies here.

A registry that was restored from an old copy would take back, silently, what people signed
since the copy: its next targets is made of the old one, and stands above the newer in
number alone; its next root is another one of a version that nodes have, which none of them
can take. So nothing is proposed, signed, collected or published of a role that stands
behind, until the registry was rebuilt from a source that has the newer one.

That targets stands behind is proved by the registry's own signature (floor.py). No such
signature names root; of root there is the word of participants' nodes and the gateway, and a word may be
a lie. Therefore, and because a file may be lost everywhere, people can `accept_loss`: for
this version, with a reason that all are shown who sign. A lie about root stops nothing but
root, and that until somebody has looked, once for a version of root at most.
"""

from __future__ import annotations

from dataclasses import dataclass

from healthcode.errors import InvalidInputError, PreconditionError, Reason
from trust_registry.tree.current import Published
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
    """A version of root or targets that is not here. `held` lies here; `nodes` say so, nobody where it is proved."""

    role: str
    version: int
    held: int
    nodes: tuple[str, ...] = ()

    def __str__(self) -> str:
        who = ", ".join(self.nodes)
        known = (
            f"{who} reports root version {self.version}"
            if who
            else f"{self.role} version {self.version} was given out"
        )
        return f"{known}, and this registry has version {self.held}"

    @property
    def what(self) -> str:
        """What to do."""
        doubt = "call them, and " if self.nodes else ""
        return (
            f"nobody signs {self.role} here, which would take back what was signed since: {doubt}`trust-registry rebuild "
            f"--from` a mirror's or node's folder that has it. If nobody has: `trust-registry accept-loss {self.role}`"
        )


def lost_versions(published: Published) -> list[LostVersion]:
    """What of root and targets stands behind, and may not be signed on."""
    found = []
    held, claims = published.versions.root, published.root_claims
    if claims and not _is_accepted(published, "root", held):
        found.append(LostVersion("root", max(claims.values()), held, tuple(sorted(claims))))
    lost = published.lacking.get("targets")
    if lost is not None and not _is_accepted(published, "targets", lost):
        found.append(LostVersion("targets", lost, published.held_version("targets")))
    return found


def _is_accepted(published: Published, role: str, version: int) -> bool:
    loss = published.losses.get(role)
    return loss is not None and loss.version >= version


def check_nothing_lost(published: Published, *roles: str) -> None:
    """Raises PreconditionError (TRUST_ROLLBACK) when one of `roles` stands behind."""
    for each in lost_versions(published):
        if each.role in roles:
            raise PreconditionError(f"{each}: {each.what}", reason=Reason.TRUST_ROLLBACK)


def check_why(why: str) -> str:
    """The reason as it is kept and shown. Raises InvalidInputError unless it is a short line of text."""
    found = why.strip()
    if not found or len(found) > _MAX_WHY_CHARACTERS or not found.isprintable():
        raise InvalidInputError(
            f"--although says in 1 to {_MAX_WHY_CHARACTERS} characters why nobody has the newer file"
        )
    return found


def accept_loss(repository: Repository, role: str, why: str) -> LostVersion:
    """Goes on without what is lost everywhere; durable. Raises PreconditionError when nothing is lost."""
    why = check_why(why)
    with repository.transaction() as transaction:
        published = transaction.current
        lost = next((each for each in lost_versions(published) if each.role == role), None)
        if lost is None:
            raise PreconditionError(f"nothing is lost of {role}: it can be signed as it is")
        # of root it is what we hold that is accepted: whoever lies could name a higher one each minute
        version = lost.held if role == "root" else lost.version
        loss = Loss(version=version, lost=lost.version, why=why, accepted=transaction.now)
        high_water = repository.high_water()
        write_high_water(
            repository.folder.high_water,
            high_water.model_copy(update={"losses": {**high_water.losses, role: loss}}),
        )
    return lost


def given_up(published: Published, *roles: str) -> list[str]:
    """What of `roles` somebody holds newer, or did, and people gave up: they are signed without it."""
    found = []
    for role in roles:
        loss = published.losses.get(role)
        if loss is None:
            continue
        if role == "root":
            stands = bool(published.root_claims) and _is_accepted(published, role, published.versions.root)
        else:
            stands = role in published.lacking and _is_accepted(published, role, published.lacking[role])
        if stands:
            found.append(f"{role} version {loss.lost}, which is given up: {loss.why}")
    return found


def title_with_losses(title: str, published: Published, *roles: str) -> str:
    """A proposal's title, which says also what was given up under it: its signers see it wherever they sign."""
    return "; ".join([title, *(f"WITHOUT {each}" for each in given_up(published, *roles))])
