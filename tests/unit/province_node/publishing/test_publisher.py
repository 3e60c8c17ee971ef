"""When heads are published, what a failure leaves, and what a kill in between costs."""

from __future__ import annotations

import asyncio
import hashlib
import time
from dataclasses import replace

import pytest

from healthcode.errors import Reason, UnavailableError
from province_node.store.publication import Publication
from province_node.store.sqlite.node_store import SqliteNodeStore
from tests.unit.province_node.publishing.heads import TODAY, FakeRegistry, head_of, publisher, revoke
from tests.unit.province_node.world import HOME, INTERVAL_SECONDS
from tests.world.waiting import PATIENCE_SECONDS, until


async def test_what_was_not_acknowledged_is_not_recorded(world, store):
    """A registry out of reach leaves the store as it was, and the next attempt sends the same again."""
    registry = FakeRegistry()
    registry.errors = [UnavailableError("out of reach")]
    ours = publisher(world, store, registry)
    with pytest.raises(UnavailableError):
        await ours.publish_once()
    assert store.publishing.publication() is None
    record = await ours.publish_once()
    assert store.publishing.publication() == record == registry.taken[0].record


async def test_a_node_that_is_not_admitted_waits(world, store):
    """Before the operators have approved, there is nothing to publish, and no error."""
    world.view = replace(world.view, issuers={})
    assert await publisher(world, store, FakeRegistry()).publish_once() is None


async def test_revocations_of_an_interval_travel_together(world, store):
    """The first after a quiet time goes at once; those of the next interval go in one publication."""
    registry = FakeRegistry()
    ours = publisher(world, store, registry)
    running = asyncio.create_task(ours.run())
    await asyncio.wait_for(registry.arrived.wait(), PATIENCE_SECONDS)
    await asyncio.sleep(0.3)
    sent, began = len(registry.taken), time.monotonic()
    for index in range(20):
        revoke(store, index)
        ours.nudge()
        await asyncio.sleep(0.01)

    def all_are_out() -> bool:
        entry = head_of(world, registry.taken[-1]).days.get(TODAY)
        return entry is not None and entry.count == 20

    await until(all_are_out)
    intervals = (time.monotonic() - began) / INTERVAL_SECONDS
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert 2 <= len(registry.taken) - sent <= 2 + intervals


async def test_publishing_comes_back_by_itself(world, store):
    """After failures the loop goes on, and what was revoked meanwhile is in the next head."""
    registry = FakeRegistry()
    registry.errors = [UnavailableError("out of reach")]
    ours = publisher(world, store, registry)
    revoke(store, 5)
    running = asyncio.create_task(ours.run())
    await asyncio.wait_for(registry.acknowledged.wait(), PATIENCE_SECONDS)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert isinstance(store.publishing.publication(), Publication)
    assert head_of(world, registry.taken[0]).days[TODAY].count == 1


async def test_a_head_that_the_registry_asks_for_is_signed_anew_once(world, store):
    """It has lost ours and says so: the next head goes out now, though nothing is new; and only one."""
    registry = FakeRegistry()
    ours = publisher(world, store, registry)
    assert await ours.publish_once() is not None
    assert await ours.publish_once() is None
    ours.sign_again()
    registry.errors = [UnavailableError("out of reach")]
    with pytest.raises(UnavailableError):
        await ours.publish_once()
    again = await ours.publish_once()
    assert again is not None
    assert again.version == registry.taken[0].record.version + 1
    assert await ours.publish_once() is None


async def test_a_head_that_the_registry_took_and_forgot_is_signed_anew_unasked(world, store):
    """Its timestamp is newer than our acknowledged head, and it does not have it: it was restored."""
    registry = FakeRegistry()
    ours = publisher(world, store, registry)
    first = await ours.publish_once()
    assert first is not None
    world.clock.at += 30
    assert await ours.publish_once() is None, "the view is of before, so nothing is known"
    world.view = replace(world.view, timestamp_signed_at=world.clock.at)
    second = await ours.publish_once()
    assert second is not None
    assert second.version == first.version + 1
    issuer = world.view.issuers[HOME]
    made = hashlib.sha256(registry.taken[-1].metadata).digest()
    there = replace(issuer, live_version=second.version, live_sha256=made)
    world.view = replace(world.view, issuers={**world.view.issuers, HOME: there})
    world.clock.at += 30
    assert await ours.publish_once() is None, "it is there"


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


async def heads_in(world, store: SqliteNodeStore, seconds: int, **view: object) -> int:
    """How many heads go out in so many seconds, looked at each second, after the first of the run."""
    registry = FakeRegistry()
    ours = publisher(world, store, registry)
    await ours.publish_once(first=True)
    world.view = replace(world.view, **view)
    for _ in range(seconds):
        issuer = replace(
            world.view.issuers[HOME],
            live_version=registry.taken[-1].record.version,
            live_sha256=hashlib.sha256(registry.taken[-1].metadata).digest(),
        )
        world.view = replace(world.view, issuers={**world.view.issuers, HOME: issuer})
        world.clock.at += 1
        await ours.publish_once()
    return len(registry.taken) - 1


async def test_a_new_authority_that_waits_is_no_broken_head(world, store):
    """In the 72 hours of AUTHORITY_WAITS heads go out as ever: at the re-sign interval."""
    waits = {HOME: Reason.AUTHORITY_WAITS}
    assert await heads_in(world, store, 299, held_back=waits, warnings=(f"{HOME}: it waits",)) == 0


async def test_a_refusal_that_a_new_head_does_not_mend_is_met_ever_less_often(world, store):
    """Files of ours that stay refused get a new head within seconds, then half as often each time."""
    refused = {HOME: Reason.SIGNATURE_THRESHOLD}
    assert await heads_in(world, store, 6, held_back=refused) == 1
    assert await heads_in(world, store, 299, held_back=refused) <= 6
