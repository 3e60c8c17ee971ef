"""Who must sign a proposal, who has signed, and whose signature is invalid."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from trust_registry.proposals.in_force import InForce
from trust_registry.proposals.proposal import Proposal
from trust_registry.proposals.signed_documents import signed_documents

__all__ = ["Roll", "Tally", "name_of", "rolls_of", "tally_of"]


@dataclass(frozen=True, slots=True)
class Tally:
    """Valid signatures, and how many are required."""

    signatures: int
    threshold: int

    @property
    def is_complete(self) -> bool:
        return self.signatures >= self.threshold


@dataclass(frozen=True, slots=True)
class Roll:
    """The signers of one document (`root.json`, `targets.json`) as one root names them.

    `signed`, `missing` and `wrong` (invalid signatures) are names from `name_of`.
    """

    document: str
    by: str
    tally: Tally
    signed: tuple[str, ...]
    missing: tuple[str, ...]
    wrong: tuple[str, ...]


def rolls_of(
    proposal: Proposal, in_force: InForce | None, names: Mapping[str, str] | None = None
) -> list[Roll]:
    """One roll for each signed document and each root that judges it."""
    known = names or {}
    found = []
    for document in signed_documents(proposal, in_force):
        metadata = document.metadata
        for by, root in document.judges:
            result = root.get_verification_result(document.role, metadata.signed_bytes, metadata.signatures)
            wrong = [keyid for keyid in result.unsigned if keyid in metadata.signatures]
            missing = [keyid for keyid in result.unsigned if keyid not in metadata.signatures]
            found.append(
                Roll(
                    f"{document.role}.json",
                    by,
                    Tally(len(result.signed), result.threshold),
                    *(
                        tuple(sorted(name_of(keyid, known) for keyid in keyids))
                        for keyids in (result.signed, missing, wrong)
                    ),
                )
            )
    return found


def name_of(keyid: str, names: Mapping[str, str]) -> str:
    """A key holder's name, if known, with the first digits of the key id."""
    short = keyid[:12]
    return f"{names[keyid]} (key {short})" if keyid in names else f"key {short}"


def tally_of(proposal: Proposal, in_force: InForce | None) -> Tally:
    """The tally of the roll that lacks most signatures."""
    tallies = [roll.tally for roll in rolls_of(proposal, in_force)]
    return min(tallies, key=lambda tally: tally.signatures - tally.threshold)
