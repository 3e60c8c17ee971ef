"""`check` finds what would stop a node from serving."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from healthcode.cli.finding import Finding, Grade
from healthcode.errors import ConfigurationError
from healthcode.policy.words import LevelReason
from healthcode.rpc.mtls.development_ca import make_ca
from healthcode.storage.lock import lock
from healthcode.wire.claims import Level
from province_node.keys.setup import NodePlan, create_node
from province_node.operations.check import check_node
from province_node.settings import NodeFolder, load_node_settings
from province_node.store.opening import open_store
from province_node.store.records import LevelStatement, Request, StatedLevel
from tests.simulator.realm import NOW, SimulatedRealm
from tests.unit.province_node.cli.command import command
from tests.world.level_rules import format_2


@pytest.fixture
def node(tmp_path: Path) -> Path:
    ca = tmp_path / "registry-ca.pem"
    ca.write_bytes(make_ca("registry", days=10, now=NOW).certificate_pem)
    plan = NodePlan(
        participant="31",
        realm="test-check",
        registry_endpoint="127.0.0.1:1",
        registry_ca=ca,
        root_fingerprint="sha256:" + "0" * 64,
        listen="127.0.0.1:0",
        issuer_listen="127.0.0.1:0",
        endpoint="node-31.example:8453",
        metrics_listen=None,
        development=True,
    )
    create_node(tmp_path / "node", plan, passphrase=None, now=NOW)
    return tmp_path / "node"


def checked(node: Path, now: int = NOW) -> dict[str, Finding]:
    return {found.what: found for found in check_node(node, load_node_settings(node), now=now, environ={})}


def test_a_certificate_warns_from_a_third_of_its_life_left(node: Path) -> None:
    """As `status` and the alerts do: a year's certificate in its last four months."""
    day = 86_400
    assert checked(node, NOW + 240 * day)["certificate node.pem"].grade is Grade.OK
    found = checked(node, NOW + 250 * day)["certificate node.pem"]
    assert (found.grade, "have it issued again" in found.detail) == (Grade.WARNING, True)


def test_keys_that_the_world_does_not_know_are_told(node: Path) -> None:
    """As after the restore of an old backup: serving goes, publishing and issuing do not."""
    assert "published keys" not in checked(node), "before it has any trust"
    SimulatedRealm(("31",)).client(node / "trust").refresh(NOW)
    settings = load_node_settings(node)
    found = [
        each for each in check_node(node, settings, now=NOW, environ={}) if each.what == "published keys"
    ]
    assert {each.grade for each in found} == {Grade.WARNING}
    assert any("no HEAD key" in each.detail for each in found)
    assert any(
        "keys rotate --purpose LIVE" in each.detail or "is not published" in each.detail for each in found
    )


def test_a_policy_of_a_newer_format_is_told(node: Path) -> None:
    """The node serves on with the last one that it reads; its software must be upgraded."""
    realm = SimulatedRealm(("31",))
    client = realm.client(node / "trust")
    client.refresh(NOW)
    assert checked(node)["trust"].grade is Grade.OK
    realm.policy = realm.policy.replace(b"healthcode/policy/1", b"healthcode/policy/9999")
    realm.publish_targets()
    realm.publish()
    client.refresh(NOW)
    found = checked(node)["trust"]
    assert (found.grade, "upgrade this software: the policy has format 9999" in found.detail) == (
        Grade.WARNING,
        True,
    )


@pytest.mark.parametrize("purpose", ["head", "live", "paper", "answer", "question"])
def test_a_purpose_without_a_key_is_missed(node: Path, purpose: str) -> None:
    """A folder that was restored in part would not do its work."""
    assert checked(node)["online keys"].grade is Grade.OK
    for path in (node / "keys").glob(f"{purpose}-*.key"):
        path.unlink()
    found = checked(node)["online keys"]
    assert (found.grade, found.exit_status) == (Grade.FAILED, 2)
    assert f"no {purpose.upper()} key" in found.detail
    assert f"keys rotate --purpose {purpose.upper()}" in found.detail


def test_one_address_is_not_two(node: Path) -> None:
    """Two listeners at one address are a slip in node.toml, told as one."""
    path = node / "node.toml"
    path.write_text(path.read_text().replace('listen = "127.0.0.1:0"', 'listen = "127.0.0.1:8453"'))
    with pytest.raises(ConfigurationError, match="issuer_listen"):
        load_node_settings(node)


def test_a_host_that_is_not_known_fails(node: Path) -> None:
    """Not only a port that is taken."""
    path = node / "node.toml"
    text = path.read_text().replace('\nlisten = "127.0.0.1:0"', '\nlisten = "no-such-host.invalid:8453"')
    path.write_text(text)
    assert checked(node)["listen"].grade is Grade.FAILED


def test_what_the_upgrade_to_derived_levels_does_is_told(node: Path) -> None:
    """How many stated levels become orders; afterwards nothing."""
    realm = SimulatedRealm(("31",))
    realm.client(node / "trust").refresh(NOW)
    settings = load_node_settings(node)
    store = open_store(settings.database)
    try:
        red = StatedLevel(b"h" * 32, LevelStatement(Level.RED, LevelReason.A4), "R1")
        store.issuing.record_level({0: red}, Request("c", "r", "m", b"d", NOW + 9), NOW)
        assert "levels" not in checked(node), "under a policy of format 1"
        realm.policy = json.dumps(format_2()).encode()
        realm.publish_targets()
        realm.publish()
        realm.client(node / "trust").refresh(NOW)
        found = checked(node)["levels"]
        assert found.grade is Grade.OK
        assert "1 stated RED or YELLOW levels become orders" in found.detail
        realm.policy = json.dumps(format_2(no_evidence={"*": "PENDING"})).encode()
        realm.publish_targets()
        realm.publish()
        realm.client(node / "trust").refresh(NOW)
        found = checked(node)["levels"]
        assert found.grade is Grade.WARNING
        assert "1 holders have no evidence and become PENDING" in found.detail
        store.levels.finish_upgrade(NOW)
    finally:
        store.close()
    assert "levels" not in checked(node)


def test_a_time_of_the_store_that_is_ahead_is_told_and_set_back(node: Path) -> None:
    """`check` names it; the command sets it back to signed time, while no node runs, and never otherwise."""
    SimulatedRealm(("31",)).client(node / "trust").refresh(NOW)
    database = load_node_settings(node).database
    set_back = ("level-time", "--dir", node, "--set-back", "--yes", "--json")

    def kept(now: int = 0) -> int:
        store = open_store(database)
        try:
            store.levels.keep_now(now)
            return store.levels.latest_now()
        finally:
            store.close()

    kept(NOW + 200)
    assert "level time" not in checked(node)
    assert json.loads(command(*set_back)[1])["set_back"] is False
    assert kept(NOW + 9000) == NOW + 9000
    found = checked(node)["level time"]
    assert (found.grade, "9000 s ahead" in found.detail) == (Grade.WARNING, True)
    with lock(NodeFolder(node).serving):
        assert command(*set_back)[0] == 4
    assert json.loads(command(*set_back[:3], "--json")[1])["ahead_seconds"] == 9000
    assert kept() == NOW + 9000
    assert json.loads(command(*set_back)[1])["set_back"] is True
    assert kept() == NOW
    assert "level time" not in checked(node)
