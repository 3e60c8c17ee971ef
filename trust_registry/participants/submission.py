"""Checks what participants submit and publishes several submissions in one snapshot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from healthcode.errors import ConflictError, HealthcodeError, InvalidInputError, Reason
from healthcode.revocation.head import DayEntry, Head, decode_head
from healthcode.revocation.state import RevocationState, build_state, check_deltas, check_growth
from healthcode.trust.format.layout import authority_role, head_path, list_file, live_role, metadata_file
from healthcode.trust.format.metadata import Targets, decode_metadata
from healthcode.trust.verify.admission import CurrentProvince, check_live_publication
from trust_registry.participants.checks import Publication, authority_of, check_authority_publication
from trust_registry.tree.current import LIMITS
from trust_registry.tree.files import TrustTree
from trust_registry.tree.repository import Repository
from trust_registry.tree.transaction import Receipt, RoleUpdate, Transaction

__all__ = ["Publisher", "Submission"]

RESUMED_GAP = (
    1000  # after a restore, a node's next version may be so many above the versions proved by reports
)


@dataclass(frozen=True, slots=True)
class Submission:
    """What one participant submits. `file` is its province.json, or the head if `lists` is given.

    `lists` are the files that came with a head, by the SHA-256 (hex) that the caller computed; those that the head
    does not name are left where they are.
    """

    participant: str
    metadata: bytes
    file: bytes
    lists: Mapping[str, Path] | None = None

    @property
    def role(self) -> str:
        return authority_role(self.participant) if self.lists is None else live_role(self.participant)


@dataclass(frozen=True, slots=True)
class _Checked:
    """A submission that may be published; `state` is what its participant has revoked with it."""

    update: RoleUpdate
    lists: Mapping[str, Path]
    state: RevocationState | None = None


class Publisher:
    """Publishes submissions. Keeps decoded lists in memory, so that an update decodes only what changed."""

    def __init__(self, repository: Repository) -> None:
        self._repository = repository
        self._states: dict[str, RevocationState] = {}

    def publish_province(self, participant: str, metadata: bytes, province_json: bytes) -> Receipt:
        """Publishes one province.json alone. Raises what publish_batch returns."""
        return self._publish_alone(Submission(participant, metadata, province_json))

    def publish_revocations(
        self, participant: str, metadata: bytes, head: bytes, lists: Mapping[str, Path]
    ) -> Receipt:
        """Publishes one revocation head alone. Raises what publish_batch returns."""
        return self._publish_alone(Submission(participant, metadata, head, lists))

    def _publish_alone(self, submission: Submission) -> Receipt:
        (result,) = self.publish_batch([submission])
        if isinstance(result, Exception):
            raise result
        return result

    def publish_batch(self, submissions: Sequence[Submission]) -> list[Receipt | Exception]:
        """Publishes at most one submission of each participant, in one snapshot; durable on return.

        Returns for each, in order, a receipt or the error that refused it; an error affects no other submission:
        SignatureError; ConflictError (VERSION_CONFLICT); TrustError (PATH_FORBIDDEN, …) or DecodeError of the checks in
        healthcode.trust.verify.admission; InvalidInputError if a list is missing; DecodeError if a list is not what the
        head says; TrustError (LIST_SHRANK) if a day lost entries or a killed key came back. UnavailableError
        (STORAGE_FULL) goes to all, and nothing of the batch is current.
        """
        results: dict[int, Receipt | Exception] = {}
        checked: dict[int, _Checked] = {}
        with self._repository.transaction() as transaction:
            for position, submission in enumerate(submissions):
                try:
                    found = self._check(transaction, submission)
                    if isinstance(found, _Checked):
                        # if the publication fails later, nothing names these files and they are removed in time
                        transaction.keep_lists(found.lists)
                        checked[position] = found
                    else:
                        results[position] = found
                except Exception as error:  # noqa: BLE001  it is this caller's, and stops no other
                    results[position] = error
            if checked:
                results.update(self._publish(transaction, submissions, checked))
        return [results[position] for position in range(len(submissions))]

    def _publish(
        self, transaction: Transaction, submissions: Sequence[Submission], checked: Mapping[int, _Checked]
    ) -> dict[int, Receipt | Exception]:
        updates = {submissions[position].role: found.update for position, found in checked.items()}
        try:
            receipt = transaction.publish(updates)
        except HealthcodeError as error:
            return dict.fromkeys(checked, error)
        for position, found in checked.items():
            if found.state is not None:
                self._states[submissions[position].participant] = found.state
        return {
            position: replace(receipt, version=found.update.version) for position, found in checked.items()
        }

    def _check(self, transaction: Transaction, submission: Submission) -> _Checked | Receipt:
        """Checks a submission; the receipt if these bytes are published already."""
        published, participant = transaction.current, submission.participant
        authority = authority_of(published, participant)
        if receipt := _earlier_receipt(transaction, submission.role, submission.metadata):
            newest = published.version_of(submission.role)
            if submission.lists is None and receipt.version < newest:
                raise ConflictError(
                    f"version {receipt.version} is older than the published {newest}; nothing was done",
                    reason=Reason.VERSION_CONFLICT,
                )
            return receipt
        if submission.lists is None:
            publication = Publication(submission.metadata, submission.file)
            targets = published.targets.signed
            return _Checked(
                check_authority_publication(
                    targets, submission.role, publication, published, transaction.now
                ),
                {},
            )
        current = CurrentProvince(
            authority.version,
            published.next_version(submission.role) - 1,
            live_gap=RESUMED_GAP if published.may_skip(submission.role) else 0,
        )
        part = check_live_publication(
            authority, current, submission.metadata, submission.file, published.realm, transaction.now
        )
        lists = submission.lists
        before = self._state(transaction, participant)
        after = build_state(
            part.head, lambda entry: _read_list(transaction.tree, entry, lists), previous=before
        )
        if before is not None:
            check_growth(before, after, now=transaction.now)
        check_deltas(before, after, lambda delta: _read_named(transaction.tree, delta.sha256, lists))
        fresh = {}
        for sha256 in _named_lists(part.head):
            if sha256.hex() in lists:
                fresh[sha256.hex()] = lists[sha256.hex()]
            elif not transaction.tree.has(list_file(sha256.hex())):
                raise _missing(sha256)
        update = RoleUpdate(part.version, submission.metadata, {head_path(participant): submission.file})
        return _Checked(update, fresh, after)

    def _state(self, transaction: Transaction, participant: str) -> RevocationState | None:
        """What the participant has revoked so far; None before its first head."""
        published = transaction.current
        metadata = published.role(live_role(participant))
        if metadata is None:
            return None
        data = published.file(metadata, head_path(participant))
        head = decode_head(data, realm=published.realm, issuer=participant)
        known = self._states.get(participant)
        return build_state(head, lambda entry: _read_list(transaction.tree, entry, {}), previous=known)


def _read_list(tree: TrustTree, entry: DayEntry, lists: Mapping[str, Path]) -> bytes:
    return _read_named(tree, entry.full_sha256, lists)


def _read_named(tree: TrustTree, sha256: bytes, lists: Mapping[str, Path]) -> bytes:
    if sha256.hex() in lists:
        return lists[sha256.hex()].read_bytes()
    if not tree.has(list_file(sha256.hex())):
        raise _missing(sha256)
    return tree.read(list_file(sha256.hex()))


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


def _earlier_receipt(transaction: Transaction, role: str, metadata: bytes) -> Receipt | None:
    """A receipt if these very bytes are published already."""
    version = decode_metadata(metadata, Targets, LIMITS.province_metadata_bytes).signed.version
    if not 0 < version <= transaction.current.version_of(role):
        return None
    path = metadata_file(role, version)
    if not transaction.tree.has(path) or transaction.tree.read(path) != metadata:
        return None
    versions = transaction.current.versions
    return Receipt(version, versions.snapshot, versions.timestamp, is_repeat=True)
