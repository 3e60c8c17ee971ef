"""Mirrors: what an export writes, and a registry rebuilt from what a mirror or a node holds."""

from __future__ import annotations

import shutil
from pathlib import Path
from weakref import WeakKeyDictionary

import pytest

from healthcode.errors import ConfigurationError, ConflictError, Reason, TrustError, UnavailableError
from healthcode.revocation.day import day_of
from healthcode.storage import files
from healthcode.trust.client import TrustClient
from healthcode.trust.format.layout import list_file, metadata_file
from healthcode.trust.format.metadata import sign_metadata, to_bytes
from healthcode.trust.format.new_metadata import new_snapshot, new_timestamp
from healthcode.trust.sources.trust_source import FolderSource
from healthcode.trust.store import init_trust
from healthcode.trust.verify.roots import root_fingerprint
from tests.simulator.realm import NOW, fixed_key
from tests.simulator.registry import Province, admit, found_registry, operator, plan
from tests.world.clock import ManualClock
from trust_registry.layout import RegistryFolder
from trust_registry.mirror.export import export_tree, watch_tree
from trust_registry.participants.submission import Publisher
from trust_registry.proposals.sign import sign_proposal
from trust_registry.recovery.kept_files import KeptFiles
from trust_registry.recovery.node_folder import NodeFolderSource, is_node_folder
from trust_registry.recovery.rebuild import RebuiltRegistry, rebuild
from trust_registry.registry import Registry, open_registry
from trust_registry.tree.files import TIMESTAMP_FILE
from trust_registry.tree.retention import remove_superseded

REALM = "test-registry"
KEEP = 3600
SENT: WeakKeyDictionary[Province, int] = WeakKeyDictionary()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def shanghai() -> Province:
    return Province("31", REALM)


@pytest.fixture
def registry(tmp_path: Path, clock: ManualClock, shanghai: Province) -> Registry:
    """A registry with one province, and one code revoked."""
    made = found_registry(tmp_path / "registry", clock=clock)
    admit(made, shanghai)
    publish(made, shanghai)
    shanghai.revoke(day_of(NOW), [7])
    publish(made, shanghai)
    return made


def publish(registry: Registry, province: Province) -> None:
    """The province's node hands in its head, in the version that it counts by itself."""
    SENT[province] = SENT.get(province, 0) + 1
    metadata, head = province.live_publication(SENT[province])
    spool = registry.folder.root / "spool"
    Publisher(registry.repository).publish_revocations("31", metadata, head, province.spool(spool))


def fingerprint_of(registry: Registry) -> str:
    return root_fingerprint(registry.repository.tree.read(metadata_file("root", 1)))


def export(registry: Registry, mirror: Path) -> int:
    return export_tree(registry.repository, mirror, keep_seconds=KEEP).written


def trust_folder(registry: Registry, folder: Path, source: Path) -> TrustClient:
    init_trust(folder, FolderSource(source), fingerprint_of(registry))
    return TrustClient(folder, FolderSource(source))


def kept(registry: Registry) -> KeptFiles:
    """What a careful operator has in a backup."""
    root = registry.folder.root
    return KeptFiles(root / "registry.toml", root / "keys", root / "passphrase", root / "tls")


def rebuilt(
    registry: Registry, target: Path, *mirrors: Path, restored: KeptFiles | None = None, clock: ManualClock
) -> tuple[RebuiltRegistry, Registry]:
    sources = [NodeFolderSource(path) if is_node_folder(path) else FolderSource(path) for path in mirrors]
    result = rebuild(
        sources, fingerprint_of(registry), RegistryFolder(target), restored or kept(registry), clock
    )
    return result, open_registry(RegistryFolder(target), clock, {})


# export


@pytest.mark.parametrize("name", ["keys/online.key", "node.toml", "trust.json", "index.html"])
def test_a_folder_with_something_else_in_it_becomes_no_mirror(
    registry: Registry, tmp_path: Path, name: str
) -> None:
    """A web server shows all that lies in a mirror: beside keys, or among anything at all, none is begun."""
    held = tmp_path / "held" / name
    held.parent.mkdir(parents=True)
    held.write_text("something")
    with pytest.raises(ConfigurationError, match="empty folder"):
        export(registry, tmp_path / "held")
    with pytest.raises(ConfigurationError, match="empty folder"):
        export(registry, registry.folder.root)
    assert [path for path in (tmp_path / "held").rglob("*") if path.is_file()] == [held]
    assert not (registry.folder.root / "metadata").exists()


def test_a_client_follows_an_exported_mirror(registry: Registry, shanghai: Province, tmp_path: Path) -> None:
    """What is exported is what the registry serves, and a second export writes what changed alone."""
    mirror = tmp_path / "mirror"
    assert export(registry, mirror) > 5
    client = trust_folder(registry, tmp_path / "trust", mirror)
    assert len(client.refresh(NOW).view.issuers["31"].revocations.lists[day_of(NOW)]) == 1
    assert export(registry, mirror) == 0
    registry.repository.renew()
    assert export(registry, mirror) == 1
    shanghai.revoke(day_of(NOW), [7, 8])
    publish(registry, shanghai)
    assert export(registry, mirror) == 5  # head, its metadata, the list, snapshot, timestamp
    assert len(client.refresh(NOW).view.issuers["31"].revocations.lists[day_of(NOW)]) == 2


def test_the_timestamp_comes_last_and_a_cut_leaves_the_old_mirror(
    registry: Registry, shanghai: Province, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cut off at any write, the mirror is whole and old; the next export completes it."""
    mirror = tmp_path / "mirror"
    export(registry, mirror)
    client = trust_folder(registry, tmp_path / "trust", mirror)
    before = client.refresh(NOW).view.snapshot_version
    shanghai.revoke(day_of(NOW), [7, 8])
    publish(registry, shanghai)
    names: list[str] = []

    def cut(path: Path, data: bytes, *, mode: int = 0o644) -> None:
        names.append(path.name)
        if len(names) == 2:
            raise UnavailableError("cut off", reason=Reason.STORAGE_FULL)
        files.save_file(path, data, mode=mode)

    for _ in range(4):  # each turn gets one file further
        names.clear()
        with monkeypatch.context() as patched:
            patched.setattr("trust_registry.mirror.export.save_file", cut)
            with pytest.raises(UnavailableError):
                export(registry, mirror)
        assert client.refresh(NOW).view.snapshot_version == before
    assert names[-1] == "timestamp.json"
    assert export(registry, mirror) == 1
    assert client.refresh(NOW).view.snapshot_version > before


def test_a_publication_that_was_cut_off_reaches_no_mirror(registry: Registry, tmp_path: Path) -> None:
    """A file that the current timestamp does not lead to is no part of the mirror."""
    stray = registry.repository.tree.locate(metadata_file("snapshot", 99))
    stray.write_bytes(b"{}")
    export(registry, tmp_path / "mirror")
    assert not (tmp_path / "mirror" / metadata_file("snapshot", 99)).exists()


def test_superseded_files_leave_the_mirror_in_time_and_foreign_ones_stay(
    registry: Registry, tmp_path: Path
) -> None:
    """What nobody names any more goes after the time of grace; an index.html is not ours to remove."""
    mirror = tmp_path / "mirror"
    export(registry, mirror)
    old = registry.repository.published().versions.snapshot
    (mirror / "metadata" / "index.html").write_text("hello")
    with registry.repository.transaction() as transaction:
        transaction.publish({})
    assert export_tree(registry.repository, mirror, keep_seconds=KEEP).removed == 0
    assert (mirror / metadata_file("snapshot", old)).exists()
    exported = export_tree(registry.repository, mirror, keep_seconds=-1)
    assert exported.removed >= 1
    assert not (mirror / metadata_file("snapshot", old)).exists()
    assert (mirror / metadata_file("root", 1)).exists()
    assert (mirror / "metadata" / "index.html").exists()


def test_a_mirror_never_goes_back_nor_to_another_realm(
    registry: Registry, tmp_path: Path, clock: ManualClock
) -> None:
    """A registry restored from yesterday's backup does not overwrite a newer mirror."""
    mirror, backup = tmp_path / "mirror", tmp_path / "backup"
    shutil.copytree(registry.folder.root, backup)
    registry.repository.renew()
    export(registry, mirror)
    restored = open_registry(RegistryFolder(backup), clock, {})
    before = (mirror / TIMESTAMP_FILE).read_bytes()
    with pytest.raises(ConflictError, match="rebuild --from") as refused:
        export(restored, mirror)
    assert refused.value.reason is Reason.VERSION_CONFLICT
    other = found_registry(tmp_path / "other", clock=clock, ceremony=plan("test-other"))
    with pytest.raises(ConfigurationError, match="another realm"):
        export(other, mirror)
    with pytest.raises(ConfigurationError, match="another folder"):
        export(registry, registry.folder.repository)
    assert (mirror / TIMESTAMP_FILE).read_bytes() == before


def test_watching_exports_each_publication_and_tries_again(registry: Registry, tmp_path: Path) -> None:
    """--watch writes at each change; one that fails is told, and the next turn catches up."""
    mirror = tmp_path / "mirror"
    turns: list[int] = []
    errors: list[str] = []

    class EndOfTest(Exception):  # noqa: N818  it is none
        pass

    def sleep(_: float) -> None:
        turns.append(len(turns))
        if len(turns) == 1:
            registry.repository.renew()
            shutil.rmtree(mirror / "metadata")
            (mirror / "metadata").write_text("in the way")
        elif len(turns) == 2:
            (mirror / "metadata").unlink()
        elif len(turns) == 4:
            raise EndOfTest

    exported = []
    with pytest.raises(EndOfTest):
        watch_tree(
            registry.repository,
            mirror,
            keep_seconds=KEEP,
            on_export=exported.append,
            on_error=lambda error: errors.append(error.message),
            sleep=sleep,
        )
    assert len(errors) == 1
    versions = registry.repository.published().versions
    assert exported[-1].timestamp_version == versions.timestamp


# rebuild


def test_a_registry_is_rebuilt_from_a_mirror_and_clients_go_on(
    registry: Registry, shanghai: Province, tmp_path: Path, clock: ManualClock
) -> None:
    """With the kept keys it publishes at once, above what clients hold, also days later; nothing is un-revoked."""
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
    """A node's trust folder that is newer than every mirror serves as one; the damaged mirror is named."""
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
    """A frozen mirror with a whole tree, and one that is ahead in the timestamp alone: the higher versions count."""
    ahead, whole = tmp_path / "ahead", tmp_path / "whole"
    export(registry, whole)
    for _ in range(5):
        registry.repository.renew()
    export(registry, ahead)
    highest = registry.repository.published().versions.timestamp
    result, anew = rebuilt(registry, tmp_path / "anew", whole, ahead, clock=clock)
    assert result.high_water.timestamp == highest
    assert anew.repository.renew().timestamp_version == highest + 1


def test_versions_that_a_node_proves_are_never_given_out_again(
    registry: Registry, shanghai: Province, tmp_path: Path, clock: ManualClock
) -> None:
    """After a rebuild from an old mirror, a node's signed snapshot lifts every version, and the node's next head fits."""
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


def test_nobody_raises_the_floor_by_a_claim(registry: Registry) -> None:
    """A timestamp that another key signed moves no version."""
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
    """With its own keys, stolen, either: clients would refuse all that it publishes afterwards."""
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
    other = found_registry(tmp_path / "other", clock=clock)
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


def test_retention_knows_the_same_files(registry: Registry) -> None:
    """What the export takes is what the registry keeps."""
    assert remove_superseded(registry.repository, 3600) == 0
