"""A participant leaves: operators announce it, may withdraw it while it still signs, and end it with a removal."""

from __future__ import annotations

from collections.abc import Mapping

from healthcode.clock import rfc3339
from healthcode.errors import InvalidInputError, PreconditionError, Reason
from healthcode.policy.book import NOTICE_SECONDS, Policy
from healthcode.trust.format.delegation import delegated_participants
from healthcode.trust.format.json_files import ParticipantEntry, ParticipantsFile, Retirement
from healthcode.trust.format.layout import PARTICIPANTS_PATH
from healthcode.trust.format.next_metadata import without_province
from trust_registry.proposals.drafts import encode_participants, keep_targets, next_targets
from trust_registry.proposals.proposal import Proposal, ProposalKind, ProposalStore
from trust_registry.tree.current import Published
from trust_registry.tree.repository import Repository

__all__ = [
    "draft_removal",
    "draft_retirement",
    "draft_withdrawal",
    "left_by",
    "retirement_warnings",
    "retirements_of",
]


def draft_retirement(
    repository: Repository, store: ProposalStore, code: str, retirement: Retirement
) -> Proposal:
    """Proposes that a participant leaves, or other times for it.

    Raises InvalidInputError for an unknown participant, or times that are past or in the wrong order;
    PreconditionError (ISSUER_RETIRED) if it has stopped signing.
    """
    with repository.transaction() as transaction:
        document = transaction.current.participants
        entry = _entry(document, code)
        if not transaction.now <= retirement.signs_until < retirement.codes_until:
            raise InvalidInputError(
                "--signs-until must be in the future, and --codes-until must be later than --signs-until"
            )
        files = _with_entry(document, code, entry.model_copy(update={"retirement": retirement}))
        title = (
            f"participant {code} retires: signs until {rfc3339(retirement.signs_until)}, codes until "
            f"{rfc3339(retirement.codes_until)}"
        )
        return keep_targets(
            transaction, store, ProposalKind.RETIREMENT, title, next_targets(transaction, files), files
        )


def retirement_warnings(policy: Policy, retirement: Retirement, now: int) -> list[str]:
    """Warnings about times that are probably a mistake, by the policy in force."""
    found = []
    notice = retirement.signs_until - now
    if notice < NOTICE_SECONDS:
        found.append(
            f"it signs its last code in {_span(notice)}, less than the 48 hours' notice of a policy. "
            "Once it has stopped signing, this cannot be withdrawn"
        )
    rest = retirement.codes_until - retirement.signs_until
    for presentation, longest in sorted(policy.max_validity_seconds.items()):
        if rest < longest:
            found.append(
                f"{presentation} codes are valid for up to {_span(longest)}, but all end {_span(rest)} after the last signature: "
                "some end before their expiry"
            )
    return found


def _span(seconds: int) -> str:
    for unit, size in (("days", 86_400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{seconds // size} {unit}"
    return f"{seconds} seconds"


def draft_withdrawal(repository: Repository, store: ProposalStore, code: str) -> Proposal:
    """Proposes that a participant stays after all.

    Raises InvalidInputError if its retirement was not announced; PreconditionError (ISSUER_RETIRED) if it
    has stopped signing.
    """
    with repository.transaction() as transaction:
        document = transaction.current.participants
        entry = _leaving(document, code)
        files = _with_entry(document, code, entry.model_copy(update={"retirement": None}))
        title = f"participant {code} does not retire: its announced retirement is withdrawn"
        return keep_targets(
            transaction, store, ProposalKind.RETIREMENT, title, next_targets(transaction, files), files
        )


def draft_removal(repository: Repository, store: ProposalStore, code: str) -> Proposal:
    """Proposes to remove the delegation to a participant whose last code has ended.

    Raises InvalidInputError if its retirement was not announced or it was removed already;
    PreconditionError (ISSUER_RETIRED) while it may have codes.
    """
    # its chain and its retirement stay in participants.json: verifiers can still tell its codes from unknown ones
    with repository.transaction() as transaction:
        published = transaction.current
        retirement = _leaving(published.participants, code).retirement
        if code not in delegated_participants(published.targets.signed):
            raise InvalidInputError(f"the delegation of participant {code} was taken back already")
        if retirement is not None and transaction.now < retirement.codes_until:
            raise PreconditionError(
                f"codes of participant {code} are valid until {rfc3339(retirement.codes_until)}: take its "
                "delegation back after that",
                reason=Reason.ISSUER_RETIRED,
            )
        targets = without_province(next_targets(transaction, {}), code)
        title = f"participant {code} has left: take its delegation back"
        return keep_targets(transaction, store, ProposalKind.RETIREMENT, title, targets, {})


def retirements_of(published: Published) -> Mapping[str, Retirement]:
    """The retirements of participants that leave or have left, by participant."""
    entries = published.participants.participants
    return {code: entry.retirement for code, entry in sorted(entries.items()) if entry.retirement is not None}


def left_by(published: Published, now: int) -> tuple[str, ...]:
    """Participants whose last code has ended and whose delegation operators may take back."""
    delegated = delegated_participants(published.targets.signed)
    return tuple(
        code
        for code, retirement in retirements_of(published).items()
        if code in delegated and retirement.codes_until <= now
    )


def _entry(document: ParticipantsFile, code: str) -> ParticipantEntry:
    entry = document.participants.get(code)
    if entry is None:
        raise InvalidInputError(f"participant {code} is not admitted")
    return entry


def _leaving(document: ParticipantsFile, code: str) -> ParticipantEntry:
    entry = _entry(document, code)
    if entry.retirement is None:
        raise InvalidInputError(f"participant {code} does not retire: nothing was announced")
    return entry


def _with_entry(document: ParticipantsFile, code: str, entry: ParticipantEntry) -> Mapping[str, bytes]:
    return {
        PARTICIPANTS_PATH: encode_participants(document, participants={**document.participants, code: entry})
    }
