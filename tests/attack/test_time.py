"""Attacks by time: versions that jump ahead, frozen files, one province held back."""

from __future__ import annotations

import pytest

from healthcode.errors import Reason
from healthcode.policy.tier import TrustTier
from healthcode.policy.words import Outcome
from tests.attack.client import AS_EVER, HEALED, Client
from tests.simulator.attack import NEIGHBOUR, VICTIM, Scene
from tests.simulator.realm import SimulatedRealm

DAY_SECONDS = 86_400


async def test_a_fast_forward_is_healed_by_root_alone(
    client: Client, realm: SimulatedRealm, scene: Scene
) -> None:
    """After a small jump ahead, honest versions are refused until root replaces the stolen keys."""
    honest = realm.snapshot_version, realm.timestamp_version
    realm.snapshot_version, realm.timestamp_version = 50_000, 90_000
    realm.publish()
    assert await client.refresh() is None
    assert client.follower.view.timestamp_version == 90_001
    realm.snapshot_version, realm.timestamp_version = honest
    scene.recover(realm)
    refused = await client.refresh()
    assert refused is not None
    assert refused[:2] == (None, Reason.TRUST_ROLLBACK)
    client.told(None, Reason.TRUST_ROLLBACK)
    assert client.outcomes() == client.stored_outcomes() == AS_EVER
    realm.rotate_root(snapshot_key=realm.key("snapshot-2"), timestamp_key=realm.key("timestamp-2"))
    realm.publish()
    assert await client.refresh() is None
    assert client.follower.view.timestamp_version < 10
    assert client.outcomes() == client.stored_outcomes() == HEALED


@pytest.mark.parametrize("role", ["targets", f"province-{VICTIM}", f"province-{VICTIM}-live"])
async def test_a_role_that_snapshot_puts_far_ahead(
    client: Client, realm: SimulatedRealm, scene: Scene, role: str
) -> None:
    """A version without a file is refused by name, and forgotten once the keys are replaced."""
    whom = None if role == "targets" else VICTIM
    honest = dict(realm.versions)
    realm.versions[role] = 5_000_000
    realm.publish()
    refused = await client.refresh()
    assert refused is not None
    assert refused[:2] == (whom, Reason.FILE_UNKNOWN)
    client.told(whom, Reason.FILE_UNKNOWN)
    assert client.outcomes() == AS_EVER
    realm.versions = honest
    scene.recover(realm)
    realm.rotate_root(snapshot_key=realm.key("snapshot-2"), timestamp_key=realm.key("timestamp-2"))
    realm.publish()
    assert await client.refresh() is None
    assert client.outcomes() == HEALED


async def test_a_frozen_registry_shows_before_its_files_expire(
    client: Client, realm: SimulatedRealm, scene: Scene
) -> None:
    """The same good files are no error; they age for all issuers alike, then expire."""
    realm.now += 1_000
    assert await client.refresh() is None
    assert client.outcomes() == AS_EVER
    tiers = {verdict.trust_tier for verdict in client.verdicts()}
    assert tiers == {TrustTier.AGING}
    assert client.events("trust_issuer_behind") == []  # it is not one that is behind
    realm.now += 3_000
    refused = await client.refresh()
    assert refused is not None
    assert refused[:2] == (None, Reason.TRUST_FROZEN)
    client.told(None, Reason.TRUST_FROZEN)
    scene.recover(realm)
    assert await client.refresh() is None
    assert client.outcomes() == HEALED
    assert {verdict.trust_tier for verdict in client.verdicts()} == {TrustTier.FRESH}


async def test_one_province_held_back_ages_alone(client: Client, realm: SimulatedRealm, scene: Scene) -> None:
    """Only the held-back issuer's verdicts show its age, and log and metric name it."""
    realm.now += 1_000
    for code in realm.provinces:
        if code != VICTIM:
            realm.publish_live(code)
    realm.publish()
    assert await client.refresh() is None
    assert client.outcomes() == AS_EVER
    *held_back, neighbour = client.verdicts()
    assert {verdict.trust_tier for verdict in held_back} == {TrustTier.AGING}
    assert neighbour.trust_tier is TrustTier.FRESH
    (line,) = client.events("trust_issuer_behind")
    assert (line["participant"], line["reason"]) == (VICTIM, Reason.ISSUER_BEHIND)
    assert line["age_seconds"] > 1_000
    behind = {"reason": Reason.ISSUER_BEHIND}
    assert client.count("trust_issuer_behind", participant=VICTIM, **behind) == 1
    assert client.count("trust_issuer_behind", participant=NEIGHBOUR, **behind) == 0
    realm.publish_live(VICTIM)
    realm.publish()
    assert await client.refresh() is None
    assert {verdict.trust_tier for verdict in client.verdicts()} == {TrustTier.FRESH}
    assert client.count("trust_issuer_behind", participant=VICTIM, **behind) == 1


async def test_a_province_held_back_for_days_is_stale_alone(
    client: Client, realm: SimulatedRealm, scene: Scene
) -> None:
    """Its codes get STALE_TRUST, and its neighbour's codes no warning."""
    realm.now += DAY_SECONDS + 1_000
    for code in realm.provinces:
        if code != VICTIM:
            realm.publish_live(code)
    realm.publish_areas({})
    realm.publish()
    assert await client.refresh() is None
    *held_back, neighbour = client.verdicts()
    assert {verdict.outcome for verdict in held_back} == {Outcome.STALE_TRUST}
    assert neighbour.outcome is Outcome.VALID
    scene.recover(realm)
    assert await client.refresh() is None
    assert {verdict.outcome for verdict in client.verdicts()} >= {Outcome.VALID}
    assert all(verdict.outcome is not Outcome.STALE_TRUST for verdict in client.verdicts())
