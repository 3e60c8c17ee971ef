"""Going back, and healing from a version far ahead (TUF 1.0, sections 5.3.11, 5.4.3, 5.5.5)."""

from __future__ import annotations

import pytest

from tests.conformance.suite import Client, at
from tests.simulator.tuf_repository import TufRepository


def test_an_older_timestamp_is_refused(repository: TufRepository, client: Client) -> None:
    """5.4.3.1, and the same version with another content changes nothing."""
    old = repository.files["metadata/timestamp.json"]
    repository.publish_timestamp()
    assert client.refresh() == 0
    repository.timestamp.unrecognized_fields["another"] = "content"
    repository.publish("timestamp", bump=False)
    assert client.refresh() == 0
    assert b"another" not in (client.metadata / "timestamp.json").read_bytes()
    repository.files["metadata/timestamp.json"] = old
    assert client.refresh() == 1
    assert client.versions() == at(timestamp=2)


@pytest.mark.parametrize("hashes", [False, True])
def test_an_older_snapshot_is_refused(repository: TufRepository, client: Client, hashes: bool) -> None:
    """5.4.3.2, with and without hashes in timestamp."""
    repository.hashes = hashes
    repository.publish_snapshot()
    assert client.refresh() == 0
    repository.snapshot.version = 1
    repository.publish_timestamp()
    assert client.refresh() == 1
    assert client.versions() == at(timestamp=2, snapshot=2)


def test_a_snapshot_that_takes_targets_back_is_refused(repository: TufRepository, client: Client) -> None:
    """5.5.5, and one that forgets a role."""
    repository.publish("targets")
    repository.publish_snapshot()
    assert client.refresh() == 0
    repository.targets.version = 1
    repository.publish_snapshot()
    assert client.refresh() == 1
    assert client.versions()["targets"] == 2
    del repository.snapshot.meta["targets.json"]
    repository.publish("snapshot")
    repository.publish_timestamp()
    assert client.refresh() == 1


@pytest.mark.parametrize("role", ["timestamp", "snapshot", "targets"])
def test_fast_forward_heals_with_new_keys(repository: TufRepository, client: Client, role: str) -> None:
    """5.3.11: root replaces the keys, and versions begin anew."""
    getattr(repository, role).version = 99_999
    repository.publish_all(root=False)
    assert client.refresh() == 0
    assert client.versions()[role] == 100_000
    for rotated in ("timestamp", "snapshot"):
        repository.rotate(rotated)
    getattr(repository, role).version = 1
    repository.publish_all()
    assert client.refresh() == 0
    assert client.versions()[role] == 2
