"""TrustView: the verified content of a trust folder at one moment. Immutable; a refresh swaps it as a whole."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from healthcode.audit.checkpoint import Checkpoint
from healthcode.errors import Reason
from healthcode.policy.area import AreaRisk
from healthcode.policy.book import PolicyBook
from healthcode.policy.tier import Freshness, TrustTier
from healthcode.revocation.state import RevocationState
from healthcode.signing.purpose import KeyPurpose
from healthcode.trust.clock_evidence import ClockEvidence
from healthcode.trust.format.json_files import OfficersReference, Retirement, ServiceEntry

__all__ = ["IssuerKey", "IssuerView", "TrustView"]


@dataclass(frozen=True, slots=True)
class IssuerKey:
    """A key of an issuer, valid for things made at t with not_before ≤ t < not_after (seconds)."""

    kid: bytes
    public: bytes
    alg: str
    purpose: KeyPurpose
    not_before: int
    not_after: int


@dataclass(frozen=True, slots=True)
class IssuerView:
    """One participant, as its authority and its node describe it.

    `revocations` and `live_signed_at` are None if its node has published nothing that verifies: its
    codes are then NOT_COVERED. `signs_until` and `codes_until` are set if it retires: its LIVE and
    PAPER keys end by the first, its codes by the second. `province_sha256` is of province.json,
    `live_sha256` of the live metadata as served. `checkpoint` is of its audit log, not compared with earlier ones.
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
    officers: OfficersReference | None = None
    checkpoint: Checkpoint | None = None

    def keys_for(self, purpose: KeyPurpose, now: int) -> tuple[IssuerKey, ...]:
        """The keys of a purpose in their window at `now`, newest first, without killed keys."""
        killed = frozenset() if self.revocations is None else self.revocations.head.killed_kids
        found = (
            key
            for key in self.keys.values()
            if key.purpose is purpose and key.not_before <= now < key.not_after and key.kid not in killed
        )
        return tuple(sorted(found, key=lambda key: (key.not_before, key.kid), reverse=True))


@dataclass(frozen=True, slots=True)
class TrustView:
    """Everything that verification needs, with its versions and times.

    `issuers` is by participant code, `services` by "registry" and "gateway". `warnings` are
    sentences for an operator. `earliest_expiry` is when the first metadata of this view expires, and
    `areas_expires` when that of the areas does (None: none were published).
    `authorities` is by participant: (seq, `link_mark`) of the newest authority link listed, in force
    or waiting. `retirements` has every participant that leaves or has left. `held_back` is by
    participant (and "areas", "policy"): why its newest files were refused, so that this view is not current.
    `is_damaged`: the folder has a newer generation that does not verify. `is_superseded`: the
    folder had newer trust, or may have had it, so this view is STALE whatever its age. `kept_until` is by POLICY_NEWER
    and AREAS_NEWER, if the newest file is of a newer format: when the metadata of the one in use expires.
    `is_clock_unchecked`: a running node has not compared its clock with a signed time yet (service/clock_check.py).
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
    areas_expires: int | None = None
    authorities: Mapping[str, tuple[int, str]] = field(default_factory=dict)
    retirements: Mapping[str, Retirement] = field(default_factory=dict)
    held_back: Mapping[str, Reason] = field(default_factory=dict)
    is_damaged: bool = False
    is_superseded: bool = False
    kept_until: Mapping[str, int] = field(default_factory=dict)
    is_clock_unchecked: bool = False

    def age_seconds(self, issuer: str, now: int) -> int | None:
        """The larger of two ages: of the registry's timestamp and of the issuer's live signature.

        None if the issuer is unknown or never signed. Negative if both were signed after `now`:
        this clock is slow, or theirs are fast.
        """
        found = self.issuers.get(issuer)
        if found is None or found.live_signed_at is None:
            return None
        return now - min(self.timestamp_signed_at, found.live_signed_at)

    def tier(self, issuer: str, thresholds: Freshness, now: int) -> tuple[TrustTier, int]:
        """(tier, age in seconds) of the trust files of an issuer.

        If the issuer never signed live metadata: STALE, and the age of the timestamp.
        """
        age = self.age_seconds(issuer, now)
        if age is None:
            return TrustTier.STALE, now - self.timestamp_signed_at
        return self._tier(thresholds, age, now), age

    def registry_tier(self, thresholds: Freshness, now: int) -> tuple[TrustTier, int]:
        """(tier, age in seconds) of the registry's files alone, for a code whose issuer is not known."""
        age = now - self.timestamp_signed_at
        return self._tier(thresholds, age, now), age

    def _tier(self, thresholds: Freshness, age: int, now: int) -> TrustTier:
        if self.is_superseded or any(until <= now for until in self.kept_until.values()):
            return TrustTier.STALE
        tier = thresholds.tier(age)
        return TrustTier.AGING if self.kept_until and tier is TrustTier.FRESH else tier

    def clock_ahead_seconds(self, now: int) -> int:
        """How far the clock evidence shows this machine's clock to be ahead; 0 if it does not.

        More than the policy's skew: a code that was valid so long ago must not be called expired.
        """
        return 0 if self.clock_evidence is None else self.clock_evidence.ahead_seconds(now)
