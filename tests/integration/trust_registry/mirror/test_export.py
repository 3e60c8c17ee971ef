"""Mirrors: which files an export writes and removes, and which folders it refuses."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from healthcode.errors import ConfigurationError, ConflictError, Reason, UnavailableError
from healthcode.revocation.day import day_of
from healthcode.storage import files
from healthcode.trust.format.layout import metadata_file
from tests.integration.trust_registry.one_province import (
    KEEP,
    export,
    publish,
    trust_folder,
)
from tests.simulator.realm import NOW
from tests.simulator.registry import Province, found_registry, plan
from tests.world.clock import ManualClock
from trust_registry.layout import RegistryFolder
from trust_registry.mirror.export import export_tree, watch_tree
from trust_registry.registry import Registry, open_registry
from trust_registry.tree.files import TIMESTAMP_FILE
from trust_registry.tree.retention import remove_superseded


@pytest.mark.parametrize("name", ["keys/online.key", "node.toml", "trust.json", "index.html"])
def test_a_folder_with_something_else_in_it_becomes_no_mirror(
    registry: Registry, tmp_path: Path, name: str
) -> None:
    """A web server shows all files of a mirror, so a folder with keys or any other file is refused."""
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
    """An export has what the registry serves; a second export writes only what changed."""
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
    """An export that fails at any write leaves the old mirror complete; the next export finishes it."""
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
    """Superseded files are removed after the grace time; an index.html is not touched."""
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
    """--watch exports at each change; a failure is reported, and the next turn catches up."""
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


def test_retention_knows_the_same_files(registry: Registry) -> None:
    """The registry keeps the same files as an export copies."""
    assert remove_superseded(registry.repository, 3600) == 0
