"""What the registry refuses, and what the node learns from it."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest

from healthcode.errors import (
    ConflictError,
    InvalidInputError,
    PreconditionError,
    Reason,
    SignatureError,
    UnavailableError,
)
from healthcode.signing.ed25519 import PrivateKey
from province_node.publishing.next_head import NextHead
from province_node.store.sqlite.node_store import SqliteNodeStore
from tests.unit.province_node.publishing.heads import TODAY, FakeRegistry, head_of, publisher, revoke
from tests.unit.province_node.world import HOME


async def test_a_conflict_looks_at_the_trust_and_goes_on_above_it(world, store):
    """After VERSION_CONFLICT the trust is refreshed, and the version is above the one that stands."""
    registry, refreshed = FakeRegistry(), []
    registry.errors = [ConflictError("current + 1", reason=Reason.VERSION_CONFLICT)]
    ours = publisher(world, store, registry, refreshed=refreshed)
    with pytest.raises(ConflictError):
        await ours.publish_once()
    assert refreshed
    issuer = world.view.issuers[HOME]
    moved = replace(issuer, live_version=41)
    world.view = replace(world.view, issuers={**world.view.issuers, HOME: moved})
    record = await ours.publish_once()
    assert record is not None
    assert record.version == 42


async def test_a_version_that_was_given_out_and_lost_is_passed_over(world, store):
    """We sent it and never heard; others hold it, and the restored registry does not: the next one is above it."""
    registry = FakeRegistry()
    ours = publisher(world, store, registry)
    first = await ours.publish_once()
    assert first is not None
    revoke(store, 1)
    registry.errors = [UnavailableError("the line is cut"), given_out()]
    for error in (UnavailableError, ConflictError):
        with pytest.raises(error):
            await ours.publish_once()
    record = await ours.publish_once()
    assert record is not None
    assert record.version == first.version + 2
    revoke(store, 2)
    again = await ours.publish_once()
    assert again is not None
    assert again.version == record.version + 1


async def test_a_version_that_we_never_sent_is_not_passed_over(world, store):
    """A database that is behind, as the registry is: going on above what both forgot would un-revoke it."""
    registry = FakeRegistry()
    ours = publisher(world, store, registry)
    first = await ours.publish_once()
    assert first is not None
    revoke(store, 1)
    registry.errors = [given_out() for _ in range(3)]
    for _ in range(3):
        with pytest.raises(ConflictError):
            await ours.publish_once()
    record = await ours.publish_once()
    assert record is not None
    assert record.version == first.version + 1


def given_out() -> ConflictError:
    return ConflictError("it was given out", reason=Reason.VERSION_CONFLICT)


async def test_a_registry_that_lost_its_lists_gets_them_all(world, store):
    """Refused for a list that it had taken before, the node sends every list, and names none that it does not send."""
    registry = FakeRegistry()
    sent, kept = registry.taken, set()

    async def send(head: NextHead) -> None:
        sent.append(head)
        files = {hashlib.sha256(data).digest() for data in head.lists}
        entries = head_of(world, head).days.values()
        named = {entry.full_sha256 for entry in entries}
        named |= {entry.delta.sha256 for entry in entries if entry.delta is not None}
        if not named <= kept | files:
            raise InvalidInputError("the head names a list which was neither sent nor published before")
        kept.update(files)

    registry.send = send
    node = publisher(world, store, registry)
    for start in range(0, 600, 100):
        revoke(store, *range(start, start + 100))
        revoke(store, *range(start, start + 100), day=TODAY + 1)
        await node.publish_once()
    before = head_of(world, sent[-1])
    assert any(entry.delta is not None for entry in before.days.values()), "there is something to lose"
    kept.clear()
    revoke(store, 999)
    with pytest.raises(InvalidInputError):
        await node.publish_once()
    assert await node.publish_once() is not None
    after = head_of(world, sent[-1])
    assert after.version > before.version
    assert {day: entry.count for day, entry in after.days.items()} == {TODAY: 601, TODAY + 1: 600}
    revoke(store, 1000)
    await node.publish_once()
    assert len(sent[-1].lists) <= 2, "afterwards again only what is new"


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
