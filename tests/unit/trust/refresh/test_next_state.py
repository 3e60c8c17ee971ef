"""Attacks on the national files: each is refused with its own reason and leaves the last good trust serving.

These need more than one step, or have more to show. tests/simulator/attack.py lists the others.
"""

import errno
import os
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
from tuf.api.metadata import DelegatedRole

from healthcode.errors import HealthcodeError, Reason, TrustError, UnavailableError
from healthcode.policy.words import RiskLevel
from healthcode.trust.client import TrustClient
from healthcode.trust.format.layout import PARTICIPANTS_PATH, SIGNED_AT_FIELD, head_path, metadata_file
from healthcode.trust.format.metadata import sign_metadata, to_bytes
from healthcode.trust.format.new_metadata import new_timestamp
from healthcode.trust.format.tuf_keys import tuf_key
from healthcode.trust.store import TrustStore, init_trust
from healthcode.trust.verify.national import verify_national
from tests.simulator.realm import SimulatedRealm, fixed_key
from tests.unit.trust.refusals import refresh, refused, rejected


@pytest.mark.parametrize("name", ["province-31-live", "provinces", "province-3", "province-99x", "evil"])
def test_a_role_that_has_no_place_is_refused(client: TrustClient, realm: SimulatedRealm, name: str) -> None:
    """Targets may delegate to `areas` and `province-NN` alone, so an extra, wider sibling is refused."""
    targets = realm.new_targets()
    assert targets.signed.delegations is not None
    assert targets.signed.delegations.roles is not None
    thief = tuf_key(fixed_key("thief").public)
    targets.signed.delegations.keys[thief.keyid] = thief
    roles = dict(targets.signed.delegations.roles)
    role = DelegatedRole(name, [thief.keyid], 1, terminating=False, paths=["provinces/*/*"])
    targets.signed.delegations.roles = {name: role, **roles}
    realm.publish_targets(targets)
    realm.publish()
    refused(client, realm, Reason.TARGETS_OVERREACH)


def test_a_participant_that_the_realm_cannot_have_is_refused(
    client: TrustClient, realm: SimulatedRealm
) -> None:
    """Only GB/T 2260 provinces, 00, 66 and, in test realms, 90 to 99 take part."""
    realm.provinces["98"] = realm.new_province("98")
    realm.publish_targets()
    realm.publish()
    assert "98" not in refresh(client, realm).view.issuers  # allowed, but it has published nothing
    realm.provinces["38"] = realm.new_province("38")
    realm.publish_targets()
    realm.publish()
    refused(client, realm, Reason.TARGETS_OVERREACH)


def test_the_timestamp_key_alone_cannot_make_a_snapshot(
    client: TrustClient, realm: SimulatedRealm, folder: Path
) -> None:
    """Each online role signs for itself, on the wire and in the folder."""
    realm.snapshot_key = realm.timestamp_key
    realm.publish()
    refused(client, realm, Reason.SIGNATURE_THRESHOLD)
    files = client.open().state.files.national
    forged = replace(
        files,
        timestamp=realm.files[metadata_file("timestamp")],
        snapshot=realm.files[metadata_file("snapshot", realm.snapshot_version)],
    )
    with pytest.raises(HealthcodeError) as caught:
        verify_national(forged)
    assert caught.value.reason is Reason.SIGNATURE_THRESHOLD


def test_area_risk_that_does_not_hold_leaves_the_last_good_one(
    client: TrustClient, realm: SimulatedRealm
) -> None:
    """Areas is a part by itself."""
    realm.areas_key = fixed_key("thief")
    realm.publish_areas({"310115": RiskLevel.LOW})
    realm.publish()
    result = refresh(client, realm)
    rejected(result, "areas", Reason.SIGNATURE_THRESHOLD)
    assert result.view.areas.risk("310115", realm.now) is RiskLevel.HIGH


def test_roots_are_followed_one_by_one(client: TrustClient, realm: SimulatedRealm, folder: Path) -> None:
    """New key holders, consented to by the old ones; the folder still opens from its first root."""
    for name in ("second", "third"):
        realm.rotate_root(root_keys=[realm.key(f"root {name}-{number}") for number in (1, 2, 3)])
    realm.publish()
    assert refresh(client, realm).view.root_version == 3
    assert TrustStore.open(folder).view.root_version == 3


def test_another_realms_registry_is_refused(realm: SimulatedRealm, folder: Path) -> None:
    """A folder begun in one realm takes nothing from another, nor begins with its root."""
    other = SimulatedRealm(("31",), realm="test-other")
    with pytest.raises(TrustError):
        init_trust(folder, other, realm.fingerprint)
    with pytest.raises(TrustError) as caught:
        init_trust(folder, realm, realm.fingerprint, realm="test-other")
    assert caught.value.reason is Reason.REALM_MISMATCH
    init_trust(folder, realm, realm.fingerprint)
    with pytest.raises(TrustError) as caught:
        TrustClient(folder, other).refresh(realm.now)
    assert caught.value.reason is Reason.SIGNATURE_THRESHOLD


def test_a_registry_out_of_reach_changes_nothing(client: TrustClient, realm: SimulatedRealm) -> None:
    """Unavailable is told as such."""
    realm.offline = True
    error = refused(client, realm, Reason.TRUST_UNAVAILABLE)
    assert isinstance(error, UnavailableError)


def test_paths_are_the_fixed_ones(realm: SimulatedRealm) -> None:
    """What a plain TUF client of another language reads stands at the same paths."""
    listed = set(realm.targets.signed.targets)
    assert listed == {PARTICIPANTS_PATH, "policy/national.json"}
    assert head_path("31") == "provinces/31/revocations/head"


@pytest.mark.parametrize("what", ["timestamp", "targets", "live", "no snapshot"])
def test_what_was_refused_is_not_held_against_what_comes_later(
    realm: SimulatedRealm, client: TrustClient, what: str
) -> None:
    """Files that a thief of the online keys signed, and that were refused, bar nobody when they are gone."""
    honest = {name: getattr(realm, name) for name in ("timestamp_version", "snapshot_version")}
    versions, before = dict(realm.versions), dict(realm.files)
    if what == "timestamp":
        realm.timestamp_version = 10**25
    elif what == "targets":
        realm.versions["targets"] = 99
    elif what == "live":
        realm.versions["province-44-live"] = 10**25
    realm.publish()
    if what == "no snapshot":
        del realm.files[metadata_file("snapshot", realm.snapshot_version)]
    with pytest.raises(HealthcodeError):
        refresh(client, realm)
    realm.versions, realm.files = versions, before
    for name, value in honest.items():
        setattr(realm, name, value)
    realm.publish_live("31")
    realm.publish()
    assert refresh(client, realm).view.timestamp_version == realm.timestamp_version


def test_what_a_killed_refresh_fetched_is_not_held_against_what_comes_later(
    realm: SimulatedRealm, client: TrustClient, folder: Path
) -> None:
    """A kill after a version far ahead was fetched, and before it was judged, leaves nothing behind."""

    def kill(step: str) -> None:
        raise KeyboardInterrupt(step)

    honest, before = realm.timestamp_version, dict(realm.files)
    realm.timestamp_version = 10**4
    realm.publish()
    with pytest.raises(KeyboardInterrupt):
        refresh(realm.client(folder, checkpoint=kill), realm)
    realm.timestamp_version, realm.files = honest, before
    realm.publish()
    assert refresh(client, realm).view.timestamp_version == honest + 1


def test_a_full_disk_is_no_sources_fault(
    realm: SimulatedRealm, client: TrustClient, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When python-tuf cannot write its cache, the folder is named, and the source is not blamed."""

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    realm.publish_targets()  # under the same targets python-tuf is not asked
    realm.publish()
    monkeypatch.setattr(tempfile, "NamedTemporaryFile", full)
    error = refused(client, realm, Reason.STORAGE_FULL)
    assert str(folder) in error.message
    assert "No space left" in error.message
    assert realm.name not in error.message
    monkeypatch.undo()
    assert refresh(client, realm).changed


@pytest.mark.parametrize(
    "text", ["9999-12-31T23:59:59-23:59", "0001-01-01T00:00:00Z", "2026-01-01T00:00:00", 5]
)
def test_a_time_that_no_calendar_has_is_refused(
    realm: SimulatedRealm, client: TrustClient, text: object
) -> None:
    """What could not be shown again is not taken."""
    timestamp = new_timestamp(
        version=realm.timestamp_version + 1,
        snapshot=realm.files[metadata_file("snapshot", realm.snapshot_version)],
        snapshot_version=realm.snapshot_version,
        now=realm.now,
    )
    timestamp.signed.unrecognized_fields[SIGNED_AT_FIELD] = text
    sign_metadata(timestamp, realm.timestamp_key)
    realm.tampered[metadata_file("timestamp")] = to_bytes(timestamp)
    refused(client, realm, Reason.MALFORMED_MESSAGE)
