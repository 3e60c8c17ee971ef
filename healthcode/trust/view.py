"""What a node knows and believes at one moment: issuers and their keys, lists, policy, ages.

A TrustView is immutable and swapped whole, so that a verification never sees half of an
update. It holds nothing that was not signed by its owner and checked on the way in.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from healthcode.errors import Reason
from healthcode.policy.area import AreaRisk
from healthcode.policy.book import PolicyBook
from healthcode.policy.tier import Freshness, TrustTier
from healthcode.revocation.state import RevocationState
from healthcode.signing.purpose import KeyPurpose
from healthcode.trust.clock_evidence import ClockEvidence
from healthcode.trust.format.json_files import Retirement, ServiceEntry

__all__ = ["IssuerKey", "IssuerView", "TrustView"]


@dataclass(frozen=True, slots=True)
class IssuerKey:
    """A key of an issuer, good for things made at t with not_before ≤ t < not_after (seconds)."""

    kid: bytes
    public: bytes
    alg: str
    purpose: KeyPurpose
    not_before: int
    not_after: int


@dataclass(frozen=True, slots=True)
class IssuerView:
    """One participant, as its own authority and node describe it.

    `revocations` and `live_signed_at` are None when its node has published nothing that
    holds: its codes are then NOT_COVERED. `signs_until` and `codes_until` are set for a
    participant that retires: its LIVE and PAPER keys end by the one, its codes by the other.
    `province_sha256` is of province.json, `live_sha256` of the live metadata as it was served.
    """

    code: str
    keys: Mapping[bytes, IssuerKey]
    tls_ca: tuple[str, ...]
    endpoints: Mapping[str, str]
    revocations: RevocationState | None
    live_signed_at: int | None
    live_expires: int | None
    province_version: int
    province_expires: int
    live_version: int | None
    head_version: int | None
    name: str | None = None
    live_keys: frozenset[bytes] = frozenset()
    province_sha256: bytes = b""
    live_sha256: bytes = b""
    signs_until: int | None = None
    codes_until: int | None = None

    def keys_for(self, purpose: KeyPurpose, now: int) -> tuple[IssuerKey, ...]:
        """The keys of a purpose that are in their window at `now`, the newest first; killed ones left out."""
        killed = frozenset() if self.revocations is None else self.revocations.head.killed_kids
        found = (
            key
            for key in self.keys.values()
            if key.purpose is purpose and key.not_before <= now < key.not_after and key.kid not in killed
        )
        return tuple(sorted(found, key=lambda key: (key.not_before, key.kid), reverse=True))


@dataclass(frozen=True, slots=True)
class TrustView:
    """Everything that verification needs, with the versions and times it came with.

    `issuers` is by participant code, `services` by "registry" and "gateway".
    `warnings` are sentences for an operator. `earliest_expiry` is the first moment at
    which some metadata of this view expires. `clock_evidence` is what the last news said of this
    machine's clock. `authorities` gives (seq, mark) of the newest authority link that is
    listed for a participant, in force or waiting; see link.link_mark. `retirements` has every
    participant that leaves or has left, also one that nobody delegates to any more. `held_back`
    names each participant (and "areas") whose newest files were refused, with the reason: what
    this view has of it is known not to be current.
    """

    realm: str
    root_version: int
    timestamp_version: int
    snapshot_version: int
    targets_version: int
    timestamp_signed_at: int
    issuers: Mapping[str, IssuerView]
    policy: PolicyBook
    areas: AreaRisk
    services: Mapping[str, ServiceEntry]
    earliest_expiry: int
    warnings: tuple[str, ...] = field(default=())
    clock_evidence: ClockEvidence | None = None
    areas_version: int | None = None
    authorities: Mapping[str, tuple[int, str]] = field(default_factory=dict)
    retirements: Mapping[str, Retirement] = field(default_factory=dict)
    held_back: Mapping[str, Reason] = field(default_factory=dict)

    def age_seconds(self, issuer: str, now: int) -> int | None:
        """The worse of two ages: of the registry's timestamp and of the issuer's own live signature.

        None when the issuer is unknown or never signed. Negative when both were signed
        after `now`: see ahead_seconds.
        """
        found = self.issuers.get(issuer)
        if found is None or found.live_signed_at is None:
            return None
        return now - min(self.timestamp_signed_at, found.live_signed_at)

    def tier(self, issuer: str, thresholds: Freshness, now: int) -> tuple[TrustTier, int]:
        """(tier, age in seconds) of what is known about an issuer.

        For an issuer that never signed a live statement the tier is STALE, and the age
        that of the timestamp.
        """
        age = self.age_seconds(issuer, now)
        if age is None:
            return TrustTier.STALE, now - self.timestamp_signed_at
        return thresholds.tier(age), age

    def ahead_seconds(self, issuer: str, now: int) -> int:
        """By how much the latest signed time stands after `now`; 0 if none does.

        More than the policy's skew means that this machine's clock is wrong (or the
        signer's is): verification is UNDECIDED and raises a clock alarm.
        """
        found = self.issuers.get(issuer)
        latest = self.timestamp_signed_at
        if found is not None and found.live_signed_at is not None:
            latest = max(latest, found.live_signed_at)
        return max(0, latest - now)

    def clock_ahead_seconds(self, now: int) -> int:
        """By how much the last news showed this machine's clock to be ahead; 0 if it did not.

        More than the policy's skew: nothing may be called expired that was good so long ago.
        """
        return 0 if self.clock_evidence is None else self.clock_evidence.ahead_seconds(now)
