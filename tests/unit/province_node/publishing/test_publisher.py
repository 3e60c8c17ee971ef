"""What is published, when, and what a kill in between costs."""

from __future__ import annotations

import asyncio
import hashlib
import time
from dataclasses import replace

import pytest

from healthcode.errors import ConflictError, InvalidInputError, Reason, UnavailableError
from healthcode.revocation.day import DAY_SECONDS, day_of
from healthcode.revocation.head import decode_head
from healthcode.revocation.list import decode_list
from healthcode.trust.format.metadata import Targets, decode_metadata
from province_node.publishing.next_head import COVER_MARGIN_DAYS, HeadFacts, HeadMaker, NextHead
from province_node.publishing.publisher import Publisher, PublishEvents
from province_node.store.records import Publication, Request, Revocation, RevocationReason
from province_node.store.sqlite.node_store import SqliteNodeStore
from tests.simulator.realm import NOW
from tests.unit.province_node.world import HOME, INTERVAL_SECONDS, make_publisher
from tests.world.waiting import PATIENCE_SECONDS, until

PAPER_SECONDS = 14 * DAY_SECONDS
TODAY = day_of(NOW)


@pytest.fixture
def store(tmp_path):
    made = SqliteNodeStore(tmp_path / "publishing.db")
    yield made
    made.close()


def revoke(store: SqliteNodeStore, *indices: int, day: int = TODAY) -> None:
    name = f"{indices} {day}"
    store.revoking.record_revocations(
        [Revocation(day, index) for index in indices],
        RevocationReason.FRAUD,
        Request("caller", name, "RevokeCodes", b"", NOW + 86_400),
        NOW,
    )


def prepared(world, store: SqliteNodeStore, now: int = NOW) -> NextHead | None:
    maker = HeadMaker(HOME, world.realm.realm, store=store.publishing, keys=world.keyring.head_keys)
    facts = HeadFacts(now=now, longest_code_seconds=PAPER_SECONDS, resign_seconds=300)
    return maker.make(world.view.issuers[HOME], world.keyring.head_key(), facts)


def publish(world, store: SqliteNodeStore, now: int = NOW) -> NextHead:
    head = prepared(world, store, now)
    assert head is not None
    store.publishing.record_publication(head.record)
    return head


def head_of(world, head: NextHead):
    return decode_head(head.head, realm=world.realm.realm, issuer=HOME)


def test_a_head_covers_the_longest_code_and_eight_days_more(world, store):
    """covered_to lies COVER_MARGIN_DAYS beyond the last day a code issued now can expire on."""
    head = head_of(world, publish(world, store))
    assert head.covered_to >= day_of(NOW + PAPER_SECONDS) + COVER_MARGIN_DAYS
    assert COVER_MARGIN_DAYS >= 8


def test_versions_follow_what_the_registry_serves(world, store):
    """The first publication after a lost acknowledgement is the served version + 1."""
    head = publish(world, store)
    served = world.view.issuers[HOME].live_version
    assert served is not None
    assert decode_metadata(head.metadata, Targets).signed.version == head.record.version == served + 1


def test_nothing_new_is_not_published_until_it_is_time_to_sign_again(world, store):
    """Without a change, nothing goes out for resign_seconds; then the same head under a new version."""
    first = publish(world, store)
    assert prepared(world, store, NOW + 299) is None
    second = publish(world, store, NOW + 300)
    assert second.head == first.head
    assert second.lists == ()
    assert second.record.version == first.record.version + 1


def test_revocations_stand_in_the_list_of_their_day(world, store):
    """Each day with revocations has one list, named by its hash, with exactly its indices."""
    publish(world, store)
    revoke(store, 7, 3)
    revoke(store, 9, day=TODAY + 2)
    sent = publish(world, store)
    head = head_of(world, sent)
    assert {day: entry.count for day, entry in head.days.items()} == {TODAY: 2, TODAY + 2: 1}
    decoded = decode_list(sent.lists[0], realm=world.realm.realm, issuer=HOME, day=TODAY)
    assert sorted(decoded.bitmap) == [3, 7]


def test_only_changed_lists_travel_and_versions_grow(world, store):
    """A day that did not change keeps its entry and sends nothing; a changed one grows its version."""
    revoke(store, 1)
    revoke(store, 2, day=TODAY + 1)
    before = head_of(world, publish(world, store))
    revoke(store, 3)
    sent = publish(world, store)
    after = head_of(world, sent)
    assert len(sent.lists) == 1
    assert after.days[TODAY + 1] == before.days[TODAY + 1]
    assert (after.days[TODAY].version, after.days[TODAY].count) == (before.days[TODAY].version + 1, 2)
    assert after.version == before.version + 1


def test_a_past_day_leaves_and_the_range_moves_on(world, store):
    """After the day's end and ten minutes its list dies, and the range has moved by a day."""
    revoke(store, 1)
    before = head_of(world, publish(world, store))
    tomorrow = (TODAY + 1) * DAY_SECONDS
    almost = head_of(world, publish(world, store, tomorrow + 599))
    assert TODAY in almost.days
    after = head_of(world, publish(world, store, tomorrow + 600))
    assert TODAY not in after.days
    assert after.covered_from == before.covered_from + 1


def test_killed_keys_stay_killed(world, store):
    """What the trust files say was killed is in every further head."""
    kid = b"12345678"
    world.realm.kill(HOME, kid)
    world.realm.publish_live(HOME)
    world.refresh()
    assert kid in head_of(world, publish(world, store)).killed_kids


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
    world, store: SqliteNodeStore, registry: FakeRegistry, refreshed: list[int] | None = None
) -> Publisher:
    async def refresh() -> None:
        (refreshed if refreshed is not None else []).append(1)

    events = PublishEvents(published=lambda _publication: registry.acknowledged.set())
    return make_publisher(world, store, registry.send, refresh=refresh, events=events)


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


async def test_a_conflict_looks_at_the_trust_and_goes_on_above_it(world, store):
    """After VERSION_CONFLICT the trust is refreshed, and the version is above the one that stands."""
    registry, refreshed = FakeRegistry(), []
    registry.errors = [ConflictError("current + 1", reason=Reason.VERSION_CONFLICT)]
    ours = publisher(world, store, registry, refreshed)
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
