"""A refresh (TUF 1.0, section 5): what is asked, what is taken in, and what stays when a role does not hold."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tuf.api.metadata import Metadata, MetaFile

from tests.conformance.suite import Client, at
from tests.conformance.test_tuf_client import FIRST
from tests.simulator.mirror import endless, hang_up, run_mirror
from tests.simulator.tuf_repository import TufRepository

UP_TO = {
    "root": {"root": 1},
    "timestamp": {"root": 2},
    "snapshot": {"root": 2, "timestamp": 2},
    "targets": {"root": 2, "timestamp": 2, "snapshot": 2},
}
"""What is trusted when the role of this name is the first that does not hold."""


def test_a_download_refreshes_first(client: Client) -> None:
    """Also where it fails in the end."""
    assert client.download("nothing") == 1
    assert client.asked() == FIRST
    assert client.versions() == at()


@pytest.mark.parametrize("change", ["no version", "signature", "rubbish"])
def test_a_root_that_does_not_hold_is_never_used(
    repository: TufRepository, client: Client, change: str
) -> None:
    """Nothing is asked of the repository."""
    root = json.loads(repository.files["metadata/1.root.json"])
    if change == "no version":
        del root["signed"]["version"]
    else:
        root["signatures"][0]["sig"] = "00" * 64
    client.init(b"{" if change == "rubbish" else json.dumps(root).encode())
    assert client.refresh() == 1
    assert client.mirror.asked == []


@pytest.mark.parametrize("role", UP_TO)
def test_a_role_that_its_key_did_not_sign_is_refused(
    repository: TufRepository, client: Client, role: str
) -> None:
    """What came before it in the workflow stays."""
    repository.signers[role].clear()
    repository.publish_all()
    assert client.refresh() == 1
    assert client.versions() == UP_TO[role]


@pytest.mark.parametrize("role", ["root", "snapshot", "targets"])
def test_a_role_has_the_version_of_its_address(repository: TufRepository, client: Client, role: str) -> None:
    """Version 3 at the address of version 2 is refused."""
    getattr(repository, role).version = 2
    repository.publish_all()
    for name in ("snapshot", "targets"):
        named = (
            repository.timestamp.snapshot_meta
            if name == "snapshot"
            else repository.snapshot.meta["targets.json"]
        )
        named.version = 2
    for name in ("snapshot", "timestamp"):
        getattr(repository, name).version = 2 + (name == role)
        repository.publish(name, bump=False)
    repository.files[f"metadata/2.{role}.json"] = repository.files[f"metadata/3.{role}.json"]
    del repository.files[f"metadata/3.{role}.json"]
    assert client.refresh() == 1
    assert client.versions() == UP_TO[role]


def test_the_bytes_are_kept_as_they_came(repository: TufRepository, client: Client) -> None:
    """Spaces too, which no signature covers."""
    repository.files["metadata/timestamp.json"] += b" \n"
    assert client.refresh() == 0
    for role, place in (("timestamp", "timestamp"), ("snapshot", "1.snapshot"), ("targets", "1.targets")):
        assert (client.metadata / f"{role}.json").read_bytes() == repository.files[f"metadata/{place}.json"]


def test_a_timestamp_of_the_same_version_is_not_looked_at(repository: TufRepository, client: Client) -> None:
    """What it says is not followed, whoever signed it."""
    assert client.refresh() == 0
    repository.timestamp.snapshot_meta.version = 100
    repository.publish("timestamp", bump=False)
    assert client.refresh() == 0
    assert client.asked()[-1] == "timestamp.json"
    held = json.loads((client.metadata / "timestamp.json").read_bytes())
    assert held["signed"]["meta"]["snapshot.json"]["version"] == 1


@pytest.mark.parametrize("role", ["timestamp", "snapshot", "targets"])
@pytest.mark.parametrize("missing", [True, False], ids=["404", "hangs up"])
def test_a_file_that_does_not_come(
    repository: TufRepository, client: Client, role: str, missing: bool
) -> None:
    """The refresh fails; what came before it is taken in, and what was there stays."""
    assert client.refresh() == 0
    repository.publish_all(root=False)
    place = "metadata/timestamp.json" if role == "timestamp" else f"metadata/2.{role}.json"
    if missing:
        del repository.files[place]
    else:
        client.mirror.behave = lambda path: hang_up if path == place else None
    assert client.refresh() == 1
    assert client.asked()[-1] == place.removeprefix("metadata/")
    came = {"timestamp": {}, "snapshot": {"timestamp": 2}, "targets": {"timestamp": 2, "snapshot": 2}}
    assert client.versions() == at(**came[role])


def test_a_snapshot_is_no_timestamp(repository: TufRepository, client: Client) -> None:
    """Though the timestamp's key signed it and it could be read as one."""
    repository.add_key("snapshot", repository.signers["timestamp"][0])
    repository.snapshot.meta = {"snapshot.json": MetaFile(1)}
    repository.publish("root")
    repository.publish("snapshot")
    repository.files["metadata/timestamp.json"] = repository.files["metadata/2.snapshot.json"]
    assert client.refresh() == 1
    assert client.versions() == {"root": 2}


def test_hashes_of_targets_hold(repository: TufRepository, client: Client) -> None:
    """Snapshot may name targets by length and hash; another is refused, and the snapshot stays."""
    repository.hashes = True
    repository.publish_all(root=False)
    assert client.refresh() == 0
    repository.publish("targets")
    repository.publish_snapshot()
    repository.files["metadata/3.targets.json"] += b" "
    assert client.refresh() == 1
    assert client.versions() == at(timestamp=3, snapshot=3, targets=2)
    named = repository.snapshot.meta["targets.json"]
    assert named.hashes is not None
    named.hashes["sha256"] = "46" * 32
    repository.publish("snapshot")
    repository.publish_timestamp()
    assert client.refresh() == 1


def test_targets_that_snapshot_does_not_name_are_not_asked_for(
    repository: TufRepository, client: Client
) -> None:
    """Nor a snapshot that timestamp does not name."""
    assert client.refresh() == 0
    repository.publish("targets")
    repository.publish("snapshot")
    assert client.refresh() == 0
    assert client.asked()[-1] == "timestamp.json"
    assert client.versions() == at()
    repository.publish("timestamp")  # newer, and names the snapshot that we have
    assert client.refresh() == 0
    assert client.versions() == at(timestamp=2)


def test_metadata_as_long_as_the_reference_client_takes(repository: TufRepository, client: Client) -> None:
    """A snapshot of 16,384 bins and targets of a megabyte are none of ours, and no attack."""
    bins = {f"bins-{number:04x}.json": MetaFile(1) for number in range(16_384)}
    repository.snapshot.meta.update(bins)
    repository.targets.unrecognized_fields["padding"] = "x" * 1_000_000
    repository.publish_all(root=False)
    assert len(repository.files["metadata/2.snapshot.json"]) > 400_000
    assert client.refresh() == 0


def test_what_timestamp_did_not_name_is_refused(repository: TufRepository, client: Client) -> None:
    """Mix and match: a snapshot of another hash, targets of another version."""
    repository.hashes = True
    repository.publish_snapshot()
    repository.files["metadata/2.snapshot.json"] += b" "
    assert client.refresh() == 1
    assert client.versions() == {"root": 1, "timestamp": 2}
    repository.publish_snapshot()
    repository.files["metadata/1.targets.json"] = Metadata(repository.targets).to_bytes()
    assert client.refresh() == 1


def test_fields_that_nobody_knows_are_signed_too(repository: TufRepository, client: Client) -> None:
    """They count for signatures, and are kept byte for byte."""
    repository.root.unrecognized_fields["custom"] = {"a": [1, "b"]}
    repository.publish_all()
    assert client.refresh() == 0
    assert client.versions()["root"] == 2
    assert (client.metadata / "root.json").read_bytes() == repository.files["metadata/2.root.json"]


def test_without_consistent_snapshots(tmp_path: Path) -> None:
    """Names without versions, targets without hashes."""
    repository = TufRepository(consistent_snapshot=False)
    repository.add_target("targets", "a/file", b"content")
    repository.publish_all(root=False)
    with run_mirror(repository.files) as mirror:
        client = Client(tmp_path, mirror)
        assert client.init() == 0
        assert client.download("a/file") == 0
        assert "metadata/snapshot.json" in mirror.asked
    assert client.downloaded() == [b"content"]


def test_endless_data_have_an_end(client: Client) -> None:
    """Of any role."""
    for role in ("root", "timestamp", "snapshot", "targets"):
        client.mirror.behave = lambda path, role=role: endless if role in path else None  # type: ignore[misc]  # bound now
        assert client.refresh() == 1
