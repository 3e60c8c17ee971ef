"""A node whose backups are made and restored in these tests."""

from __future__ import annotations

from healthcode.revocation.day import day_of
from healthcode.revocation.head import decode_head
from province_node.codes.index_source import IndexSource
from province_node.operations.restore import restore_node
from province_node.publishing.next_head import HeadFacts, HeadMaker
from province_node.store.records import Revocation, RevocationReason
from province_node.store.sqlite.node_store import SqliteNodeStore
from tests.simulator.realm import NOW
from tests.unit.province_node.world import HOME

TODAY = day_of(NOW)
SECRET = b"i" * 32
NODE_TOML = """
participant = "31"
realm = "{realm}"
listen = "127.0.0.1:1"
issuer_listen = "127.0.0.1:2"
[tls]
certificate = "tls/node.pem"
private_key = "tls/node.key"
ca = "tls/ca.pem"
[registry]
endpoint = "127.0.0.1:3"
ca = "tls/ca.pem"
root_fingerprint = "sha256:{digits}"
[keys]
passphrase_file = "keys/passphrase"
"""


class Node:
    """A node's folder, its store, and the registry as far as it matters here."""

    def __init__(self, world, root) -> None:
        self.world, self.root = world, root
        (root / "tls").mkdir(parents=True)
        (root / "keys").mkdir()
        (root / "tls" / "ca.pem").write_text("ca")
        (root / "keys" / "live.key").write_text("sealed")
        (root / "keys" / "passphrase").write_text("secret")
        (root / "node.toml").write_text(NODE_TOML.format(realm=world.realm.realm, digits="0" * 64))
        self.store = SqliteNodeStore(root / "node.db")
        self.requests = 0

    def reopen(self) -> None:
        self.store.close()
        self.store = SqliteNodeStore(self.root / "node.db")

    def revoke(self, *indices: int, day: int = TODAY) -> None:
        self.requests += 1
        self.store.revoking.record_revocations(
            [Revocation(day, index) for index in indices],
            RevocationReason.FRAUD,
            self.world.request(f"b-{self.requests}"),
            NOW,
        )

    def publish(self):
        """Signs the next head, and lets the world see it, lists and all."""
        world = self.world
        maker = HeadMaker(HOME, world.realm.realm, store=self.store.publishing, keys=world.keyring.head_keys)
        facts = HeadFacts(now=NOW, longest_code_seconds=86_400, resign_seconds=300)
        outgoing = maker.make(world.view.issuers[HOME], world.keyring.head_key(), facts)
        head = decode_head(outgoing.head, realm=world.realm.realm, issuer=HOME)
        for day in head.days:
            world.realm.set_list(
                HOME, day, self.store.publishing.revoked_indices(day, self.store.publishing.last_revocation())
            )
        world.realm.serve_live(HOME, outgoing.metadata, outgoing.head)
        world.refresh()
        assert world.view.warnings == ()
        self.store.publishing.record_publication(outgoing.record)
        return head

    def draw(self, count: int = 50, day: int = TODAY) -> set[int]:
        source = IndexSource(self.store.issuing, SECRET)
        return {source.take(day) for _ in range(count)}

    def restore(self, source, **options):
        self.store.close()
        restored = restore_node(
            source, self.root, trust=lambda _settings: self.world.view, now=NOW, replace=True, **options
        )
        self.store = SqliteNodeStore(self.root / "node.db")
        return restored
