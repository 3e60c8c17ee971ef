"""Nothing goes back: versions, heads, lists and killed keys."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from healthcode.errors import Reason
from healthcode.revocation.day import day_of
from healthcode.revocation.head import encode_head
from healthcode.revocation.state import RevocationStatus
from healthcode.signing.ed25519 import kid
from healthcode.signing.purpose import KeyPurpose
from healthcode.trust.client import TrustClient
from healthcode.trust.format.layout import metadata_file
from healthcode.trust.store import TrustStore
from tests.simulator.realm import SimulatedRealm
from tests.unit.trust.refusals import refresh, refused, rejected


def test_rollback_is_refused_without_the_cache_too(
    client: TrustClient, realm: SimulatedRealm, folder: Path
) -> None:
    """The durable generation remembers what was accepted, even if python-tuf's cache is lost."""
    old = realm.files[metadata_file("timestamp")]
    realm.publish_live("31")
    realm.publish()
    refresh(client, realm)
    shutil.rmtree(folder / "cache")
    realm.tampered[metadata_file("timestamp")] = old
    refused(client, realm, Reason.TRUST_ROLLBACK)


@pytest.mark.parametrize("role", ["targets", "areas", "province-31", "province-31-live"])
@pytest.mark.parametrize("cache", [True, False])
def test_a_snapshot_that_takes_a_role_back_is_refused(
    client: TrustClient, realm: SimulatedRealm, folder: Path, role: str, cache: bool
) -> None:
    """Rollback of any role by a thief of the snapshot and timestamp keys, python-tuf's cache or not."""
    realm.publish_targets()
    realm.publish_areas({})
    realm.publish_province("31")
    realm.publish_live("31")
    realm.publish()
    refresh(client, realm)
    realm.versions[role] -= 1
    realm.publish()
    if not cache:
        shutil.rmtree(folder / "cache")
    refused(client, realm, Reason.TRUST_ROLLBACK)


def test_a_snapshot_that_forgets_a_role_is_refused(
    client: TrustClient, realm: SimulatedRealm, folder: Path
) -> None:
    """A role stays in snapshot for ever."""
    del realm.versions["province-31"]
    realm.publish()
    shutil.rmtree(folder / "cache")
    refused(client, realm, Reason.TRUST_ROLLBACK)


def test_a_head_that_goes_back_is_refused(client: TrustClient, realm: SimulatedRealm) -> None:
    """The live key signs an older head at a newer version: refused, nothing is un-revoked."""
    old = encode_head(realm.provinces["31"].head)
    expires = realm.now + 3600
    realm.revoke("31", 7, expires)
    realm.publish_live("31")
    realm.publish()
    refresh(client, realm)
    realm.publish_head("31", old)
    realm.publish()
    result = refresh(client, realm)
    rejected(result, "31", Reason.LIST_ROLLBACK)
    state = result.view.issuers["31"].revocations
    assert state is not None
    assert state.status(7, expires) is RevocationStatus.REVOKED


def test_a_shrunk_list_is_refused(client: TrustClient, realm: SimulatedRealm, folder: Path) -> None:
    """Within a day a list only grows, also when its count stays the same."""
    expires = realm.now + 3600
    for index in (7, 8):
        realm.revoke("31", index, expires)
    realm.publish_live("31")
    realm.publish()
    refresh(client, realm)
    for members in ([8], [8, 9]):
        realm.set_list("31", day_of(expires), members)
        realm.publish_live("31")
        realm.publish()
        result = refresh(client, realm)
        rejected(result, "31", Reason.LIST_SHRANK)
    state = TrustStore.open(folder).view.issuers["31"].revocations
    assert state is not None
    assert state.status(7, expires) is RevocationStatus.REVOKED
    realm.set_list("31", day_of(expires), [7, 8, 9])
    realm.publish_live("31")
    realm.publish()
    assert refresh(client, realm).rejected == ()


def test_a_killed_key_stays_killed(client: TrustClient, realm: SimulatedRealm) -> None:
    """Killing a key cannot be taken back."""
    province = realm.provinces["31"]
    dead = kid(province.keys[KeyPurpose.LIVE].public)
    realm.kill("31", dead)
    realm.publish_live("31")
    realm.publish()
    view = refresh(client, realm).view
    assert view.issuers["31"].keys_for(KeyPurpose.LIVE, realm.now) == ()
    province.head = replace(province.head, killed_kids=frozenset())
    realm.publish_live("31")
    realm.publish()
    result = refresh(client, realm)
    rejected(result, "31", Reason.LIST_SHRANK)
    assert result.view.issuers["31"].keys_for(KeyPurpose.LIVE, realm.now) == ()
