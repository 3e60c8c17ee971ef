"""What a node keeps and says of a head that does not go out, and a realm that was founded anew."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from healthcode.errors import ConflictError, PreconditionError, Reason, SignatureError, UnavailableError
from healthcode.signing.ed25519 import PrivateKey
from province_node.publishing.publisher import Publisher, PublishEvents
from province_node.store.sqlite.node_store import SqliteNodeStore
from tests.unit.province_node.publishing.test_publisher import TODAY, FakeRegistry, head_of, revoke
from tests.unit.province_node.world import HOME, make_publisher
from tests.world.waiting import PATIENCE_SECONDS


@pytest.fixture
def store(tmp_path):
    made = SqliteNodeStore(tmp_path / "publishing.db")
    yield made
    made.close()


def publisher(
    world,
    store: SqliteNodeStore,
    registry: FakeRegistry,
    *,
    root: str = "",
    keys: Sequence[PrivateKey] | None = None,
    on_failing: Callable[[bool], None] = lambda _: None,
) -> Publisher:
    async def refresh() -> None:
        return None

    events = PublishEvents(published=lambda _publication: registry.acknowledged.set(), failing=on_failing)
    return make_publisher(world, store, registry.send, refresh=refresh, events=events, root=root, keys=keys)


async def test_why_a_head_does_not_go_out_is_kept_until_one_does(world, store):
    """The store knows the reason and since when; both end with the next acknowledgement, and so does the metric."""
    registry = FakeRegistry()
    told: asyncio.Queue[bool] = asyncio.Queue()
    registry.errors = [UnavailableError("out of reach")]
    running = asyncio.create_task(publisher(world, store, registry, on_failing=told.put_nowait).run())
    assert await asyncio.wait_for(told.get(), PATIENCE_SECONDS) is True
    failure = store.publishing.publish_failure()
    assert failure is not None
    assert (failure.reason, failure.message, failure.since) == (
        Reason.SERVICE_UNAVAILABLE,
        "out of reach",
        world.clock.at,
    )
    assert await asyncio.wait_for(told.get(), PATIENCE_SECONDS) is False
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert store.publishing.publish_failure() is None
    assert registry.acknowledged.is_set()


async def test_the_first_failure_says_since_when(world, store):
    """A second failure of another kind does not make the outage younger."""
    store.publishing.record_failure(Reason.SERVICE_UNAVAILABLE, "out of reach", 100)
    store.publishing.record_failure(Reason.STORAGE_FULL, "full", 200)
    failure = store.publishing.publish_failure()
    assert failure is not None
    assert (failure.reason, failure.since) == (Reason.STORAGE_FULL, 100)


async def test_a_head_key_of_an_old_backup_is_named_as_the_cause(world, store):
    """The registry refuses the signature; what is kept says that the key is not the published one, and what to do."""
    registry = FakeRegistry()
    registry.errors = [SignatureError("no valid signature by 25a6", reason=Reason.SIGNATURE_THRESHOLD)]
    issuer = replace(world.view.issuers[HOME], live_keys=frozenset({b"k" * 32}))
    world.view = replace(world.view, issuers={**world.view.issuers, HOME: issuer})
    with pytest.raises(
        SignatureError, match="Restore a newer backup; or publish the key that is here"
    ) as info:
        await publisher(world, store, registry).publish_once()
    assert info.value.reason is Reason.SIGNATURE_THRESHOLD


async def test_a_lost_head_key_is_named_as_the_cause(world, store):
    """Nothing is sent; what is kept says that the file is missing and how to make another, and it goes on with that."""
    registry, keys = FakeRegistry(), list[PrivateKey]()
    made = publisher(world, store, registry, keys=keys)
    revoke(store, 5)
    with pytest.raises(PreconditionError, match="keys rotate --purpose HEAD") as info:
        await made.publish_once(first=True)
    assert info.value.reason is Reason.KEY_UNAVAILABLE
    assert registry.taken == []
    keys.append(world.keyring.head_key())
    await made.publish_once()
    assert len(registry.taken) == 1


async def in_a_new_realm(world, store: SqliteNodeStore, *, root: str) -> FakeRegistry:
    """Published under root "sha256:old" some heads ago; the registry now knows nothing of us, and wants version 1."""
    registry = FakeRegistry()
    revoke(store, 5)
    for version in (4, 5):
        issuer = replace(world.view.issuers[HOME], live_version=version - 1, revocations=None)
        world.view = replace(world.view, issuers={**world.view.issuers, HOME: issuer})
        store.publishing.record_attempt(version - 1, issuer.live_sha256)
        world.clock.at += 301
        await publisher(world, store, registry, root="sha256:old").publish_once()
    issuer = replace(world.view.issuers[HOME], live_version=None, live_signed_at=None, revocations=None)
    world.view = replace(world.view, issuers={**world.view.issuers, HOME: issuer})
    registry.errors = [ConflictError("is at version 0, so the next is 1", reason=Reason.VERSION_CONFLICT)]
    anew = publisher(world, store, registry, root=root)
    revoke(store, 6)
    with pytest.raises(ConflictError):
        await anew.publish_once(first=True)
    await anew.publish_once()
    return registry


async def test_in_a_realm_that_was_founded_anew_heads_begin_anew_with_all_that_was_revoked(world, store):
    """Another root, and a registry that wants version 1: it gets it, and no revocation is lost."""
    registry = await in_a_new_realm(world, store, root="sha256:new")
    last = registry.taken[-1]
    assert last.record.version == 1
    assert head_of(world, last).days[TODAY].count == 2
    publication = store.publishing.publication()
    assert publication is not None
    assert publication.root == "sha256:new"


async def test_under_the_same_root_no_version_comes_twice(world, store):
    """A registry that has lost our heads, and says so, gets the next version all the same: others hold the last."""
    registry = await in_a_new_realm(world, store, root="sha256:old")
    assert registry.taken[-1].record.version >= 6
