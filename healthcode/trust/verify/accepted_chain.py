"""Which authority chain counts for a participant: the one accepted before, and the links that may follow it."""

from __future__ import annotations

from collections.abc import Sequence

from healthcode.clock import rfc3339
from healthcode.errors import HealthcodeError, Reason, TrustError
from healthcode.trust.format.authority_chain import (
    is_without_handover,
    link_digest,
    verify_chain,
    verify_extension,
)
from healthcode.trust.format.delegation import delegated_participants, verify_delegation
from healthcode.trust.format.json_files import AuthorityLink, ParticipantsFile
from healthcode.trust.format.layout import REONBOARDING_WAIT_SECONDS, TrustLimits
from healthcode.trust.format.metadata_fields import reonboarded_in
from healthcode.trust.verify.national import NationalTrust, verify_older_targets, verify_participants
from healthcode.trust.verify.trust_state import TrustState, Witness

__all__ = ["AcceptedChains", "accepted_chain", "listed_chain"]

_LIMITS = TrustLimits()


def listed_chain(listed: ParticipantsFile, participant: str) -> tuple[AuthorityLink, ...]:
    """The chain that participants.json lists for a participant; empty if it lists none."""
    entry = listed.participants.get(participant)
    return () if entry is None else entry.chain


def accepted_chain(
    national: NationalTrust, witness: Witness | None, participant: str, limits: TrustLimits = _LIMITS
) -> tuple[AuthorityLink, ...]:
    """The chain that was accepted for a participant: its witness's, else the current one.

    Raises SignatureError or TrustError if the witness, or the chain in it, does not verify.
    """
    listed = national.participants if witness is None else _witnessed(national, witness, limits)
    chain = listed_chain(listed, participant)
    if chain:
        verify_chain(participant, chain, national.realm, reonboarded_in(national.root))
    return chain


def _witnessed(national: NationalTrust, witness: Witness, limits: TrustLimits) -> ParticipantsFile:
    targets = verify_older_targets(witness.targets, national.roots, limits)
    return verify_participants(targets, witness.participants, national.realm, limits)


class AcceptedChains:
    """The authority chains of one refresh.

    `sightings` is by `NN/<digest>`: when a link that must wait was first seen here (seconds).
    """

    def __init__(self, previous: TrustState | None, limits: TrustLimits, now: int) -> None:
        self.sightings: dict[str, int] = {}
        self._previous = previous
        self._limits = limits
        self._now = now

    def newest_link(self, participant: str, national: NationalTrust) -> AuthorityLink:
        """The newest link of the chain, which must extend the accepted chain and match targets' delegation.

        Raises TrustError: PARTICIPANT_UNKNOWN for one that nothing names any more, AUTHORITY_EXISTS,
        AUTHORITY_WAITS; and as verify_extension and verify_delegation.
        """
        previous = self._previous
        if previous is not None and national.targets is previous.national.targets:
            held = previous.issuers.get(participant)
            if held is not None and participant not in previous.files.witnesses:
                return held.link
        chain = listed_chain(national.participants, participant)
        accepted = self._accepted(participant)
        if not chain and not accepted:
            if participant not in delegated_participants(national.targets):
                raise TrustError(
                    f"neither participants.json nor targets names participant {participant} any more",
                    reason=Reason.PARTICIPANT_UNKNOWN,
                )
            raise TrustError(
                f"targets delegates to participant {participant}, which participants.json does not name",
                reason=Reason.AUTHORITY_EXISTS,
            )
        link = verify_extension(participant, accepted, chain, national.realm, reonboarded_in(national.root))
        verify_delegation(national.targets, participant, link)
        if accepted:
            self._verify_waited(participant, accepted, chain, national)
        return link

    def witness(self, participant: str) -> Witness | None:
        """The signed files that prove the chain accepted before this refresh; None if none was accepted."""
        previous = self._previous
        if previous is None or not self._accepted(participant):
            return None
        files = previous.files.national
        return previous.files.witnesses.get(participant) or Witness(files.targets, files.participants)

    def _accepted(self, participant: str) -> tuple[AuthorityLink, ...]:
        previous = self._previous
        if previous is None:
            return ()
        issuer = previous.issuers.get(participant)
        witness = previous.files.witnesses.get(participant)
        if witness is None and issuer is not None:
            return listed_chain(previous.national.participants, participant)
        try:
            return accepted_chain(previous.national, witness, participant, self._limits)
        except HealthcodeError:
            # It was listed but never verified, so nothing was accepted.
            return ()

    def _verify_waited(
        self,
        participant: str,
        accepted: Sequence[AuthorityLink],
        chain: Sequence[AuthorityLink],
        national: NationalTrust,
    ) -> None:
        """Raises TrustError(AUTHORITY_WAITS) until each new link without handover was known for 72 hours."""
        # The wait lets the province notice the link and object. It runs from the later to the earlier of this
        # clock and the registry's signed time, so neither a wrong clock nor a registry that signs ahead shortens
        # it. Each link waits from its own first sight; the newest link counts when all have waited.
        signed = national.timestamp_signed_at
        begun, reached = max(self._now, signed), min(self._now, signed)
        sightings: dict[str, int] = {}
        last: tuple[int, AuthorityLink] | None = None
        for before, link in zip(chain[len(accepted) - 1 :], chain[len(accepted) :], strict=False):
            if not is_without_handover(link):
                continue
            key = f"{participant}/{link_digest(participant, link, before).hex()}"
            seen = {} if self._previous is None else self._previous.files.sightings
            first = min(seen.get(key, begun), begun)
            sightings[key] = first
            if reached < first + REONBOARDING_WAIT_SECONDS and (last is None or first >= last[0]):
                last = (first, link)
        if last is not None:
            # Keep also the links that have waited long enough: none is accepted while another one waits.
            self.sightings |= sightings
            first, link = last
            raise TrustError(
                f"participant {participant} has a new authority (link {link.seq}) with root's consent, but without "
                f"a handover by the authority before; it was first seen here at {rfc3339(first)} and is accepted from "
                f"{rfc3339(first + REONBOARDING_WAIT_SECONDS)} on. If the province did not ask for it, tell root's key "
                "holders now",
                reason=Reason.AUTHORITY_WAITS,
            )
