"""Heads made and sent in these tests, and a registry that takes them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from healthcode.revocation.day import DAY_SECONDS, day_of
from healthcode.revocation.head import decode_head
from healthcode.signing.ed25519 import PrivateKey
from province_node.publishing.next_head import HeadFacts, HeadMaker, NextHead
from province_node.publishing.publisher import Publisher, PublishEvents
from province_node.store.records import Request, Revocation, RevocationReason
from province_node.store.sqlite.node_store import SqliteNodeStore
from tests.simulator.realm import NOW
from tests.unit.province_node.world import HOME, make_publisher

PAPER_SECONDS = 14 * DAY_SECONDS
TODAY = day_of(NOW)


def revoke(store: SqliteNodeStore, *indices: int, day: int = TODAY) -> None:
    name = f"{indices} {day}"
    store.revoking.record_revocations(
        [Revocation(day, index) for index in indices],
        RevocationReason.FRAUD,
        Request("caller", name, "RevokeCodes", b"", NOW + 86_400),
        NOW,
    )


def prepared(
    world, store: SqliteNodeStore, now: int = NOW, *, registry_time: int | None = None
) -> NextHead | None:
    maker = HeadMaker(HOME, world.realm.realm, store=store.publishing, keys=world.keyring.head_keys)
    facts = HeadFacts(
        now=now, longest_code_seconds=PAPER_SECONDS, resign_seconds=300, registry_time=registry_time
    )
    return maker.make(world.view.issuers[HOME], world.keyring.head_key(), facts)


def publish(world, store: SqliteNodeStore, now: int = NOW, *, registry_time: int | None = None) -> NextHead:
    head = prepared(world, store, now, registry_time=registry_time)
    assert head is not None
    store.publishing.record_publication(head.record)
    return head


def head_of(world, head: NextHead):
    return decode_head(head.head, realm=world.realm.realm, issuer=HOME)


class FakeRegistry:
    """Takes publications, and misbehaves as told."""

    def __init__(self) -> None:
        self.taken: list[NextHead] = []
        self.errors: list[Exception] = []
        self.arrived = asyncio.Event()
        self.acknowledged = asyncio.Event()

    async def send(self, head: NextHead) -> None:
        if self.errors:
            raise self.errors.pop(0)
        self.taken.append(head)
        self.arrived.set()


def publisher(
    world,
    store: SqliteNodeStore,
    registry: FakeRegistry,
    *,
    refreshed: list[int] | None = None,
    root: str = "",
    keys: Sequence[PrivateKey] | None = None,
    on_failing: Callable[[bool], None] = lambda _: None,
) -> Publisher:
    """A publisher to `registry`; each refresh of the trust is noted in `refreshed`."""

    async def refresh() -> None:
        if refreshed is not None:
            refreshed.append(1)

    events = PublishEvents(published=lambda _publication: registry.acknowledged.set(), failing=on_failing)
    return make_publisher(world, store, registry.send, refresh=refresh, events=events, root=root, keys=keys)
