"""The signed documents of a proposal (root.json, targets.json): who judges them, their state, what they change."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from healthcode.errors import ConflictError, DecodeError, InvalidInputError, Reason
from healthcode.policy.diff.policy_diff import find_policy_changes, policy_lines
from healthcode.policy.lint.policy_lint import check_policy, lint_policy
from healthcode.policy.lint.problem import Severity
from healthcode.strict_json import load_json
from healthcode.trust.format.layout import POLICY_PATH
from healthcode.trust.format.metadata import Metadata, Root, Targets, decode_metadata, target_of, to_bytes
from healthcode.trust.format.metadata_fields import is_new_bootstrap
from healthcode.trust.format.tuf_keys import public_of
from healthcode.trust.verify.issuer import verify_target
from trust_registry.proposals.difference import Change, Summary, differences
from trust_registry.proposals.in_force import InForce
from trust_registry.proposals.proposal import Proposal, ProposalState
from trust_registry.tree.current import LIMITS

__all__ = [
    "SignedDocument",
    "changes_of",
    "check_policy_file",
    "policy_summary",
    "signed_documents",
    "state_of",
    "verify_files",
    "verify_same",
    "with_signatures",
]


_POLICY_NAME = POLICY_PATH.rpartition("/")[2]


@dataclass(frozen=True, slots=True)
class SignedDocument:
    """One metadata file under signature, and the roots that judge its signatures, each with a description."""

    role: str
    metadata: Metadata[Root] | Metadata[Targets]
    judges: tuple[tuple[str, Root], ...]

    @property
    def keys(self) -> Mapping[bytes, str]:
        """The public keys that may sign it, and the id of each."""
        return {
            public_of(root.keys[keyid]): keyid
            for _, root in self.judges
            for keyid in root.roles[self.role].keyids
        }

    def is_valid(self, keyid: str, signature: Any) -> bool:
        """Whether `signature` is that key's, by any of the judges."""
        return any(
            keyid
            in root.get_verification_result(self.role, self.metadata.signed_bytes, {keyid: signature}).signed
            for _, root in self.judges
        )

    def has_signed(self, public: bytes) -> bool:
        """Whether it has a valid signature of this key."""
        keyid = self.keys[public]
        return keyid in self.metadata.signatures and self.is_valid(keyid, self.metadata.signatures[keyid])


def signed_documents(proposal: Proposal, in_force: InForce | None) -> list[SignedDocument]:
    """The documents that the proposal asks people to sign.

    Raises InvalidInputError for targets without a root in force.
    """
    if proposal.role == "targets":
        if in_force is None:
            raise InvalidInputError(
                "this proposal file lacks the root and targets in force: write it again at the registry with "
                "`trust-registry show --out`"
            )
        targets = decode_metadata(proposal.metadata, Targets, LIMITS.targets_bytes)
        return [SignedDocument("targets", targets, (("the root in force", in_force.root.signed),))]
    root = decode_metadata(proposal.metadata, Root, LIMITS.root_bytes)
    new = ("the new root" if in_force is not None else "the first root", root.signed)
    # the root of a new bootstrap is judged only by itself: the keys of the root before it are lost
    if in_force is None or is_new_bootstrap(root.signed, in_force.fingerprint):
        judges: tuple[tuple[str, Root], ...] = (new,)
    else:
        judges = (("the root in force", in_force.root.signed), new)
    documents = [SignedDocument("root", root, judges)]
    if proposal.companion:
        # the new root says who signs the targets that are published with it
        companion = decode_metadata(proposal.companion, Targets, LIMITS.targets_bytes)
        documents.append(SignedDocument("targets", companion, (new,)))
    return documents


def with_signatures(proposal: Proposal, documents: list[SignedDocument]) -> Proposal:
    """The proposal with the signatures of these documents."""
    files = [to_bytes(document.metadata) for document in documents]
    return replace(proposal, metadata=files[0], companion=files[1] if len(files) > 1 else b"")


def state_of(proposal: Proposal, in_force: InForce) -> ProposalState:
    """Whether a proposal can still be signed."""
    states = [_document_state(role, signed, in_force) for role, signed in _signed_parts(proposal)]
    if ProposalState.STALE in states:
        return ProposalState.STALE
    # a new root without its companion is still open: publishing it again continues where it stopped
    return ProposalState.OPEN if ProposalState.OPEN in states else ProposalState.PUBLISHED


def _document_state(role: str, signed: Mapping[str, Any], in_force: InForce) -> ProposalState:
    if signed == in_force.signed_as(role, signed["version"]):
        return ProposalState.PUBLISHED
    following = in_force.root.signed.version + 1 if role == "root" else in_force.next_version("targets")
    return ProposalState.OPEN if signed["version"] == following else ProposalState.STALE


def _signed_parts(proposal: Proposal) -> list[tuple[str, dict[str, Any]]]:
    parts = [(str(proposal.role), proposal.signed)]
    if proposal.companion:
        parts.append(("targets", proposal.companion_signed))
    return parts


def changes_of(proposal: Proposal, in_force: InForce | None) -> list[Change]:
    """Every value that the proposal changes: in each signed document, then in each file.

    Raises as verify_files, so that signers never see a file that differs from the signed one.
    """
    verify_files(proposal, in_force)
    changes = []
    for role, signed in _signed_parts(proposal):
        before = {} if in_force is None else _signed_in_force(role, in_force)
        changes += differences(before, signed, f"{role}.json")
    for path, data in proposal.files.items():
        before = {} if in_force is None else _file_in_force(path, in_force)
        changes += differences(before, load_json(data, LIMITS.policy_bytes), path.rpartition("/")[2])
    return changes


def policy_summary(proposal: Proposal, in_force: InForce | None) -> Summary | None:
    """What a new policy changes against the one in force; None if there is none, or nothing was in force."""
    policy = proposal.files.get(POLICY_PATH)
    if policy is None or in_force is None:
        return None
    errors = [f"{each.severity} {each}" for each in lint_policy(policy) if each.severity is Severity.ERROR]
    if errors:
        return Summary(_POLICY_NAME, (*errors, "Nobody can sign this: lint refuses it."))
    changes = find_policy_changes(in_force.file(in_force.targets, POLICY_PATH), policy)
    return Summary(_POLICY_NAME, tuple(policy_lines(changes)))


def _signed_in_force(role: str, in_force: InForce) -> dict[str, Any]:
    current = in_force.root if role == "root" else in_force.targets
    signed = load_json(to_bytes(current), LIMITS.targets_bytes)["signed"]
    assert isinstance(signed, dict)  # noqa: S101  it was decoded as metadata
    return signed


def _file_in_force(path: str, in_force: InForce) -> Any:
    if target_of(in_force.targets.signed, path) is None:
        return {}
    return load_json(in_force.file(in_force.targets, path), LIMITS.policy_bytes)


def verify_files(proposal: Proposal, in_force: InForce | None) -> None:
    """Checks that the proposal carries exactly the files that its signed targets change.

    Raises TrustError (SIGNATURE_INVALID | FILE_UNKNOWN) if a file is not the signed one, DecodeError if
    one is missing, ConflictError (PROPOSAL_STALE) if its version of targets is older than the one in force.
    """
    metadata = proposal.metadata if proposal.role == "targets" else proposal.companion
    if not metadata:
        if proposal.files or proposal.publications:
            raise DecodeError(
                "proposal.malformed", "this proposal changes root alone and must not carry other files"
            )
        return
    targets = decode_metadata(metadata, Targets, LIMITS.targets_bytes).signed
    for path, data in proposal.files.items():
        verify_target(targets, path, data)
    before = None if in_force is None else in_force.targets.signed
    for path, listed in targets.targets.items():
        if path in proposal.files or (before is not None and before.targets.get(path) == listed):
            continue
        raise DecodeError(
            "proposal.malformed",
            f"this proposal changes {path} but does not carry the new file, so signers could not see the change: "
            "write the proposal again at the registry with `trust-registry show --out`",
        )
    if before is not None and targets.version < before.version:
        raise ConflictError(
            f"this proposal is for targets version {targets.version}, but version {before.version} is in "
            "force: make the proposal again",
            reason=Reason.PROPOSAL_STALE,
        )


def check_policy_file(files: Mapping[str, bytes], in_force: InForce | None) -> None:
    """Refuses a new policy with an unknown word, or one that lint refuses. Raises InvalidInputError."""
    policy = files.get(POLICY_PATH)
    # a policy that is in force already must not stop every other proposal
    if policy is not None and (in_force is None or policy != in_force.file(in_force.targets, POLICY_PATH)):
        check_policy(policy)


def verify_same(proposal: Proposal, other: Proposal) -> None:
    """Checks that a carried copy differs from the kept proposal in its signatures alone.

    Raises InvalidInputError: its signer may have seen something else.
    """
    if other.with_metadata(proposal.metadata, proposal.companion) != proposal:
        raise InvalidInputError(
            f"the file of proposal {proposal.id} was changed on its way: it differs from the proposal kept here. "
            "Ask the key holder what they saw, and carry the proposal again"
        )
