"""A view tells its age, by the worse of two signatures."""

from dataclasses import replace

from healthcode.policy.tier import Freshness, TrustTier
from healthcode.signing.purpose import KeyPurpose
from healthcode.trust.client import TrustClient
from tests.simulator.realm import SimulatedRealm

THRESHOLDS = Freshness(fresh_seconds=900, aging_seconds=86_400)


def test_the_tier_is_by_the_worse_of_two_ages(client: TrustClient, realm: SimulatedRealm) -> None:
    """A registry that holds one province back shows, and so does a silent registry."""
    view = client.open().view
    issuer = view.issuers["31"]
    for timestamp, live in ((0, 1_000), (1_000, 0)):
        aged = replace(
            view,
            timestamp_signed_at=realm.now - timestamp,
            issuers={"31": replace(issuer, live_signed_at=realm.now - live)},
        )
        assert aged.tier("31", THRESHOLDS, realm.now) == (TrustTier.AGING, 1_000)
    assert view.tier("31", THRESHOLDS, realm.now + 900) == (TrustTier.FRESH, 900)
    assert view.tier("31", THRESHOLDS, realm.now + 86_401) == (TrustTier.STALE, 86_401)


def test_an_issuer_that_never_signed_is_stale(client: TrustClient, realm: SimulatedRealm) -> None:
    """No live statement is not a fresh one."""
    view = client.open().view
    view = replace(view, issuers={"31": replace(view.issuers["31"], live_signed_at=None)})
    assert view.tier("31", THRESHOLDS, realm.now + 5) == (TrustTier.STALE, 5)
    assert view.tier("44", THRESHOLDS, realm.now)[0] is TrustTier.STALE
    assert view.age_seconds("31", realm.now) is None


def test_keys_are_offered_newest_first_within_their_windows(
    client: TrustClient, realm: SimulatedRealm
) -> None:
    """not_before ≤ t < not_after."""
    realm.now += 3_600
    fresh = realm.rotate_key("31", KeyPurpose.LIVE, "second")
    realm.publish_province("31")
    realm.publish()
    issuer = client.refresh(realm.now).view.issuers["31"]
    both = issuer.keys_for(KeyPurpose.LIVE, realm.now)
    assert both[0].public == fresh.public
    assert len(both) == 2
    older = both[1]
    assert issuer.keys_for(KeyPurpose.LIVE, older.not_after - 1) == both
    assert issuer.keys_for(KeyPurpose.LIVE, older.not_after) == both[:1]
    assert issuer.keys_for(KeyPurpose.LIVE, older.not_before) == (older,)
    assert issuer.keys_for(KeyPurpose.LIVE, older.not_before - 1) == ()
