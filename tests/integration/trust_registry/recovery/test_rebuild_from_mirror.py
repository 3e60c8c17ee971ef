"""A registry rebuilt from what a mirror or a node has; clients go on."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from healthcode.errors import ConfigurationError, TrustError
from healthcode.revocation.day import day_of
from healthcode.trust.client import TrustClient
from healthcode.trust.format.layout import list_file, metadata_file
from healthcode.trust.sources.trust_source import FolderSource
from tests.integration.trust_registry.one_province import (
    export,
    publish,
    rebuilt,
    trust_folder,
)
from tests.simulator.realm import NOW
from tests.simulator.registry import Province, found_registry, operator, plan
from tests.world.clock import ManualClock
from trust_registry.proposals.sign import sign_proposal
from trust_registry.recovery.kept_files import KeptFiles
from trust_registry.registry import Registry


def test_a_registry_is_rebuilt_from_a_mirror_and_clients_go_on(
    registry: Registry, shanghai: Province, tmp_path: Path, clock: ManualClock
) -> None:
    """With the kept keys it publishes above what clients have, even days later; no revocation is lost."""
    mirror = tmp_path / "mirror"
    export(registry, mirror)
    client = trust_folder(registry, tmp_path / "trust", mirror)
    client.refresh(NOW)
    clock.at += 3 * 86_400  # timestamp and snapshot have expired
    result, anew = rebuilt(registry, tmp_path / "anew", mirror, clock=clock)
    shutil.rmtree(registry.folder.root)
    assert (result.participants, result.missing_deltas, result.proposals) == (1, 0, ())
    anew.repository.renew()
    mirror_of_anew = TrustClient(tmp_path / "trust", FolderSource(anew.folder.repository))
    view = mirror_of_anew.refresh(clock.at).view
    assert view.timestamp_version > result.timestamp_version
    assert len(view.issuers["31"].revocations.lists[day_of(NOW)]) == 1
    shanghai.now = clock.at
    shanghai.revoke(day_of(NOW) + 4, [9])
    publish(anew, shanghai)
    assert day_of(NOW) + 4 in mirror_of_anew.refresh(clock.at).view.issuers["31"].revocations.lists


def test_the_newest_of_several_sources_is_taken(
    registry: Registry, shanghai: Province, tmp_path: Path, clock: ManualClock
) -> None:
    """A node's trust folder that is newer than every mirror is the source; the damaged mirror is named."""
    old, damaged = tmp_path / "old", tmp_path / "damaged"
    export(registry, old)
    shutil.copytree(old, damaged)
    (damaged / metadata_file("targets", 2)).write_bytes(b"{}")
    shanghai.revoke(day_of(NOW), [7, 8])
    publish(registry, shanghai)
    trust_folder(registry, tmp_path / "trust", registry.folder.repository).refresh(NOW)
    result, anew = rebuilt(registry, tmp_path / "anew", old, damaged, tmp_path / "trust", clock=clock)
    assert result.source.startswith("the trust folder")
    assert str(damaged) in result.refused
    published = anew.repository.published()
    assert published.version_of("province-31-live") == 3
    assert all(anew.repository.tree.has(list_file(sha)) for sha in list(shanghai.lists)[1:])


def test_nothing_is_published_at_or_below_what_a_mirror_holds(
    registry: Registry, tmp_path: Path, clock: ManualClock
) -> None:
    """A complete but frozen mirror, and one with a newer timestamp only: the higher versions count."""
    ahead, whole = tmp_path / "ahead", tmp_path / "whole"
    export(registry, whole)
    for _ in range(5):
        registry.repository.renew()
    export(registry, ahead)
    highest = registry.repository.published().versions.timestamp
    result, anew = rebuilt(registry, tmp_path / "anew", whole, ahead, clock=clock)
    assert result.high_water.timestamp == highest
    assert anew.repository.renew().timestamp_version == highest + 1


def test_with_new_online_keys_two_proposals_bring_it_back(
    registry: Registry, tmp_path: Path, clock: ManualClock
) -> None:
    """Root holders name the keys of snapshot and timestamp, operators the one of areas; clients follow."""
    mirror = tmp_path / "mirror"
    export(registry, mirror)
    client = trust_folder(registry, tmp_path / "trust", mirror)
    client.refresh(NOW)
    clock.at += 2 * 86_400
    root = registry.folder.root
    result, anew = rebuilt(
        registry, tmp_path / "anew", mirror, restored=KeptFiles(tls=root / "tls"), clock=clock
    )
    with pytest.raises(ConfigurationError):
        anew.repository.renew()
    first, second = result.proposals
    for proposal, names in ((first, ("root-1", "root-2")), (second, ("operator-1", "operator-2"))):
        for name in names:
            sign_proposal(anew.repository, anew.proposals, proposal.id, operator(registry, name))
    anew.repository.renew()
    follower = TrustClient(tmp_path / "trust", FolderSource(anew.folder.repository))
    outcome = follower.refresh(clock.at)
    assert outcome.view.root_version == 2
    assert outcome.rejected == ()
    assert outcome.view.timestamp_version > result.timestamp_version


def test_a_mirror_of_another_root_rebuilds_nothing(
    registry: Registry, tmp_path: Path, clock: ManualClock
) -> None:
    """The fingerprint decides, and a rebuild that fails leaves nothing behind."""
    other = found_registry(tmp_path / "other", clock=clock, ceremony=plan())
    export(other, tmp_path / "mirror")
    with pytest.raises(TrustError, match="no source has a root with fingerprint"):
        rebuilt(registry, tmp_path / "anew", tmp_path / "mirror", clock=clock)
    with pytest.raises(ConfigurationError, match="not empty"):
        rebuilt(registry, tmp_path / "other", tmp_path / "mirror", clock=clock)
    export(registry, tmp_path / "good")
    restored = KeptFiles(keys=registry.folder.keys, tls=registry.folder.tls)
    with pytest.raises(ConfigurationError, match="--passphrase-file"):
        rebuilt(registry, tmp_path / "anew", tmp_path / "good", restored=restored, clock=clock)
    assert not (tmp_path / "anew").exists()
    assert [path.name for path in tmp_path.glob(".anew*")] == []
