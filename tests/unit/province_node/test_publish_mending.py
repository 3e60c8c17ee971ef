"""A head is signed anew to mend what is published, and no more often than that helps."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest

from healthcode.errors import Reason
from province_node.store.sqlite.node_store import SqliteNodeStore
from tests.unit.province_node.publishing.test_publisher import FakeRegistry, publisher
from tests.unit.province_node.world import HOME


@pytest.fixture
def store(tmp_path):
    made = SqliteNodeStore(tmp_path / "publishing.db")
    yield made
    made.close()


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
