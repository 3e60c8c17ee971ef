"""Checks national and provincial files before they are published, as every client will check them.

Form and rights only: who signed, in which role, the next version, allowed paths, sizes and hashes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from healthcode.clock import rfc3339
from healthcode.errors import HealthcodeError, PermissionDeniedError, PreconditionError, Reason, TrustError
from healthcode.policy.book_file import decode_policy
from healthcode.trust.format.authority_chain import Consents, verify_extension
from healthcode.trust.format.delegation import delegated_participants, verify_delegation, verify_targets_form
from healthcode.trust.format.json_files import ParticipantsFile
from healthcode.trust.format.layout import (
    PARTICIPANTS_PATH,
    POLICY_PATH,
    authority_role,
    participant_of_role,
    province_path,
)
from healthcode.trust.format.metadata import Targets, decode_metadata
from healthcode.trust.verify.admission import CurrentProvince, check_province_publication
from healthcode.trust.verify.issuer import AuthorityPart, verify_authority_part, verify_target
from healthcode.trust.verify.national import verify_participants
from healthcode.trust.verify.tls_ca import TlsCaFault, published_tls_cas, select_tls_cas, verify_tls_cas
from trust_registry.tree.current import LIMITS, Published
from trust_registry.tree.transaction import RoleUpdate

__all__ = [
    "Publication",
    "authority_of",
    "check_authority_publication",
    "check_national",
    "check_retirements",
    "check_tls_cas",
    "tls_ca_faults",
]


@dataclass(frozen=True, slots=True)
class Publication:
    """Metadata that a delegated role signed, with the one file that the metadata names."""

    metadata: bytes
    file: bytes


def check_national(
    targets: Targets,
    files: Mapping[str, bytes],
    before: ParticipantsFile | None,
    realm: str,
    consents: Consents | None = None,
) -> None:
    """Checks a new `targets` and its two files as every client will. `consents` are those of the current root.

    Raises TrustError, SignatureError, DecodeError.
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
    delegated = delegated_participants(targets)
    left = {code for code, entry in document.participants.items() if entry.retirement is not None}
    # every participant but those who left must be delegated to, and no other
    if not document.participants.keys() - left <= delegated <= document.participants.keys():
        raise TrustError(
            f"targets and {PARTICIPANTS_PATH} name different participants",
            reason=Reason.PARTICIPANT_UNKNOWN,
        )
    for code, entry in document.participants.items():
        known = accepted[code].chain if code in accepted else ()
        head = verify_extension(code, known, entry.chain, realm, consents or {})
        if code in delegated:
            verify_delegation(targets, code, head)


def check_retirements(
    targets: Targets, document: ParticipantsFile, before: ParticipantsFile, now: int
) -> None:
    """Checks that retirements change only in time. Raises PreconditionError (ISSUER_RETIRED).

    A retirement may be changed until the participant stops signing. A delegation may be removed once the
    participant's last code has ended.
    """
    delegated = delegated_participants(targets)
    for code, entry in before.participants.items():
        retirement = entry.retirement
        after = document.participants[code].retirement if code in document.participants else None
        if retirement is not None and retirement.signs_until <= now and after != retirement:
            raise PreconditionError(
                f"participant {code} stopped signing codes at {rfc3339(retirement.signs_until)}: its retirement can "
                "no longer be withdrawn or changed",
                reason=Reason.ISSUER_RETIRED,
            )
    for code, entry in document.participants.items():
        if code not in delegated and (entry.retirement is None or entry.retirement.codes_until > now):
            raise PreconditionError(
                f"the codes of participant {code} have not ended: its delegation cannot be taken back yet",
                reason=Reason.ISSUER_RETIRED,
            )


def check_authority_publication(
    targets: Targets, role: str, publication: Publication, published: Published, now: int
) -> RoleUpdate:
    """Checks what a participant's authority publishes, under a `targets` that delegates to it.

    Raises TrustError, SignatureError, ConflictError, DecodeError, PreconditionError.
    """
    found = participant_of_role(role)
    if found is None or found[1]:
        raise TrustError(f"{role} is not the role of a participant's authority", reason=Reason.PATH_FORBIDDEN)
    current = published.next_version(role) - 1
    if role in published.lacking and _version_of(publication.metadata) == current:
        current -= 1  # a version that nodes have and this registry lost is sent again
    part = check_province_publication(
        found[0],
        CurrentProvince(current),
        targets,
        publication.metadata,
        publication.file,
        published.realm,
        now,
    )
    check_tls_cas(part, published)
    return RoleUpdate(part.version, publication.metadata, {province_path(found[0]): publication.file})


def _version_of(metadata: bytes) -> int:
    version: int = decode_metadata(metadata, Targets, LIMITS.province_metadata_bytes).signed.version
    return version


def check_tls_cas(part: AuthorityPart, published: Published) -> None:
    """Raises PreconditionError if a CA in `part` has the same subject as a CA of somebody else."""
    # TLS finds only one of two CAs with the same subject
    verify_tls_cas(part.participant, part.province.tls_ca, _published_cas(published))


def tls_ca_faults(published: Published) -> tuple[TlsCaFault, ...]:
    """The published CAs that are ignored, and why."""
    return select_tls_cas(_published_cas(published))[1]


def _published_cas(published: Published) -> dict[str, Sequence[str]]:
    found: dict[str, tuple[str, ...]] = {}
    for code in published.participants.participants:
        with suppress(HealthcodeError):  # an invalid file is in no CA pool either
            found[code] = authority_of(published, code).province.tls_ca
    return published_tls_cas(published.participants.services, found)


def authority_of(published: Published, participant: str) -> AuthorityPart:
    """What a participant's authority published last, verified again.

    Raises PermissionDeniedError (PARTICIPANT_UNKNOWN) if the participant is not admitted.
    """
    metadata = published.role(authority_role(participant))
    if metadata is None:
        raise PermissionDeniedError(
            f"participant {participant} is not admitted: send a request with `province-node join`",
            reason=Reason.PARTICIPANT_UNKNOWN,
        )
    return verify_authority_part(
        participant,
        published.targets.signed,
        published.role_bytes(authority_role(participant)),
        published.file(metadata, province_path(participant)),
        published.realm,
    )
