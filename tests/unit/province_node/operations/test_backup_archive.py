"""A file that is not a complete backup is refused."""

from __future__ import annotations

import io
import json
import tarfile

import pytest

from healthcode.errors import InvalidInputError
from province_node.operations.backup import write_backup
from province_node.operations.restore import restore_node
from tests.simulator.realm import NOW
from tests.unit.province_node.world import HOME


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE])
def test_a_manifest_that_is_no_regular_file_is_refused(node, tmp_path, kind):
    """A link to what is not there is no fault of ours."""
    source = tmp_path / "b.tar"
    with tarfile.open(source, "w") as archive:
        info = tarfile.TarInfo("manifest.json")
        info.type, info.linkname = kind, "elsewhere"
        archive.addfile(info)
    with pytest.raises(InvalidInputError, match="is no backup of a node"):
        restore_node(source, tmp_path / "new", trust=lambda _s: node.world.view, now=NOW)


@pytest.mark.parametrize("damage", ["cut", "changed", "stranger", "climbs", "no-archive"])
def test_a_file_that_is_no_sound_backup_is_refused(node, tmp_path, damage):
    """Cut off, changed, with something added, or with a path that leads out: refused, and nothing is written."""
    source = tmp_path / "b.tar"
    node.revoke(*range(3000))
    write_backup(node.root, source, now=NOW)
    data = source.read_bytes()
    if damage == "cut":
        source.write_bytes(data[: len(data) // 2])
    elif damage == "changed":
        source.write_bytes(data.replace(b"sealed", b"opened"))
    elif damage == "no-archive":
        source.write_bytes(b"x" * 4096)
    else:
        name = "keys/more.key" if damage == "stranger" else "keys/../../out"
        with tarfile.open(source, "a") as archive:
            info = tarfile.TarInfo(name)
            archive.addfile(info, io.BytesIO())
    with pytest.raises(InvalidInputError):
        restore_node(source, tmp_path / "new", trust=lambda _s: node.world.view, now=NOW)
    assert not (tmp_path / "new").exists()
    assert not (tmp_path.parent / "out").exists()


def test_a_manifest_names_no_place_outside(node, tmp_path):
    """A backup whose manifest itself leads out of the folder is no backup."""
    source = tmp_path / "b.tar"
    manifest = {"format": "healthcode/node-backup/1", "made_at": 1, "files": {"node.db": "", "tls/../x": ""}}
    data = json.dumps(manifest).encode()
    with tarfile.open(source, "w") as archive:
        info = tarfile.TarInfo("manifest.json")
        info.size = len(data)
        archive.addfile(info, io.BytesIO(data))
    with pytest.raises(InvalidInputError):
        restore_node(source, tmp_path / "new", trust=lambda _s: node.world.view, now=NOW)


@pytest.mark.parametrize("fault", ["participant", "realm", "deep", "digest"])
def test_a_manifest_that_lacks_something_is_refused_by_name(node, tmp_path, fault):
    """Whatever a manifest is, the answer is a clear error and nothing is left behind."""
    source = tmp_path / "b.tar"
    manifest = {
        "format": "healthcode/node-backup/1",
        "made_at": 1,
        "participant": HOME,
        "realm": "test",
        "files": {"node.db": 1 if fault == "digest" else ""},
    }
    manifest.pop(fault, None)
    data = b"[" * 200_000 if fault == "deep" else json.dumps(manifest).encode()
    with tarfile.open(source, "w") as archive:
        info = tarfile.TarInfo("manifest.json")
        info.size = len(data)
        archive.addfile(info, io.BytesIO(data))
    with pytest.raises(InvalidInputError, match=r"b\.tar is no backup"):
        restore_node(source, tmp_path / "new", trust=lambda _s: node.world.view, now=NOW)
    assert not (tmp_path / "new").exists()
