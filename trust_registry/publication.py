"""What is checked before anything becomes public: national, provincial, revocations.

The registry is no judge of content, it checks form and right: who signed, in what
role, the next version, the own paths, sizes and hashes, and all that each client
would check again and refuse. Sending the same publication again gives the same
result, however much was published since.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from healthcode.errors import InvalidInputError, PermissionDeniedError, Reason, TrustError
from healthcode.policy.book import decode_policy
from healthcode.revocation.head import DayEntry, Head, decode_head
from healthcode.revocation.state import RevocationState, build_state, check_growth
from healthcode.trust.admission import CurrentProvince, check_live_publication, check_province_publication
from healthcode.trust.delegation import delegated_participants, verify_delegation, verify_targets_form
from healthcode.trust.document import ParticipantsDocument
from healthcode.trust.issuer import AuthorityPart, verify_authority_part, verify_target
from healthcode.trust.layout import (
    PARTICIPANTS_PATH,
    POLICY_PATH,
    authority_role,
    head_path,
    list_file,
    live_role,
    metadata_file,
    participant_of_role,
    province_path,
)
from healthcode.trust.link import verify_extension
from healthcode.trust.metadata import Targets, decode_metadata
from healthcode.trust.national import verify_participants
from trust_registry.proposal import Publication
from trust_registry.repository import LIMITS, Published, Receipt, Repository, RoleUpdate, Writing
from trust_registry.tree import TrustTree

__all__ = [
    "Publisher",
    "authority_of",
    "check_first_publication",
    "check_national",
]


def check_national(
    targets: Targets, files: Mapping[str, bytes], before: ParticipantsDocument | None, realm: str
) -> None:
    """Checks a new `targets` with both its files as every client will.

    The fixed paths and roles; each participant one that the realm may have; each
    authority chain an extension of the one before, nobody dropped; each delegation
    the head of its chain. Raises TrustError, SignatureError, DecodeError.
    """
    verify_targets_form(targets, realm)
    document = verify_participants(targets, files[PARTICIPANTS_PATH], realm)
    verify_target(targets, POLICY_PATH, files[POLICY_PATH])
    decode_policy(files[POLICY_PATH])
    accepted = {} if before is None else before.participants
    if dropped := sorted(set(accepted) - set(document.participants)):
        raise TrustError(
            f"{PARTICIPANTS_PATH} drops participant {dropped[0]}: a chain only grows",
            reason=Reason.AUTHORITY_EXISTS,
        )
    if delegated_participants(targets) != frozenset(document.participants):
        raise TrustError(
            f"targets delegates to other participants than {PARTICIPANTS_PATH} names",
            reason=Reason.PARTICIPANT_UNKNOWN,
        )
    for code, entry in document.participants.items():
        known = accepted[code].chain if code in accepted else ()
        head = verify_extension(code, known, entry.chain, realm)
        verify_delegation(targets, code, head)


def check_first_publication(
    targets: Targets, role: str, publication: Publication, published: Published, now: int
) -> RoleUpdate:
    """Checks what a new participant's authority publishes, under `targets` that delegates to it."""
    found = participant_of_role(role)
    if found is None or found[1]:
        raise TrustError(f"{role} is no role of a participant's authority", reason=Reason.PATH_FORBIDDEN)
    current = CurrentProvince(published.version_of(role), 0)
    part = check_province_publication(
        found[0], current, targets, publication.metadata, publication.file, published.realm, now
    )
    return RoleUpdate(part.version, publication.metadata, {province_path(found[0]): publication.file})


def authority_of(published: Published, participant: str) -> AuthorityPart:
    """What a participant's authority published last, verified again.

    Raises PermissionDeniedError (PARTICIPANT_UNKNOWN) when it is not admitted.
    """
    metadata = published.role(authority_role(participant))
    if metadata is None:
        raise PermissionDeniedError(
            f"participant {participant} is not admitted: hand in a request with `province-node join`",
            reason=Reason.PARTICIPANT_UNKNOWN,
        )
    return verify_authority_part(
        participant,
        published.targets.signed,
        published.role_bytes(authority_role(participant)),
        published.file(metadata, province_path(participant)),
        published.realm,
    )


class Publisher:
    """Publishes what participants sign. Remembers decoded lists, so that an update costs what changed."""

    def __init__(self, repository: Repository) -> None:
        self._repository = repository
        self._states: dict[str, RevocationState] = {}

    def publish_province(self, participant: str, metadata: bytes, province_json: bytes) -> Receipt:
        """Publishes what a participant's authority signed; durable when it returns.

        Raises as check_province_publication: SignatureError, ConflictError
        (VERSION_CONFLICT), TrustError (PATH_FORBIDDEN, …), DecodeError.
        """
        role = authority_role(participant)
        with self._repository.writing() as writing:
            published = writing.current
            authority_of(published, participant)
            if receipt := _earlier_receipt(writing, role, metadata):
                return receipt
            publication = Publication(metadata, province_json)
            update = check_first_publication(
                published.targets.signed, role, publication, published, writing.now
            )
            return writing.publish({role: update})

    def publish_revocations(
        self, participant: str, metadata: bytes, head: bytes, lists: Mapping[str, Path]
    ) -> Receipt:
        """Publishes a revocation head; durable when it returns.

        `lists` are the files that came with it, by the SHA-256 (hex) that the caller
        computed while writing them; those that the head does not name stay where they
        are. Raises as check_live_publication; InvalidInputError when a list is missing;
        DecodeError when one is not what the head says; TrustError (LIST_SHRANK) when a
        day lost entries or a killed key came back.
        """
        role = live_role(participant)
        with self._repository.writing() as writing:
            published = writing.current
            authority = authority_of(published, participant)
            if receipt := _earlier_receipt(writing, role, metadata):
                return receipt
            current = CurrentProvince(authority.version, published.version_of(role))
            part = check_live_publication(authority, current, metadata, head, published.realm, writing.now)
            before = self._state(writing, participant)
            after = build_state(
                part.head, lambda entry: _read_list(writing.tree, entry, lists), previous=before
            )
            if before is not None:
                check_growth(before, after, now=writing.now)
            for sha256 in _named_lists(part.head):
                if sha256.hex() in lists:
                    writing.keep_list(sha256.hex(), lists[sha256.hex()])
                elif not writing.tree.has(list_file(sha256.hex())):
                    raise _missing(sha256)
            update = RoleUpdate(part.version, metadata, {head_path(participant): head})
            receipt = writing.publish({role: update})
        self._states[participant] = after
        return receipt

    def _state(self, writing: Writing, participant: str) -> RevocationState | None:
        """What the participant has revoked as published; None before its first head."""
        published = writing.current
        metadata = published.role(live_role(participant))
        if metadata is None:
            return None
        data = published.file(metadata, head_path(participant))
        head = decode_head(data, realm=published.realm, issuer=participant)
        known = self._states.get(participant)
        return build_state(head, lambda entry: _read_list(writing.tree, entry, {}), previous=known)


def _read_list(tree: TrustTree, entry: DayEntry, lists: Mapping[str, Path]) -> bytes:
    sha256_hex = entry.full_sha256.hex()
    if sha256_hex in lists:
        return lists[sha256_hex].read_bytes()
    if not tree.has(list_file(sha256_hex)):
        raise _missing(entry.full_sha256)
    return tree.read(list_file(sha256_hex))


def _named_lists(head: Head) -> list[bytes]:
    """The SHA-256 of every list and delta that a head names."""
    entries = head.days.values()
    return [entry.full_sha256 for entry in entries] + [
        entry.delta.sha256 for entry in entries if entry.delta is not None
    ]


def _missing(sha256: bytes) -> InvalidInputError:
    return InvalidInputError(
        f"the head names the list {sha256.hex()[:16]}…, which was neither sent with it nor published before",
        fields={"list": "send every new list that the head names"},
    )


def _earlier_receipt(writing: Writing, role: str, metadata: bytes) -> Receipt | None:
    """The result again, when these very bytes are published already."""
    version = decode_metadata(metadata, Targets, LIMITS.province_metadata_bytes).signed.version
    if not 0 < version <= writing.current.version_of(role):
        return None
    path = metadata_file(role, version)
    if not writing.tree.has(path) or writing.tree.read(path) != metadata:
        return None
    versions = writing.current.versions
    return Receipt(version, versions.snapshot, versions.timestamp)
