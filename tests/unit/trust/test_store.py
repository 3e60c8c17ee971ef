"""A trust folder, opened offline: damage is found by name, and an older generation serves."""

import json
import shutil
from pathlib import Path

import pytest

from healthcode.errors import ConfigurationError, TrustError
from healthcode.trust.client import TrustClient
from healthcode.trust.disk.read import current_generation
from healthcode.trust.store import TrustStore, init_trust, read_bootstrap
from healthcode.trust.verify.issuer_trust import IssuerFiles, verify_issuer
from healthcode.trust.verify.roots import root_fingerprint
from tests.simulator.realm import SimulatedRealm


def advance(client: TrustClient, realm: SimulatedRealm, times: int = 1) -> None:
    """Further generations, each with another list in Shanghai."""
    for number in range(times):
        realm.now += 1
        realm.revoke("31", realm.now % 1000 + number, realm.now + 3600)
        realm.publish_live("31")
        realm.publish()
        client.refresh(realm.now)


def files_of(folder: Path) -> list[str]:
    current = folder / "current"
    return sorted(str(path.relative_to(current)) for path in current.rglob("*") if path.is_file())


def test_opening_needs_no_network_and_no_clock(
    client: TrustClient, realm: SimulatedRealm, folder: Path
) -> None:
    """Expiry is left to the tiers: a folder opens years later, and says how old it is."""
    realm.offline = True
    view = TrustStore.open(folder).view
    assert view.age_seconds("31", realm.now + 10**8) == 10**8


def test_damage_to_any_file_is_found_and_the_generation_before_serves(
    client: TrustClient, realm: SimulatedRealm, folder: Path
) -> None:
    """Overwritten in place, truncated or gone: each file of the current generation, one after the other."""
    advance(client, realm, 3)
    number = current_generation(folder)
    assert number == 4
    names = files_of(folder)
    assert len(names) == 21  # 3 + 2 national, 2 of areas, 4 a province, a list, the manifest
    for name in names:
        path = folder / "current" / name
        whole = path.read_bytes()
        for harm in (b"", whole[: len(whole) // 2], b"x" * len(whole), None):
            if harm is None:
                path.unlink()
            else:
                path.write_bytes(harm)
            store = TrustStore.open(folder)
            assert store.generation == 3, name
            assert any("generation 4 does not verify" in warning for warning in store.warnings), name
            path.unlink(missing_ok=True)
            path.write_bytes(whole)
    assert TrustStore.open(folder).warnings == ()


def test_a_fault_of_ours_over_one_province_lets_the_generation_before_serve(
    client: TrustClient, realm: SimulatedRealm, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An exception that nobody foresaw, over the newest files of one province, ends no service."""
    advance(client, realm)
    newest = TrustStore.open(folder).state.issuers["31"].files.live_metadata

    def surprised(
        participant: str, link: object, files: IssuerFiles, *others: object, **limits: object
    ) -> object:
        if files.live_metadata == newest:
            raise RecursionError
        return verify_issuer(participant, link, files, *others, **limits)  # type: ignore[arg-type]

    monkeypatch.setattr("healthcode.trust.verify.assemble.verify_issuer", surprised)
    store = TrustStore.open(folder)
    assert store.generation == 1
    assert any("RecursionError" in warning for warning in store.warnings)


def test_a_damaged_generation_is_healed_by_the_next_refresh(
    client: TrustClient, realm: SimulatedRealm, folder: Path
) -> None:
    """A service that starts on damage serves the older trust, then writes a sound generation."""
    advance(client, realm, 2)
    for path in (folder / "current" / "metadata").iterdir():
        path.write_bytes(b"damaged")
    fresh = TrustClient(folder, realm)
    assert fresh.open().generation == 2
    result = fresh.refresh(realm.now)
    assert result.generation == 4
    store = TrustStore.open(folder)
    assert (store.generation, store.warnings) == (4, ())
    assert store.view.issuers["31"].head_version == 3


def test_neighbouring_generations_never_share_a_file(
    client: TrustClient, realm: SimulatedRealm, folder: Path
) -> None:
    """Hard links reach two generations back, so one damaged file never takes two neighbours."""
    advance(client, realm, 4)
    inodes = {
        number: {
            path.name: path.stat().st_ino
            for path in (folder / "generations" / str(number)).rglob("*")
            if path.is_file()
        }
        for number in (3, 4, 5)
    }
    assert not set(inodes[4].values()) & (set(inodes[3].values()) | set(inodes[5].values()))
    assert inodes[3]["province-11.json"] == inodes[5]["province-11.json"]


def test_a_file_that_was_overwritten_is_not_linked_onward(
    client: TrustClient, realm: SimulatedRealm, folder: Path
) -> None:
    """Damage in the generation before the last does not come back by a link."""
    advance(client, realm, 2)
    (folder / "generations" / "2" / "metadata" / "province-11.json").write_bytes(b"damaged")
    advance(client, realm, 1)
    store = TrustStore.open(folder)
    assert (store.generation, store.warnings) == (4, ())


def test_when_no_generation_holds_it_is_told_and_a_refresh_begins_anew(
    client: TrustClient, realm: SimulatedRealm, folder: Path
) -> None:
    """Nothing is believed that does not hold, and the way out is a refresh."""
    (folder / "current" / "metadata" / "targets.json").write_bytes(b"{}")
    with pytest.raises(TrustError, match=r"metadata/targets\.json is damaged"):
        TrustStore.open(folder)
    assert TrustClient(folder, realm).refresh(realm.now).generation == 2
    assert TrustStore.open(folder).warnings == ()


def test_a_consistent_forgery_of_the_folder_is_found(
    client: TrustClient, realm: SimulatedRealm, folder: Path
) -> None:
    """A manifest vouches for accidents alone: files of another realm, with a manifest to match, do not open."""
    other = SimulatedRealm(("00", "11", "31"), realm="test-other")
    elsewhere = folder.with_name("elsewhere")
    other.client(elsewhere).refresh(other.now)
    shutil.rmtree(folder / "generations")
    shutil.copytree(elsewhere / "generations", folder / "generations")
    with pytest.raises(TrustError, match="signatures"):
        TrustStore.open(folder)


def test_a_newer_unfinished_generation_is_passed_over(client: TrustClient, folder: Path) -> None:
    """Only what `current` names was ever finished."""
    (folder / "generations" / "9").mkdir()
    store = TrustStore.open(folder)
    assert (store.generation, store.warnings) == (1, ())


def test_a_folder_without_current_opens_by_its_newest_generation(client: TrustClient, folder: Path) -> None:
    """The pointer may be lost; the generations are whole."""
    (folder / "current").unlink()
    assert TrustStore.open(folder).generation == 1


def test_a_folder_that_was_begun_but_never_filled_says_so(realm: SimulatedRealm, folder: Path) -> None:
    """The message names the command."""
    init_trust(folder, realm, realm.fingerprint)
    with pytest.raises(TrustError, match="healthcode trust sync"):
        TrustStore.open(folder)


def test_a_folder_begins_by_fingerprint_alone(realm: SimulatedRealm, folder: Path) -> None:
    """No trust on first use: malformed and unknown fingerprints begin nothing."""
    with pytest.raises(ConfigurationError, match="64 hex digits"):
        init_trust(folder, realm, "sha256:1234")
    with pytest.raises(TrustError, match="mistyped"):
        init_trust(folder, realm, "sha256:" + "0" * 64)
    assert not folder.exists()
    with pytest.raises(ConfigurationError, match="healthcode trust init"):
        TrustStore.open(folder)


def test_a_folder_may_begin_at_a_later_root(realm: SimulatedRealm, folder: Path) -> None:
    """The fingerprint of the root in force is as good as that of the first."""
    realm.rotate_root(root_keys=[realm.key(f"root second-{number}") for number in (1, 2, 3)])
    realm.publish()
    init_trust(folder, realm, root_fingerprint(realm.files["metadata/2.root.json"]))
    assert TrustClient(folder, realm).refresh(realm.now).view.root_version == 2
    assert TrustStore.open(folder).view.root_version == 2


def test_beginning_again_is_idempotent_and_another_root_is_refused(
    realm: SimulatedRealm, folder: Path
) -> None:
    """A folder's root is for life."""
    first = init_trust(folder, realm, realm.fingerprint)
    realm.offline = True
    assert init_trust(folder, realm, realm.fingerprint) == first
    with pytest.raises(ConfigurationError, match="was begun with root"):
        init_trust(folder, realm, "sha256:" + "0" * 64)


def test_a_damaged_beginning_is_found(client: TrustClient, folder: Path) -> None:
    """root.json must have the fingerprint that trust.json names, and its realm."""
    root = (folder / "root.json").read_bytes()
    (folder / "root.json").write_bytes(root + b" ")
    with pytest.raises(TrustError, match=r"root\.json is damaged"):
        TrustStore.open(folder)
    (folder / "root.json").write_bytes(root)
    document = json.loads((folder / "trust.json").read_text())
    (folder / "trust.json").write_text(json.dumps({**document, "realm": "test-other"}))
    with pytest.raises(TrustError, match=r"trust\.json is damaged"):
        read_bootstrap(folder)
    (folder / "trust.json").write_text("{")
    with pytest.raises(TrustError, match="is damaged"):
        read_bootstrap(folder)


@pytest.mark.parametrize("name", ["²", "٣", "1" * 200, "lost+found", "1.bak"])
def test_a_folder_that_is_no_generation_is_passed_over(
    client: TrustClient, realm: SimulatedRealm, folder: Path, name: str
) -> None:
    """Whatever lies among the generations, the folder opens, and takes the next."""
    (folder / "generations" / name).mkdir()
    advance(client, realm)
    assert TrustStore.open(folder).generation == 2
