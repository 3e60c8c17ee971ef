"""What several sources prove together, one of which lies about roots."""

from __future__ import annotations

from pathlib import Path

import pytest

from healthcode.errors import Reason, RefusedTrustError
from healthcode.trust.client import TrustClient
from healthcode.trust.drafting import with_root
from healthcode.trust.layout import metadata_file
from healthcode.trust.link import link_digest, new_link
from healthcode.trust.metadata import sign_metadata, to_bytes
from healthcode.trust.national import root_fingerprint
from healthcode.trust.source import TrustSource
from healthcode.trust.store import init_trust
from tests.simulator.realm import SimulatedRealm, fixed_key
from trust_registry.node_folder import NodeFolderSource
from trust_registry.salvage import salvage


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


def reonboard(realm: SimulatedRealm, code: str) -> None:
    """A new authority by root's word alone; its predecessor is lost."""
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
    """Of each version of root the file is taken that holds beside its neighbours, whoever brings another."""
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
    assert found.floor.timestamp == realm.timestamp_version
    assert list(found.refused) == ["liar"]
    assert found.files[metadata_file("root", 1)] == realm.files[metadata_file("root", 1)]


def test_a_node_that_began_later_is_not_said_to_be_of_another_realm_for_sure(
    realm: SimulatedRealm, tmp_path: Path
) -> None:
    """Without the first root nothing can be verified; what is missing is named."""
    second = root_fingerprint(realm.files[metadata_file("root", 2)])
    init_trust(tmp_path / "node", realm, second)
    TrustClient(tmp_path / "node", realm).refresh(realm.now)
    with pytest.raises(RefusedTrustError, match="name a mirror that has"):
        salvage([NodeFolderSource(tmp_path / "node")], realm.fingerprint)


def test_a_folder_that_holds_back_a_new_authority_gives_the_one_that_rules(
    realm: SimulatedRealm, tmp_path: Path
) -> None:
    """In the 72 hours of a wait a node's folder has not the newest of that province: it is a source all the same."""
    client = realm.client(tmp_path / "node")
    client.refresh(realm.now)
    version = realm.provinces["31"].authority_version
    reonboard(realm, "31")
    assert [each.reason for each in client.refresh(realm.now).rejected] == [Reason.AUTHORITY_WAITS]
    found = salvage([NodeFolderSource(tmp_path / "node")], realm.fingerprint)
    assert not found.refused
    assert found.lacking["province-31"] > version
    assert "00" in found.issuers
