"""Drafts the proposals that operators or root holders sign: admissions, the policy, services, renewals.

Each draft passes the checks of its publication, so that people never sign what would be refused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from healthcode.errors import ConflictError, InvalidInputError, PreconditionError, Reason
from healthcode.policy.book import check_freshness, check_notice
from healthcode.policy.book_file import decode_policy
from healthcode.policy.lint.policy_lint import check_policy
from healthcode.trust.format.json_files import (
    MAX_LINKS,
    ParticipantEntry,
    ParticipantsFile,
    ServiceEntry,
    decode_json_file,
    encode_json_file,
)
from healthcode.trust.format.layout import PARTICIPANTS_PATH, POLICY_PATH, authority_role
from healthcode.trust.format.metadata import Metadata, Targets, to_bytes
from healthcode.trust.format.metadata_fields import reonboarded_in
from healthcode.trust.format.next_metadata import with_province, with_root, with_targets
from trust_registry.participants.checks import (
    Publication,
    check_authority_publication,
    check_national,
    check_retirements,
)
from trust_registry.participants.file_formats import check_readers
from trust_registry.participants.join import Join, chain_of, is_admitted, retirement_of
from trust_registry.proposals.proposal import Proposal, ProposalKind, ProposalState, ProposalStore
from trust_registry.proposals.signed_documents import state_of
from trust_registry.tree.current import LIMITS, Published
from trust_registry.tree.lost_versions import check_nothing_lost, title_with_losses
from trust_registry.tree.repository import Repository
from trust_registry.tree.transaction import Transaction

__all__ = [
    "draft_admission",
    "draft_policy",
    "draft_renewal",
    "draft_service",
    "encode_participants",
    "keep_targets",
    "next_targets",
]


def draft_admission(repository: Repository, store: ProposalStore, joins: Sequence[Join]) -> Proposal:
    """Proposes to admit these participants together; returns the open proposal for the same requests, if any.

    Raises as Join.verify: ConflictError (AUTHORITY_EXISTS) for a second authority,
    InvalidInputError for a participant that the realm may not have.
    """
    with repository.transaction() as transaction:
        published = transaction.current
        for join in joins:
            if is_admitted(join, published):
                raise ConflictError(
                    f"{join.title} is admitted already, by this same request: nothing is left to sign",
                    reason=Reason.AUTHORITY_EXISTS,
                )
            join.verify(published, transaction.now)
        requests = tuple(sorted(join.digest for join in joins))
        if len({join.request.participant for join in joins}) != len(joins):
            raise ConflictError(
                "two of these requests are for one participant, but a province has one authority",
                reason=Reason.AUTHORITY_EXISTS,
            )
        for open_proposal in _open_proposals(store, published):
            if open_proposal.kind is ProposalKind.ADMIT and open_proposal.requests == requests:
                return open_proposal
        document = published.participants
        for join in joins:
            if len(chain_of(document, join.request.participant)) >= MAX_LINKS:
                raise PreconditionError(
                    f"{join.title}: its province has had {MAX_LINKS} authorities, which is all that its entry holds: "
                    "the province needs a new participant code"
                )
        entries = dict(document.participants)
        entries.update(
            {
                join.request.participant: ParticipantEntry(
                    chain=(*chain_of(document, join.request.participant), join.request.link),
                    retirement=retirement_of(document, join.request.participant),
                )
                for join in joins
            }
        )
        files = {PARTICIPANTS_PATH: encode_participants(document, participants=entries)}
        targets = next_targets(transaction, files)
        for join in joins:
            link = join.request.link
            targets = with_province(targets, join.request.participant, link.keys, link.threshold)
        title = _admission_title(joins, published)
        publications = {
            authority_role(join.request.participant): Publication(
                join.request.metadata, join.request.province_json
            )
            for join in joins
        }
        return keep_targets(
            transaction, store, ProposalKind.ADMIT, title, targets, files, publications, requests
        )


def _admission_title(joins: Sequence[Join], published: Published) -> str:
    """E.g. `admit 11 …, 44 …; 31 … hands over to link 2, signed by 2 of 3 old keys`."""
    first = [join.title for join in joins if not join.effect(published)]
    parts = ["admit " + ", ".join(first)] if first else []
    parts += [f"{join.title} {how}" for join in joins if (how := join.effect(published))]
    return "; ".join(parts)


def draft_policy(repository: Repository, store: ProposalStore, policy: bytes) -> Proposal:
    """Proposes another policy/national.json.

    Raises InvalidInputError if it is no policy, has an unknown word or breaks a rule of lint; if it changes the
    next 48 hours and is no emergency; or if trust would become STALE between two signatures; and as check_readers.
    """
    check_policy(policy)
    book = decode_policy(policy)
    with repository.transaction() as transaction:
        present = transaction.current.file(transaction.current.targets, POLICY_PATH)
        check_notice(decode_policy(present), book, transaction.now)
        check_freshness(decode_policy(present), book)
        files = {POLICY_PATH: policy}
        targets = next_targets(transaction, files)
        return keep_targets(
            transaction, store, ProposalKind.POLICY, "change the national policy", targets, files
        )


def draft_service(
    repository: Repository,
    store: ProposalStore,
    name: Literal["registry", "gateway"],
    entry: ServiceEntry,
    *,
    cuts_off: str | None = None,
) -> Proposal:
    """Proposes another CA or endpoint for a national service. `cuts_off` tells the signers who can no longer connect."""
    with repository.transaction() as transaction:
        document = transaction.current.participants
        files = {
            PARTICIPANTS_PATH: encode_participants(document, services={**document.services, name: entry})
        }
        targets = next_targets(transaction, files)
        title = f"change where the {name} is reached, and its CA" + (f"; {cuts_off}" if cuts_off else "")
        return keep_targets(transaction, store, ProposalKind.SERVICE, title, targets, files)


def draft_renewal(repository: Repository, store: ProposalStore, role: Literal["root", "targets"]) -> Proposal:
    """Proposes to sign a role again unchanged, with a new expiry."""
    with repository.transaction() as transaction:
        check_nothing_lost(transaction.current, role)
        if role == "targets":
            targets = next_targets(transaction, {})
            return keep_targets(
                transaction, store, ProposalKind.RENEWAL, "renew targets as they are", targets, {}
            )
        renewed = with_root(transaction.current.root.signed, {}, now=transaction.now)
        proposal = Proposal(
            kind=ProposalKind.RENEWAL,
            role="root",
            title=title_with_losses("renew root as it is", transaction.current, "root"),
            created=transaction.now,
            metadata=to_bytes(renewed),
            files={},
            publications={},
        )
        store.put(proposal)
        return proposal


def next_targets(transaction: Transaction, files: Mapping[str, bytes]) -> Metadata[Targets]:
    """The next version of targets, unsigned, with these files changed."""
    check_nothing_lost(transaction.current, "targets")
    version = transaction.current.next_version("targets")
    return with_targets(transaction.current.targets, version=version, files=files, now=transaction.now)


def encode_participants(document: ParticipantsFile, **changes: object) -> bytes:
    """policy/participants.json with these fields changed."""
    return encode_json_file(document.model_copy(update=changes))


def _open_proposals(store: ProposalStore, published: Published) -> list[Proposal]:
    return [proposal for proposal in store.all() if state_of(proposal, published) is ProposalState.OPEN]


def keep_targets(
    transaction: Transaction,
    store: ProposalStore,
    kind: ProposalKind,
    title: str,
    targets: Metadata[Targets],
    files: Mapping[str, bytes],
    publications: Mapping[str, Publication] | None = None,
    requests: tuple[str, ...] = (),
) -> Proposal:
    """Checks a draft of targets as its publication will, and keeps it as a proposal."""
    published = transaction.current
    whole = {
        path: files.get(path) or published.file(published.targets, path)
        for path in (PARTICIPANTS_PATH, POLICY_PATH)
    }
    consents = reonboarded_in(published.root.signed)
    check_national(targets.signed, whole, published.participants, published.realm, consents)
    document = decode_json_file(ParticipantsFile, whole[PARTICIPANTS_PATH], LIMITS.participants_bytes)
    check_retirements(targets.signed, document, published.participants, transaction.now)
    for role, publication in (publications or {}).items():
        check_authority_publication(targets.signed, role, publication, published, transaction.now)
    if POLICY_PATH in files:
        check_readers(published, "policy", files[POLICY_PATH])
    if files and all(published.file(published.targets, path) == data for path, data in files.items()):
        raise InvalidInputError("nothing would change: the published files are the same")
    proposal = Proposal(
        kind=kind,
        role="targets",
        title=title_with_losses(title, published, "targets"),
        created=transaction.now,
        metadata=to_bytes(targets),
        files=dict(files),
        publications=dict(publications or {}),
        requests=requests,
    )
    store.put(proposal)
    return proposal
