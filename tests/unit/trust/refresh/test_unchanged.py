"""What is checked without python-tuf is taken only where python-tuf would take it, too."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from healthcode.errors import HealthcodeError
from healthcode.trust.client import TrustClient
from healthcode.trust.format.layout import TrustLimits, authority_role, live_role, metadata_file
from healthcode.trust.format.metadata import sign_metadata, to_bytes
from healthcode.trust.format.new_metadata import new_snapshot
from healthcode.trust.refresh.candidate import Candidate, SourceLimits
from healthcode.trust.refresh.tuf_updater import update_national
from healthcode.trust.refresh.unchanged import refresh_unchanged
from healthcode.trust.store import TrustStore
from tests.simulator.realm import SimulatedRealm, fixed_key

LIMITS = TrustLimits()
DAY = 86_400


def is_taken(folder: Path, realm: SimulatedRealm) -> bool:
    """Whether the renewal takes what is served; it is then held against python-tuf's own word."""
    state = TrustStore.open(folder).state
    renewed = refresh_unchanged(state, Candidate(realm, SourceLimits()), LIMITS, realm.now)
    root = state.files.national.roots[0]
    try:
        update_national(folder / "again", realm, root, state.files.national, realm.now, LIMITS)
    except HealthcodeError:
        assert renewed is None, "taken here, refused by python-tuf"
        return False
    if renewed is not None:
        for role in ("timestamp", "snapshot", "targets"):
            assert getattr(renewed[0], role) == (folder / "again" / f"{role}.json").read_bytes()
    return renewed is not None


def sign_snapshot(
    realm: SimulatedRealm, *, drop: str = "", lower: str = "", signer: str = "snapshot"
) -> None:
    """A next snapshot that forgets a role, or takes it back, or is signed by another key; and its timestamp."""
    versions = {role: version - (role == lower) for role, version in realm.versions.items() if role != drop}
    realm.snapshot_version += 1
    snapshot = new_snapshot(version=realm.snapshot_version, versions=versions, now=realm.now)
    sign_metadata(snapshot, realm.key(signer))
    realm.files[metadata_file("snapshot", realm.snapshot_version)] = to_bytes(snapshot)
    realm.sign_timestamp()


@pytest.mark.parametrize("what", ["nothing", "timestamp", "head", "areas", "province"])
def test_what_changes_under_the_same_targets_needs_no_whole_workflow(
    client: TrustClient, realm: SimulatedRealm, folder: Path, what: str
) -> None:
    """The cache of python-tuf is not touched, and the folder holds what a fresh client comes to."""
    realm.now += 60
    if what == "timestamp":
        realm.sign_timestamp()
    elif what != "nothing":
        if what == "head":
            realm.revoke("31", 7, realm.now + 3600)
            realm.publish_live("31")
        elif what == "areas":
            realm.publish_areas({})
        else:
            realm.publish_province("11")
        realm.publish()
    assert is_taken(folder, realm)
    shutil.rmtree(folder / "cache")
    result = client.refresh(realm.now)
    assert not (folder / "cache").exists()
    assert result.rejected == ()
    fresh = realm.client(folder.with_name("fresh"))
    assert fresh.refresh(realm.now).view.issuers.keys() == result.view.issuers.keys()
    ours, theirs = TrustStore.open(folder).state.files, TrustStore.open(folder.with_name("fresh")).state.files
    assert ours == theirs


def _stale_snapshot(realm: SimulatedRealm) -> None:
    realm.snapshot_version -= 1
    realm.sign_timestamp()


def _swap_snapshot(realm: SimulatedRealm) -> None:
    realm.publish()
    place = metadata_file("snapshot", realm.snapshot_version)
    realm.files[place] = realm.files[place][:-2] + b" }"


def _older_timestamp(realm: SimulatedRealm) -> None:
    realm.timestamp_version -= 2
    realm.sign_timestamp()


def _same_version(realm: SimulatedRealm) -> None:
    realm.now += 1
    realm.timestamp_version -= 1
    realm.publish()


def _timestamp_of_another(realm: SimulatedRealm) -> None:
    realm.timestamp_key = fixed_key("another")
    realm.publish()


def _late(realm: SimulatedRealm) -> None:
    realm.publish()
    realm.now += 400 * DAY


def _new_root(realm: SimulatedRealm) -> None:
    realm.rotate_root()
    realm.publish()


def _new_targets(realm: SimulatedRealm) -> None:
    realm.publish_targets()
    realm.publish()


def _missing_snapshot(realm: SimulatedRealm) -> None:
    realm.publish()
    realm.missing.add(metadata_file("snapshot", realm.snapshot_version))


@pytest.mark.parametrize(
    "misbehave",
    [
        lambda realm: sign_snapshot(realm, drop=live_role("31")),
        lambda realm: sign_snapshot(realm, drop="targets"),
        lambda realm: sign_snapshot(realm, lower=authority_role("31")),
        lambda realm: sign_snapshot(realm, lower="targets"),
        lambda realm: sign_snapshot(realm, signer="another"),
        _stale_snapshot,
        _swap_snapshot,
        _older_timestamp,
        _same_version,
        _timestamp_of_another,
        _late,
        _new_root,
        _new_targets,
        _missing_snapshot,
    ],
)
def test_all_else_is_left_to_the_whole_workflow(
    client: TrustClient, realm: SimulatedRealm, folder: Path, misbehave: Callable[[SimulatedRealm], None]
) -> None:
    """Whatever python-tuf refuses, and whatever is new above snapshot, is not taken here."""
    realm.publish_targets()
    realm.publish_province("31")
    realm.publish()
    client.refresh(realm.now)
    misbehave(realm)
    assert not is_taken(folder, realm)


def test_what_was_accepted_does_not_outlive_its_expiry(
    client: TrustClient, realm: SimulatedRealm, folder: Path
) -> None:
    """The very timestamp that serves is taken again until a moment before it expires."""
    assert client.view is not None
    national = TrustStore.open(folder).state.national
    until = min(int(each.expires.timestamp()) for each in (national.timestamp, national.snapshot))
    realm.now = until - 1
    assert is_taken(folder, realm)
    realm.now = until
    assert not is_taken(folder, realm)
