"""A registry is backed up while it publishes, and restored: no version is given out twice, and the nodes go on."""

from __future__ import annotations

import io
import json
import tarfile
import threading
from pathlib import Path

import pytest
from click.testing import CliRunner

from healthcode.cli.finding import Grade
from healthcode.errors import ConfigurationError, InvalidInputError, NotFoundError, UnavailableError
from healthcode.storage.lock import lock
from healthcode.trust.format.layout import list_file, metadata_file
from tests.simulator.country import REALM, TODAY, Country
from tests.world.clock import NOW, ManualClock
from trust_registry.__main__ import cli
from trust_registry.layout import RegistryFolder
from trust_registry.monitoring.check import inspect_folder
from trust_registry.monitoring.status import status_of
from trust_registry.recovery.backup import write_backup
from trust_registry.recovery.restore import RestoredRegistry, restore_registry
from trust_registry.registry import open_registry
from trust_registry.tree.files import TIMESTAMP_FILE
from trust_registry.tree.online_keys import create_online_keys


@pytest.fixture
def country(tmp_path: Path) -> Country:
    made = Country(tmp_path)
    made.revoke("31", 1)
    made.revoke("44", 1)
    return made


def back_up(country: Country, name: str = "b.tar") -> Path:
    write_backup(country.registry.repository, country.root / name, now=country.clock.now())
    return country.root / name


def restore(country: Country, source: Path) -> RestoredRegistry:
    """Over the registry; the country uses the restored one from now on."""
    root = country.registry.folder.root
    restored = restore_registry(source, root, clock=country.clock, replace=True)
    country.registry = open_registry(RegistryFolder(root), country.clock, {})
    return restored


def test_a_restored_registry_publishes_above_all_that_nodes_have(country: Country) -> None:
    """It signs nothing until nodes have reported: then no number is used twice, and nobody's revocation is lost."""
    source = back_up(country)
    country.revoke("31", 2)
    country.refresh("A")
    country.registry.repository.renew()
    country.refresh("B")  # has a newer timestamp than A
    before = country.registry.repository.published().versions
    published = {
        path.name: path.read_bytes()
        for path in country.registry.folder.repository.glob("metadata/*.snapshot.json")
    }
    restore(country, source)
    repository = country.registry.repository
    served = repository.tree.read(TIMESTAMP_FILE)
    for sign in (repository.renew, lambda: country.publish("31"), lambda: country.publish("44")):
        with pytest.raises(UnavailableError, match="before nodes have reported"):
            sign()
    country.versions = {"31": 2, "44": 1}  # the publications that were refused
    assert country.prove("A")
    assert country.prove("B")
    assert repository.tree.read(TIMESTAMP_FILE) == served, "proofs are noted, and nothing is signed yet"
    assert status_of(country.registry)["awaits_reports"] is True
    repository.end_restore()
    now = repository.published().versions
    assert (now.timestamp, now.snapshot) == (before.timestamp + 1, before.snapshot + 1)
    for path in country.registry.folder.repository.glob("metadata/*.snapshot.json"):
        assert published.get(path.name, path.read_bytes()) == path.read_bytes(), path.name
    for node in ("A", "B"):
        assert country.refresh(node).rejected == ()
        assert country.refused(node, "31") == {1, 2}
    country.revoke("31", 3)
    country.revoke("44", 2)
    country.refresh("A")
    assert (country.refused("A", "31"), country.refused("A", "44")) == ({1, 2, 3}, {1, 2})
    assert status_of(country.registry)["awaits_reports"] is False


def test_a_backup_beside_a_registry_that_publishes_is_whole(country: Country) -> None:
    """Whatever is published meanwhile, each backup is one moment: what its timestamp leads to is in it."""
    done = threading.Event()
    counts = {"31": 1}

    def publish() -> None:
        while not done.is_set():
            counts["31"] += 1
            country.revoke("31", counts["31"])

    thread = threading.Thread(target=publish)
    thread.start()
    try:
        backups = [back_up(country, f"{number}.tar") for number in range(8)]
    finally:
        done.set()
        thread.join()
    assert counts["31"] > 8
    secret = country.registry.folder.passphrase.read_bytes().strip()
    for number, source in enumerate(backups):
        place = RegistryFolder(country.root / f"restored-{number}")
        restored = restore_registry(source, place.root, clock=country.clock)
        opened = open_registry(place, country.clock, {}, passphrase=secret)
        assert opened.repository.published().lacking == {}
        failed = [
            each
            for each in inspect_folder(place, country.clock, {}, passphrase=secret)
            if each.grade is Grade.FAILED
        ]
        assert failed == []
        assert restored.timestamp_version == opened.repository.published().versions.timestamp


def test_what_is_in_a_backup_and_what_is_not(country: Country) -> None:
    """Keys as they are, names, proposals; no passphrase, no key of the CA, no holder's key, no report of a node."""
    country.registry.folder.nodes.mkdir(exist_ok=True)
    (country.registry.folder.nodes / "31.json").write_text("{}")
    source = back_up(country)
    assert source.stat().st_mode & 0o777 == 0o600
    with tarfile.open(source) as archive:
        names = set(archive.getnames())
    assert {"registry.toml", "holders.json", "keys/timestamp.key", "tls/registry.key"} <= names
    assert {f"repository/{metadata_file('targets', version)}" for version in (1, 2)} <= names
    assert any(name.startswith("proposals/") for name in names)
    left_out = ("passphrase", "tls/ca.key", "ceremony", "nodes")
    assert not [name for name in names if name.startswith(left_out)]
    with pytest.raises(ConfigurationError, match="never replaces another"):
        back_up(country)


def test_a_backup_with_a_hole_is_none(country: Country) -> None:
    """A published file that is missing is named; nothing is left behind."""
    digest = country.provinces["31"].head.days[TODAY].full_sha256.hex()
    (country.registry.folder.repository / list_file(digest)).unlink()
    with pytest.raises(NotFoundError, match=digest):
        back_up(country)
    assert sorted(path.name for path in country.root.glob("*b.tar*")) == []


@pytest.mark.parametrize("damage", ["cut", "changed", "climbs", "another service's"])
def test_what_is_no_sound_backup_changes_nothing(country: Country, damage: str) -> None:
    """It is refused by name, and the registry that is there stays as it was."""
    source = back_up(country)
    data = source.read_bytes()
    if damage == "cut":
        source.write_bytes(data[: len(data) // 2])
    elif damage == "changed":
        source.write_bytes(data.replace(b"127.0.0.1:7443", b"127.0.0.1:7444", 1))
    elif damage == "climbs":
        with tarfile.open(source, "a") as archive:
            archive.addfile(tarfile.TarInfo("repository/../../out"), io.BytesIO())
    else:
        source.write_bytes(data.replace(b"registry-backup/1", b"unknown-backup/12", 1))
    before = sorted(path.name for path in country.root.iterdir())
    with pytest.raises(InvalidInputError, match=r"b\.tar"):
        restore(country, source)
    assert sorted(path.name for path in country.root.iterdir()) == before


def test_a_registry_that_serves_is_not_replaced(country: Country) -> None:
    """`restore` says to stop it first, and in a folder in use it asks for --replace."""
    source, root = back_up(country), country.registry.folder.root
    with pytest.raises(ConfigurationError, match="--replace"):
        restore_registry(source, root, clock=country.clock)
    with lock(country.registry.folder.serving), pytest.raises(UnavailableError, match="stop it first"):
        restore(country, source)
    assert country.registry.repository.published().versions.root == 1


def test_keys_that_root_no_longer_names_are_refused(country: Country) -> None:
    """Such a registry could not sign: the backup is refused before anything is replaced."""
    keys = country.registry.folder.keys
    for path in keys.glob("*.key"):
        path.unlink()
    create_online_keys(keys, b"another passphrase", realm=REALM, created=NOW, cost="development")
    with pytest.raises(ConfigurationError, match="no key that its root names"):
        restore(country, back_up(country))


def test_by_command(country: Country) -> None:
    """`backup` and `restore --replace`: the passphrase stays, the old folder is kept aside, `check` is content."""
    root, source = country.registry.folder.root, country.root / "b.tar"
    runner = CliRunner()
    done = runner.invoke(cli, ["backup", "--dir", str(root), str(source), "--json"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["bytes"] == source.stat().st_size
    done = runner.invoke(cli, ["restore", "--dir", str(root), "--replace", str(source), "--json"])
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert Path(told["replaced"]).is_dir()
    assert told["next"][0].startswith("trust-registry check")
    done = runner.invoke(cli, ["check", "--dir", str(root), "--json"])
    (finding,) = [each for each in json.loads(done.stdout)["findings"] if each["what"] == "restore"]
    assert finding["grade"] == "WARNING"
    bare = country.root / "elsewhere"
    done = runner.invoke(cli, ["restore", "--dir", str(bare), str(source), "--json"])
    assert "passphrase" in json.loads(done.stdout)["next"][0]


def test_nothing_in_a_registrys_folder_is_forgotten(country: Country) -> None:
    """A new kind of file must be put into the backup, or be left out for a reason, as these are."""
    root = country.registry.folder.root
    with tarfile.open(back_up(country)) as archive:
        saved = {name.partition("/")[0] for name in archive.getnames()}
    assert {path.name for path in root.iterdir()} - saved == {
        "passphrase",  # what opens the keys is stored elsewhere
        "ceremony",  # key holders' keys
        ".writer.lock",
    }


def test_a_sparse_file_in_a_backup_fills_no_disk(country: Country, tmp_path: Path) -> None:
    """A member that claims a gigabyte in an archive of kilobytes is refused before anything of it is written."""
    made, source = back_up(country), tmp_path / "sparse.tar"
    with tarfile.open(made) as old, tarfile.open(source, "w", format=tarfile.GNU_FORMAT) as new:
        for member in old:
            data = old.extractfile(member)
            if member.name == "registry.toml":
                member.type, member.size = tarfile.GNUTYPE_SPARSE, 0
                data = None
            new.addfile(member, data)
    with pytest.raises(InvalidInputError):
        restore_registry(source, tmp_path / "new", clock=ManualClock(NOW))
    assert not (tmp_path / "new").exists()


def test_after_a_restore_that_failed_the_next_one_needs_no_option(country: Country, tmp_path: Path) -> None:
    """An empty folder stays empty: only the lock of the attempt is left in it."""
    made, root = back_up(country), tmp_path / "new"
    root.mkdir()
    broken = tmp_path / "broken.tar"
    broken.write_bytes(made.read_bytes()[:2000])
    with pytest.raises(InvalidInputError):
        restore_registry(broken, root, clock=ManualClock(NOW))
    assert restore_registry(made, root, clock=ManualClock(NOW)).realm == REALM
