"""A refresh that is refused as a whole, or for one participant, by its reason."""

import pytest

from healthcode.errors import HealthcodeError, Reason
from healthcode.revocation.state import RevocationStatus
from healthcode.trust.client import RefreshResult, TrustClient
from tests.simulator.realm import SimulatedRealm


def refresh(client: TrustClient, realm: SimulatedRealm) -> RefreshResult:
    realm.now += 60
    return client.refresh(realm.now)


def refused(client: TrustClient, realm: SimulatedRealm, reason: Reason) -> HealthcodeError:
    """The refresh is refused as a whole for this reason, and the folder still serves what it held."""
    before = client.open().view
    with pytest.raises(HealthcodeError) as caught:
        refresh(client, realm)
    assert caught.value.reason is reason, caught.value.message
    after = client.open().view
    assert (after.timestamp_version, after.targets_version) == (
        before.timestamp_version,
        before.targets_version,
    )
    assert set(after.issuers) == set(before.issuers)
    return caught.value


def rejected(result: RefreshResult, participant: str, reason: Reason) -> str:
    """Exactly this participant's change is refused, for this reason."""
    assert [(each.participant, each.reason) for each in result.rejected] == [(participant, reason)], (
        result.rejected
    )
    return result.rejected[0].message


def others_move(client: TrustClient, realm: SimulatedRealm, result: RefreshResult, bad: str) -> None:
    """While `bad` is held back, a revocation elsewhere gets through in the same refresh or the next."""
    other = next(code for code in realm.provinces if code != bad)
    was = result.view.issuers[other].head_version
    realm.revoke(other, 99, realm.now + 3600)
    realm.publish_live(other)
    realm.publish()
    after = refresh(client, realm).view.issuers[other]
    assert after.head_version == (was or 0) + 1
    assert after.revocations is not None
    assert after.revocations.status(99, realm.now + 3500) is RevocationStatus.REVOKED
