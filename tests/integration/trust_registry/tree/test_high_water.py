"""Versions that a node proves are never published again, and no claim raises them."""

from __future__ import annotations

from pathlib import Path

import pytest

from healthcode.errors import Reason, TrustError
from healthcode.revocation.day import day_of
from healthcode.trust.client import TrustClient
from healthcode.trust.format.layout import metadata_file
from healthcode.trust.format.metadata import sign_metadata, to_bytes
from healthcode.trust.format.new_metadata import new_snapshot, new_timestamp
from healthcode.trust.sources.trust_source import FolderSource
from tests.integration.trust_registry.one_province import (
    export,
    publish,
    rebuilt,
    trust_folder,
)
from tests.simulator.realm import NOW, fixed_key
from tests.simulator.registry import Province
from tests.world.clock import ManualClock
from trust_registry.registry import Registry
from trust_registry.tree.files import TIMESTAMP_FILE


def test_versions_that_a_node_proves_are_never_given_out_again(
    registry: Registry, shanghai: Province, tmp_path: Path, clock: ManualClock
) -> None:
    """After a rebuild from an old mirror, a node's signed snapshot raises every version, and the node's next head fits."""
    mirror = tmp_path / "mirror"
    export(registry, mirror)
    for count in (2, 3, 4):
        shanghai.revoke(day_of(NOW), range(7, 7 + count))
        publish(registry, shanghai)
    client = trust_folder(registry, tmp_path / "trust", registry.folder.repository)
    held = client.refresh(NOW).view
    tree = registry.repository.tree
    timestamp = tree.read(TIMESTAMP_FILE)
    snapshot = tree.read(metadata_file("snapshot", held.snapshot_version))
    _, anew = rebuilt(registry, tmp_path / "anew", mirror, clock=clock)
    assert anew.repository.resume_above(timestamp, snapshot)
    published = anew.repository.published()
    assert published.versions.timestamp > held.timestamp_version
    assert published.versions.snapshot > held.snapshot_version
    assert not anew.repository.resume_above(timestamp, snapshot)
    behind = TrustClient(tmp_path / "trust", FolderSource(anew.folder.repository))
    view = behind.refresh(NOW).view  # its head is not there yet: the node keeps what it has
    assert (view.issuers["31"].live_version, view.timestamp_version) == (5, published.versions.timestamp)
    shanghai.revoke(day_of(NOW), range(7, 13))
    publish(anew, shanghai)
    view = behind.refresh(NOW).view
    assert view.issuers["31"].live_version == 6
    assert len(view.issuers["31"].revocations.lists[day_of(NOW)]) == 6


def test_nobody_raises_the_versions_by_a_claim(registry: Registry) -> None:
    """A timestamp signed by another key raises no version."""
    before = registry.repository.published().versions
    thief = fixed_key("a thief's key")
    snapshot = new_snapshot(version=900, versions={"targets": 900}, now=NOW)
    sign_metadata(snapshot, thief)
    timestamp = new_timestamp(version=900, snapshot=to_bytes(snapshot), snapshot_version=900, now=NOW)
    sign_metadata(timestamp, thief)
    with pytest.raises(Exception, match="valid") as refused:
        registry.repository.resume_above(to_bytes(timestamp), to_bytes(snapshot))
    assert refused.value.reason is Reason.SIGNATURE_THRESHOLD
    assert registry.repository.published().versions == before
    assert not registry.folder.high_water.exists()


def test_nobody_makes_the_registry_leap_ahead(registry: Registry) -> None:
    """Nor does one signed with stolen keys of its own, if it leaps: clients would refuse all later versions."""
    with registry.repository.transaction() as transaction:
        keys = transaction.keys
    versions = dict.fromkeys(registry.repository.published().versions.roles, 1)
    snapshot = new_snapshot(version=10**8, versions=versions, now=NOW)
    sign_metadata(snapshot, keys.snapshot)
    timestamp = new_timestamp(version=10**8, snapshot=to_bytes(snapshot), snapshot_version=10**8, now=NOW)
    sign_metadata(timestamp, keys.timestamp)
    with pytest.raises(TrustError, match="leapt") as refused:
        registry.repository.resume_above(to_bytes(timestamp), to_bytes(snapshot))
    assert refused.value.reason is Reason.TRUST_FAST_FORWARD
    assert not registry.folder.high_water.exists()
