"""What several sources prove together if one of them has false roots."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from healthcode.errors import Reason, RefusedTrustError, TrustError
from healthcode.signing.ed25519 import PrivateKey
from healthcode.trust.adopt_root import adopt_root
from healthcode.trust.client import TrustClient
from healthcode.trust.format.authority_chain import link_digest, new_link
from healthcode.trust.format.layout import metadata_file
from healthcode.trust.format.metadata import Metadata, Root, sign_metadata, to_bytes
from healthcode.trust.format.next_metadata import with_bootstrap, with_root
from healthcode.trust.sources.trust_source import TrustSource
from healthcode.trust.store import init_trust
from healthcode.trust.verify.roots import root_fingerprint
from tests.simulator.realm import SimulatedRealm, fixed_key
from trust_registry.recovery.node_folder import NodeFolderSource
from trust_registry.recovery.salvage import salvage


class Mirror(SimulatedRealm):
    """A copy of a realm's files, under a name of its own."""

    def __init__(self, realm: SimulatedRealm, title: str) -> None:
        self.__dict__.update(realm.fork().__dict__)
        self.title = title

    @property
    def name(self) -> str:
        return self.title


@pytest.fixture
def realm() -> SimulatedRealm:
    made = SimulatedRealm(("00", "31"))
    made.rotate_root(snapshot_key=fixed_key("another snapshot"))
    made.publish()
    return made


def renew(realm: SimulatedRealm) -> None:
    realm.now += 60
    realm.sign_timestamp()


def begin_anew(realm: SimulatedRealm) -> str:
    """Restarts root with new keys that no old key signed; returns its fingerprint."""
    before = realm.files[metadata_file("root", realm.root.signed.version)]
    realm.root_keys = [realm.key(f"root anew-{number}") for number in (1, 2, 3)]
    root = with_root(realm.root.signed, {"root": ([key.public for key in realm.root_keys], 2)}, now=realm.now)
    return publish_root(realm, with_bootstrap(root, root_fingerprint(before)))


def publish_root(realm: SimulatedRealm, root: Metadata[Root]) -> str:
    realm.root = root
    for key in realm.root_keys[:2]:
        sign_metadata(realm.root, key)
    data = realm.files[metadata_file("root", realm.root.signed.version)] = to_bytes(realm.root)
    realm.now += 1
    realm.publish()
    return root_fingerprint(data)


def reonboard(realm: SimulatedRealm, code: str) -> None:
    """A new authority re-onboarded by root; the one before is lost."""
    province = realm.provinces[code]
    keys = [realm.key(f"{code} authority anew-{number}") for number in (1, 2, 3)]
    link = new_link(code, keys, 2, realm.realm, created=realm.now, previous=province.chain[-1])
    consent = {f"{code}/{link.seq}": link_digest(code, link, province.chain[-1]).hex()}
    realm.root = with_root(realm.root.signed, {}, now=realm.now, reonboarded=consent)
    for key in realm.root_keys[:2]:
        sign_metadata(realm.root, key)
    realm.files[metadata_file("root", realm.root.signed.version)] = to_bytes(realm.root)
    province.chain, province.authority = (*province.chain, link), keys
    realm.publish_targets(realm.new_targets())
    realm.publish_province(code)
    realm.publish_live(code)
    realm.publish()


@pytest.mark.parametrize("lie", [b"{}", "a first root of another realm"], ids=["garbage", "foreign"])
@pytest.mark.parametrize("first", [True, False], ids=["named first", "named last"])
def test_a_liar_named_first_takes_nothing_from_an_honest_newer_folder(
    realm: SimulatedRealm, tmp_path: Path, lie: bytes | str, first: bool
) -> None:
    """Of each version of root the file that fits its neighbours is taken, whichever source comes first."""
    old = Mirror(realm, "old")
    renew(realm)
    second = root_fingerprint(realm.files[metadata_file("root", 2)])
    init_trust(tmp_path / "node", realm, second)
    TrustClient(tmp_path / "node", realm).refresh(realm.now)
    liar = Mirror(realm, "liar")
    foreign = SimulatedRealm(("00",), realm="test-foreign").files[metadata_file("root", 1)]
    liar.tampered[metadata_file("root", 1)] = lie if isinstance(lie, bytes) else foreign
    node = NodeFolderSource(tmp_path / "node")
    sources: list[TrustSource] = [liar, old, node] if first else [old, node, liar]
    found = salvage(sources, realm.fingerprint)
    assert found.source == node.name
    assert found.high_water.timestamp == realm.timestamp_version
    assert list(found.refused) == ["liar"]
    assert found.files[metadata_file("root", 1)] == realm.files[metadata_file("root", 1)]


def test_a_node_that_began_later_is_not_said_to_be_of_another_realm_for_sure(
    realm: SimulatedRealm, tmp_path: Path
) -> None:
    """Without the first root nothing can be verified; the error says what is missing."""
    second = root_fingerprint(realm.files[metadata_file("root", 2)])
    init_trust(tmp_path / "node", realm, second)
    TrustClient(tmp_path / "node", realm).refresh(realm.now)
    with pytest.raises(RefusedTrustError, match="add a mirror that has"):
        salvage([NodeFolderSource(tmp_path / "node")], realm.fingerprint)


def test_a_folder_that_holds_back_a_new_authority_gives_the_one_that_rules(
    realm: SimulatedRealm, tmp_path: Path
) -> None:
    """In the 72-hour waiting period a node's folder lacks the newest authority; it is still a valid source."""
    client = realm.client(tmp_path / "node")
    client.refresh(realm.now)
    version = realm.provinces["31"].authority_version
    reonboard(realm, "31")
    assert [each.reason for each in client.refresh(realm.now).rejected] == [Reason.AUTHORITY_WAITS]
    found = salvage([NodeFolderSource(tmp_path / "node")], realm.fingerprint)
    assert not found.refused
    assert found.lacking["province-31"] > version
    assert "00" in found.issuers


def forged(realm: SimulatedRealm, version: int, *, also: Sequence[PrivateKey] = ()) -> bytes:
    """A root of that version as an attacker makes it: any one of his key and `also` is enough, and he signed it."""
    metadata = Metadata[Root].from_bytes(realm.files[metadata_file("root", version)])
    thief = realm.key("a thief")
    root = with_root(
        metadata.signed, {"root": ([thief.public, *(key.public for key in also)], 1)}, now=realm.now
    )
    root.signed.version = version
    sign_metadata(root, thief)
    return to_bytes(root)


@pytest.mark.parametrize("known", [3, 4])
@pytest.mark.parametrize("liar_first", [True, False])
def test_the_root_before_a_new_bootstrap_is_the_one_that_the_bootstrap_names(
    realm: SimulatedRealm, liar_first: bool, known: int
) -> None:
    """Root 3 restarted and names its root 2: another root 2 is refused, with its source."""
    fingerprint = begin_anew(realm)
    if known == 4:
        fingerprint = publish_root(realm, with_root(realm.root.signed, {}, now=realm.now))
    liar, honest = Mirror(realm, "liar"), Mirror(realm, "honest")
    liar.tampered[metadata_file("root", 2)] = forged(realm, 2)
    liar.tampered[metadata_file("root", 1)] = forged(realm, 1)
    found = salvage([liar, honest] if liar_first else [honest, liar], fingerprint)
    assert list(found.refused) == ["liar"]
    for version in range(1, known + 1):
        assert found.files[metadata_file("root", version)] == realm.files[metadata_file("root", version)]
    with pytest.raises(TrustError):
        salvage([liar], fingerprint)


def test_a_root_that_is_not_the_one_which_began_anew_is_refused(realm: SimulatedRealm) -> None:
    """A root that a later one names as a restart must itself name the root before it."""
    begin_anew(realm)
    anew = list(realm.root_keys)
    fingerprint = publish_root(realm, with_root(realm.root.signed, {}, now=realm.now))
    liar = Mirror(realm, "liar")
    plain = Metadata[Root].from_bytes(forged(realm, 3, also=anew))
    plain.signed.unrecognized_fields.pop("healthcode.bootstraps")
    plain.signatures.clear()
    sign_metadata(plain, realm.key("a thief"))
    liar.tampered[metadata_file("root", 3)] = to_bytes(plain)
    with pytest.raises(TrustError):
        salvage([liar], fingerprint)


def test_where_sources_differ_about_a_root_before_the_known_one_nothing_is_taken(
    realm: SimulatedRealm,
) -> None:
    """No signature proves an older root, so the rebuild stops and people must find out which one is false."""
    begin_anew(realm)
    anew = list(realm.root_keys)
    fingerprint = publish_root(realm, with_root(realm.root.signed, {}, now=realm.now))
    liar, honest = Mirror(realm, "liar"), Mirror(realm, "honest")
    liar.tampered[metadata_file("root", 3)] = forged(realm, 3, also=anew)
    with pytest.raises(TrustError, match=r"different root files of version 3: honest.*, liar"):
        salvage([liar, honest], fingerprint)
    first = root_fingerprint(realm.files[metadata_file("root", 3)])
    assert list(salvage([liar, honest], first).refused) == ["liar"], (
        "the fingerprint of that root itself decides"
    )


def test_below_a_gap_before_a_new_bootstrap_nothing_is_taken(tmp_path: Path) -> None:
    """A node adopted root 3 without root 2, which 3 names: nothing proves its root 1."""
    realm = SimulatedRealm(("00", "31"))
    realm.client(tmp_path / "node").refresh(realm.now)
    realm.rotate_root(root_keys=[realm.key(f"root second-{number}") for number in (1, 2, 3)])
    realm.publish()
    fingerprint = begin_anew(realm)
    adopt_root(tmp_path / "node", realm, fingerprint, realm.now)
    node = NodeFolderSource(tmp_path / "node")
    node.roots = {1: forged(realm, 1), 3: node.roots[3]}
    found = salvage([node], fingerprint)
    assert [root.version for root in found.national.roots] == [3]
    assert metadata_file("root", 1) not in found.files
    found = salvage([node, Mirror(realm, "mirror")], fingerprint)
    assert list(found.refused) == [node.name]
    assert found.files[metadata_file("root", 1)] == realm.files[metadata_file("root", 1)]
