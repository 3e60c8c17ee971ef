"""A registry rebuilt from several sources of different age, each of which lacks something."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from healthcode.cli.finding import Grade
from healthcode.errors import ConfigurationError, ConflictError, TrustError
from healthcode.trust.format.layout import list_file, metadata_file
from healthcode.trust.sources.trust_source import FolderSource, TrustSource
from tests.simulator.country import TODAY, Country, fingerprint_of, follow
from tests.simulator.mirror import run_mirror
from tests.world.clock import NOW
from trust_registry.layout import RegistryFolder
from trust_registry.mirror.export import export_tree
from trust_registry.monitoring.check import inspect_folder
from trust_registry.proposals.key_holders import key_holder_names
from trust_registry.recovery.kept_files import KeptFiles
from trust_registry.recovery.node_folder import NodeFolderSource, is_node_folder
from trust_registry.recovery.rebuild import RebuiltRegistry, rebuild
from trust_registry.registry import Registry, open_registry
from trust_registry.tree.high_water import HighWater
from trust_registry.tree.online_keys import create_online_keys


@pytest.fixture
def country(tmp_path: Path) -> Country:
    made = Country(tmp_path)
    made.revoke("31", 1)
    made.revoke("44", 1)
    return made


def export(country: Country, name: str) -> Path:
    export_tree(country.registry.repository, country.root / name, keep_seconds=-1)
    return country.root / name


def newest_list(country: Country, code: str) -> str:
    return list_file(country.provinces[code].head.days[TODAY].full_sha256.hex())


def rebuilt(
    country: Country, *sources: Path | TrustSource, name: str = "anew"
) -> tuple[RebuiltRegistry, Registry]:
    """A new registry with the kept keys; the country uses it from now on."""
    opened: list[TrustSource] = []
    for each in sources:
        if not isinstance(each, Path):
            opened.append(each)
        else:
            opened.append(NodeFolderSource(each) if is_node_folder(each) else FolderSource(each))
    old = country.registry.folder.root
    kept = KeptFiles(old / "registry.toml", old / "keys", old / "passphrase", old / "tls")
    place = RegistryFolder(country.root / name)
    result = rebuild(opened, fingerprint_of(country.registry), place, kept, country.clock)
    anew = open_registry(place, country.clock, {})
    anew.repository.renew()
    country.registry = anew
    return result, anew


def test_the_newest_of_everything_is_taken_from_all_together(country: Country) -> None:
    """The newest mirror lost a list, a node refused a head, the backup is old: together they are complete."""
    backup = export(country, "backup")
    country.revoke("44", 2)
    country.refresh("A")  # has 44's newest head, and 31's of yesterday
    country.revoke("31", 2)
    newest = export(country, "newest")
    shutil.copytree(newest, country.root / "other")
    (newest / newest_list(country, "31")).unlink()
    (newest / newest_list(country, "44")).unlink()
    (country.root / "other" / "metadata" / "timestamp.json").write_bytes(
        (backup / "metadata" / "timestamp.json").read_bytes()  # as frozen as the backup, with files of today
    )
    shutil.copy(next(backup.glob("metadata/*.snapshot.json")), country.root / "other" / "metadata")
    highest = country.registry.repository.published().versions
    result, anew = rebuilt(country, backup, country.root / "A", newest, country.root / "other")
    assert (result.refused, dict(result.lacking), result.participants) == ({}, {}, 2)
    assert str(newest) in result.source
    published = anew.repository.published()
    assert (published.version_of("province-31-live"), published.version_of("province-44-live")) == (2, 2)
    assert published.versions.timestamp == highest.timestamp + 1
    follow(anew, country.root / "C", country.clock.at)
    assert (country.refused("C", "31"), country.refused("C", "44")) == ({1, 2}, {1, 2})


def test_what_nobody_has_is_lacking_and_the_registry_serves_all_the_rest(country: Country) -> None:
    """31's list is lost everywhere: nothing older replaces it, 44 goes on, and 31 publishes it again."""
    country.refresh("A")
    country.revoke("31", 2)
    country.refresh("B")
    newest = export(country, "newest")
    (newest / newest_list(country, "31")).unlink()
    result, _ = rebuilt(country, newest, country.root / "A")
    assert dict(result.lacking) == {"province-31-live": 2}
    country.revoke("44", 2)
    country.refresh("A")
    country.refresh("B")
    assert (country.refused("A", "31"), country.refused("A", "44")) == ({1}, {1, 2})
    assert (country.refused("B", "31"), country.refused("B", "44")) == ({1, 2}, {1, 2})
    country.revoke("31", 3)
    assert country.refresh("A").rejected == ()
    assert country.refused("A", "31") == {1, 2, 3}


def test_a_node_that_was_refused_the_newest_gives_its_last_good(country: Country) -> None:
    """A node's snapshot names a newer version of 31 than it has: its own version is taken, the newer one is lacking."""
    country.refresh("A")
    country.revoke("31", 2)
    (country.registry.folder.repository / newest_list(country, "31")).unlink()
    assert [each.participant for each in country.refresh("A").rejected] == ["31"]
    result, anew = rebuilt(country, country.root / "A")
    assert dict(result.lacking) == {"province-31-live": 2}
    assert anew.repository.published().held_version("province-31-live") == 1
    country.versions["31"] = 1
    with pytest.raises(ConflictError):  # what was given out is not given out again
        country.publish("31")


def test_every_version_of_any_source_counts_as_given_out(country: Country) -> None:
    """An old mirror, a mirror with a newer timestamp only, a node newer than both: the registry publishes above all."""
    old = export(country, "old")
    country.revoke("31", 2)
    newest = export(country, "newest")
    for _ in range(4):
        country.registry.repository.renew()
    country.refresh("A")
    highest = country.registry.repository.published().versions
    result, anew = rebuilt(country, newest, old, country.root / "A")
    assert (result.high_water.timestamp, result.high_water.snapshot) == (highest.timestamp, highest.snapshot)
    versions = anew.repository.published().versions
    assert versions.timestamp > highest.timestamp
    country.revoke("44", 2)
    assert anew.repository.published().versions.snapshot == highest.snapshot + 1
    assert country.refresh("A").rejected == ()


def test_over_http_beside_one_that_lies_and_one_that_is_away(country: Country) -> None:
    """A mirror on a web server is used; one that serves garbage and one that is down are named and skipped."""
    whole = export(country, "whole")
    files = {path.relative_to(whole).as_posix(): path.read_bytes() for path in whole.rglob("*.*")}
    files |= {f"lists/{path.name}": path.read_bytes() for path in (whole / "lists").iterdir()}
    garbage = {**files, "metadata/timestamp.json": b"{}"}
    with run_mirror(files) as good, run_mirror(garbage) as lying, run_mirror(files) as away:
        sources = [each.source() for each in (lying, away, good)]
        away_name = sources[1].name
        away.behave = lambda _path: lambda handler: handler.wfile.close()
        result, _ = rebuilt(country, *sources)
    assert result.source == sources[2].name
    assert set(result.refused) == {sources[0].name, away_name}
    assert not result.lacking
    country.refresh("C")
    assert country.refused("C", "31") == {1}


def test_a_stolen_keys_version_beyond_all_is_not_taken_for_given_out(country: Country) -> None:
    """A valid timestamp of version two thousand million would use up the numbers: that mirror is refused."""
    good, ahead = export(country, "good"), country.root / "ahead"
    with country.registry.repository.transaction() as transaction:
        transaction.published._high_water = HighWater(timestamp=2 * 10**9)
        transaction.publish({})
    export_tree(country.registry.repository, ahead, keep_seconds=-1)
    result, anew = rebuilt(country, good, ahead)
    assert list(result.refused) == [FolderSource(ahead).name]
    assert anew.repository.published().versions.timestamp < 100


def test_a_whole_mirror_of_another_realm_gives_nothing(country: Country, tmp_path: Path) -> None:
    """Each source is checked against the fingerprint."""
    (tmp_path / "elsewhere").mkdir()
    other = Country(tmp_path / "elsewhere", now=NOW + 1)  # founded in another second: other keys
    with pytest.raises(TrustError, match="another realm"):
        rebuilt(country, export(other, "mirror"))
    assert not (country.root / "anew").exists()


def test_a_list_that_is_not_the_named_one_is_looked_for_elsewhere(country: Country) -> None:
    """A mirror with wrong bytes under a list's name does no harm while another has the right ones."""
    first = export(country, "first")
    shutil.copytree(first, country.root / "second")
    (first / newest_list(country, "31")).write_bytes(b"something else")
    result, anew = rebuilt(country, first, country.root / "second")
    assert not result.lacking
    assert anew.repository.tree.has(newest_list(country, "31"))
    assert anew.repository.tree.has(metadata_file("province-31-live", 1))
    country.revoke("31", 5)
    country.refresh("C")
    assert country.refused("C", "31") == {1, 5}


def test_keys_that_the_newest_root_does_not_name_are_told_at_once(country: Country, tmp_path: Path) -> None:
    """A mirror older than the kept keys would make a registry that cannot sign: the rebuild refuses and says why."""
    mirror, old = export(country, "mirror"), country.registry.folder.root
    keys = tmp_path / "rotated"
    keys.mkdir()
    passphrase = (old / "passphrase").read_bytes().strip()
    create_online_keys(
        keys,
        passphrase,
        realm=country.registry.settings.realm,
        created=country.clock.now(),
        cost="development",
    )
    kept = KeptFiles(old / "registry.toml", keys, old / "passphrase", old / "tls")
    place = RegistryFolder(tmp_path / "anew")
    with pytest.raises(ConfigurationError, match=r"snapshot and timestamp.*newer source"):
        rebuild([FolderSource(mirror)], fingerprint_of(country.registry), place, kept, country.clock)
    assert not place.root.exists()
    for path in (old / "keys").glob("*.key"):
        path.unlink()
    for path in keys.iterdir():
        shutil.copy(path, old / "keys")
    found = {each.what: each for each in inspect_folder(country.registry.folder, country.clock, {})}
    assert found["online keys"].grade is Grade.FAILED


def test_the_names_of_holders_come_from_what_was_kept(country: Country, tmp_path: Path) -> None:
    """No trust file has the names of key holders; a kept holders.json brings them back."""
    mirror, old = export(country, "mirror"), country.registry.folder.root
    (tmp_path / "holders.json").write_text('{"0123": "operator-9"}')
    kept = KeptFiles(
        old / "registry.toml", old / "keys", old / "passphrase", old / "tls", tmp_path / "holders.json"
    )
    place = RegistryFolder(tmp_path / "anew")
    rebuild([FolderSource(mirror)], fingerprint_of(country.registry), place, kept, country.clock)
    assert key_holder_names(place) == {"0123": "operator-9"}
