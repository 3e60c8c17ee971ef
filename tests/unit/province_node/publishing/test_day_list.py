"""Beside each list one delta, from the oldest acknowledged version that makes it worth taking."""

from __future__ import annotations

import hashlib
import itertools

import pytest

from healthcode.revocation.day import day_of
from healthcode.revocation.delta import apply_delta
from healthcode.revocation.head import decode_head
from healthcode.revocation.list import decode_list
from healthcode.revocation.state import RevocationState, build_state, check_growth
from province_node.publishing.next_head import HeadFacts, HeadMaker, NextHead
from province_node.store.records import Revocation, RevocationReason
from province_node.store.sqlite.node_store import SqliteNodeStore
from tests.simulator.realm import NOW
from tests.unit.province_node.world import HOME

TODAY = day_of(NOW)
_numbers = itertools.count()


@pytest.fixture
def store(tmp_path):
    made = SqliteNodeStore(tmp_path / "lists.db")
    yield made
    made.close()


class Node:
    """Revokes and publishes, and remembers every list by its hash."""

    def __init__(self, world, store: SqliteNodeStore) -> None:
        self.world, self.store = world, store
        self.maker = HeadMaker(HOME, world.realm.realm, store=store.publishing, keys=world.keyring.head_keys)
        self.files: dict[bytes, bytes] = {}

    def revoke(self, *indices: int, day: int = TODAY) -> None:
        self.store.revoking.record_revocations(
            [Revocation(day, index) for index in indices],
            RevocationReason.FRAUD,
            self.world.request(f"n-{next(_numbers)}"),
            NOW,
        )

    def prepare(self) -> NextHead:
        facts = HeadFacts(now=NOW, longest_code_seconds=86_400, resign_seconds=300)
        made = self.maker.make(self.world.view.issuers[HOME], self.world.keyring.head_key(), facts)
        assert made is not None
        self.files |= {hashlib.sha256(data).digest(): data for data in made.lists}
        return made

    def publish(self):
        made = self.prepare()
        self.store.publishing.record_publication(made.record)
        return self.head(made)

    def head(self, made: NextHead):
        return decode_head(made.head, realm=self.world.realm.realm, issuer=HOME)

    def state(self, head) -> RevocationState:
        return build_state(head, lambda entry: self.files[entry.full_sha256])


def test_the_delta_makes_the_full_list_from_any_version_since_its_base(world, store):
    """From each version at or above the base, the delta comes to the full list that the head names."""
    node = Node(world, store)
    node.revoke(*range(0, 5000, 5))
    states = [node.state(node.publish())]
    for number in range(8):
        node.revoke(*range(number * 100 + 1, number * 100 + 21))
        head = node.publish()
        entry = head.days[TODAY]
        delta = node.files[entry.delta.sha256]
        for old in states:
            if old.head.days[TODAY].version >= entry.delta.base_version:
                rebuilt = apply_delta(head, TODAY, old.lists[TODAY], delta)
                assert rebuilt.data == node.files[entry.full_sha256]
        assert len(delta) < entry.full_bytes
        states.append(node.state(head))
        check_growth(states[-2], states[-1])


def test_the_base_stays_while_the_delta_is_small_and_moves_on_then(world, store):
    """A client that missed some publications is still served; a delta never outgrows a quarter of the list."""
    node = Node(world, store)
    node.revoke(*range(1000))
    node.publish()
    bases, sizes = [], []
    for number in range(12):
        node.revoke(*range(10_000 + number * 60, 10_000 + number * 60 + 60))
        entry = node.publish().days[TODAY]
        bases.append(entry.delta.base_version)
        sizes.append(entry.delta.count / entry.count)
    assert bases[:3] == [1, 1, 1]
    assert bases == sorted(bases)
    assert bases[-1] > 1
    assert max(sizes) <= 0.25


def test_a_list_that_more_than_doubled_has_no_delta_longer_than_itself(world, store):
    """Where the delta would save nothing there is none."""
    node = Node(world, store)
    node.revoke(5)
    node.publish()
    node.revoke(*range(100, 1000, 3))
    entry = node.publish().days[TODAY]
    assert entry.delta is None or entry.delta.byte_count < entry.full_bytes


def test_a_restart_makes_the_same_delta(world, store):
    """Bases are remembered durably: a new process names the same delta as the old one would have."""
    node = Node(world, store)
    node.revoke(*range(1000))
    node.publish()
    node.revoke(3000)
    kept = node.head(node.prepare()).days[TODAY]
    node.maker.forget_lists()
    assert node.head(node.prepare()).days[TODAY] == kept
    assert kept.delta is not None
    assert (kept.delta.base_version, kept.delta.count) == (1, 1)


def test_a_publication_that_was_not_acknowledged_is_no_base(world, store):
    """Only what the registry took can be held by others."""
    node = Node(world, store)
    node.revoke(*range(1000))
    node.publish()
    node.revoke(2000)
    node.prepare()
    node.revoke(2001)
    entry = node.publish().days[TODAY]
    assert (entry.version, entry.delta.base_version, entry.delta.count) == (2, 1, 2)
    decoded = decode_list(node.files[entry.full_sha256], realm=world.realm.realm, issuer=HOME, day=TODAY)
    assert {2000, 2001} <= set(decoded.bitmap)
